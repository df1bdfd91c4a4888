"""Calls a test before a file appears under its final name: there it kills, fills the disk or asks to stop.

renames.before = lambda path: ...       # until a fixture or the test sets it to None again
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from typing import Any

before: Callable[[str], None] | None = None


def _told(rename: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(rename)
    def tell(source: Any, target: Any, **how: Any) -> None:
        if before is not None:
            before(os.fspath(target))
        rename(source, target, **how)

    return tell


# No audit hook, for the reason that conftest.py gives.
os.rename, os.replace = _told(os.rename), _told(os.replace)
