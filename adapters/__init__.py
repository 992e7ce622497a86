"""Telephony: wires, bytes and streams, up to continuous mono 16 kHz PCM per track. Knows no models and no calls."""
