"""A parent with one worker that writes when it is told to, for tests that kill the parent in between.

python -m tests.orphan FOLDER WAY    # "ready" on stdout; the worker writes once FOLDER/go is opened and closed
"""

from __future__ import annotations

import multiprocessing
import sys
from collections.abc import Callable
from pathlib import Path

from builder.disk.files import publish, remove, write_atomic
from builder.rebuild.outcome import Outcome
from builder.rebuild.spool import Spool

OWNER = "config shard"


def _spool(folder: Path) -> Callable[[], None]:
    spool = Spool(folder / "spool", OWNER)
    spool.append(0, Outcome())
    return lambda: spool.append(1, Outcome())


def _spool_ended(folder: Path) -> Callable[[], None]:
    return Spool(folder / "spool", OWNER).discard


def _published(folder: Path) -> Callable[[], None]:
    (folder / "local").touch()
    return lambda: publish(folder / "local", str(folder / "published"))


def _written(folder: Path) -> Callable[[], None]:
    return lambda: write_atomic(str(folder / "written"), b"")


def _removed(folder: Path) -> Callable[[], None]:
    (folder / "precious").touch()
    return lambda: remove(str(folder / "precious"))


WAYS = {
    "spool": _spool,
    "spool-ended": _spool_ended,
    "published": _published,
    "written": _written,
    "removed": _removed,
}


def work(folder: Path, way: str) -> None:
    """The worker."""
    write = WAYS[way](folder)
    print("ready", flush=True)
    (folder / "go").read_bytes()
    write()


if __name__ == "__main__":
    process = multiprocessing.get_context("forkserver").Process(
        target=work, args=(Path(sys.argv[1]), sys.argv[2])
    )
    process.start()
    process.join()
