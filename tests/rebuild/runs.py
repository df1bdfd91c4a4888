"""Running `danqing rebuild` on a small manifest against the fault host, and reading what it made."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.cli import main

# What differs between two runs of the same rows.
VOLATILE = {"fetched_at", "milliseconds"}
# A good answer meets no deadline, however slow the machine.
USUAL = ("--allow-private", "--workers", "2", "--timeout", "600")


def write_manifest(path: Path, urls: Sequence[str | None], **columns: Sequence[Any]) -> str:
    """A manifest with a Chinese caption for each URL, and further columns."""
    captions = [f"第{i}张图片" for i in range(len(urls))]
    columns = {"alt_text": captions, "recaption": [f"描述 {i}" for i in range(len(urls))], **columns}
    pq.write_table(pa.table({"url": list(urls), **columns}), path)
    return str(path)


def rebuild(manifest: str, root: Path | str, *flags: str) -> int:
    """Run the command in this process (its workers are processes all the same); its exit code."""
    return main(["rebuild", manifest, str(root), "--quiet", *USUAL, *flags])


class Launcher:
    """Starts the command in process groups of their own, and leaves none of them behind."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[str]] = []

    def __call__(
        self, manifest: str, root: Path, *flags: str, under: Sequence[str] = (), loud: bool = False
    ) -> subprocess.Popen[str]:
        """`under` is another command to run it under, such as prlimit; `loud`: without --quiet."""
        words = ["rebuild", manifest, str(root), *USUAL, *flags]
        if not loud:
            words.append("--quiet")
        process = subprocess.Popen(
            [*under, sys.executable, "-m", "builder.cli", *words],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self._processes.append(process)
        return process

    def close(self) -> None:
        """Kill what still runs."""
        for process in self._processes:
            kill_all(process)


def kill_all(process: subprocess.Popen[str]) -> None:
    """kill -9 of the command and its workers, at once."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def ended(process: subprocess.Popen[str], code: int) -> str:
    """What a process wrote to stderr, once it has ended with `code`."""
    _, errors = process.communicate()
    assert process.returncode == code, errors
    return errors


def table(root: Path, kind: str, split: str = "train") -> pa.Table:
    """All rows of a split, in order, without what differs between two runs."""
    files = sorted((root / kind).glob(f"{split}-*.parquet"))
    whole = pa.concat_tables([pq.read_table(file) for file in files])
    return whole.drop_columns([name for name in VOLATILE if name in whole.schema.names])


def outcomes(root: Path) -> list[dict[str, Any]]:
    return table(root, "outcomes").to_pylist()


def reasons(root: Path) -> list[str | None]:
    return table(root, "outcomes")["reason"].to_pylist()


def ledgers(root: Path) -> dict[str, dict[str, Any]]:
    """The done markers by name."""
    files = (root / "ledger" / "rebuild").glob("*-[0-9][0-9][0-9][0-9][0-9].json")
    return {file.stem: json.loads(file.read_text()) for file in files}


def names(root: Path) -> list[str]:
    """Every file of a root."""
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())
