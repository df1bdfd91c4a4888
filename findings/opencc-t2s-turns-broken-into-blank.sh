#!/usr/bin/env bash
# OpenCC 1.4.2, t2s: what it has converted it converts again, into other words. 打壞 (to break) becomes 打坏, which is
# right; 打坏, given as simplified text, becomes 打坯 (to make a blank, of clay), and 乾县, a county, becomes 干县. So a
# text must not go through it twice, nor may one that is in simplified script already.
#
# Guess before the run: simplified text, its own output above all, passes through t2s as it is.
# Seen:
#   OpenCC 1.4.2: 打壞 打坏 打坯, 乾縣 乾县 干县; of 2 outputs 2 change again
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet opencc==1.4.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import opencc

convert = opencc.OpenCC("t2s").convert
found = [(word, once := convert(word), convert(once)) for word in ("打壞", "乾縣")]
changed = sum(once != twice for _, once, twice in found)
said = ", ".join(" ".join(one) for one in found)
print(f"OpenCC 1.4.2: {said}; of {len(found)} outputs {changed} change again")
sys.exit(0 if found == [("打壞", "打坏", "打坯"), ("乾縣", "乾县", "干县")] else "the behaviour has changed")
PYTHON
