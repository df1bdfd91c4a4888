"""What the steps of the demo share: its folder, its host, the truth, and how danqing is driven and told of.

A command is started as a user would start it, and printed as a user would type it.
"""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..console import table
from ..errors import VerificationError
from .config import DemoConfig
from .host import Host
from .pages import WebPage
from .truth import Truth
from .web import WebRow

PATIENCE = 300.0  # seconds for a run to come half-way
SHOWN = 12  # differences printed
TIMEOUT = 3  # seconds that a rebuild waits for a picture; twice, for those that stall


@dataclass(slots=True)
class Demo:
    """What the steps share."""

    config: DemoConfig
    folder: Path
    host: Host
    truth: Truth = field(default_factory=lambda: Truth([]))
    truth_later: Truth = field(default_factory=lambda: Truth([]))
    web: list[WebRow] = field(default_factory=list)
    pages: list[list[WebPage]] = field(default_factory=list)  # of the crawl, file by file
    differences: list[str] = field(default_factory=list)
    requests: int = 0  # of the undisturbed run
    repeated: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)  # of what was rebuilt a year later

    @property
    def refined(self) -> Path:
        """The manifest that the demo rebuilds, its texts refined."""
        return self.folder / "refined"

    @property
    def root(self) -> Path:
        """The data set that the demo rebuilds."""
        return self.folder / "danqing"

    @property
    def killed(self) -> Path:
        """The same data set again, made by runs that were killed."""
        return self.folder / "danqing-killed"

    @property
    def later(self) -> Path:
        """The data set that the same manifest makes a year later."""
        return self.folder / "danqing-later"

    def released(self, what: str) -> Path:
        """The folder of a release: of its images, or of its manifest."""
        return self.folder / "released" / what

    def say(self, *lines: str) -> None:
        """Tell the user, on stdout: the commentary is what this command is for."""
        if not (self.config.quiet or self.config.json):
            print("\n".join(lines), flush=True)

    def show(self, *lines: str) -> None:
        """Tell lines of a step, indented."""
        self.say(*(f"  {line}" for line in lines))

    def count(self, counts: Counter[str]) -> None:
        """Tell counts by name."""
        self.show(*table([(name, f"{count:,}") for name, count in counts.items()]))

    def differ(self, lines: list[str], equal: str) -> None:
        """Tell that all is `equal`, or what is not, and remember it for the exit code."""
        self.differences += lines
        more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
        self.say(*[f"  DIFFERS {line}" for line in lines[:SHOWN]], *more) if lines else self.show(equal)

    def rebuild(self, root: Path, *manifest: str) -> list[str]:
        """The words of the command that a user would type.

        manifest: one that is not the demo's own, and options; a release has a validation split of its own.
        """
        options = f"--image-size 256 --min-side 32 --timeout {TIMEOUT} --retries 1 --allow-private --measure".split()
        shard = max(50, -(-self.config.pairs // 6))
        source, *more = manifest or (str(self.refined), "--validation", "0.05")
        return ["rebuild", source, str(root), *options, "--shard-size", str(shard), *more]

    def open(self, root: Path, split: str, **options: Any) -> Any:
        """A split of a root as an IterableDataset, opened as a training script does."""
        from datasets import load_dataset

        import danqing  # noqa: F401 - registers the builder

        return load_dataset("danqing", data_dir=str(root.absolute()), split=split, streaming=True, **options)

    def danqing(self, words: Sequence[str]) -> subprocess.Popen[str]:
        """Start `danqing` in its own process group, as a user would; its stdout is a pipe."""
        self.show(f"$ danqing {shlex.join(words)}")
        quiet = ["--quiet"] if self.config.quiet or self.config.json else []
        command = [sys.executable, "-m", f"{__package__.rpartition('.')[0]}.cli", *words, *quiet]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, encoding="utf-8", start_new_session=True)  # noqa: S603

    def kill(self, words: Sequence[str], ready: Callable[[], bool]) -> None:
        """Run `danqing` until it is `ready`, or at its end, and kill it with kill -9."""
        process = self.danqing(words)
        try:
            give_up = time.monotonic() + PATIENCE
            while process.returncode is None and not ready() and time.monotonic() < give_up:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(0.002)
        finally:
            end(process)

    def run(self, words: Sequence[str], shown: int | None = None) -> list[str]:
        """Run `danqing` to its end and print the first lines that it prints; all of them are returned.

        Raises VerificationError when it fails.
        """
        process = self.danqing(words)
        try:
            lines = process.communicate()[0].splitlines()
        finally:
            end(process)
        self.show(*lines[:shown])
        if process.returncode:
            raise VerificationError(
                f"danqing {words[0]} ended with exit code {process.returncode}; see above"
            )
        return lines


def end(process: subprocess.Popen[str]) -> None:
    """kill -9 a process and its workers, if it is there, and reap it."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
