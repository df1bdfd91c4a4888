#!/usr/bin/env bash
# datasets 5.2.0 (with pyarrow 26.0.1), load_dataset of several JSON Lines files: types are guessed for each file by
# itself. A later file whose captions all happen to be dates is read as timestamps and then turned back into text, so the
# captions come out as other text than was written, without a word. The same rows in one file come out as written.
#
# Guess before the run: a column found to be text in the first file is read as text in every file.
# Seen:
#   datasets 5.2.0: '2020-01-01' comes out as '2020-01-01 00:00:00' from a second file, as '2020-01-01' from the same file
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet datasets==5.2.0 pyarrow==26.0.1
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

import datasets

folder = Path(sys.argv[1])
datasets.disable_progress_bars()


def last_caption(name: str, *files: list[str]) -> str:
    paths = [folder / f"{name}-{number}.jsonl" for number in range(len(files))]
    for path, captions in zip(paths, files, strict=True):
        path.write_text("".join(json.dumps({"caption": caption}) + "\n" for caption in captions))
    read = datasets.load_dataset("json", data_files=[str(path) for path in paths], split="train")
    assert read.features == {"caption": datasets.Value("string")}
    return read[-1]["caption"]


written = "2020-01-01"
apart, together = last_caption("apart", ["a cat"], [written]), last_caption("together", ["a cat", written])
print(f"datasets {datasets.__version__}: {written!r} comes out as {apart!r} from a second file, as {together!r} from the same file")
sys.exit(0 if (apart, together) == ("2020-01-01 00:00:00", written) else "the behaviour has changed")
PYTHON
