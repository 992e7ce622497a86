"""Typed settings: what they are, where they come from. Knows no other package."""
