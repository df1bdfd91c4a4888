"""Does the process that started this one still live? A worker asks before each write.

One that stood still while its parent was killed would go on where it was, beside the next run on the same root.
"""

from __future__ import annotations

import functools
import multiprocessing
import os
import select


def leave_if_orphaned() -> None:
    """End this process at once where its parent is gone: what lies on the disk is the next run's. 0.2 µs.

    Nothing happens in a process that multiprocessing did not start.
    """
    pipe = _pipe(os.getpid())
    if pipe is not None and pipe.poll(0):
        os._exit(1)


@functools.lru_cache(1)
def _pipe(_process: int) -> select.poll | None:
    """A pipe that nobody writes to and whose other end only the parent holds: it ends when the parent does."""
    parent = multiprocessing.parent_process()
    if parent is None:
        return None
    pipe = select.poll()
    pipe.register(parent.sentinel, select.POLLIN)
    return pipe
