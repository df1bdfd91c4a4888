"""Which pair is fetched next: rows of several open shards, queued by host, a bounded number in flight.

Jobs in, `(job, outcome)` out, in order of arrival; `(job, None)` where the row will be asked again. Hosts take turns,
so a slow one holds up only its own rows; what can change is tried again later; decoding runs in threads while the
loop fetches. A pair counts as in flight from a request until its outcome, or the time of its next try, was handed
over, which is all that a kill can cost.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from typing import Any
from urllib.parse import urlsplit

from ..errors import EnvironmentProblem
from ..reasons import Dropped, Reason
from ..web.fetch import Fetcher, Response
from ..web.pace import PAUSE_CAP, UNANSWERED, HostQueue, Limit
from ..web.url import fallback
from .config import RebuildConfig
from .job import Job, verify
from .outage import Outage
from .outcome import Outcome
from .picture import make

BACKLOG_BYTES = 64 << 20  # of bodies that wait for a decode thread before no new request starts
THROTTLED_TRIES = 3  # beyond --retries: a 429 says "later", not "no"
LOW_WATER = 256  # rows left to start when more are asked for: opening a shard takes as long as they do
HOSTS_KEPT = 20_000  # beyond this, hosts with nothing to do are forgotten: memory stays flat over 100 M rows


async def first_of(event: asyncio.Event, failure: asyncio.Future[None]) -> None:
    """Wait for the event, or raise the failure."""
    waiter = asyncio.get_running_loop().create_task(event.wait())
    either: list[asyncio.Future[Any]] = [waiter, failure]
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    waiter.cancel()
    if failure.done():
        failure.result()


class Scheduler:
    """Runs jobs through a Fetcher and the decoder; to be made inside a running loop.

    emit is called in the loop with each finished (job, outcome), and with (job, None) for one that is asked again at
    job.due; hungry when few rows are left or none is ready, so that the caller can add more; guard is entered in a
    decode thread around each job. An exception in any of them (a full disk) stops the scheduler and is set on
    `failure`.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        options: RebuildConfig,
        threads: int,
        emit: Callable[[Job, Outcome | None], None],
        hungry: Callable[[], None],
        guard: Callable[[Job], AbstractContextManager[Any]] = nullcontext,
    ) -> None:
        self._fetcher, self._options, self._threads = fetcher, options, threads
        self._emit, self._hungry, self._guard = emit, hungry, guard
        self._loop = asyncio.get_running_loop()
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._limit = Limit.of(options.concurrency)
        self._random = random.Random(options.seed)  # noqa: S311 - jitter, no secret
        self._hosts: dict[str, HostQueue[Job]] = {}
        self._ready: deque[HostQueue[Job]] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._backlog = 0  # bytes in or before a decode thread
        self._decoding = 0
        self._stopping = self._asking = False
        self.failure: asyncio.Future[None] = self._loop.create_future()
        self._outage = Outage(watch=not options.retry_failed)  # a hundred failures in a row are no sign then
        self.quiet = asyncio.Event()
        self._ticker = self._loop.call_later(1.0, self._tick)
        self.queued = 0  # rows added and not in flight

    # ---- the caller's side

    def add(self, job: Job) -> None:
        """Queue a row behind the others of its host, once it is due; `go` starts what may start."""
        name = urlsplit(job.url).netloc.lower()
        host = self._hosts.get(name)
        if host is None:
            host = self._hosts[name] = HostQueue(name, self._options.per_host)
        self.queued += 1
        self.quiet.clear()
        wait = job.wait(time.time())
        if wait > 0:
            self._at(time.monotonic() + wait, host, job)
        else:
            host.queue.append(job)
            self._list(host, time.monotonic())

    def go(self) -> None:
        """Start as many requests as the slots, the hosts and the decode backlog allow."""
        now = time.monotonic()
        while self._ready and not self._stopping and self._backlog < BACKLOG_BYTES:
            if len(self._tasks) >= self._limit.value:
                self._limit.starved = True
                break
            host = self._ready.popleft()
            host.listed = False
            if host.given_up(now):
                self._give_up(host)
            elif host.ready_at > now:  # it objected, or was asked, since it was listed
                self._list(host, now)
            elif host.queue:
                host.started(now)
                self.queued -= 1
                self._track(self._run(host, host.queue.popleft(), now))
                self._list(host, now)
        if not self._tasks and not self.queued:
            self._pass_on(self._outage.release)
        if not self._tasks and (self._stopping or not self.queued):
            self.quiet.set()
        if (self.queued < LOW_WATER or not self._ready) and not self._stopping:
            self._hungry()

    async def drain(self) -> None:
        """Start nothing more, and wait until what is in flight has ended."""
        self._stopping = True
        self.go()
        await first_of(self.quiet, self.failure)

    async def close(self) -> None:
        """End what is in flight, and free the timers and the decode threads."""
        self._stopping = True
        self._ticker.cancel()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._pool.shutdown(wait=True, cancel_futures=True)
        if self.failure.done():
            self.failure.exception()  # seen: whoever wanted it has it

    # ---- hosts and time

    def _list(self, host: HostQueue[Job], now: float) -> None:
        if host.listed or not host.queue or host.full:
            return
        host.listed = True
        if host.ready_at > now and not host.given_up(now):
            self._at(host.ready_at, host, None)
        else:
            self._ready.append(host)

    def _at(self, when: float, host: HostQueue[Job], job: Job | None) -> None:
        """List the host then, or queue the job again."""
        self._loop.call_at(when, self._due, host, job)  # its clock is time.monotonic

    def _due(self, host: HostQueue[Job], job: Job | None) -> None:
        if self._stopping:
            return
        if job is None:
            host.listed = False
        else:
            host.queue.appendleft(job)
        self._list(host, time.monotonic())
        self.go()

    def _tick(self) -> None:
        self._limit.adapt(self._decoding, self._threads)
        if len(self._hosts) > HOSTS_KEPT:
            now = time.monotonic()
            self._hosts = {name: host for name, host in self._hosts.items() if host.busy(now)}
        self._ticker = self._loop.call_later(1.0, self._tick)
        self.go()

    def _give_up(self, host: HostQueue[Job]) -> None:
        while host.queue:
            job = host.queue.popleft()
            self.queued -= 1
            self._end(host, job, Outcome(reason=host.trip_reason, attempts=job.attempts))

    # ---- one row

    def _track(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            self._fail(error)
        if not self._stopping:
            self.go()
        elif not self._tasks:
            self.quiet.set()

    async def _run(self, host: HostQueue[Job], job: Job, started: float) -> None:
        job.attempts += 1
        response = await self._fetcher.fetch(job.url)
        now = time.monotonic()
        self._learn(host, job, response, started, now)
        if self._again(host, job, response, now):
            return
        outcome = Outcome(
            reason=response.reason,
            http_status=response.status,
            final_url=response.final_url,
            attempts=job.attempts,
            milliseconds=round((now - started) * 1000),
            content_type=response.content_type,
            etag=response.etag,
            last_modified=response.last_modified,
            fetched_at=int(time.time() * 1000),
        )
        if response.reason is None:
            await self._decode(job, outcome, response)
        self._end(host, job, outcome)

    def _end(self, host: HostQueue[Job], job: Job, outcome: Outcome) -> None:
        self._pass_on(lambda: self._outage.passed(job, outcome, host.name))
        if self._outage.suspected and not self._asking and not self._stopping:
            self._asking = True
            self._track(self._ask_witnesses())

    async def _ask_witnesses(self) -> None:
        """Tell a lost network from a run of dead links. Raises EnvironmentProblem."""
        for url in [*self._outage.witnesses]:
            response = await self._fetcher.fetch(url)
            self._fetcher.done_with(response)
            if response.status is not None:
                break
        else:
            if self._outage.suspected:  # no row has been answered meanwhile either
                raise EnvironmentProblem(self._outage.verdict())
        self._asking = False
        self._pass_on(self._outage.release)

    def remember(self, url: str) -> None:
        """A URL that an earlier run got an answer from."""
        self._outage.witnesses.append(url)

    def _pass_on(self, source: Callable[[], Sequence[tuple[Job, Outcome | None]]]) -> None:
        """Give rows to the caller; what goes wrong there, or a lost network, ends the run."""
        try:
            for job, outcome in source():
                self._emit(job, outcome)
        except Exception as error:
            self._fail(error)

    def _fail(self, error: BaseException) -> None:
        self._stopping = True
        if not self.failure.done():
            self.failure.set_exception(error)

    def _learn(self, host: HostQueue[Job], job: Job, response: Response, started: float, now: float) -> None:
        host.active -= 1
        self._limit.count(response.reason)
        if response.reason is Reason.THROTTLED:
            host.throttled(job.url, started, now, response.retry_after, again=job.attempts > 1)
        elif response.reason in UNANSWERED:
            host.failed(response.reason, now)
        else:
            host.answered()
        self._list(host, now)

    def _again(self, host: HostQueue[Job], job: Job, response: Response, now: float) -> bool:
        """Queue the row for another try if that can change anything."""
        unescaped = fallback(job.url) if response.reason is Reason.HTTP_4XX else None
        if unescaped is not None:
            job.url, job.unescaped = unescaped, True
            wait = 0.0
        elif not response.transient or host.given_up(now):
            return False
        elif response.reason is Reason.THROTTLED:
            wait = 2.0 ** (job.attempts - 1) if response.retry_after is None else response.retry_after
            job.waited += wait
            if job.attempts > self._options.retries + THROTTLED_TRIES or job.waited > PAUSE_CAP:
                return False
        elif job.attempts > self._options.retries:
            return False
        else:
            wait = min(PAUSE_CAP, 2.0 ** (job.attempts - 1) * self._random.uniform(0.5, 1.5))
        job.due = time.time() + wait
        self._pass_on(lambda: [(job, None)])
        self._at(now + wait, host, job)
        self.queued += 1
        return True

    async def _decode(self, job: Job, outcome: Outcome, response: Response) -> None:
        size = outcome.bytes = len(response.body)
        self._backlog += size
        self._decoding += 1
        try:
            await self._loop.run_in_executor(self._pool, self._finish, job, outcome, response.body)
        finally:
            self._fetcher.done_with(response)
            self._backlog -= size
            self._decoding -= 1

    def _finish(self, job: Job, outcome: Outcome, body: bytes) -> None:
        """Turn a body into a picture or a reason; in a decode thread."""
        with self._guard(job):
            try:
                outcome.sha256, outcome.hash_verified = verify(body, job.digest)
                if outcome.hash_verified is False:
                    raise Dropped(Reason.HASH_MISMATCH)
                outcome.picture = make(body, self._options)
            except Dropped as dropped:
                outcome.reason = dropped.reason
