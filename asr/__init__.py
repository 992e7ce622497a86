"""From 16 kHz PCM to hypotheses. Knows no telephony and no HTTP."""
