"""What can be wrong with a machine that is to run a gateway, and how to mend it. Nothing here changes anything."""
