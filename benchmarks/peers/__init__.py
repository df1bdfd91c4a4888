"""Peers in virtual environments of their own, pinned whole: nothing is resolved, and no constraint of ours holds.

    make peers cc2dataset daft

In: NAME.txt beside this, every package with its version. Out: benchmarks/out/peers/NAME, a virtual environment.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

HERE = Path(__file__).resolve().parent
BESIDE = "beside our packages"  # of NAME.txt: what it does not pin is found where ours finds it
OUT = HERE.parent / "out" / "peers"


def python_of(name: str) -> Path | None:
    """The Python of a peer; None where it is not installed as it is pinned now."""
    stamp, python = OUT / name / "pinned.txt", OUT / name / "bin" / "python"
    pinned = (HERE / f"{name}.txt").read_text()
    return python if python.exists() and stamp.exists() and stamp.read_text() == pinned else None


def install(name: str) -> Path:
    """The Python of a peer, installed where it was not."""
    found = python_of(name)
    if found is not None:
        return found
    pins, folder = HERE / f"{name}.txt", OUT / name
    shutil.rmtree(folder, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "-r", str(pins)], check=True)
    if BESIDE in pins.read_text():
        ours = Path(find_spec("torch").origin).parents[1]  # type: ignore[union-attr, arg-type]
        (next(folder.glob("lib/python*/site-packages")) / "beside.pth").write_text(f"{ours}\n")
    shutil.copyfile(pins, folder / "pinned.txt")
    return python


def missing(*names: str) -> list[str]:
    """A line for each thing that is not here and that these peers need."""
    lines = [f"{name} is not installed: make peers {name}" for name in names if python_of(name) is None]
    if "cc2dataset" in names and shutil.which("java") is None:
        lines.append("cc2dataset's Spark needs Java 17: apt-get install openjdk-17-jre-headless")
    return lines
