#!/usr/bin/env bash
# rjieba 0.2.2: the part of speech of everyday words. A camera is an adverb, a flower and a policeman are verbs, while
# "thank you" and "high definition" are names of people: the dictionary has one tag for a word, whatever stands beside it. A
# rule that wants a noun in each caption drops 相机 and keeps 谢谢.
#
# Guess before the run: names of things are tagged n, and a greeting is not.
# Seen:
#   rjieba 0.2.2: 相机/d 花/v 警察/v 大米/m 自由女神/i; 高清/nr 安静/nr 谢谢/nr 美丽/ns
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet rjieba==0.2.2
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import rjieba

things, others = "相机 花 警察 大米 自由女神".split(), "高清 安静 谢谢 美丽".split()
found = [[tag for word in words for _, tag in rjieba.tag(word)] for words in (things, others)]
said = "; ".join(" ".join(map("/".join, zip(words, tags))) for words, tags in zip((things, others), found))
print(f"rjieba 0.2.2: {said}")
sys.exit(0 if found == [["d", "v", "v", "m", "i"], ["nr", "nr", "nr", "ns"]] else "the behaviour has changed")
PYTHON
