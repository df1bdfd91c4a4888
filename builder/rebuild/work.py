"""The work of a rebuild: an event loop that keeps several shards open, from manifest rows to finished shards.

    Setup, RebuildUnit ... ─▶ fetch, decode, spool ─▶ images/, outcomes/, marker ─▶ Done ...

The tail of a shard overlaps the next ones: a new one is asked for as soon as slots stand free.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..disk.files import read_bytes
from ..disk.ledger import Tally, marker
from ..reasons import Dropped, Reason
from ..stage.engine import Done, Tell, Units
from ..stage.rows import ManifestShard
from ..web.fetch import Fetcher
from ..web.url import fallback, normalise
from .assemble import Setup, assemble, keys_of
from .job import Job, digests_of
from .outcome import Outcome
from .retry import reopen
from .schedule import Scheduler
from .spool import Spool, Tried
from .units import STAGE, RebuildUnit

WINDOW_ROWS = 50_000  # in open shards: enough to find ready hosts behind slow ones
TELL_SECONDS = 0.5
LOOK_SECONDS = 0.1  # between two looks at whether the run is to stop


def work(setup: Setup, units: Units, tell: Tell) -> Iterator[Done]:
    """Do the shards that come, several at once; each is yielded when its files lie whole."""
    with asyncio.Runner() as runner:
        finished = Worker(setup, units, tell).finished()

        async def following() -> Done | None:
            return await anext(finished, None)

        while (done := runner.run(following())) is not None:
            yield done


@dataclass(slots=True, eq=False)
class OpenShard:
    """A shard in work."""

    shard: ManifestShard
    table: pa.Table
    spool: Spool
    started: float
    tally: Tally = field(default_factory=Tally)
    answered: deque[str] = field(default_factory=lambda: deque(maxlen=3))  # URLs an earlier run kept

    @property
    def missing(self) -> int:
        """Rows that have not ended."""
        return self.shard.rows - len(self.spool)


class Worker:
    """The open shards of one process."""

    def __init__(self, setup: Setup, units: Units, tell: Tell) -> None:
        self._setup, self._units, self._tell = setup, units, tell
        self._open: dict[str, OpenShard] = {}
        self._asked = self._exhausted = self._stopping = False
        self._news: asyncio.Queue[Done | BaseException | None] = asyncio.Queue()  # None: some work has ended
        # One shard is written at a time: memory for one row group, and uploads in order. Shards are opened in
        # a thread of their own, or a slow upload would keep the next rows waiting.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shard")
        self._opener = ThreadPoolExecutor(1, thread_name_prefix="open")
        self._work: set[asyncio.Task[None]] = set()

    async def finished(self) -> AsyncIterator[Done]:
        """Each shard that is done, until there is nothing left to do, or what is in flight has ended on request."""
        config, loop = self._setup.config, asyncio.get_running_loop()
        async with Fetcher(config.limits, config.identity) as fetcher:
            self._scheduler = Scheduler(
                fetcher,
                config,
                self._setup.threads,
                self._row_ended,
                self._want,
                lambda job: self._units.at(job.owner.shard.number, job.row),
            )
            self._scheduler.failure.add_done_callback(lambda one: self._news.put_nowait(one.exception()))
            clock = loop.create_task(self._look_regularly())
            self._want()
            try:
                while not self._is_over():
                    news = await self._news.get()
                    if isinstance(news, BaseException):
                        raise news
                    if news is not None:
                        yield news
            finally:
                clock.cancel()
                await self._scheduler.close()
        self._tell_counts()

    def _is_over(self) -> bool:
        left = self._open and not self._stopping
        return not (self._work or left) and self._news.empty() and (self._stopping or self._exhausted)

    def _want(self) -> None:
        rows = sum(one.shard.rows for one in self._open.values())
        if not (self._asked or self._exhausted or self._stopping) and (
            rows < WINDOW_ROWS or len(self._open) < 2
        ):
            self._asked = True
            self._spawn(self._open_next())

    async def _look_regularly(self) -> None:
        told = time.monotonic()
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            if self._units.stopping and not self._stopping:
                self._stopping = True
                self._spawn(self._scheduler.drain())
            if time.monotonic() - told >= TELL_SECONDS:
                told = time.monotonic()
                self._tell_counts()

    def _tell_counts(self) -> None:
        if self._open:
            self._tell({stem: one.tally for stem, one in self._open.items()})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work_ended)

    def _work_ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        self._news.put_nowait(None if task.cancelled() else task.exception())

    async def _open_next(self) -> None:
        opened = await asyncio.get_running_loop().run_in_executor(self._opener, self._next)
        if opened is None:
            self._exhausted = True
            return
        one, jobs = opened
        self._open[one.shard.stem] = one
        for url in one.answered:
            self._scheduler.remember(url)
        if not one.missing:
            self._spawn(self._assemble(one))
        for job in jobs:
            self._scheduler.add(job)
        self._asked = False  # not before its rows are there: a worker must not take a rival's shard meanwhile
        self._scheduler.go()

    def _next(self) -> tuple[OpenShard, list[Job]] | None:
        """Wait, in a thread, for a shard, open its spool, and find what is to be fetched; None where there is none."""
        task: RebuildUnit | None = next(self._units, None)
        if task is None:
            return None
        shard, setup = task.shard, self._setup
        with pa.ipc.open_stream(task.rows) as reader:
            table = reader.read_all()
        if task.redo and read_bytes(marker(setup.root, STAGE, shard.stem)) is not None:
            reopen(shard, keys_of(table), setup, task.redo)
        one = OpenShard(shard, table, Spool(setup.spool(shard), setup.owner(shard)), time.time())
        urls = table["url"].to_pylist()
        digests = digests_of(table, setup.digest)
        jobs = []
        for row, url in enumerate(urls):
            told = one.spool.read(row, picture=False) if row in one.spool else None
            reason = Reason.REMOVED if row in task.removed else None
            reason = reason or (Reason.CORRUPT if row in task.poison and told is None else None)
            if told is not None and (reason is None or told.reason is reason):
                one.tally.add(told.reason, told.counters)
                if told.reason is None:
                    one.answered.append(normalise(url))
                continue
            try:
                if reason is not None:
                    raise Dropped(reason)
                jobs.append(_job(one, row, normalise(url), digests[row]))
            except Dropped as dropped:
                outcome = Outcome(reason=dropped.reason)
                one.spool.append(row, outcome)
                one.tally.add(outcome.reason, outcome.counters)
        return one, jobs

    def _row_ended(self, job: Job, outcome: Outcome | None) -> None:
        one: OpenShard = job.owner
        if outcome is None:
            one.spool.append_tried(job.row, Tried(job.attempts, job.due, job.unescaped))
            return
        one.spool.append(job.row, outcome)
        one.tally.add(outcome.reason, outcome.counters)
        if not one.missing:
            self._spawn(self._assemble(one))

    async def _assemble(self, one: OpenShard) -> None:
        markers = await asyncio.get_running_loop().run_in_executor(
            self._writer, assemble, one.shard, one.table, one.spool, self._setup, one.started
        )
        one.spool.discard()
        del self._open[one.shard.stem]
        self._news.put_nowait(Done(one.shard.number, one.shard.stem, markers))
        self._want()


def _job(one: OpenShard, row: int, url: str, digest: tuple[str, str] | None) -> Job:
    """The row as it stands, asked before or not."""
    tried = one.spool.tried(row)
    sent = (fallback(url) if tried.unescaped else None) or url
    return Job(one, row, sent, digest, *tried)
