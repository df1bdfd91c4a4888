"""From the plan to finished shards: made in a local folder, and handed on in parts where the disk is small.

    Plan ─▶ <work>/stage/<path>, <work>/done/<name>.json ─▶ with a budget: Target.put, <work>/sent/<name>

A marker is written after its shard, and one of what was sent after `put` came back: a run that was killed makes no
shard twice, and sends none that arrived.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..card.counts import Counts
from ..console import Bar, Console
from ..errors import Interrupted
from ..stage.stop import Stop
from . import rows, shards
from .columns import Columns
from .layout import Planned
from .plan import Plan
from .shards import Made
from .source import Root
from .target import Target

STAGE = "stage"


@dataclass(frozen=True, slots=True)
class Limits:
    """budget: bytes that may wait here to be sent, 0: all; workers: shards made at once where there is no budget."""

    budget: int
    workers: int


@dataclass(slots=True)
class Staging:
    """The unfinished release in a work folder."""

    work: Path
    plan: Plan
    root: Root
    columns: Columns
    target: Target

    @property
    def folder(self) -> Path:
        """Where the files of the release lie until they are published, by their paths."""
        return self.work / STAGE

    def make(self, limits: Limits, console: Console) -> None:
        """Make every shard that is not made; with a budget, hand them on before they are more than that.

        Raises Interrupted, when that was asked for, once the shards in flight are finished.
        """
        for left in self.folder.rglob(".*.tmp"):
            left.unlink()
        todo = [shard for shard in self.plan.shards if not self._is_done(shard)]
        total = sum(shard.rows for shard in self.plan.shards)
        initial = total - sum(shard.rows for shard in todo)
        with Stop(console) as stop, console.progress(total, initial=initial) as bar:
            told = _Told(bar, stop)
            if limits.budget:
                self._in_turn(todo, limits.budget, told)
            else:
                self._at_once(todo, limits.workers, told)

    def entries(self) -> dict[str, dict[str, Any]]:
        """What release.json says of the shards, by path."""
        return {one.path: one.entry() for one in self._made()}

    def counts(self) -> Counts:
        """The counts of all shards."""
        counts = Counts()
        for one in self._made():
            counts.merge(Counts.of_dict(one.counts))
        return counts

    def sent(self) -> set[str]:
        """The shards that were handed on."""
        return {shard.path for shard in self.plan.shards if self._sent(shard.path).exists()}

    def places(self) -> list[str | Path]:
        """Where each shard can be read now."""
        sent = self.sent()
        return [
            self.target.staged(shard.path) if shard.path in sent else self.folder / shard.path
            for shard in self.plan.shards
        ]

    def _at_once(self, todo: list[Planned], workers: int, told: _Told) -> None:
        def make(shard: Planned) -> None:
            if not (told.stop.asked or told.ended.is_set()):
                self._make(shard, told)

        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(make, shard) for shard in todo]
            told.stop.graceful = True
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                told.ended.set()
                raise
            finally:
                told.stop.graceful = False
        told.heed()

    def _in_turn(self, todo: list[Planned], budget: int, told: _Told) -> None:
        waiting = {
            shard.path: self._size(shard.path) for shard in self.plan.shards if self._waits(shard.path)
        }
        for shard in todo:
            if waiting and sum(waiting.values()) + shard.bytes > budget:
                self._hand_on(list(waiting))
                waiting = {}
            told.stop.graceful = True
            waiting[shard.path] = self._make(shard, told)
            told.stop.graceful = False
            told.heed()
        if sum(waiting.values()) > budget:
            self._hand_on(list(waiting))

    def _make(self, shard: Planned, told: _Told) -> int:
        """Make one shard; its bytes."""
        tables = rows.read(self.root, self.columns, self.plan.place, shard)
        made = shards.write(shard, tables, self.columns.schema, self.folder, told)
        made.write(self._marker(shard.path))
        return made.bytes

    def _hand_on(self, files: list[str]) -> None:
        """Give files to the target, and remove them here."""
        self.target.put(self.folder, files)
        for file in files:
            self._sent(file).parent.mkdir(exist_ok=True)
            self._sent(file).touch()
            (self.folder / file).unlink(missing_ok=True)

    def _is_done(self, shard: Planned) -> bool:
        made = shards.read_made(self._marker(shard.path))
        if made is None or made.path != shard.path:
            return False
        if self._sent(shard.path).exists():
            (self.folder / shard.path).unlink(missing_ok=True)
            return True
        return self._waits(shard.path) and self._size(shard.path) == made.bytes

    def _made(self) -> Iterator[Made]:
        for shard in self.plan.shards:
            made = shards.read_made(self._marker(shard.path))
            assert made is not None, shard.path
            yield made

    def _marker(self, path: str) -> Path:
        return self.work / "done" / f"{_name(path)}.json"

    def _sent(self, path: str) -> Path:
        return self.work / "sent" / _name(path)

    def _waits(self, path: str) -> bool:
        return (self.folder / path).exists()

    def _size(self, path: str) -> int:
        return (self.folder / path).stat().st_size


def _name(path: str) -> str:
    """The stem of a shard, train-00000-of-00016."""
    return path.rpartition("/")[2].rpartition(".")[0]


class _Told:
    """Counts the pairs written by all threads on one bar, and ends them where `ended` is set."""

    def __init__(self, bar: Bar, stop: Stop) -> None:
        self.stop = stop
        self.ended = threading.Event()
        self._bar, self._lock = bar, threading.Lock()
        self._began, self._bytes = time.monotonic(), 0

    def __call__(self, pairs: int, size: int) -> None:
        """`pairs` more are written, of `size` bytes."""
        if self.ended.is_set():
            raise Interrupted("stopped; the same command goes on from here")
        with self._lock:
            self._bytes += size
            speed = self._bytes / 1e6 / max(1e-9, time.monotonic() - self._began)
            self._bar.update(pairs, mb_per_s=speed)

    def heed(self) -> None:
        """Raise Interrupted where that was asked for."""
        if self.stop.asked:
            raise Interrupted("stopped; the shards made are kept, the same command goes on")
