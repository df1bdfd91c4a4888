#!/usr/bin/env bash
# pycld2 0.42: hintLanguage="zh" takes a short caption in traditional Chinese for Japanese that is told well without it.
# A hint adds a fixed bonus to the one language it names, which is simplified Chinese: traditional Chinese, "zh-Hant",
# is another language to CLD2, and Japanese, the next one, wins where the two stood close.
#
# Guess before the run: the hint "zh" helps Chinese, however it is written.
# Seen:
#   pycld2 0.42: no hint zh-Hant, hint zh ja, hint zh-Hant zh-Hant
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pycld2==0.42
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import pycld2


def told(**hint):
    return pycld2.detect("墾丁海邊的落日", bestEffort=True, isPlainText=True, **hint)[2][0][1]


found = told(), told(hintLanguage="zh"), told(hintLanguage="zh-Hant")
print("pycld2 0.42: no hint {}, hint zh {}, hint zh-Hant {}".format(*found))
sys.exit(0 if found == ("zh-Hant", "ja", "zh-Hant") else "the behaviour has changed")
PYTHON
