#!/usr/bin/env bash
# transformers 5.23.0, a model in several weight files: an index that holds only weight_map, which names the file of each
# weight, ends in a bare KeyError: 'metadata', though that part may be empty: the one thing looked up in it may be absent.
# The function asked here is the one from_pretrained uses; it needs no torch.
#
# Guess before the run: "metadata" (the total size) is for people and may be left out, or its lack is told with the file.
# Seen:
#   transformers 5.23.0: with "metadata": {}: 2 files; without: KeyError('metadata')
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0
HF_HOME="$folder/home" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" - "$folder" <<'PYTHON'
import json
import sys
from pathlib import Path

import transformers
from transformers.utils.hub import get_checkpoint_shard_files

folder = Path(sys.argv[1], "model")
folder.mkdir()
index = {"weight_map": {"a": "model-00001-of-00002.safetensors", "b": "model-00002-of-00002.safetensors"}}


def asked(content: dict[str, object]) -> str:
    path = folder / "model.safetensors.index.json"
    path.write_text(json.dumps(content))
    try:
        files, _ = get_checkpoint_shard_files(str(folder), str(path))
    except KeyError as error:
        return repr(error)
    return f"{len(files)} files"


full, bare = asked(index | {"metadata": {}}), asked(index)
print(f'transformers {transformers.__version__}: with "metadata": {{}}: {full}; without: {bare}')
sys.exit(0 if (full, bare) == ("2 files", "KeyError('metadata')") else "the behaviour has changed")
PYTHON
