#!/usr/bin/env bash
# simplejpeg 1.9.0 (beside Pillow 13.0.0), decode_jpeg(strict=False): a warning met in the header, before the first pixel,
# still raises ValueError. A JPEG with its colour profile in it twice ("bad ICC marker") cannot be decoded at all, though
# decode_jpeg_header(strict=False) takes it and Pillow shows it.
#
# Guess before the run: strict=False, "if True, raise ValueError for recoverable errors", lets every warning pass.
# Seen:
#   simplejpeg 1.9.0: strict=False: header (64, 64), pixels: ValueError('Corrupt JPEG data: bad ICC marker'); Pillow 13.0.0: (64, 64)
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet simplejpeg==1.9.0 pillow==13.0.0
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys
from importlib.metadata import version

import PIL
import simplejpeg
from PIL import Image, ImageCms

file = io.BytesIO()
Image.new("RGB", (64, 64), "teal").save(file, "JPEG")
plain = file.getvalue()
payload = b"ICC_PROFILE\0\1\1" + ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
segment = b"\xff\xe2" + (len(payload) + 2).to_bytes(2, "big") + payload
twice = plain[:20] + segment + segment + plain[20:]  # after SOI and the JFIF segment


def decoded(data: bytes) -> object:
    try:
        return simplejpeg.decode_jpeg(data, strict=False).shape
    except ValueError as error:
        return error


assert decoded(plain[:20] + segment + plain[20:]) == (64, 64, 3)
header = simplejpeg.decode_jpeg_header(twice, strict=False)[:2]
found, shown = decoded(twice), Image.open(io.BytesIO(twice)).convert("RGB").size
print(f"simplejpeg {version('simplejpeg')}: strict=False: header {header}, pixels: {found!r}; Pillow {PIL.__version__}: {shown}")
sys.exit(0 if "bad ICC marker" in str(found) and header == shown == (64, 64) else "the behaviour has changed")
PYTHON
