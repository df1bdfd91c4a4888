"""Pairs of a manifest whose pictures are fetched while they are streamed: training starts before a rebuild does.

Manifest files in, Arrow tables in the schema of images/ out, in the manifest's order. The scheduler, fetcher and
limits are those of a rebuild, on a thread of their own that works ahead of the reader by a bounded number of rows.
Rows that cannot be had are left out and counted.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import queue
import threading
from collections import Counter, deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..disk.batches import conform
from ..disk.filters import Filters, check_filters, passing
from ..disk.parquet import image_schema
from ..disk.schema import PICTURE, carried, validation_share
from ..errors import UsageError
from ..manifest import open_manifest
from ..reasons import Dropped, Reason
from ..stage.doubt import Lost, doubt
from ..stage.rows import columns_of
from ..web.fetch import Fetcher
from ..web.url import normalise
from .assemble import keys_of, pair_table
from .config import RebuildConfig
from .job import Job, digests_of
from .outcome import Outcome
from .removed import of_file, rows_of
from .schedule import Scheduler, first_of

log = logging.getLogger("danqing")

AHEAD = 2048  # rows between the one the reader has and the last one asked for: 50 MB of 256 px pictures
MEND = "rebuild= takes the options of danqing rebuild by name, as in rebuild={'allow_private': True}"
PIECE = 64  # rows of one table


@dataclass(eq=False, slots=True)
class _Piece:
    """A few rows of the manifest on their way to a table."""

    table: pa.Table
    keys: list[str]
    wanted: list[int]
    outcomes: dict[int, Outcome] = field(default_factory=dict)


def stream(
    paths: list[str],
    row_ranges: list[tuple[int, int]] | None,
    options: Mapping[str, Any],
    filters: Any = None,
) -> Iterator[pa.Table]:
    """The pairs of the manifest files `paths` that can be had now, in order.

    row_ranges: half-open, ascending, of a single file; None for all rows. options: those of `danqing rebuild` by
    name, and `part`: `validation` for the pairs that --validation carves out, `train` for the others, None for all.
    filters: what they say of columns of the manifest alone is looked at before a picture is asked for.
    Raises ValueError for filters on columns that are not there, InputError for a manifest that cannot be read and
    UsageError for an option that makes no sense.
    """
    settings = dict(options)
    part = settings.pop("part", None)
    config = _config(settings)
    for path in paths:
        live = _Live(path, config, part, filters)
        yield from live.pairs(row_ranges)
        log.info("%s: %s", path, dict(live.counts))
        lost = Lost(live.counts.total(), live.counts.pop("kept", 0), live.counts)
        if said := doubt(path, lost, mend=MEND):
            log.warning("%s", said)


def _config(settings: Mapping[str, Any]) -> RebuildConfig:
    """The options of a rebuild; UsageError where they are none, or have values of another kind."""
    if unknown := settings.keys() - {one.name for one in dataclasses.fields(RebuildConfig)}:
        raise UsageError(
            f"rebuild= names no option of danqing rebuild: {', '.join(map(repr, unknown))}; {MEND}"
        )
    config = RebuildConfig(**settings)
    try:
        config.check()
    except TypeError as error:
        raise UsageError(f"rebuild={settings!r}: {error}") from error
    return config


class _Live:
    """One pass over one manifest file."""

    def __init__(self, path: str, config: RebuildConfig, part: str | None, filters: Any) -> None:
        self._config, self._part = config, part
        self._manifest = open_manifest(path, columns_of(config))
        self._digest = self._manifest.hash_column if config.verify_hash else None
        self._schema = image_schema(carried(self._manifest.schema))
        check_filters(filters, self._schema, path)
        said = Filters(filters, self._schema)
        # What is known of a pair before its picture is asked for; what filters say of that alone, and the rest.
        self._told = pa.schema([one for one in self._schema if one.name not in PICTURE.names])
        self._before, self._rest = said.implied(self._told.names), said.beyond(self._told.names)
        self._removals = of_file(path, config.removals)
        self._finished: queue.SimpleQueue[_Piece | BaseException | None] = queue.SimpleQueue()
        self._room = threading.Semaphore(AHEAD // PIECE)
        self._leaving = threading.Event()
        self._order: deque[_Piece] = deque()  # pieces begun, oldest first
        self.counts: Counter[str] = Counter()

    def pairs(self, row_ranges: list[tuple[int, int]] | None) -> Iterator[pa.Table]:
        """The kept pairs of these rows, or of all, piece by piece; the thread ends with the iterator."""
        (split, rows), *_ = self._manifest.rows.items()
        pieces = [
            (at, min(at + PIECE, stop))
            for start, stop in row_ranges or [(0, rows)]
            for at in range(start, stop, PIECE)
        ]
        source = iter(self._manifest.tables(split, pieces))
        thread = threading.Thread(target=self._work, args=(source,), name="danqing-live", daemon=True)
        thread.start()
        try:
            while (piece := self._finished.get()) is not None:
                if isinstance(piece, BaseException):
                    raise piece
                self._room.release()
                kept = [(row, piece.outcomes[row]) for row in piece.wanted if piece.outcomes[row].picture]
                if kept:
                    pairs = pair_table(piece.table, piece.keys, kept, self._schema)
                    yield pairs if self._rest is None else pairs.filter(self._rest)
        finally:
            self._leaving.set()
            self._room.release()
            thread.join()

    def _work(self, source: Iterator[pa.Table]) -> None:
        try:
            asyncio.run(self._fetch(source))
            self._finished.put(None)
        except BaseException as error:  # raised again by the reader
            self._finished.put(error)

    async def _fetch(self, source: Iterator[pa.Table]) -> None:
        config, loop, cores = self._config, asyncio.get_running_loop(), len(os.sched_getaffinity(0))
        async with Fetcher(config.limits, config.identity) as fetcher:
            scheduler = Scheduler(fetcher, config, cores, self._ended, lambda: None)
            try:
                while not self._leaving.is_set():
                    # Now and then it returns without, to see whether all is well.
                    if not await loop.run_in_executor(None, lambda: self._room.acquire(timeout=0.5)):
                        continue
                    piece = await loop.run_in_executor(None, self._next, source)
                    if piece is None:
                        await first_of(scheduler.quiet, scheduler.failure)
                        break
                    self._add(piece, scheduler)
                    if scheduler.failure.done():
                        scheduler.failure.result()
            finally:
                await scheduler.close()

    def _ended(self, job: Job, outcome: Outcome | None) -> None:
        if outcome is None:  # it will be asked again
            return
        job.owner.outcomes[job.row] = outcome
        self.counts[outcome.reason or "kept"] += 1
        self._hand_over()

    def _hand_over(self) -> None:
        while self._order and len(self._order[0].outcomes) == len(self._order[0].wanted):
            self._finished.put(self._order.popleft())

    def _next(self, source: Iterator[pa.Table]) -> _Piece | None:
        if (table := next(source, None)) is None:
            return None
        keys = keys_of(table)
        return _Piece(table, keys, self._wanted(table, keys))

    def _wanted(self, table: pa.Table, keys: list[str]) -> list[int]:
        """The rows of the split that is read which filters do not refuse without their pictures."""
        rows: Iterable[int] = range(len(keys))
        if self._before is not None:
            whole = table if "key" in table.column_names else table.append_column("key", pa.array(keys))
            rows = sorted(passing(conform(whole, self._told), self._before))
        if self._part is None:
            return [*rows]
        share, held = self._config.validation, self._part == "validation"
        return [row for row in rows if (validation_share(keys[row]) < share) == held]

    def _add(self, piece: _Piece, scheduler: Scheduler) -> None:
        self._order.append(piece)
        urls, digests = piece.table["url"].to_pylist(), digests_of(piece.table, self._digest)
        gone = rows_of(self._removals, piece.table)
        for row in piece.wanted:
            try:
                if row in gone:
                    raise Dropped(Reason.REMOVED)
                scheduler.add(Job(piece, row, normalise(urls[row]), digests[row]))
            except Dropped as dropped:
                self._ended(Job(piece, row, ""), Outcome(reason=dropped.reason))
        self._hand_over()
        scheduler.go()
