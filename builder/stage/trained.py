"""A run of `danqing train` as it lies on disk, for those who tell of it: status and report.

    RUN/ledger/train/plan.json  done.json  log.jsonl  evaluate/tables.json ─▶ RunRecord

Anybody may have written these files, and a run may be writing them now. So each line of the log is checked, those that
are none are counted, and a last line without an end is passed over: it is being written, or was torn by a kill.
"""

from __future__ import annotations

import math
import re
import statistics
from array import array
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NotRequired, TypedDict, cast

from ..console import in_time
from ..disk import documents, ledger
from ..disk.files import filesystem, join, listdir, read_bytes
from ..errors import InputError

STAGE = "train"
LOG = "log.jsonl"
NUMBERS = (
    "step", "epoch", "pairs", "loss", "learning_rate", "scale", "bias", "gradient_norm", "pairs_per_second", "stall",
    "seconds",
)  # fmt: skip
FOUND = ("pairs", "loss", "image_to_text", "text_to_image")  # by a validation, beside its step
LONGEST = 1 << 16  # bytes of a line of the log: some 300 in truth
TABLES = "evaluate/tables.json"  # what danqing evaluate told last
WIDEST, LONG = 512, 5000  # columns, rows and tables of an evaluation
REASONS = 64  # by which pairs may be lost
RECENT = 100  # steps whose speed and loss tell how a run is doing
TAIL = 1 << 20  # bytes of the log that tell how far it is
FOREVER = 1e9  # seconds, thirty years: nobody knows what a run says that has longer to go
_CHECKPOINT = re.compile(r"step-(\d{8,15})")


class RunEnd(TypedDict):
    """done.json, of a run that came to its end; validation: NUMBERS of the last one by name, where there was one."""

    steps: int
    pairs: int
    lost: dict[str, int]
    loss: float
    checkpoint: str
    seconds: float
    validation: NotRequired[dict[str, float] | None]


class ToldTable(TypedDict):
    """A table of an evaluation, all of it text; the first column names the row."""

    title: str
    columns: list[str]
    rows: list[list[str]]
    notes: list[str]


class ToldTables(TypedDict):
    """What an evaluation told; told: lines beside the tables."""

    tables: list[ToldTable]
    told: list[str]


@dataclass(slots=True)
class RunRecord:
    """What is known of a run. checkpoints: the steps of those that are there; unread: lines that were none of a log.

    steps: by name, a number for each line about a step, NaN where it says none; validations: likewise of FOUND;
    lost: pairs by reason; spikes: steps whose loss stood out; evaluation: None where nothing was evaluated.
    """

    run: str
    plan: ledger.PlanDocument
    end: RunEnd | None
    checkpoints: list[int]
    steps: dict[str, array[float]] = field(default_factory=lambda: {name: array("d") for name in NUMBERS})
    validations: dict[str, array[float]] = field(
        default_factory=lambda: {name: array("d") for name in ("step", *FOUND)}
    )
    lost: dict[str, int] = field(default_factory=dict)
    spikes: list[int] = field(default_factory=list)
    unread: int = 0
    evaluation: ToldTables | None = None

    @property
    def total(self) -> int:
        """Steps of the plan, 0 where it does not say."""
        return self.asked("steps")

    @property
    def at(self) -> int:
        """Steps done, as far as was told."""
        return self.end["steps"] if self.end else int(self.last("step", 0))

    def asked(self, option: str) -> int:
        """A number of the plan's options, 0 where it says none."""
        value = self.plan.get("config", {}).get(option)
        return cast(int, value) if documents.is_count(value) else 0

    def last(self, name: str, default: float = math.nan) -> float:
        """The newest number of that name."""
        return self.steps[name][-1] if self.steps[name] else default

    def recent(self, name: str) -> float:
        """The median of the newest finite numbers of that name, NaN without any."""
        known = [one for one in self.steps[name][-RECENT:] if math.isfinite(one)]
        return statistics.median(known) if known else math.nan

    @property
    def seconds_left(self) -> float | None:
        """How long the steps that are left take at the present speed; None where nobody knows."""
        speed, left = self.recent("pairs_per_second"), (self.total - self.at) * self.asked("batch_size")
        known = self.end is None and left >= 0 and speed * FOREVER > left
        return left / speed if known else None

    def take(self, line: bytes) -> None:
        """Add a line of the log. Raises ValueError where it is none, or of no later step than the one before."""
        told = documents.parse(line, LONGEST, finite=False)
        if not documents.is_count(told.get("step")):
            raise ValueError("no step")
        found = told.get("validation")
        row, into = (
            (told, self.steps) if found is None else ({**found, "step": told["step"]}, self.validations)
        )
        numbers = {name: _number(row.get(name)) for name in into}
        lost = told.get("lost", {})
        if len(lost) > REASONS or not all(map(documents.is_count, lost.values())):
            raise ValueError("no counts of lost pairs")
        if into["step"] and numbers["step"] <= into["step"][-1]:
            raise ValueError("steps go back")
        for name, number in numbers.items():
            into[name].append(number)
        self.lost = lost or self.lost
        self.spikes += [told["step"]] if told.get("spike") is True else []

    def lines(self) -> list[str]:
        """How far the run is, for people."""
        share = f" ({self.at / self.total:.1%})" if self.total else ""
        pairs = self.end["pairs"] if self.end else self.last("pairs", 0)
        lost = ", ".join(f"{count:,} {reason}" for reason, count in sorted(self.lost.items())) or "none"
        newest = f"step {self.checkpoints[-1]:,}" if self.checkpoints else "none yet"
        told = [
            f"train: {self.at:,} of {self.total:,} steps{share}, {pairs:,.0f} pairs, epoch {self._epoch:.2f}"
        ]
        if self.steps["step"]:
            told.append(f"loss {self.recent('loss'):.4g}, learning rate {self.last('learning_rate'):.3g}, scale "
                        f"{self.last('scale'):.4g}, bias {self.last('bias'):.4g}")  # fmt: skip
            told.append(
                f"{self.recent('pairs_per_second'):,.0f} pairs/s, waits for data {self.recent('stall'):.1%}"
            )
        if self.validations["step"]:
            seen = {name: numbers[-1] for name, numbers in self.validations.items()}
            told.append(
                f"validation after step {seen['step']:,.0f}: loss {seen['loss']:.4g}, R@1 image to text "
                f"{seen['image_to_text']:.1%}, text to image {seen['text_to_image']:.1%}"
            )
        ends = f"done in {in_time(self.end['seconds'])}" if self.end else self._left()
        return [*told, f"pairs lost: {lost}", f"newest checkpoint: {newest}", ends]

    def as_dict(self) -> Mapping[str, object]:
        """How far the run is, as JSON: what is no number is null."""
        last = {name: numbers[-1] if numbers else math.nan for name, numbers in self.validations.items()}
        told = {name: self.last(name) for name in NUMBERS[1:]} | {
            "loss": self.recent("loss"), "pairs_per_second": self.recent("pairs_per_second"),
            "stall": self.recent("stall"), "seconds_left": self.seconds_left or math.nan,
        }  # fmt: skip
        return {
            "run": self.run, "steps": {"done": self.at, "total": self.total}, "done": self.end is not None,
            "checkpoints": self.checkpoints, "lost": self.lost, **_finite(told),
            "validation": _finite(last) if self.validations["step"] else None, "unread_lines": self.unread,
        }  # fmt: skip

    @property
    def _epoch(self) -> float:
        """Epochs seen, in fractions."""
        pairs = self.plan["rows"].get("train", 0)
        return self.at * self.asked("batch_size") / pairs if pairs else 0.0

    def _left(self) -> str:
        left = self.seconds_left
        return "not done" if left is None else f"not done; {in_time(left)} more at this speed"


def find(run: str, tail: bool = False) -> RunRecord | None:
    """The record of a run, None where the folder is no run; tail: from the end of its log alone.

    Raises InputError where the plan, the end or the log is none.
    """
    try:
        plan = ledger.read_plan(run, STAGE)
    except NotADirectoryError:
        plan = None
    if plan is None:
        return None
    names = map(_CHECKPOINT.fullmatch, listdir(join(run, "checkpoints")))
    record = RunRecord(run, plan, _end(run), sorted(int(name[1]) for name in names if name))
    for line in _log(join(run, LOG), tail):
        try:
            record.take(line)
        except (ValueError, AttributeError, TypeError):  # the two: a list where an object should be
            record.unread += 1
    if record.end:
        record.lost = record.end["lost"]
    record.evaluation = None if tail else _evaluation(run)
    return record


def _evaluation(run: str) -> ToldTables | None:
    path = join(run, TABLES)
    if (data := read_bytes(path)) is None:
        return None
    try:
        told = documents.parse(data)
        documents.check(told, ToldTables)
        odd = [one["title"] for one in told["tables"] if {*map(len, one["rows"])} - {len(one["columns"])}]
        wide = max((len(one["columns"]) for one in told["tables"]), default=0)
        if odd or wide > WIDEST or sum(len(one["rows"]) for one in told["tables"]) > LONG:
            raise ValueError("rows of another width" if odd else "too many rows or columns")
    except ValueError as error:
        raise InputError(
            f"{path}: no tables of an evaluation ({error}); remove it, and run danqing evaluate again"
        ) from error
    return cast(ToldTables, told)


def _log(path: str, tail: bool) -> Iterator[bytes]:
    """Whole lines of the log, or of its end, none where there is no log; longer ones than LONGEST in parts."""
    fs, place = filesystem(path)
    if not fs.exists(place):
        return
    if fs.info(place)["type"] != "file":
        raise InputError(f"{path}: is no file; move it away")
    with fs.open(place, "rb") as file:
        if tail and (size := fs.size(place)) > TAIL:
            file.seek(size - TAIL)
            file.readline()
        while line := file.readline(LONGEST):
            if line.endswith(b"\n") or len(line) == LONGEST:
                yield line


def _end(run: str) -> RunEnd | None:
    path = join(run, "ledger", STAGE, "done.json")
    if (data := read_bytes(path)) is None:
        return None
    try:
        end = documents.parse(data)
        documents.check(end, RunEnd)
    except ValueError as error:
        raise InputError(
            f"{path}: no end of a run ({error}); remove it, and run danqing train again"
        ) from error
    return cast(RunEnd, end)


def _number(value: Any) -> float:
    """A number of the log, NaN where it says none. Raises ValueError where it is no number; nan and inf are text."""
    if value is None:
        return math.nan
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"{str(value)[: documents.SHOWN]!r} is no number")
    try:
        return float(value)
    except OverflowError as error:
        raise ValueError("a number beyond all numbers") from error


def _finite(told: Mapping[str, float]) -> dict[str, float | None]:
    return {name: one if math.isfinite(one) else None for name, one in told.items()}
