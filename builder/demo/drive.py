"""What the steps of the demo share: its folder, its host, the truth, and how danqing is driven and told of.

A command is started as a user would start it, and printed as a user would type it.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..errors import VerificationError
from .config import Config
from .host import Host
from .truth import Truth

PATIENCE = 300.0  # seconds for a run to come half-way
SHOWN = 12  # differences printed
TIMEOUT = 3  # seconds that a rebuild waits for a picture; twice, for those that stall


@dataclass(slots=True)
class Demo:
    """What the steps share."""

    config: Config
    folder: Path
    host: Host
    truth: Truth = field(default_factory=lambda: Truth([]))
    truth_later: Truth = field(default_factory=lambda: Truth([]))
    differences: list[str] = field(default_factory=list)
    requests: int = 0  # of the undisturbed run
    repeated: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)  # of what was rebuilt a year later

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

    @property
    def again(self) -> Path:
        """The data set that the released manifest makes."""
        return self.folder / "danqing-again"

    def released(self, what: str) -> Path:
        """The folder of a release: of its images, or of its manifest."""
        return self.folder / "released" / what

    def say(self, *lines: str) -> None:
        """Tell the user, on stdout: the commentary is what this command is for."""
        if not (self.config.quiet or self.config.json):
            print("\n".join(lines), flush=True)

    def differ(self, lines: list[str], equal: str) -> None:
        """Tell that all is `equal`, or what is not, and remember it for the exit code."""
        self.differences += lines
        more = [f"... and {len(lines) - SHOWN:,} more"] if len(lines) > SHOWN else []
        self.say(*[f"  DIFFERS {line}" for line in lines[:SHOWN]], *more) if lines else self.say(f"  {equal}")

    def rebuild(self, root: Path, source: str = "") -> list[str]:
        """The words of the command that a user would type; source: a manifest that is not the demo's own."""
        shard = max(50, -(-self.config.pairs // 6))
        options = f"--image-size 256 --min-side 32 --timeout {TIMEOUT} --retries 1 --shard-size {shard}"
        options += " --allow-private"
        split = [] if source else ["--validation", "0.05"]  # a release has a validation split of its own
        return ["rebuild", source or str(self.folder / "manifest"), str(root), *options.split(), *split]

    def open(self, root: Path, split: str, **options: Any) -> Any:
        """A split of a root as an IterableDataset, opened as a training script does."""
        from datasets import load_dataset

        import danqing  # noqa: F401 - registers the builder

        return load_dataset("danqing", data_dir=str(root.absolute()), split=split, streaming=True, **options)

    def danqing(self, words: list[str]) -> subprocess.Popen[str]:
        """Start `danqing` in its own process group, as a user would; its stdout is a pipe."""
        self.say(f"  $ danqing {shlex.join(words)}")
        quiet = ["--quiet"] if self.config.quiet or self.config.json else []
        command = [sys.executable, "-m", f"{__package__.rsplit('.', 1)[0]}.cli", *words, *quiet]
        pipe = subprocess.PIPE
        return subprocess.Popen(  # noqa: S603
            command, stdout=pipe, encoding="utf-8", start_new_session=True
        )

    def run(self, words: list[str], shown: int | None = None) -> list[str]:
        """Run `danqing` to its end and print the first lines that it prints; all of them are returned.

        Raises VerificationError when it fails.
        """
        process = self.danqing(words)
        try:
            lines = process.communicate()[0].splitlines()
        finally:
            end(process)
        self.say(*[f"  {line}" for line in lines[:shown]])
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
