"""The run of a stage, the same for all: refusals, dry run, locks, passes with their progress, and what is told.

    Stage ─▶ claim ─▶ plan [─▶ preview] ─▶ hold ─▶ begin ─▶ pass, pass ... ─▶ summary

Whatever is raised on the way, the same command goes on.
"""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Generic, Protocol, TypeVar

from ..console import Bar, Console
from ..disk import ledger
from ..disk.files import environment, join, work_folder
from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import without_pandas
from ..disk.root import Earlier, Footprint, claim, earlier
from . import engine
from .engine import Done, Pass
from .hold import alone, hold
from .shared import Sharded
from .stop import Stop

C = TypeVar("C", bound=Sharded)
P = TypeVar("P")
PROGRESS_SECONDS = 5.0  # between two writes of progress-<rank>.json


class Result(Protocol):
    """What a run ends with. One that has a `failure`, a line, is printed, and the command ends by that."""

    def lines(self) -> list[str]:
        """The result for people."""

    def as_dict(self) -> Mapping[str, object]:
        """The result as JSON."""


class Stage(ABC, Generic[C, P]):
    """What a stage says of one run. C: its Config; P: its plan, which `run` only passes on."""

    name: ClassVar[str]  # of its ledger: <root>/ledger/<name>/
    place: ClassVar[Footprint]  # what it writes into a root

    def __init__(self, config: C, console: Console) -> None:
        self.config, self.console = config, console

    @property
    @abstractmethod
    def root(self) -> str:
        """The root that it writes into."""

    @abstractmethod
    def plan(self) -> P:
        """Look at all that the run needs, and refuse what cannot be; writes nothing."""

    @abstractmethod
    def preview(self, plan: P, before: Earlier | None) -> Result:
        """What --dry-run prints; before: what --overwrite would remove."""

    @abstractmethod
    def begin(self, plan: P, work: Path) -> P:
        """Write what comes before the first unit, plan.json above all; the plan, with what is known only now."""

    @abstractmethod
    def passes(self, plan: P, work: Path) -> Iterator[Pass]:
        """The passes that have something to do for this rank; the next is asked for when the last is done."""

    @abstractmethod
    def summary(self, plan: P, work: Path) -> Result:
        """What the root holds now, and in `failure` what nobody can have wanted."""

    def facts(self, counts: Tally, before: Tally, seconds: float) -> Mapping[str, Any]:
        """What the bar tells beside pairs, as fields of `console.Facts`. before: the counts at its start."""
        return {}


def run(stage: Stage[Any, Any]) -> Result:
    """Run a stage, or with --dry-run say what it would do.

    Raises UsageError, InputError, EnvironmentProblem and Interrupted.
    """
    config, root, place = stage.config, stage.root, stage.place
    without_pandas()
    with environment(f"cannot use {root}"):
        claim(root, place, overwrite=config.overwrite)
        plan = stage.plan()
        if config.dry_run:
            return stage.preview(plan, earlier(root, place) if config.overwrite else None)
        folders = (root, join(root, "ledger", stage.name), *(join(root, name) for name in place.swept))
        work = work_folder(root, place.work, place.cached)
        with hold(work, f"danqing {stage.name} is at work on {root}", config.place, folders):
            with Stop(stage.console) as stop:
                plan = stage.begin(plan, work)
                for one in stage.passes(plan, work):
                    _do(stage, one, stop)
            ledger.end_progress(root, stage.name, *config.place)  # also where a run was killed before this
            return stage.summary(plan, work)


def _do(stage: Stage[Any, Any], one: Pass, stop: Stop) -> None:
    """Have a pass done, with a bar over the pairs of this rank; what must happen once, while no other run does it."""
    if one.lock:
        with alone(one.lock):
            engine.run(one, lambda _: None, stop, debug=stage.config.debug)
        return
    before = _total(one.done)
    initial = _done(one, before)
    with stage.console.progress(one.rows, unit=one.counted or "pairs", initial=initial) as bar:
        progress = _Progress(stage, one, bar, before, finished=_total([before]), shown=initial)
        try:
            engine.run(one, progress.tell, stop, debug=stage.config.debug)
        finally:
            progress.write()


@dataclass(slots=True)
class _Progress:
    """Counts of a pass, for the bar and for progress-<rank>.json. before, finished: of units done then and now."""

    stage: Stage[Any, Any]
    one: Pass
    bar: Bar
    before: Tally
    finished: Tally
    shown: int
    flight: dict[str, Tally] = field(default_factory=dict)
    began: float = field(default_factory=time.monotonic)
    written: float = 0.0

    def tell(self, message: Mapping[str, Tally] | Done | None) -> None:
        """Take what the engine tells: see `engine.Tell`."""
        if isinstance(message, Done):
            for one in message.markers:
                self.finished.merge(one)
            self.flight.pop(message.stem, None)
        elif message is not None:
            self.flight.update(message)
        now = time.monotonic()
        total = _total([self.finished, *self.flight.values()])
        facts = self.stage.facts(total, self.before, max(now - self.began, 1e-3))
        done = _done(self.one, total)
        self.bar.update(done - self.shown, **facts)
        self.shown = done
        if now - self.written >= PROGRESS_SECONDS:
            self.written = now
            self.write()

    def write(self) -> None:
        """Write what is known of the units in flight."""
        config = self.stage.config
        ledger.write_progress(self.stage.root, self.stage.name, config.place[0], self.flight)


def _done(one: Pass, counts: Tally) -> int:
    """How far a pass is, in what its bar counts."""
    return counts.counter(one.counted) if one.counted else counts.rows


def _total(parts: Iterable[Tally | ShardLedger]) -> Tally:
    """The counts of all of them."""
    total = Tally()
    for one in parts:
        total.merge(one)
    return total
