"""A Python in which only what towers need can be imported: the packages of a bare GPU machine, and what they bring."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
ABSENT = (
    "aiodns", "aiohttp", "cv2", "datasets", "jinja2", "matplotlib", "pandas", "pyarrow", "pycares", "simplejpeg",
    "torchvision", "xxhash",
)  # fmt: skip


def run(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a program's text there. Importing what is absent fails, and whoever asks is told that it is not there."""
    without = f"import sys; sys.modules.update(dict.fromkeys({ABSENT!r}))\n"
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_WAIT_POLICY": "PASSIVE"}
    return subprocess.run(
        [sys.executable, "-c", without + program, *arguments],
        capture_output=True,
        text=True,
        env=env,
        check=False,
    )
