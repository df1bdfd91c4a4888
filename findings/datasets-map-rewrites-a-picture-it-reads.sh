#!/usr/bin/env bash
# datasets 5.2.0 (with Pillow 13.0.0), Dataset.map with a function that looks at a picture and returns another column: the
# picture's bytes are thrown away and it is encoded anew, as a JPEG of Pillow's default quality. The bytes are kept where
# the function does not touch the picture, and by filter, which may.
#
# Guess before the run: map changes the columns that the function returns and no others.
# Seen:
#   datasets 5.2.0: a JPEG of 13655 bytes has 13655 after map(lambda row: {"n": 1}), 3084 after map(lambda row: {"n": row["image"].width}); pixels are off by up to 219
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pillow==13.0.0
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import datasets
import numpy as np
from PIL import Image

datasets.disable_progress_bars()
pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
file = io.BytesIO()
Image.fromarray(pixels).save(file, "JPEG", quality=98, subsampling=0)
written = file.getvalue()
rows = datasets.Dataset.from_dict({"image": [{"bytes": written, "path": None}]}, datasets.Features({"image": datasets.Image()}))


def stored(dataset: datasets.Dataset) -> bytes:
    return dataset.cast_column("image", datasets.Image(decode=False))[0]["image"]["bytes"]


def decoded(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data))).astype(int)


blind, looked = stored(rows.map(lambda row: {"n": 1})), stored(rows.map(lambda row: {"n": row["image"].width}))
filtered = stored(rows.filter(lambda row: row["image"].width > 0))
off = abs(decoded(looked) - decoded(written)).max()
print(
    f"datasets {datasets.__version__}: a JPEG of {len(written)} bytes has {len(blind)} after map(lambda row: {{\"n\": 1}}), "
    f"{len(looked)} after map(lambda row: {{\"n\": row[\"image\"].width}}); pixels are off by up to {off}"
)
sys.exit(0 if blind == filtered == written and looked != written and off else "the behaviour has changed")
PYTHON
