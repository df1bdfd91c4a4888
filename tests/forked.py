"""Interpreters that begin with modules loaded: forked from one that has loaded them and run nothing.

with Forked("builder.release.runner", "matplotlib.figure") as run:
    done = run(code, words)     # as python -c CODE WORDS, which would load them each time
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType

# What is loaded is frozen: to collect garbage, each child would go through it all and copy its pages, 2 s with torch.
LOOP = """
import gc, importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
gc.freeze()
for line in sys.stdin:
    code, words, environment, told = json.loads(line)
    if (child := os.fork()) == 0:
        for number, path in enumerate(told, 1):
            os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT), number)
        os.environ.clear()
        os.environ.update(environment)
        sys.argv[1:] = words
        exec(code, {"__name__": "__main__"})
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """The interpreter that is forked. modules: that it loads."""

    def __init__(self, *modules: str) -> None:
        words = [sys.executable, "-c", LOOP, *modules]
        self._process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __call__(
        self, code: str, words: Sequence[str], environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run code to its end, in the environment of the tests where none is given."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            told = [Path(folder, name) for name in ("stdout", "stderr")]
            given = dict(os.environ if environment is None else environment)
            print(json.dumps([code, words, given, [*map(str, told)]]), file=self._process.stdin, flush=True)
            ended = int(self._process.stdout.readline())
            return subprocess.CompletedProcess(words, ended, *(path.read_text() for path in told))

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
