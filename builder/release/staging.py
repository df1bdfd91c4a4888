"""From the plan to finished shards: made in a local folder, and handed on in parts where the disk is small.

    PlannedShard, tables of pairs ─▶ <work>/stage/<path>, <work>/done/<name>.json: rows, bytes, SHA-256, counts
    with a budget                 ─▶ Target.put, <work>/sent/<name>

A shard appears whole or not at all; its row groups are cut by the rows alone, however they were read, so that the same
pairs make the same bytes. A marker is written after its shard, and one of what was sent after `put` came back: a run
that was killed makes no shard twice, and sends none that arrived.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..card.counts import Counts
from ..console import Bar, Console
from ..disk import documents
from ..disk.files import write_atomic
from ..disk.parquet import writer
from ..disk.tars import TarWriter
from ..errors import Interrupted
from ..stage.stop import Stop
from .columns import ReleaseColumns, read
from .layout import PlannedShard
from .plan import ReleasePlan
from .source import Root
from .upload import Target

STAGE = "stage"
GROUP_BYTES = 64 << 20  # of pictures in a row group, about
GROUP_ROWS = 100_000  # in a row group, at most

pc: Any = compute  # its stubs know no mix of column and constant


@dataclass(frozen=True, slots=True)
class MadeShard:
    """A shard that was written. counts: of its rows, as Counts.as_dict has them with all hosts."""

    path: str
    rows: int
    bytes: int
    sha256: str
    counts: Mapping[str, object]

    def entry(self) -> dict[str, object]:
        """The entry of the shard in release.json."""
        return {"rows": self.rows, "bytes": self.bytes, "sha256": self.sha256}

    def write(self, marker: Path) -> None:
        """Write its marker: from here on the shard is done."""
        write_atomic(str(marker), json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode())


def read_made(marker: Path) -> MadeShard | None:
    """The shard that a marker tells of; None where there is none that can be believed."""
    try:
        made = documents.build(MadeShard, documents.parse(marker.read_bytes()))
        Counts.of_dict(made.counts)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return made if documents.is_inside(made.path) else None


@dataclass(slots=True)
class Staging:
    """The unfinished release in a work folder."""

    work: Path
    plan: ReleasePlan
    root: Root
    columns: ReleaseColumns
    target: Target

    @property
    def folder(self) -> Path:
        """The folder of the files of the release, by their paths, until they are published."""
        return self.work / STAGE

    def make(self, budget: int, workers: int, console: Console) -> None:
        """Make every shard that is not made. workers: at once.

        budget: bytes that may wait here before they are handed on, with shards made one by one; 0: all may. Raises
        Interrupted, when that was asked for, once the shards in flight are finished.
        """
        for left in self.folder.rglob(".*.tmp"):
            left.unlink()
        todo = [shard for shard in self.plan.shards if not self._is_done(shard)]
        total = sum(shard.rows for shard in self.plan.shards)
        initial = total - sum(shard.rows for shard in todo)
        with Stop(console) as stop, console.progress(total, initial=initial) as bar:
            meter = _Meter(bar, stop)
            if budget:
                self._in_turn(todo, budget, meter)
            else:
                self._at_once(todo, workers, meter)

    def entries(self) -> dict[str, dict[str, object]]:
        """The entries of the shards in release.json, by path."""
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

    def places(self) -> list[str]:
        """The path or URL at which each shard can be read now."""
        sent = self.sent()
        return [
            self.target.staged(shard.path) if shard.path in sent else str(self.folder / shard.path)
            for shard in self.plan.shards
        ]

    def _at_once(self, todo: list[PlannedShard], workers: int, meter: _Meter) -> None:
        def make(shard: PlannedShard) -> None:
            if not (meter.stop.asked or meter.ended.is_set()):
                self._make(shard, meter)

        with ThreadPoolExecutor(workers) as pool:
            futures = [pool.submit(make, shard) for shard in todo]
            meter.stop.graceful = True
            try:
                for future in as_completed(futures):
                    future.result()
            except BaseException:
                meter.ended.set()
                raise
            finally:
                meter.stop.graceful = False
        meter.heed()

    def _in_turn(self, todo: list[PlannedShard], budget: int, meter: _Meter) -> None:
        there = [shard.path for shard in self.plan.shards if (self.folder / shard.path).exists()]
        waiting = {path: self._size(path) for path in there}
        for shard in todo:
            if waiting and sum(waiting.values()) + shard.bytes > budget:
                self._hand_on(list(waiting))
                waiting = {}
            meter.stop.graceful = True
            waiting[shard.path] = self._make(shard, meter)
            meter.stop.graceful = False
            meter.heed()
        if sum(waiting.values()) > budget:
            self._hand_on(list(waiting))

    def _make(self, shard: PlannedShard, meter: _Meter) -> int:
        """Make one shard; its bytes."""
        tables = read(self.root, self.columns, self.plan.place, shard)
        made = write(shard, tables, self.columns.schema, self.folder, meter)
        made.write(self._marker(shard.path))
        return made.bytes

    def _hand_on(self, files: list[str]) -> None:
        """Give files to the target, and remove them here."""
        self.target.put(self.folder, files)
        for file in files:
            self._sent(file).parent.mkdir(exist_ok=True)
            self._sent(file).touch()
            (self.folder / file).unlink(missing_ok=True)

    def _is_done(self, shard: PlannedShard) -> bool:
        made, file = read_made(self._marker(shard.path)), self.folder / shard.path
        if made is None or made.path != shard.path:
            return False
        if self._sent(shard.path).exists():
            file.unlink(missing_ok=True)
            return True
        return file.exists() and self._size(shard.path) == made.bytes

    def _made(self) -> Iterator[MadeShard]:
        for shard in self.plan.shards:
            made = read_made(self._marker(shard.path))
            assert made is not None, shard.path
            yield made

    def _marker(self, path: str) -> Path:
        return self.work / "done" / f"{Path(path).stem}.json"

    def _sent(self, path: str) -> Path:
        return self.work / "sent" / Path(path).stem

    def _size(self, path: str) -> int:
        return (self.folder / path).stat().st_size


def write(
    shard: PlannedShard,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    folder: Path,
    tell: Callable[[int, int], None],
    group_bytes: int = GROUP_BYTES,
) -> MadeShard:
    """Write a shard into `folder`; `tell` is called with rows and bytes of each row group, and may raise to stop."""
    target = folder / shard.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary, counts = target.with_name(f".{target.name}.tmp"), Counts()
    try:
        opened: TarWriter | pq.ParquetWriter = (
            TarWriter(temporary) if target.suffix == ".tar" else writer(temporary, schema)
        )
        with contextlib.closing(opened) as file:
            for group in groups(tables, group_bytes):
                file.write_table(group)
                counts.add(shard.split, group)
                tell(group.num_rows, group.nbytes)
        assert counts.rows == shard.rows, f"{shard.path}: {counts.rows} rows, {shard.rows} planned"
        with temporary.open("rb") as written:
            digest = hashlib.file_digest(written, "sha256").hexdigest()
            os.fsync(written.fileno())
        size = temporary.stat().st_size
        counts.file(shard.split, size)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return MadeShard(shard.path, shard.rows, size, digest, counts.as_dict(hosts=None))


def groups(
    tables: Iterable[pa.Table], group_bytes: int = GROUP_BYTES, group_rows: int = GROUP_ROWS
) -> Iterator[pa.Table]:
    """The rows of `tables` as row groups: cut after the row that fills `group_bytes` of pictures, or `group_rows`."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            rest = table.slice(start)
            taken, weight = _fitting(rest, group_rows - rows, group_bytes - size)
            waiting.append(rest.slice(0, taken))
            start, rows, size = start + taken, rows + taken, size + weight
            if rows >= group_rows or size >= group_bytes:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _fitting(table: pa.Table, rows: int, size: int) -> tuple[int, int]:
    """The number of rows of a table that fit a group with room for `rows` and for `size` bytes, and their bytes."""
    if "image" not in table.column_names:
        return min(rows, table.num_rows), 0
    lengths = pc.fill_null(pc.binary_length(pc.struct_field(table["image"], "bytes")), 0)
    ends = np.cumsum(lengths.to_numpy())
    taken = min(rows, table.num_rows, int(np.searchsorted(ends, size)) + 1)
    return taken, int(ends[taken - 1])


class _Meter:
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
