"""Does the process that started this one still live? A worker asks before each write.

One that stood still while its parent was killed would go on where it was, beside the next run on the same root.
"""

from __future__ import annotations

import multiprocessing
import os
import select


def leave_if_orphaned() -> None:
    """End this process at once where its parent is gone: what lies on the disk is the next run's. 1 µs.

    Nothing happens in a process that multiprocessing did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        pipe = select.poll()  # one of its own for each call: two threads may not wait on one
        pipe.register(parent.sentinel)  # nobody writes to it, and only the parent holds the other end
        if pipe.poll(0):
            os._exit(1)
