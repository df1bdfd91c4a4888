#!/usr/bin/env bash
# litdata 0.2.76, StreamingDataLoader, which is a torch DataLoader by its base class and documentation: its second argument
# by place, which is the batch size of torch's, is refused by a TypeError that names the argument as given twice.
#
# Guess before the run: StreamingDataLoader(data, 4) gives batches of four, as DataLoader(data, 4) does.
# Seen:
#   litdata 0.2.76: DataLoader(data, 4): 2 batches; StreamingDataLoader(data, batch_size=4): 2 batches;
#   StreamingDataLoader(data, 4): TypeError, multiple values for argument 'batch_size'
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.4.3
"$folder/venv/bin/pip" install --quiet packaging==26.3 requests==2.34.2 tifffile==2026.3.3 boto3==1.43.117 obstore==0.12.1
"$folder/venv/bin/pip" install --quiet --no-deps litdata==0.2.76 lightning-utilities==0.15.3  # without torchvision
HOME="$folder" "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from importlib.metadata import version
from pathlib import Path

from litdata import StreamingDataLoader, StreamingDataset
from litdata.streaming import Cache
from torch.utils.data import DataLoader

folder = str(Path(sys.argv[1], "data"))
cache = Cache(folder, chunk_size=4)
for number in range(8):
    cache[number] = number
cache.done()
cache.merge()
data = StreamingDataset(folder)
plain = f"{len(list(DataLoader(data, 4)))} batches"
named = f"{len(list(StreamingDataLoader(data, batch_size=4)))} batches"
try:
    placed = f"{len(list(StreamingDataLoader(data, 4)))} batches"
except TypeError as error:
    placed = "TypeError, " + str(error).partition("got ")[2]
print(
    f"litdata {version('litdata')}: DataLoader(data, 4): {plain}; StreamingDataLoader(data, batch_size=4): {named}; "
    f"StreamingDataLoader(data, 4): {placed}"
)
seen = ("2 batches", "2 batches", "TypeError, multiple values for argument 'batch_size'")
sys.exit(0 if (plain, named, placed) == seen else "the behaviour has changed")
PYTHON
