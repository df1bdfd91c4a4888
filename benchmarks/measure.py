"""Runs a command and accounts for what its whole process tree used; medians, tables and the JSON of results.

In: a command. Out: `Usage` (CPU, wall, peak memory, exit status). CPU is the kernel's own account (wait4) of
every process of the command's group, those that outlive their parent included, so nothing is sampled there.
Memory is sampled: the sum of the resident sets over the tree, which counts pages shared by several processes
once for each of them, and beside it the kernel's exact peak of the largest single process.
"""

from __future__ import annotations

import ctypes
import json
import os
import resource
import signal
import statistics
import subprocess
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SAMPLE_SECONDS = 0.1
PR_SET_CHILD_SUBREAPER = 36  # Linux: orphans of our children become our children, so wait4 sees their CPU
PAGE = resource.getpagesize()


@dataclass(frozen=True)
class Usage:
    """What a command used: CPU and wall in seconds, memory in MB (10^6 bytes), and how it ended."""

    cpu: float
    wall: float
    tree_mb: float
    process_mb: float
    returncode: int
    timed_out: bool = False
    log: str = ""

    def check(self) -> Usage:
        """Itself, or a RuntimeError with the end of the output when the command failed."""
        if self.returncode != 0 or self.timed_out:
            tail = Path(self.log).read_text("utf-8", "replace")[-2000:] if self.log else ""
            raise RuntimeError(f"exit status {self.returncode}, timed out: {self.timed_out}\n{tail}")
        return self


def tree(pid: int) -> list[int]:
    """The process and all its descendants that are alive."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                todo += map(int, Path(f"/proc/{one}/task/{task}/children").read_text().split())
        except OSError:
            continue  # it ended between the listing and the reading
    return found


def resident(pids: Iterable[int]) -> int:
    """Sum of the resident sets in bytes."""
    total = 0
    for pid in pids:
        try:
            total += int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * PAGE
        except (OSError, IndexError):
            continue
    return total


class _Sampler(threading.Thread):
    """Follows the memory of a tree until told to stop; `peak` in bytes."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak, self.done = pid, 0, threading.Event()

    def run(self) -> None:
        """Samples the tree; the tree is walked only each fifth time, because that is what costs."""
        pids: list[int] = []
        turn = 0
        while not self.done.wait(SAMPLE_SECONDS):
            if turn % 5 == 0 or turn < 20:
                pids = tree(self.pid)
            turn += 1
            self.peak = max(self.peak, resident(pids))


def _collect(pid: int) -> tuple[float, int, int | None]:
    """Waits for every process of the group `pid`: (CPU seconds, largest resident set in KiB, status of `pid`)."""
    cpu, largest, status = 0.0, 0, None
    while True:
        try:
            one, code, used = os.wait4(-pid, 0)
        except ChildProcessError:
            return cpu, largest, status
        cpu += used.ru_utime + used.ru_stime
        largest = max(largest, used.ru_maxrss)
        if one == pid:
            status = os.waitstatus_to_exitcode(code)
            _kill(pid)  # what is left of the group has no purpose; the loop still counts it


def _kill(group: int) -> None:
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return


def run(
    command: Sequence[str],
    *,
    log: Path,
    env: Mapping[str, str] | None = None,
    cwd: Path | None = None,
    timeout: float = 1800.0,
) -> Usage:
    """Runs the command in a session of its own, output to `log`; ends all of it after `timeout` seconds."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("wb") as out:
        begin = time.perf_counter()
        process = subprocess.Popen(
            list(command), stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT,
            env=dict(env) if env is not None else None, cwd=cwd, start_new_session=True,
        )  # fmt: skip
        sampler = _Sampler(process.pid)
        sampler.start()
        fired = threading.Event()
        alarm = threading.Timer(timeout, lambda: (fired.set(), _kill(process.pid)))
        alarm.start()
        try:
            cpu, largest, status = _collect(process.pid)
        except BaseException:
            _kill(process.pid)
            raise
        finally:
            alarm.cancel()
            sampler.done.set()
        wall = time.perf_counter() - begin
    process.returncode = (
        status if status is not None else -1
    )  # already reaped; keeps Popen from waiting again
    sampler.join()
    process_mb = largest * 1024 / 1e6
    tree_mb = max(sampler.peak / 1e6, process_mb)
    return Usage(cpu, wall, tree_mb, process_mb, process.returncode, fired.is_set(), str(log))


def median(values: Iterable[float]) -> float:
    """The median; nan of nothing."""
    listed = list(values)
    return statistics.median(listed) if listed else float("nan")


def table(title: str, header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A Markdown table, its columns aligned for a terminal too."""
    cells = [[str(cell) for cell in row] for row in rows]
    widths = [max(len(row[i]) for row in [list(header), *cells]) for i in range(len(header))]
    lines = ["| " + " | ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)) + " |" for row in cells]
    head = "| " + " | ".join(c.ljust(w) for c, w in zip(header, widths, strict=True)) + " |"
    rule = "|" + "|".join("-" * (w + 2) for w in widths) + "|"
    return "\n".join([f"\n{title}", "", head, rule, *lines, ""])


def verdict(missed: Sequence[str], slow: Sequence[str]) -> int:
    """Print what is not as wanted, and what is slower than wanted; 1 for the first, which no machine excuses."""
    for line in missed:
        print(f"missed: {line}")
    for line in slow:
        print(f"slower than wanted: {line}")
    return 1 if missed else 0


def save(path: Path, name: str, result: Mapping[str, Any]) -> None:
    """Puts one benchmark's result under its name into the JSON file, keeping those of the others."""
    known = json.loads(path.read_text("utf-8")) if path.exists() else {}
    known[name] = dict(result)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(known, indent=1, ensure_ascii=False) + "\n", "utf-8")
