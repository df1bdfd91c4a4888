"""What keeps runs apart: the work folder, and locks by rank."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ..disk.files import Lock, join, sweep, work_folder
from ..disk.root import is_spent
from ..errors import EnvironmentProblem, InputError, UsageError, VerificationError
from ..revalidate.plan import STAGE


@contextlib.contextmanager
def locked(root: str, rank: int) -> Iterator[Path]:
    """The work folder of a root, for one run a rank; EnvironmentProblem where one is at work.

    The last run of a machine to leave takes the folder with it. Of one that was killed or interrupted it stays,
    and with it the index of the reference; the kernel frees its locks.
    """
    work = work_folder(root, ".revalidate", "revalidate-")
    everyone, mine = Lock(work / "runs.lock"), Lock(work / f"rank-{rank}.lock")
    if everyone.acquire():
        for folder in (root, join(root, "ledger", STAGE), join(root, "scores")):
            sweep(folder)
    everyone.acquire(shared=True, wait=True)
    try:
        if not mine.acquire():
            raise EnvironmentProblem(
                f"another danqing revalidate is at work on {root} as rank {rank}; wait for it, or end it"
            )
        try:
            yield work
        except (InputError, UsageError, VerificationError):
            _leave(everyone)
            raise
        _leave(everyone)
    finally:
        mine.release()
        everyone.release()


def _leave(everyone: Lock) -> None:
    if is_spent(everyone.path.parent) and everyone.acquire():
        everyone.clear()


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for the lock at `path`, and hold it."""
    lock = Lock(path)
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()
