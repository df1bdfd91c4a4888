"""Who does the units of a pass: this process, or several of its own; another engine would stand beside them.

    Pass ─▶ run ─▶ work(setup, units, tell) in each process ─▶ counts, Done, Done ... ─▶ tell

A unit goes whole to the process that asks for it. One whose process died comes in again, with the rows at which that
was as its poison; a process that was killed ends the run, resumable. None outlives the parent: one whose pipe
closes leaves at once, and looks again before each write (`disk.files.leave_if_orphaned`).
"""

from __future__ import annotations

import contextlib
import enum
import gc
import multiprocessing
import os
import pkgutil
import queue
import signal
import threading
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import without_pandas
from ..errors import DanqingError, EnvironmentProblem, Interrupted, UsageError
from .stop import Stop

CRASHES = frozenset({signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGFPE, signal.SIGILL})
AHEAD = 2  # units read before a process asks
JOIN_SECONDS = 30.0
GUARD = (
    'a script that runs danqing does so under if __name__ == "__main__":, as each worker imports the script'
)
RESTARTS = 100  # of crashed workers in one run: a few bad pictures, not a broken machine


@dataclass(frozen=True, slots=True)
class Unit:
    """What goes to a process at once. poison: rows at which a process died, to be passed over."""

    number: int
    poison: frozenset[int] = field(default=frozenset(), kw_only=True)


@dataclass(frozen=True, slots=True)
class Done:
    """A unit whose files lie whole and whose markers are written. stem: under which it told of its counts."""

    number: int
    stem: str
    markers: Sequence[ShardLedger]


# Takes the counts of units in work that have changed, by stem; of a Done, that it is; None: half a second has passed.
Tell = Callable[[Mapping[str, Tally] | Done | None], None]


@dataclass(frozen=True, slots=True)
class Pass:
    """Units and who does them.

    work: "module:function", the function (setup, units, tell) that does them; setup: what that is given first, to be
    pickled where there are processes; units: read as they are asked for, each a Unit where there are processes; rows:
    of all units of this rank, done or not; done: the markers of those that are; processes: 0 for this one; threads: of
    a process, that note where they are; lock: of what must happen once, one unit in this process without a bar;
    counted: the counter that the bar goes by where rows are not known before, `rows` being its end.
    """

    work: str
    setup: Any
    units: Iterator[Any]
    rows: int = 0
    done: Sequence[ShardLedger] = ()
    processes: int = 0
    threads: int = 1
    lock: Path | None = None
    counted: str = ""


class Units:
    """The units of one process, as it asks for them: an iterator that ends where the run is to stop."""

    def __init__(self, source: Iterator[Any], stop: Stop) -> None:
        self._source, self._stop = source, stop

    @property
    def stopping(self) -> bool:
        """Whether nothing more is to be begun, and what is in flight to be ended."""
        return self._stop.asked

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        """The next unit; waits for it."""
        for unit in () if self.stopping else self._source:
            return unit
        raise StopIteration

    def at(self, number: int, row: int) -> AbstractContextManager[None]:
        """Around what may end this process by a crash: it is at this row of the unit of that number."""
        return nullcontext()


def run(one: Pass, tell: Tell, stop: Stop, *, debug: bool = False) -> None:
    """Have all units done. Raises what `work` or the source of the units raised, and Interrupted at a stop."""
    stop.graceful = True
    try:
        if one.processes:
            _Pool(one, tell, stop, debug).run()
        else:
            work = pkgutil.resolve_name(one.work)
            with contextlib.closing(work(one.setup, Units(one.units, stop), tell)) as finished:
                for done in finished:
                    tell(done)
    except KeyboardInterrupt as error:
        raise Interrupted("stopped at once; what was in flight is done again by the same command") from error
    finally:
        stop.graceful = False
    if stop.asked:
        raise Interrupted("stopped; everything finished is kept, the same command goes on from there")


# ---- in a worker process


class _Word(enum.Enum):
    """What parent and worker say to each other beside units, counts and Done."""

    WANT = enum.auto()  # from a worker: another unit would keep it busy
    STOP = enum.auto()  # to a worker: nothing more is to be begun
    GONE = enum.auto()  # of a worker: its pipe has closed


class Watch:
    """Notes in shared memory at which row of which unit each thread is: should it die there, the parent can tell.

    slots: unit and row of each thread, -1 when idle.
    """

    def __init__(self, slots: Any) -> None:
        self._slots = slots
        self._local = threading.local()
        self._free = list(range(0, len(slots), 2))

    @contextlib.contextmanager
    def __call__(self, number: int, row: int) -> Iterator[None]:
        """Around the work on one row."""
        slot = getattr(self._local, "slot", None)
        if slot is None:
            slot = self._local.slot = self._free.pop()
        self._slots[slot], self._slots[slot + 1] = number, row
        yield
        self._slots[slot] = -1


class _Asked(Units):
    """Units that are asked for over a pipe."""

    def __init__(self, pipe: Connection, watch: Watch) -> None:
        self._pipe, self._watch, self._stopping = pipe, watch, False
        self._sending = threading.Lock()
        self._inbox: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=self._listen, name="parent", daemon=True).start()

    @property
    def stopping(self) -> bool:
        return self._stopping

    def __next__(self) -> Any:
        if self._stopping:
            raise StopIteration
        self.send(_Word.WANT)
        unit = self._inbox.get()
        if unit is None or self._stopping:
            raise StopIteration
        return unit

    def send(self, message: Any) -> None:
        """Send to the parent; from any thread."""
        with self._sending:
            self._pipe.send(message)

    def at(self, number: int, row: int) -> AbstractContextManager[None]:
        return self._watch(number, row)

    def _listen(self) -> None:
        try:
            while True:
                message = self._pipe.recv()
                self._stopping |= message is _Word.STOP
                self._inbox.put(message)
        except (EOFError, OSError):
            os._exit(1)  # the parent is gone; what is done is on disk


def _serve(work: str, setup: Any, debug: bool, slots: Any, pipe: Connection) -> None:
    """The entry point of a worker process, which has loaded the module of `work` already."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if not debug:
        # libpng and libtiff write a line about each odd file; what a worker has to say goes over the pipe
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    without_pandas()
    function = pkgutil.resolve_name(work)
    gc.freeze()  # what was imported stays: 0.1 ms of every picture went into looking at it again and again
    units = _Asked(pipe, Watch(slots))
    try:
        for done in function(setup, units, units.send):
            units.send(done)
    except (BrokenPipeError, ConnectionResetError):
        return  # the parent is gone
    except BaseException as error:
        told = _portable(error)
        told.add_note(f"in a worker:\n{traceback.format_exc()}")  # for --debug
        units.send(told)


def _portable(error: BaseException) -> DanqingError | OSError:
    """What can be pickled, and raised again in the parent: libraries make errors of which neither can be done."""
    if isinstance(error, DanqingError):
        return error
    if isinstance(error, OSError):
        return OSError(error.errno, error.strerror or str(error), error.filename)
    return DanqingError(f"unexpected {type(error).__name__}: {error}")


# ---- in the parent


@dataclass(eq=False)
class _Worker:
    process: Any
    pipe: Connection
    slots: Any
    units: dict[int, Unit] = field(default_factory=dict)  # by number, until Done
    began: bool = False  # it has asked for a unit


class _Pool:
    """The worker processes of a pass: units handed out as they are asked for, messages gathered, crashes survived."""

    def __init__(self, one: Pass, tell: Tell, stop: Stop, debug: bool) -> None:
        self._pass, self._tell, self._stop, self._debug = one, tell, stop, debug
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload([one.work.partition(":")[0]])
        self._inbox: queue.SimpleQueue[tuple[_Worker | None, Any]] = queue.SimpleQueue()
        self._room = threading.Semaphore(AHEAD)
        self._fed: deque[Unit] = deque()
        self._wanting: deque[_Worker] = deque()
        self._workers: set[_Worker] = set()
        self._exhausted = self._draining = self._leaving = False
        self._restarts = 0

    def run(self) -> None:
        """Until every unit is done, or the workers have ended what was in flight."""
        threading.Thread(target=self._feed, name="units", daemon=True).start()
        try:
            for _ in range(self._pass.processes):
                self._start()
            while self._workers:
                try:
                    sender, message = self._inbox.get(timeout=0.5)
                except queue.Empty:
                    self._tell(None)
                else:
                    self._take(sender, message)
                if self._stop.asked and not self._draining:
                    self._draining = True
                    for worker in self._workers:
                        self._send(worker, _Word.STOP)
        finally:
            self._leaving = True
            self._room.release()  # the reader of the units sees it
            for worker in self._workers:
                worker.process.kill()
            for worker in self._workers:
                worker.process.join()

    def _feed(self) -> None:
        try:
            for unit in self._pass.units:
                self._room.acquire()
                if self._leaving:
                    return
                self._inbox.put((None, unit))
            self._inbox.put((None, None))
        except BaseException as error:  # raised again in the main thread
            self._inbox.put((None, error))

    def _start(self) -> None:
        ours, theirs = self._context.Pipe()
        slots = self._context.Array("q", [-1] * (2 * self._pass.threads), lock=False)
        given = (self._pass.work, self._pass.setup, self._debug, slots, theirs)
        process = self._context.Process(target=_serve, args=given, daemon=True)
        try:
            process.start()
        except RuntimeError as error:
            # Python's word: this process is a worker itself, and not yet at work
            if "bootstrapping" in str(error):
                raise UsageError(GUARD) from error
            raise
        except (EOFError, ConnectionError) as error:
            raise EnvironmentProblem(
                "the process that starts the workers was killed; nothing is lost: run the same command again"
            ) from error
        theirs.close()
        worker = _Worker(process, ours, slots)
        self._workers.add(worker)
        threading.Thread(target=self._listen, args=(worker,), daemon=True).start()

    def _listen(self, worker: _Worker) -> None:
        try:
            while True:
                self._inbox.put((worker, worker.pipe.recv()))
        except (EOFError, OSError):
            self._inbox.put((worker, _Word.GONE))

    def _take(self, sender: _Worker | None, message: Any) -> None:
        if isinstance(message, BaseException):  # of the source of the units, or why a worker cannot go on
            raise message
        if sender is None:
            if message is None:
                self._exhausted = True
            else:
                self._fed.append(message)
        elif message is _Word.WANT:
            sender.began = True
            self._wanting.append(sender)
        elif message is _Word.GONE:
            self._bury(sender)
        else:
            if isinstance(message, Done):
                sender.units.pop(message.number, None)
            self._tell(message)
        self._hand_out()

    def _hand_out(self) -> None:
        while self._wanting and (self._fed or self._exhausted) and not self._stop.asked:
            worker = self._wanting.popleft()
            if not self._fed:
                self._send(worker, None)
                continue
            unit = self._fed.popleft()
            self._room.release()
            worker.units[unit.number] = unit
            self._send(worker, unit)

    @staticmethod
    def _send(worker: _Worker, message: Any) -> None:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            worker.pipe.send(message)  # of one that is gone, its end is in the inbox with what it leaves

    def _bury(self, worker: _Worker) -> None:
        """A worker has ended: well, on request, by a crash, or killed."""
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
        died_at = set(zip(worker.slots[::2], worker.slots[1::2], strict=True))
        for number, unit in worker.units.items():
            poison = frozenset(row for at, row in died_at if at == number)
            self._fed.append(replace(unit, poison=unit.poison | poison))
        self._start()


def _how(code: int | None, began: bool) -> str:
    """What to tell of a worker that has ended with a code that is no crash's. began: it had asked for work."""
    if code is not None and code > 0 and not began:
        return f"a worker ended with {code} before it began: {GUARD}"
    again = "nothing is lost: run the same command again"
    if code == -signal.SIGKILL:
        return f"a worker was killed by signal 9 (out of memory?); {again}, with fewer --workers"
    how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with {code}"
    return f"a worker {how}; {again}"
