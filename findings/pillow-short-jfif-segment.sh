#!/usr/bin/env bash
# Pillow 13.0.0 (beside simplejpeg 1.9.0, libjpeg-turbo): a JPEG whose APP0 segment is the word JFIF and nothing more cannot
# be identified. Its length is right and what stands in it is of no use for the pixels; libjpeg takes it for any other
# APP0 and decodes the picture. Pillow guards against a missing density there, but not against a missing version.
#
# Guess before the run: a segment that says where it ends is passed over where it is not understood.
# Seen:
#   Pillow 13.0.0: UnidentifiedImageError; simplejpeg 1.9.0: (64, 64, 3)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pillow==13.0.0 simplejpeg==1.9.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

import PIL
import simplejpeg
from PIL import Image

file = io.BytesIO()
Image.new("RGB", (64, 64), "teal").save(file, "JPEG")
plain = file.getvalue()
short = plain[:2] + b"\xff\xe0\x00\x07JFIF\0" + plain[20:]
try:
    found = str(Image.open(io.BytesIO(short)).size)
except PIL.UnidentifiedImageError as error:
    found = type(error).__name__
shape = simplejpeg.decode_jpeg(short).shape
print(f"Pillow {PIL.__version__}: {found}; simplejpeg {version('simplejpeg')}: {shape}")
sys.exit(0 if found == "UnidentifiedImageError" and shape == (64, 64, 3) else "the behaviour has changed")
PYTHON
