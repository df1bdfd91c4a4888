"""Calls a test before a file appears under its final name: there it kills, fills the disk or asks to stop.

renames.before = lambda path: ...       # until a fixture or the test sets it to None again
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

before: Callable[[str], None] | None = None


def _hear(event: str, arguments: tuple[Any, ...]) -> None:
    if event == "os.rename" and before is not None:
        before(os.fspath(arguments[1]))


sys.addaudithook(_hear)  # for good: Python has no way to take one back
