#!/usr/bin/env bash
# datasets 5.2.0 (with pyarrow 26.0.1), load_dataset of tars: the types of the fields in the .json members are guessed from
# the first five samples. A score that is whole in those five is a whole number for good, and every later one is cut to
# it: 0.75 becomes 0, without a word. For JSON Lines, whole scores in one file and others in the next raise an error.
#
# Guess before the run: a value that the guessed type cannot hold is an error, as it is for JSON Lines.
# Seen:
#   datasets 5.2.0: scores 1, 1, 1, 1, 1, 0.75, 0.25 come out of a tar as 1, 1, 1, 1, 1, 0, 0
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import io
import json
import sys
import tarfile

import datasets

datasets.disable_progress_bars()
written = [1, 1, 1, 1, 1, 0.75, 0.25]
path = f"{sys.argv[1]}/shard.tar"
with tarfile.open(path, "w") as tar:
    for number, score in enumerate(written):
        for ending, data in (("txt", b"a cat"), ("json", json.dumps({"score": score}).encode())):
            member = tarfile.TarInfo(f"{number:03}.{ending}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
read = [row["json"]["score"] for row in datasets.load_dataset("webdataset", data_files=path, split="train")]
print(f"datasets {datasets.__version__}: scores {', '.join(map(str, written))} come out of a tar as {', '.join(map(str, read))}")
sys.exit(0 if read == [1, 1, 1, 1, 1, 0, 0] else "the behaviour has changed")
PYTHON
