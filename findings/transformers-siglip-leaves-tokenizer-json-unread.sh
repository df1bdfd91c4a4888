#!/usr/bin/env bash
# transformers 5.23.0: a folder with a tokenizer.json is all that AutoTokenizer needs for T5Tokenizer and for
# Siglip2Tokenizer. Where tokenizer_config.json names SiglipTokenizer, the file is left unread: it asks for sentencepiece,
# then for protobuf, and once both are there, for a model file without saying its name (spiece.model).
#
# Guess before the run: since version 5 a tokenizer.json is enough for every tokenizer that comes with one.
# Seen:
#   transformers 5.23.0: T5Tokenizer and Siglip2Tokenizer load from tokenizer.json; SiglipTokenizer: "requires the SentencePiece library"; with it: "requires the protobuf library"; with both: "Either model_file or model_proto must be specified."
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet transformers==5.23.0
cat >"$folder/ask.py" <<'PYTHON'
import json
import re
import sys
from pathlib import Path

import tokenizers
from transformers import AutoTokenizer

folder, name = Path(sys.argv[1], "model"), sys.argv[2]
folder.mkdir(exist_ok=True)
pieces = [("<unk>", 0.0), ("</s>", 0.0), ("▁a", -1.0), ("▁cat", -1.0)]
tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0)).save(str(folder / "tokenizer.json"))
config = {"tokenizer_class": name, "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
(folder / "tokenizer_config.json").write_text(json.dumps(config))
try:
    print(type(AutoTokenizer.from_pretrained(folder)).__name__)
except (ImportError, ValueError) as error:
    lacking = re.search("requires the .* library", str(error))
    print(f'"{lacking[0] if lacking else error}"')
PYTHON
ask() {
    HF_HOME="$folder/home" HF_HUB_OFFLINE=1 TRANSFORMERS_VERBOSITY=error "$folder/venv/bin/python" "$folder/ask.py" "$folder" "$1"
}
others="$(ask T5Tokenizer) and $(ask Siglip2Tokenizer)"
bare=$(ask SiglipTokenizer)
"$folder/venv/bin/pip" install --quiet sentencepiece==0.2.3
half=$(ask SiglipTokenizer)
"$folder/venv/bin/pip" install --quiet protobuf==7.36.2
found="$others load from tokenizer.json; SiglipTokenizer: $bare; with it: $half; with both: $(ask SiglipTokenizer)"
echo "transformers 5.23.0: $found"
[ "$found" = 'T5Tokenizer and Siglip2Tokenizer load from tokenizer.json; SiglipTokenizer: "requires the SentencePiece library"; with it: "requires the protobuf library"; with both: "Either model_file or model_proto must be specified."' ] || { echo "the behaviour has changed" >&2; exit 1; }
