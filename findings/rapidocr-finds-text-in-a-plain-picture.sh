#!/usr/bin/env bash
# rapidocr 3.10.0, detection alone: a picture of one colour comes back as one box of text that covers all of it. The
# share of a picture that is text cannot be taken from the boxes; a box says something once characters were read in it.
#
# Guess before the run: no box, as there is neither an edge nor a stroke in the picture.
# Seen:
#   rapidocr 3.10.0: a plain red picture of 48 x 40 has 1 box, of 100 % of it; read, it holds no text
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rapidocr==3.10.0 onnxruntime==1.32.0 numpy==2.4.6 opencv-python-headless==5.0.0.93
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
from rapidocr import RapidOCR

plain = np.full((40, 48, 3), (20, 20, 230), np.uint8)
engine = RapidOCR()
boxes = engine(plain, use_det=True, use_cls=False, use_rec=False).boxes
read = getattr(engine(plain), "txts", None) or ()  # where nothing is read the answer has no such field
count = 0 if boxes is None else len(boxes)
shares = [np.ptp(box[:, 0]) * np.ptp(box[:, 1]) / (47 * 39) for box in (() if boxes is None else np.asarray(boxes))]
version = importlib.metadata.version("rapidocr")
share = f"{min(1, max(shares, default=0)):.0%}".replace("%", " %")
print(f"rapidocr {version}: a plain red picture of 48 x 40 has {count} box, of {share} of it; read, it holds {'text' if read else 'no text'}")
sys.exit(0 if count == 1 and shares[0] > 0.8 and not read else "the behaviour has changed")
PYTHON
