#!/usr/bin/env bash
# Everything that is to be known of one GPU, in one call of at most eight minutes: see gpu.py.
# It needs Python 3.11 or newer with torch >= 2.11, transformers >= 5.17, tokenizers, safetensors, numpy and Pillow.
set -euo pipefail
exec timeout --kill-after=10 540 "${PYTHON:-python3}" "$(dirname "$0")/gpu.py" "$@"
