"""What keeps runs apart: one run a rank, and one world size at a time, by locks in the work folder of a root.

The kernel frees the locks of a run that was killed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..disk.files import Lock, sweep
from ..disk.root import is_spent
from ..errors import EnvironmentProblem, InputError, UsageError, VerificationError


@contextlib.contextmanager
def hold(work: Path, who: str, place: tuple[int, int], folders: Sequence[str] = ()) -> Iterator[Path]:
    """The work folder of a root, for one run of a rank; EnvironmentProblem where one is at work.

    who: what is told to be at work, and on what; place: rank and world size; folders: swept of what killed writes
    left, by the first to come. The exclusive lock on the world is held for moments only, by the first to come and
    the last to leave, which takes the folder with it where no unfinished shard is in it. Of a run that was
    interrupted the folder stays, and what else is in it to go on with.
    """
    rank, count = place
    world, mine = Lock(work / "world.lock"), Lock(work / f"rank-{rank}.lock")
    size = work / "world.size"
    try:
        while True:
            if world.acquire():
                size.write_text(str(count))
                for folder in folders:
                    sweep(folder)
            world.acquire(shared=True, wait=True)
            if size.exists():
                break
            world.release()  # the last to leave took the folder while we waited for it
        if size.read_text() != str(count):
            raise EnvironmentProblem(f"another {who}, with another --world-size; wait for it, or end it")
        if not mine.acquire():
            raise EnvironmentProblem(f"another {who} as rank {rank}; wait for it, or end it")
        try:
            yield work
        except (InputError, UsageError, VerificationError):
            _leave(world)
            raise
        _leave(world)
    finally:
        mine.release()
        world.release()


def _leave(world: Lock) -> None:
    if is_spent(world.path.parent) and world.acquire():
        world.clear()


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Wait for the lock at `path`, and hold it."""
    lock = Lock(path)
    lock.acquire(wait=True)
    try:
        yield
    finally:
        lock.release()
