"""A stage of three passes: it counts the letters of a word, writes words into one file a shard, and once the total.

Ordered by `setup.trouble`, the second pass meets what stages meet: a disk that is full, a crash, a signal.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from builder.console import Console
from builder.disk import ledger
from builder.disk.files import write_atomic
from builder.disk.ledger import ShardLedger, Tally
from builder.disk.root import Earlier, Footprint
from builder.options import option
from builder.stage import plan as plans
from builder.stage.engine import Done, Pass, Tell, Unit, Units
from builder.stage.run import Stage, run
from builder.stage.shards import markers, of_rank
from builder.stage.shared import Sharded

SHARDS, ROWS = 4, 3
COUNT, WRITE = "toy/1-count", "toy/2-write"


@dataclass(frozen=True, slots=True)
class ToyConfig(Sharded):
    root: str = option("", "where", positional=True)
    word: str = option("toy", "what is written", content=True)
    loud: bool = option(False, "in capitals", content=True, since="0.2")
    trouble: str = option("", "enospc, sigsegv or sigint, at the second shard")


@dataclass(frozen=True, slots=True)
class ToyShard(Unit):
    rows: int = ROWS
    split: str = "train"

    @property
    def stem(self) -> str:
        return f"train-{self.number:05d}-of-{SHARDS:05d}"


@dataclass(frozen=True, slots=True)
class ToySetup:
    config: ToyConfig
    ledger: str


def work(setup: ToySetup, units: Units, tell: Tell) -> Iterator[Done]:
    for unit in units:
        tally = Tally()
        for row in range(unit.rows):
            with units.at(unit.number, row):
                if unit.number == 1 and row == 1 and setup.ledger == WRITE and row not in unit.poison:
                    meet(setup.config)
            tally.add("corrupt" if row in unit.poison else None, {"letters": len(setup.config.word)})
            tell({unit.stem: tally})
        outputs = {}
        if setup.ledger == WRITE:
            path = Path(setup.config.root, "toys", f"{unit.stem}.txt")
            write_atomic(str(path), (setup.config.word * tally.kept).encode())
            outputs = {f"toys/{path.name}": ledger.entry(path, tally.kept)}
        marker = ShardLedger.of(setup.ledger, unit.stem, tally, outputs=outputs, config="", seconds=0.0)
        marker.write(setup.config.root)
        yield Done(unit.number, unit.stem, [marker])


def total(setup: str, units: Units, tell: Tell) -> Iterator[Done]:
    for number in units:
        letters = sum(one.counters["letters"] for one in ledger.read_all(setup, COUNT))
        write_atomic(f"{setup}/toys/total.txt", str(letters).encode())
        yield Done(number, "total", [])


def meet(config: ToyConfig) -> None:
    if config.trouble == "enospc":
        raise OSError(28, "No space left on device", "toys")
    if config.trouble == "sigsegv":
        os.kill(os.getpid(), signal.SIGSEGV)
    if config.trouble == "sigint":
        parent = multiprocessing.parent_process()
        os.kill(parent.pid if parent else os.getpid(), signal.SIGINT)


@dataclass(frozen=True, slots=True)
class ToyResult:
    done: int

    def lines(self) -> list[str]:
        return [f"{self.done} done"]

    def as_dict(self) -> dict[str, Any]:
        return {"done": self.done}


class Toy(Stage[ToyConfig, "tuple[ToyShard, ...]"]):
    name = "toy"
    place = Footprint(
        ("toy",), ("toys",), ("toys",), ".toy", swept=("toys", *(f"ledger/{n}" for n in (COUNT, WRITE)))
    )

    @property
    def root(self) -> str:
        return self.config.root

    def plan(self) -> tuple[ToyShard, ...]:
        if old := ledger.read_plan(self.root, self.name):
            plans.refuse(f"{self.root} was made", old["config"], plans.content(self.config), ToyConfig, "no")
        return tuple(map(ToyShard, range(SHARDS)))

    def preview(self, plan: tuple[ToyShard, ...], before: Earlier | None) -> ToyResult:
        return self.summary(plan, Path())

    def begin(self, plan: tuple[ToyShard, ...], work: Path) -> tuple[ToyShard, ...]:
        document = plans.document(self.name, plan)
        ledger.write_plan(self.root, self.name, {**document, "config": plans.content(self.config)})
        return plan

    def passes(self, plan: tuple[ToyShard, ...], work: Path) -> Iterator[Pass]:
        for name in (COUNT, WRITE):
            done, mine = markers(self.root, name), of_rank(plan, self.config.place)
            todo = [shard for shard in mine if shard.stem not in done]
            each = partial(Pass, "tests.stage.toy:work", ToySetup(self.config, name), iter(todo))
            if todo:
                yield each(
                    rows=ROWS * len(mine),
                    done=[done[shard.stem] for shard in mine if shard.stem in done],
                    processes=self.config.workers,
                )
            if len(markers(self.root, name)) < SHARDS:
                return  # of another rank: the next pass is for a later run
        yield Pass("tests.stage.toy:total", self.root, iter([0]), lock=work / "total.lock")

    def summary(self, plan: tuple[ToyShard, ...], work: Path) -> ToyResult:
        return ToyResult(len(markers(self.root, WRITE)))


def toy(root: Path, **options: Any) -> int:
    """Run it; how many shards are written."""
    config = ToyConfig(str(root), quiet=True, **options)
    config.check_shared({})
    result = run(Toy(config, Console(quiet=True)))
    assert isinstance(result, ToyResult)
    return result.done


def files(root: Path) -> dict[str, bytes]:
    """What a root holds, but for the times in its markers."""
    found = {"/".join(path.relative_to(root).parts): path for path in root.rglob("*") if path.is_file()}
    return {
        name: b"" if name.startswith("ledger/toy/") and "-0" in name else path.read_bytes()
        for name, path in sorted(found.items())
    }
