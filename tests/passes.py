"""The contract of a stage that makes a manifest in several passes, which the tests of crawl and of refine share.

Whatever ends a run, the same command goes on to the same bytes; what a run did not make it does not touch.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.errors import EnvironmentProblem, InputError
from tests import renames
from tests.forked import Forked

KILLED = """
import os, signal, sys
from tests import renames
from {module} import here
source, output, point = sys.argv[1:]
renames.before = lambda path: path.endswith(point) and os.kill(os.getpid(), signal.SIGKILL)
here(source, output)
"""


@contextlib.contextmanager
def full_disk_at(point: str) -> Iterator[None]:
    """Around a run that finds the disk full as soon as a file of that name is to appear, and says so."""

    def crash(path: str) -> None:
        if path.endswith(point):
            raise OSError(28, "No space left on device", path)

    renames.before = crash
    try:
        with pytest.raises(EnvironmentProblem, match="No space left on device; nothing is lost"):
            yield
    finally:
        renames.before = None


@dataclass(frozen=True, slots=True)
class PassContract:
    """Such a stage. module: of tests, whose `here` runs it in this process; again: the command; made: what a run makes.

    shard: the name of a file of several in data/.
    """

    stage: str
    module: str
    here: Callable[..., Any]
    again: Callable[[Path, Path], int]
    made: Callable[[Path], dict[str, bytes]]
    shard: str

    def full_disk(self, source: Path, whole: Path, output: Path, point: str) -> None:
        """A disk that is full before a file appears."""
        with full_disk_at(point):
            self.here(source, output)
        self.here(source, output)
        assert self.made(output) == self.made(whole)

    def kill(self, forked: Forked, source: Path, whole: Path, output: Path, point: str) -> None:
        """Kill -9 before a file appears."""
        ended = forked(KILLED.format(module=self.module), [str(source), str(output), point])
        assert ended.returncode == -signal.SIGKILL
        self.here(source, output)
        assert self.made(output) == self.made(whole)

    def second_run(self, source: Path, output: Path) -> None:
        """A second run does nothing, and nothing lies about after the first."""
        self.here(source, output)
        before = {path: path.stat().st_mtime_ns for path in output.rglob("*-0*")}
        assert self.again(source, output) == os.EX_OK
        assert before == {path: path.stat().st_mtime_ns for path in output.rglob("*-0*")}
        assert not (output / "ledger" / self.stage / "spool").exists()
        assert not (output / f".{self.stage}").exists()

    def lost_shard(self, source: Path, whole: Path, output: Path) -> None:
        """A shard that is lost is told, and made anew once its marker is gone."""
        self.here(source, output)
        (output / "data" / self.shard).unlink()
        with pytest.raises(InputError, match=f"{self.shard}: is not there"):
            self.here(source, output)
        marker = f"{self.shard.partition('-of-')[0]}.json"
        (output / "ledger" / self.stage / "4-shards" / marker).unlink()
        self.here(source, output)
        assert self.made(output) == self.made(whole)

    def overwrite(self, source: Path, whole: Path, output: Path) -> None:
        """--overwrite removes what a run made with other options, and nothing else."""
        self.here(source, output, shard_size=50)
        mine = output / "data" / "mine.parquet"
        mine.write_bytes(b"mine")
        self.here(source, output, overwrite=True)
        assert mine.read_bytes() == b"mine"
        mine.unlink()
        assert self.made(output) == self.made(whole)
