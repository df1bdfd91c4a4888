#!/usr/bin/env bash
# webdataset 1.0.2, TarWriter: a key with a dot in it is written as it stands, and the reader ends the key at the first dot.
# Samples img.001, img.002 and img.003 come back as one sample named img, whose fields are 001.jpg, 002.jpg and so on;
# neither side says so.
#
# Guess before the run: the library's own writer refuses, or escapes, a key that its own reader cannot give back.
# Seen:
#   webdataset 1.0.2: 3 samples written, 1 read: img with 001.jpg, 001.txt, 002.jpg, 002.txt, 003.jpg, 003.txt
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet webdataset==1.0.2
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version

import webdataset

path = f"{sys.argv[1]}/shard.tar"
keys = ["img.001", "img.002", "img.003"]
with webdataset.TarWriter(path) as tar:
    for key in keys:
        tar.write({"__key__": key, "jpg": b"any bytes", "txt": "a cat"})
read = [
    (sample["__key__"], sorted(field for field in sample if not field.startswith("__")))
    for sample in webdataset.WebDataset(path, shardshuffle=False)
]
told = "; ".join(f"{key} with {', '.join(fields)}" for key, fields in read)
print(f"webdataset {version('webdataset')}: {len(keys)} samples written, {len(read)} read: {told}")
sys.exit(0 if [key for key, _ in read] == ["img"] and len(read[0][1]) == 6 else "the behaviour has changed")
PYTHON
