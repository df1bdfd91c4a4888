"""The worker processes: whole shards handed out as they are asked for, messages gathered, crashes survived.

A worker that dies in a decoder is started again without the row it died at; one that was killed ends the run,
resumable. No process outlives the parent: a worker whose pipe closes leaves at once, and looks
again before each write (`builder/disk/life.py`).
"""

from __future__ import annotations

import multiprocessing
import queue
import signal
import threading
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from typing import Any

from ..errors import DanqingError, EnvironmentProblem, InputError, Interrupted, UsageError
from ..stage.stop import Stop
from .messages import Done, Drain, Fatal, Finish, Setup, Task, Told, Want

CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
AHEAD = 2  # shards read from the manifest before a worker asks
JOIN_SECONDS = 30.0
GUARD = (
    'a script that runs danqing does so under if __name__ == "__main__":, as each worker imports the script'
)
RESTARTS = 100  # of crashed workers in one run: a few bad pictures, not a broken machine


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    suspects: Any
    tasks: dict[int, Task] = field(default_factory=dict)  # by shard number, until Done
    began: bool = False  # it has asked for work


def _work(setup: Setup, pipe: Connection) -> None:
    """The entry point of a worker process, which has loaded what a worker needs already."""
    from .worker import main

    main(setup, pipe)


class _Gone:
    """A worker's pipe has closed."""


class Pool:
    """Runs `tasks` on `count` processes.

    tell is called with every Told and Done message, and with None about twice a second. Raises what a worker
    or the reader of the manifest raised, and Interrupted once `stop` was heard, or at its KeyboardInterrupt.
    """

    def __init__(
        self,
        setup: Setup,
        tasks: Iterator[Task],
        count: int,
        tell: Callable[[Told | Done | None], None],
        stop: Stop,
    ) -> None:
        self._setup, self._tasks, self._tell, self._stop = setup, tasks, tell, stop
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(["builder.rebuild.worker"])
        self._inbox: queue.SimpleQueue[tuple[_Worker | None, Any]] = queue.SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._fed: deque[Task] = deque()
        self._exhausted = False
        self._wanting: deque[_Worker] = deque()
        self._workers: set[_Worker] = set()
        self._draining = self._leaving = False
        self._count = count
        self._restarts = 0

    def run(self) -> None:
        """Until every task is done."""
        threading.Thread(target=self._feed, name="manifest", daemon=True).start()
        try:
            for _ in range(self._count):
                self._start()
            while self._workers:
                try:
                    sender, message = self._inbox.get(timeout=0.5)
                except queue.Empty:
                    self._tell(None)
                else:
                    self._take(sender, message)
                if self._stop.asked and not self._draining:
                    self._drain()
        except KeyboardInterrupt as error:
            raise Interrupted(
                "stopped at once; rows in flight are fetched again by the same command"
            ) from error
        finally:
            self._leaving = True
            self._room.release()  # the reader of the manifest sees it
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()
        if self._stop.asked:
            raise Interrupted("stopped; everything finished is kept, the same command goes on from there")

    # ---- the manifest

    def _feed(self) -> None:
        try:
            for task in self._tasks:
                self._room.acquire()
                if self._leaving:
                    return
                self._inbox.put((None, task))
            self._inbox.put((None, None))
        except BaseException as error:  # raised again in the main thread
            self._inbox.put((None, error))

    # ---- workers

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        suspects = self._context.Array("q", [-1] * (2 * self._setup.rules.threads), lock=False)
        process = self._context.Process(
            target=_work, args=(replace(self._setup, suspects=suspects), theirs), daemon=True
        )
        try:
            process.start()
        except RuntimeError as error:
            if "bootstrapping" in str(
                error
            ):  # Python's word: this process is a worker itself, and not yet at work
                raise UsageError(GUARD) from error
            raise
        theirs.close()
        worker = _Worker(process, ours, suspects)
        self._workers.add(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                self._inbox.put((worker, worker.pipe.recv()))
        except (EOFError, OSError):
            self._inbox.put((worker, _Gone()))

    def _take(self, sender: _Worker | None, message: Any) -> None:
        if sender is None:
            self._take_fed(message)
        elif isinstance(message, Want):
            sender.began = True
            self._wanting.append(sender)
        elif isinstance(message, Fatal):
            raise _error(message)
        elif isinstance(message, _Gone):
            self._bury(sender)
        else:
            if isinstance(message, Done):
                sender.tasks.pop(message.shard.number, None)
            self._tell(message)
        self._hand_out()

    def _take_fed(self, message: Task | BaseException | None) -> None:
        if isinstance(message, BaseException):
            raise message
        if message is None:
            self._exhausted = True
        else:
            self._fed.append(message)

    def _hand_out(self) -> None:
        while self._wanting and (self._fed or self._exhausted) and not self._stop.asked:
            worker = self._wanting.popleft()
            if not self._fed:
                self._send(worker, Finish())
                continue
            task = self._fed.popleft()
            self._room.release()
            worker.tasks[task.shard.number] = task
            self._send(worker, task)

    @staticmethod
    def _send(worker: _Worker, message: Any) -> None:
        try:
            worker.pipe.send(message)
        except (BrokenPipeError, ConnectionResetError):
            return  # its end is in the inbox, with what it leaves behind

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended: well, on request, by a crash in a decoder, or killed."""
        self._workers.discard(worker)
        if worker in self._wanting:
            self._wanting.remove(worker)
        worker.process.join(JOIN_SECONDS)
        code = worker.process.exitcode
        if code == 0 or self._stop.asked:
            return
        if code is None or -code not in CRASHES:
            raise EnvironmentProblem(_how(code, worker.began))
        self._restarts += 1
        if self._restarts > RESTARTS:
            raise EnvironmentProblem(
                f"workers keep crashing (signal {-code}); nothing is lost: run the same command again"
            )
        died_at = set(zip(worker.suspects[::2], worker.suspects[1::2], strict=True))
        for number, task in worker.tasks.items():
            poison = frozenset(row for at, row in died_at if at == number)
            self._fed.append(replace(task, poison=task.poison | poison))
        self._start()

    def _drain(self) -> None:
        self._draining = True
        for worker in self._workers:
            self._send(worker, Drain())


def _how(code: int | None, began: bool) -> str:
    """What to tell of a worker that has ended with a code that is no crash's. began: it had asked for work."""
    if code is not None and code > 0 and not began:
        return f"a worker ended with {code} before it began: {GUARD}"
    again = "nothing is lost: run the same command again"
    if code == -signal.SIGKILL:
        return f"a worker was killed by signal 9 (out of memory?); {again}, with fewer --workers"
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with {code}"
    return f"a worker {how}; {again}"


def _error(fatal: Fatal) -> DanqingError:
    """The exception of a worker, raised again here with its exit code."""
    kinds = {kind.exit_code: kind for kind in (UsageError, InputError, EnvironmentProblem, Interrupted)}
    error = kinds.get(fatal.exit_code, DanqingError)(fatal.message)
    error.__cause__ = RuntimeError("in a worker:\n" + fatal.traceback)
    return error
