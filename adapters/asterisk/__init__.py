"""Asterisk as a client of the gateway."""
