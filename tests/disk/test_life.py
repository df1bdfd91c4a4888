"""A worker whose parent was killed writes nothing any more, whatever it was about to write."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ..orphan import WAYS


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def about_to_write(folder: Path, way: str) -> subprocess.Popen[str]:
    os.mkfifo(folder / "go")
    words = [sys.executable, "-m", "tests.orphan", str(folder), way]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    return process


@pytest.mark.parametrize("way", WAYS)
def test_a_worker_writes_nothing_once_its_parent_is_gone(tmp_path: Path, way: str) -> None:
    with about_to_write(tmp_path, way) as process:
        before = contents(tmp_path)
        process.kill()
        process.wait()
        (tmp_path / "go").write_bytes(b"")
        assert process.stdout is not None
        assert process.stdout.read() == ""  # the end of its output: the worker is gone too
    assert contents(tmp_path) == before


def test_a_worker_writes_while_its_parent_lives(tmp_path: Path) -> None:
    with about_to_write(tmp_path, "written") as process:
        (tmp_path / "go").write_bytes(b"")
        assert process.wait() == 0
    assert (tmp_path / "written").exists()
