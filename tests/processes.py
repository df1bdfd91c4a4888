"""`danqing.load` with `num_proc`, in a process of its own.

`datasets` forks, and a child of a test process full of threads may wait forever for a lock that one of them held.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

_LOAD = """
import json, sys
import danqing
pairs = danqing.load(sys.argv[1], split="train", num_proc=2)
print(json.dumps([pairs["key"][:], pairs[3]["image"].size]))
"""


def loaded(root: Path) -> tuple[list[str], list[Any]]:
    """The keys that two processes load of a root, and the size of the fourth picture."""
    done = subprocess.run(
        [sys.executable, "-c", _LOAD, str(root)], capture_output=True, check=True, text=True
    )
    keys, size = json.loads(done.stdout)
    return keys, size
