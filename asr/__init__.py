"""From 16 kHz PCM to hypotheses. Knows no telephony and no HTTP."""

import os

# From 1.29 on, ONNX Runtime's builds for Linux tell their maker how they are used, unless this is set before it is
# loaded.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
