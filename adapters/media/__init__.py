"""From a frame's payload to continuous mono 16 kHz PCM in blocks of exactly 20 ms."""
