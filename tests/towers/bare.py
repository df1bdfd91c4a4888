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


def run(folder: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run a command whose Pythons cannot import what is absent, and are told so. folder: theirs to write in.

    What they run is not counted: it would take half as long again, and the tests of each room count the same.
    """
    text = f"import sys\nsys.modules.update(dict.fromkeys({ABSENT!r}))\n"
    (folder / "sitecustomize.py").write_text(text)
    path = os.pathsep.join((str(folder), str(ROOT)))
    env = {**os.environ, "PYTHONPATH": path, "PYTHON": sys.executable, "OMP_WAIT_POLICY": "PASSIVE"}
    env = {name: value for name, value in env.items() if not name.startswith("COVERAGE_PROCESS")}
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False)
