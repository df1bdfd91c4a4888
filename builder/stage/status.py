"""How far a root is: what went in, what was kept, and where the rest was lost.

    danqing status ./danqing

A root in, the funnel of each of its stages out. It reads the ledger alone, so it answers at any time, also while
a run writes the same root, and changes nothing.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from ..console import Console, in_words, shares, table
from ..disk import ledger
from ..disk.files import join, listdir
from ..disk.ledger import CurationDocument, DecisionDocument, ShardLedger, Tally, by_count
from ..disk.schema import CURATION, SPLITS
from ..errors import InputError
from ..options import option
from ..reasons import Verdict
from . import trained
from .counts import HostCounts
from .doubt import Lost, doubt
from .funnels import StageFunnel, funnels_of
from .recipe import (
    FunnelRow,
    RecipeDocument,
    RecipeFunnel,
    beside_paper,
    checked_recipe,
    funnel_lines,
    funnel_of,
    paper_lines,
)
from .shared import Shared
from .trained import RunRecord

HOSTS_SHOWN = 10
_PASS = re.compile(r"\d-\w+")
_KINDS = {
    "file": "files", "input": "units", "bucket": "buckets",
    "train": "shards", "validation": "shards of validation", "test": "shards of test",
    "measures": "shards measured", "embeddings": "shards embedded", "looks": "shards looked at",
    "centroids": "centroids", "deal": "shards dealt to cells", "cells": "parts of cells searched", "shards": "shards",
}  # fmt: skip
HOSTS_TOLD = 50  # in JSON


@dataclass(frozen=True, slots=True)
class StatusConfig(Shared):
    """What `danqing status` was asked."""

    root: str = option(
        "./danqing",
        "root of a data set, or folder of a run of train: a folder or an fsspec URL",
        positional=True,
    )
    quiet: bool = option(False, "nothing but the result and errors", shared=True)


@dataclass(slots=True)
class Funnel:
    """One stage of a root. shards_total and rows_total: of the plan; counted: of shards done and in flight.

    units: of a stage of several passes, how many are done of each kind, and of how many; before: the funnels of the
    stages that made its manifest, as its plan has them; fetched: pairs that a rebuild before it asked for and fetched.
    """

    stage: str
    shards_total: int
    rows_total: int
    config_hash: str
    shards_done: int = 0
    rows_done: int = 0
    shards_in_flight: int = 0
    told_at: str | None = None  # when the counts in flight were written, ISO 8601
    counted: Tally = field(default_factory=Tally)
    hosts: HostCounts = field(default_factory=HostCounts)  # those that the markers name
    decision: DecisionDocument | None = None  # of a stage that gives verdicts
    curation: CurationDocument | None = None  # of curate
    stored_bytes: int = 0
    seconds: float = 0.0  # summed over shards, which overlap
    last_finished: str | None = None  # ISO 8601
    units: dict[str, tuple[int, int]] = field(default_factory=dict)
    recipe: RecipeDocument | None = None
    before: list[StageFunnel] = field(default_factory=list)
    fetched: tuple[int, int] = (0, 0)

    def add(self, one: ShardLedger, *, later: bool = False) -> None:
        """Count a shard that is done. later: of a pass whose pairs an earlier one has counted."""
        if later:
            self._drop(one)
        else:
            self.counted.merge(one)
            self.rows_done += one.rows
        self.hosts.add_told(one.hosts)
        places = one.outputs.items()
        self.stored_bytes += sum(file["bytes"] for path, file in places if not path.startswith("ledger/"))
        self.seconds += one.seconds
        self.last_finished = max(self.last_finished or "", one.finished_at)

    def add_flight(self, stem: str, tally: Tally) -> None:
        """Count a shard in flight."""
        self.shards_in_flight += 1
        if self.units and stem.partition("-")[0] != next(iter(self.units), ""):
            self._drop(tally)
        else:
            self.counted.merge(tally)

    def _drop(self, one: Tally | ShardLedger) -> None:
        lost = Tally(0, -sum(one.reasons.values()), one.reasons, one.counters)
        self.counted.merge(lost)

    def as_dict(self) -> dict[str, object]:
        """The funnel as JSON: kept + the sum of reasons = rows done + rows in flight."""
        tally = self.counted
        in_flight = {"shards": self.shards_in_flight, "rows": tally.rows - self.rows_done, "at": self.told_at}
        return {
            "shards": {"done": self.shards_done, "total": self.shards_total},
            "rows": {"done": self.rows_done, "total": self.rows_total},
            "in_flight": in_flight,
            "kept": tally.kept,
            "reasons": dict(by_count(tally.reasons)),
            "http_status": dict(by_count(tally.counters_of("http_status"))),
            "worst_hosts": {
                one.host: {"kept": one.kept, "dropped": one.lost} for one in self.hosts.worst(HOSTS_TOLD)
            },
            "bytes": {"fetched": tally.counter("bytes"), "stored": self.stored_bytes},
            "requests": tally.counter("requests"),
            "seconds": round(self.seconds, 3),
            "config_hash": self.config_hash,
            "last_finished": self.last_finished,
            **({"decision": self.decision or self.curation} if self.decision or self.curation else {}),
            **(
                {"units": {kind: {"done": n, "total": m} for kind, (n, m) in self.units.items()}}
                if self.units
                else {}
            ),
            **({"funnel": self._funnel} if self._funnel else {}),
            **({"before": self.before} if self.before else {}),
        }

    def lines(self) -> list[str]:
        """The funnel for people."""
        rows = self.counted.rows
        told = [f"{n:,} of {m:,} {_KINDS.get(kind, kind)}" for kind, (n, m) in self.units.items()]
        done = ", ".join(told) or f"{self.shards_done:,} of {self.shards_total:,} shards"
        lines = [f"{self.stage}: {done} done, {self._progress()}"]
        if self.shards_in_flight:
            flight = f"{self.shards_in_flight:,} with {rows - self.rows_done:,} rows"
            lines.append(f"shards in flight, as of {self.told_at}: {flight}")
        asked = f"{self.counted.counter('requests'):,} requests, {in_words(self.counted.counter('bytes'))} fetched, "
        lines.append(f"{asked if self._fetches else ''}{in_words(self.stored_bytes)} stored")
        outcomes = [("kept", self.counted.kept), *by_count(self.counted.reasons), ("total", rows)]
        statuses = self._statuses() if self._fetches else []
        lines += [*self._shares("outcome", outcomes), *self._verdicts(), *statuses, *self._hosts()]
        if self._funnel:
            counters = ", ".join(f"{name} {count:,}" for name, count in sorted(self.counted.counters.items()))
            lines += ["", *funnel_lines(self._funnel, self.before, *self.fetched)]
            lines += self._curated() if self.stage == CURATION.stage else [f"counted: {counters}"]
        elif self.before:
            lines += ["", *paper_lines(self._beside_paper)]
        return lines

    @property
    def is_done(self) -> bool:
        """Whether every shard of the plan is done, and what judges them all together."""
        if self.stage == CURATION.stage:
            return self.curation is not None
        laid_out = not self.units or not self.units.keys().isdisjoint(
            SPLITS
        )  # the last of several passes makes shards
        return laid_out and self.shards_done >= self.shards_total

    @property
    def lost(self) -> Lost:
        """What was kept and lost so far."""
        return Lost(
            self.counted.rows, self.counted.kept, self.counted.reasons, curated=self.stage == "curate"
        )

    @property
    def _beside_paper(self) -> list[FunnelRow]:
        """The paper's rows that the stages before a stage without a recipe answer, and rebuild itself."""
        rows, kept = self.counted.rows, self.counted.kept
        return beside_paper(self.before, *((rows, kept) if self.stage == "rebuild" else ()))

    @property
    def _funnel(self) -> RecipeFunnel | None:
        """The pairs through the recipe, of a stage that has one."""
        return funnel_of(self.recipe, self.counted.rows, self.counted.reasons) if self.recipe else None

    @property
    def _fetches(self) -> bool:
        """Whether the stage asks hosts for anything, as far as is known."""
        return self.counted.counter("requests") > 0 or not (self.counted.rows or self.stage == CURATION.stage)

    def _progress(self) -> str:
        if self.units:
            return f"{self.counted.rows:,} rows"
        share = f" ({self.rows_done / self.rows_total:.1%})" if self.rows_total else ""
        return f"{self.rows_done:,} of {self.rows_total:,} rows{share}"

    def _verdicts(self) -> list[str]:
        if self.decision is None:
            return []
        counts: dict[str, int] = self.decision["verdicts"]
        told = [(str(name), counts[name]) for name in Verdict if counts.get(name)]
        level = f"level {self.decision['alpha']:g}, pi0 {self.decision['pi0']:.3f}"
        return [
            "",
            *shares("verdict", told, sum(counts.values())),
            f"{level}; suspect, of the kept: {self.decision['suspects']:,}",
        ]

    def _curated(self) -> list[str]:
        if self.curation is None:
            return ["no decision yet"]
        told = self.curation
        thresholds = ", ".join(f"{name} {value:g}" for name, value in sorted(told["thresholds"].items()))
        recall = ", ".join(
            f"{band} {found / pairs:.2%}" for band, (pairs, found) in sorted(told["recall"].items()) if pairs
        )
        sets = ", ".join(f"{name} {count:,}" for name, count in sorted(told["sets"].items()))
        lines = [("embedder", str(told["embedder"].get("name"))), ("thresholds", thresholds), ("sets", sets)]
        return [f"{name}: {text}" for name, text in [*lines, ("pairs found, by cosine", recall)] if text]

    def _statuses(self) -> list[str]:
        answered = self.counted.counters_of("http_status")
        silent = self.counted.rows - sum(answered.values())
        return self._shares(
            "HTTP status", [*by_count(answered), *([("no answer", silent)] if silent else [])]
        )

    def _shares(self, title: str, counts: list[tuple[str, int]]) -> list[str]:
        rows = self.counted.rows
        if not rows:
            return []
        return ["", *shares(title, counts, rows)]

    def _hosts(self) -> list[str]:
        worst = [(one.host, f"{one.lost:,}", f"{one.kept:,}") for one in self.hosts.worst(HOSTS_SHOWN)]
        return ["", *table([("worst hosts", "dropped", "kept"), *worst])] if worst else []


@dataclass(frozen=True, slots=True)
class Funnels:
    """The funnels of a root, by stage. warning: of what nobody can have wanted; failure: the same, as a run ends."""

    root: str
    funnels: tuple[Funnel, ...]
    warning: str | None = None
    failure: str | None = None

    def lines(self) -> list[str]:
        """All funnels for people, an empty line between two."""
        blocks = [funnel.lines() for funnel in self.funnels]
        return [line for i, block in enumerate(blocks) for line in (["", *block] if i else block)]

    def as_dict(self) -> dict[str, object]:
        """All funnels as one JSON object."""
        stages = {funnel.stage: funnel.as_dict() for funnel in self.funnels}
        told = self.failure or self.warning
        return {"root": self.root, "stages": stages, **({"warning": told} if told else {})}


def run(config: StatusConfig, console: Console) -> Funnels | RunRecord:
    """The funnels of a root, or how far a run is; InputError where it is neither, or its ledger cannot be read."""
    if (record := trained.find(config.root, tail=True)) is not None:
        return record
    summary = summary_of(config.root)
    doubts = (doubt(config.root, funnel.lost) for funnel in summary.funnels if funnel.is_done)
    if warning := next(filter(None, doubts), None):
        console.warn(warning)
    return replace(summary, warning=warning)


def summary_of(root: str) -> Funnels:
    """The funnels of a root, from its ledger; InputError where it is no root or its ledger cannot be read."""
    try:
        stages = listdir(join(root, "ledger"))
    except NotADirectoryError:
        stages = []
    stages = sorted(stages, key=lambda stage: stage == CURATION.stage)  # which goes by what the others made
    funnels = tuple(funnel for funnel in (_funnel(root, stage) for stage in stages) if funnel is not None)
    there = {funnel.stage: funnel for funnel in funnels}
    if (curated := there.get(CURATION.stage)) and (rebuilt := there.get("rebuild")):
        curated.before = rebuilt.before
        curated.fetched = (rebuilt.counted.rows, rebuilt.counted.kept)
    if not funnels:
        raise InputError(
            f"{root}: no root of a data set, as it has no ledger; give the OUTPUT of danqing crawl, refine, rebuild or "
            "train"
        )
    return Funnels(root, funnels)


def _funnel(root: str, stage: str) -> Funnel | None:
    plan = ledger.read_plan(root, stage)
    if plan is None:
        return None
    shards, rows = plan["shards"], plan["rows"]
    recipe = checked_recipe(plan["recipe"]) if "recipe" in plan else None
    hash_ = str(plan.get("config_hash", ""))
    before = funnels_of(plan, stage)
    funnel = Funnel(stage, sum(shards.values()), sum(rows.values()), hash_, recipe=recipe, before=before)
    # Progress before markers: a shard that is finished in between is then counted once, by its marker.
    funnel.told_at, flight = ledger.read_progress(root, stage)
    passes = [name for name in listdir(join(root, "ledger", stage)) if _PASS.fullmatch(name)]
    if stage == CURATION.stage:
        _add_curation(funnel, root, passes)
        return funnel
    done = _add_passes(funnel, root, passes, shards) if passes else _add_shards(funnel, root, shards)
    funnel.shards_done = len(done)
    funnel.decision = ledger.read_decision(root, stage)
    for stem, tally in flight.items():
        if stem not in done:
            funnel.add_flight(stem, tally)
    return funnel


def _add_shards(funnel: Funnel, root: str, shards: Mapping[str, int]) -> set[str]:
    """Count what is done of a stage of one pass; the stems of it."""
    done = set()
    for one in ledger.read_all(
        root, funnel.stage
    ):  # by name, so that a split carved out of train comes behind it
        if one.split in shards:
            done.add(one.shard)
        elif f"train-{one.shard.partition('-')[2]}" not in done:
            continue
        funnel.add(one)
    return done


def _add_curation(funnel: Funnel, root: str, passes: Sequence[str]) -> None:
    """Count what is done of a curation: its passes find numbers, and the last one judges all pairs together."""
    for name in passes:
        done = list(ledger.read_all(root, f"{funnel.stage}/{name}"))
        is_last = (
            f"{funnel.stage}/{name}" == CURATION.marked
        )  # how many units the others have shows when they are done
        funnel.units[name.partition("-")[2]] = (len(done), funnel.shards_total if is_last else len(done))
        for one in done:
            funnel.add(one, later=not is_last)
        funnel.shards_done = len(done) if is_last else 0
    funnel.curation = ledger.read_curation(root)
    if funnel.curation is not None:
        funnel.recipe = checked_recipe(funnel.curation["recipe"], "decision.json")


def _add_passes(funnel: Funnel, root: str, passes: Sequence[str], shards: Mapping[str, int]) -> set[str]:
    """Count what is done of a stage of several passes, of which the first counts the rows; the stems of it."""
    kinds: Counter[str] = Counter()
    done = set()
    for name in passes:
        for one in ledger.read_all(root, f"{funnel.stage}/{name}"):
            funnel.add(one, later=name != passes[0])
            if one.split in shards:
                done.add(one.shard)
                kinds[one.split] += 1
    in_order = dict.fromkeys(
        [*kinds, *sorted(shards, key=SPLITS.__contains__)]
    )  # of the passes, the last one makes shards
    funnel.units = {kind: (kinds[kind], shards[kind]) for kind in in_order}
    return done
