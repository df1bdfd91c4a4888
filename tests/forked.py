"""Interpreters that begin with modules loaded: forked from one that has loaded them and run nothing.

with Forked("builder.release.runner", "matplotlib.figure") as run:
    status, errors = run(code, *words)    # as of python -c CODE WORDS, which would load them each time
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from types import TracebackType

LOOP = """
import importlib, json, os, sys
for name in sys.argv[1:]:
    importlib.import_module(name)
for line in sys.stdin:
    code, words, told = json.loads(line)
    if (child := os.fork()) == 0:
        os.dup2(os.open(told, os.O_WRONLY), 1)
        os.dup2(1, 2)
        sys.argv[1:] = words
        exec(code, {"__name__": "__main__"})
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Forked:
    """The interpreter that is forked. modules: that it loads; environment: beside that of the tests."""

    def __init__(self, *modules: str, **environment: str) -> None:
        words = [sys.executable, "-c", LOOP, *modules]
        self._process = subprocess.Popen(
            words, env=os.environ | environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def __call__(self, code: str, *words: str) -> tuple[int, str]:
        """Run code to its end: its exit code, less than 0 for a signal, and what it wrote."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.NamedTemporaryFile("r") as told:
            print(json.dumps([code, words, told.name]), file=self._process.stdin, flush=True)
            return int(self._process.stdout.readline()), told.read()

    def __enter__(self) -> Forked:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.communicate()
