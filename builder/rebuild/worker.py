"""One worker process: an event loop that keeps several shards open, from manifest rows to finished shards.

Over a pipe: tasks (whole shards) in, `Want`, `Told`, `Done` and `Fatal` out. The tail of a shard overlaps the
next ones: a new shard is asked for as soon as slots stand free.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import signal
import threading
import time
import traceback
from collections import deque
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

import pyarrow as pa

from ..disk.files import read_bytes
from ..disk.ledger import Tally, marker
from ..disk.parquet import without_pandas
from ..errors import DanqingError, EnvironmentProblem
from ..reasons import Dropped, Reason
from ..web.fetch import Fetcher
from ..web.url import fallback, normalise
from .assemble import assemble, keys_of
from .job import Job, digests_of
from .messages import Done, Fatal, Finish, Setup, Task, Told, Want
from .outcome import Outcome
from .picture import PictureOptions
from .plan import STAGE, Shard
from .retry import reopen
from .schedule import Scheduler, first_of
from .spool import Spool, Tried

WINDOW_ROWS = 50_000  # in open shards: enough to find ready hosts behind slow ones
TELL_SECONDS = 0.5


@dataclass(slots=True, eq=False)
class OpenShard:
    """A shard in work."""

    shard: Shard
    table: pa.Table
    spool: Spool
    started: float
    tally: Tally = field(default_factory=Tally)
    changed: bool = True
    answered: deque[str] = field(default_factory=lambda: deque(maxlen=3))  # URLs an earlier run kept

    @property
    def missing(self) -> int:
        """Rows that have not ended."""
        return self.shard.rows - len(self.spool)


class Watch:
    """Notes in shared memory which row each decode thread is at: should it die there, the parent can tell."""

    def __init__(self, slots: Any) -> None:
        self._slots = slots
        self._local = threading.local()
        self._free = list(range(0, len(slots), 2))

    @contextlib.contextmanager
    def __call__(self, job: Job) -> Iterator[None]:
        """Around the decoding of one row."""
        slot = getattr(self._local, "slot", None)
        if slot is None:
            slot = self._local.slot = self._free.pop()
        self._slots[slot], self._slots[slot + 1] = job.owner.shard.number, job.row
        yield
        self._slots[slot] = -1


class Worker:
    """The state of one worker process."""

    def __init__(self, setup: Setup, pipe: Connection) -> None:
        self._setup, self._pipe = setup, pipe
        self._open: dict[str, OpenShard] = {}
        self._asked = self._finishing = self._stopping = False
        self._ended = asyncio.Event()
        self._failure: BaseException | None = None
        # One shard is written at a time: memory for one row group, and uploads in order. Shards are opened in
        # the loop's own threads, or a slow upload would keep the next rows waiting.
        self._writer = ThreadPoolExecutor(1, thread_name_prefix="shard")
        self._work: set[asyncio.Task[None]] = set()
        self._scheduler: Scheduler | None = None

    async def run(self) -> None:
        """Until there is nothing left to do, or Drain."""
        config = self._setup.config
        loop = asyncio.get_running_loop()
        async with Fetcher(config.limits, config.identity) as fetcher:
            self._scheduler = Scheduler(
                fetcher,
                PictureOptions.of(config),
                self._setup.rules,
                self._row_ended,
                self._want,
                Watch(self._setup.suspects),
            )
            loop.add_reader(self._pipe.fileno(), self._receive)
            teller = loop.create_task(self._tell_regularly())
            self._want()
            try:
                await first_of(self._ended, self._scheduler.failure)
            finally:
                loop.remove_reader(self._pipe.fileno())
                teller.cancel()
                await self._scheduler.close()
        if self._failure is not None:
            raise self._failure
        self._tell()

    # ---- the pipe

    def _receive(self) -> None:
        while self._pipe.poll():
            try:
                message = self._pipe.recv()
            except EOFError:
                os._exit(1)  # the parent is gone; what is done is in the spools
            if isinstance(message, Task):
                self._spawn(self._open_shard(message))
            elif isinstance(message, Finish):
                self._finishing = True
            else:
                self._stopping = True
                self._spawn(self._drain())
        self._check_ended()

    def _want(self) -> None:
        rows = sum(one.shard.rows for one in self._open.values())
        if not (self._asked or self._finishing or self._stopping) and (
            rows < WINDOW_ROWS or len(self._open) < 2
        ):
            self._asked = True
            self._pipe.send(Want())

    async def _tell_regularly(self) -> None:
        while True:
            await asyncio.sleep(TELL_SECONDS)
            self._tell()

    def _tell(self) -> None:
        changed = {stem: one.tally for stem, one in self._open.items() if one.changed}
        if changed:
            self._pipe.send(Told(changed))
        for one in self._open.values():
            one.changed = False

    # ---- shards

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work_ended)

    def _work_ended(self, task: asyncio.Task[None]) -> None:
        self._work.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._failure = self._failure or task.exception()
        self._check_ended()

    def _check_ended(self) -> None:
        idle = not self._work and (self._stopping or (self._finishing and not self._open))
        if self._failure is not None or idle:
            self._ended.set()

    async def _open_shard(self, task: Task) -> None:
        loop = asyncio.get_running_loop()
        one, jobs = await loop.run_in_executor(None, self._prepare, task)
        self._open[task.shard.stem] = one
        assert self._scheduler is not None
        for url in one.answered:
            self._scheduler.remember(url)
        if not one.missing:
            self._spawn(self._assemble(one))
        for job in jobs:
            self._scheduler.add(job)
        self._asked = False  # not before its rows are there: a worker must not take a rival's shard meanwhile
        self._scheduler.go()

    def _prepare(self, task: Task) -> tuple[OpenShard, list[Job]]:
        """In a thread: open the spool of a shard, and find what is still to be fetched."""
        shard, layout = task.shard, self._setup.layout
        with pa.ipc.open_stream(task.rows) as reader:
            table = reader.read_all()
        if task.redo and read_bytes(marker(layout.root, STAGE, shard.stem)) is not None:
            reopen(shard, keys_of(table), layout, layout.spool(shard), task.redo)
        one = OpenShard(shard, table, Spool(layout.spool(shard), layout.owner(shard)), time.time())
        urls = table["url"].to_pylist()
        digests = digests_of(table, self._setup.digest)
        jobs = []
        for row, url in enumerate(urls):
            told = one.spool.told(row) if row in one.spool else None
            reason = Reason.REMOVED if row in task.removed else None
            reason = reason or (Reason.CORRUPT if row in task.poison and told is None else None)
            if told is not None and (reason is None or told.reason is reason):
                self._count(one, told)
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
                self._count(one, outcome)
        return one, jobs

    @staticmethod
    def _count(one: OpenShard, outcome: Outcome) -> None:
        one.tally.add(outcome.reason, outcome.counters)
        one.changed = True

    def _row_ended(self, job: Job, outcome: Outcome | None) -> None:
        one: OpenShard = job.owner
        if outcome is None:
            one.spool.append_tried(job.row, Tried(job.attempts, job.due, job.unescaped))
            return
        one.spool.append(job.row, outcome)
        self._count(one, outcome)
        if not one.missing:
            self._spawn(self._assemble(one))

    async def _assemble(self, one: OpenShard) -> None:
        loop = asyncio.get_running_loop()
        ledgers = await loop.run_in_executor(
            self._writer, assemble, one.shard, one.table, one.spool, self._setup.layout, one.started
        )
        one.spool.discard()
        del self._open[one.shard.stem]
        self._pipe.send(Done(one.shard, ledgers))
        self._want()

    async def _drain(self) -> None:
        assert self._scheduler is not None
        self._scheduler.stop()
        await self._scheduler.drained()


def _job(one: OpenShard, row: int, url: str, digest: tuple[str, str] | None) -> Job:
    """The row as it stands, asked before or not."""
    tried = one.spool.tried(row)
    sent = (fallback(url) if tried.unescaped else None) or url
    return Job(one, row, sent, digest, tried.attempts, tried.due, tried.unescaped)


def main(setup: Setup, pipe: Connection) -> None:
    """The entry point of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not setup.config.debug:
        # libpng and libtiff write a line about each odd file; what a worker has to say goes over the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    without_pandas()
    gc.freeze()  # what was imported stays: 0.1 ms of every picture went into looking at it again and again
    try:
        asyncio.run(Worker(setup, pipe).run())
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except DanqingError as error:
        pipe.send(Fatal(str(error), error.exit_code, traceback.format_exc()))
    except OSError as error:
        where = error.filename or setup.layout.root
        text = f"{where}: {error.strerror or error}; nothing is lost, mend it and run the same command again"
        pipe.send(Fatal(text, EnvironmentProblem.exit_code, traceback.format_exc()))
    except BaseException as error:
        pipe.send(Fatal(f"unexpected {type(error).__name__}: {error}", 1, traceback.format_exc()))
