"""What keeps runs apart and lets them be stopped: the work folder, locks by rank, and signals."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from ..console import Console
from ..errors import EnvironmentProblem, InputError, UsageError
from ..files import Lock, join, sweep, work_folder
from .plan import STAGE


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
        except (InputError, UsageError):
            _leave(everyone)
            raise
        _leave(everyone)
    finally:
        mine.release()
        everyone.release()


def _leave(everyone: Lock) -> None:
    if everyone.acquire():
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


class Stop:
    """Hears SIGINT and SIGTERM: `asked` is set by the first where `graceful` is; any other is a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = self.graceful = self._told = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._hear)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def tell(self, console: Console) -> None:
        """Say, once it was asked and once only, what is being waited for."""
        if self.asked and not self._told:
            self._told = True
            console.warn(
                "stopping when the shard in flight is written; Ctrl-C again stops now, and redoes it"
            )

    def _hear(self, number: int, frame: FrameType | None) -> None:
        if self.asked or not self.graceful:
            raise KeyboardInterrupt
        self.asked = True
