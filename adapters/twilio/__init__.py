"""Twilio Media Streams, and the carriers that speak nearly the same."""
