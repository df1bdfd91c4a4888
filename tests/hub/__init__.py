"""The tests of builder/hub, and a Hub on loopback for all tests: the real client talks to it, by LFS and by Xet.

    with Hub(folder) as hub: ...                     in threads of this process
    python -m tests.hub FOLDER --port 0       a process of its own; prints {"url": ..., "token": ...}

It holds what the Hub holds of a repository: commits, branches, tags, contents by their hash. Its folder outlives it.
"""

from __future__ import annotations

from .faults import Fault as Fault
from .server import Hub as Hub
