#!/usr/bin/env bash
# pytest 9.2.0 with torch 2.13.0: monkeypatch.setattr on torch._dynamo.config, or on any other module of torch's settings,
# does not put the value back at the end of the test. It deletes it, and torch hides a setting that was deleted: every later
# test of the process that reads it gets an AttributeError, torch.compile among them. torch's own config.patch puts it back.
#
# Guess before the run: monkeypatch puts back whatever setattr replaced.
# Seen:
#   pytest 9.2.0, torch 2.13.0: in the test True, after it AttributeError: torch._dynamo.config.error_on_recompile does not exist; by config.patch True, then False
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet pytest==9.2.0 torch==2.13.0 numpy==2.4.6
cat >"$folder/test_order.py" <<'PYTHON'
import os

import torch._dynamo
from torch._dynamo import config

told = open(os.environ["TOLD"], "a")


def value():
    try:
        return str(config.error_on_recompile)
    except AttributeError as error:
        return f"AttributeError: {error}"


def test_patched(monkeypatch):
    monkeypatch.setattr(config, "error_on_recompile", True)
    print("in the test", value(), file=told, flush=True)


def test_after():
    print("after it", value(), file=told, flush=True)


def test_own():
    config.error_on_recompile = False
    with config.patch(error_on_recompile=True):
        inside = value()
    print("by config.patch", inside, "then", value(), file=told, flush=True)
PYTHON
(cd "$folder" && TOLD="$folder/told" "$folder/venv/bin/python" -m pytest -q -p no:cacheprovider test_order.py >/dev/null)
found=$(paste -sd, "$folder/told" | sed 's/,/, /; s/,by/; by/; s/True then/True, then/')
echo "pytest 9.2.0, torch 2.13.0: $found"
[ "$found" = "in the test True, after it AttributeError: torch._dynamo.config.error_on_recompile does not exist; by config.patch True, then False" ] || { echo "the behaviour has changed" >&2; exit 1; }
