"""`danqing curate`: what it plans, begins, does and tells, for `stage.run`.

measures, embeddings, looks of shards that lack them ─▶ centroids ─▶ deal ─▶ cells ─▶ joined ─▶ decision, all by `work`
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from ..console import Console
from ..disk import ledger
from ..disk.files import join, remove
from ..disk.root import CURATE, Earlier, earlier
from ..errors import InputError
from ..stage.engine import Pass, Unit
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from ..stage.shards import Shard, markers, of_rank
from ..stage.spool import clear
from ..towers.looks import Look
from .config import CurateConfig
from .decide import Curated
from .embeddings import Embedding
from .plan import CuratePlan, Uncurated, make_plan, planned
from .spool import (
    CENTERED,
    DEALT,
    EMBEDDED,
    FOUND,
    LOOKED,
    MEASURED,
    SEARCHED,
    STAGE,
    CurateSetup,
    lost,
    read_found,
)
from .work import Curating, Looking, between, looks_of, measuring, parts_dealt

if TYPE_CHECKING:
    from ..towers import Checkpoint

# The passes over single shards, and what is told of those that are left.
OF_SHARDS = {MEASURED: "shards to measure", EMBEDDED: "shards to embed", LOOKED: "shards to look at"}
WORK, EMBEDDINGS = "builder.curate.work", "builder.curate.embeddings"


def run(config: CurateConfig, console: Console) -> Result:
    """Judge the pairs of a root by the recipe; what is missing for that is made first."""
    config.check()
    return run_stage(Curation(config, console))


class Curation(Stage[CurateConfig, CuratePlan]):
    """One run of a curation."""

    name, place = STAGE, CURATE
    checkpoint: Checkpoint | None = None  # with --decide there is none
    deciding: Curating | None = None
    looks: Mapping[str, Look] = MappingProxyType({})  # outside models, by the name of their number

    @property
    def root(self) -> str:
        """ROOT."""
        return self.config.root

    def plan(self) -> CuratePlan:
        """The shards, and what they are judged with. What costs little comes first: models may be downloaded."""
        config = self.config
        if config.decide:
            return planned(config)
        from ..towers import find

        self.checkpoint = find(config.embedder, config.revision)
        self.looks = looks_of(config)
        slugs = {name: one.slug for name, one in self.looks.items()}
        return make_plan(config, self.checkpoint, slugs, self.console.info)

    def preview(self, plan: CuratePlan, before: Earlier | None) -> Uncurated:
        """What would be done, or is left to do."""
        return Uncurated(self.config, plan, self.left(plan), before)

    def begin(self, plan: CuratePlan, work: Path) -> CuratePlan:
        """Remove what --overwrite does and what follows from other pictures, and write the plan."""
        if self.config.overwrite:
            earlier(self.root, CURATE).remove()
        old, new = ledger.read_plan(self.root, STAGE), plan.document()
        if old is not None and old.get("config_hash") != plan.config_hash:
            self._forget()
        if (old is None or {**old, **new} != old) and not self.config.decide:
            ledger.write_plan(self.root, STAGE, new)
        return plan

    def _forget(self) -> None:
        """Remove what was found between pictures: some of them are others now, or they are compared otherwise."""
        for name in (SEARCHED, DEALT, CENTERED):
            for stem, one in markers(self.root, name).items():
                remove(ledger.marker(self.root, name, stem))
                for path in one.outputs:
                    remove(join(self.root, path))
        remove(join(self.root, FOUND))

    def passes(self, plan: CuratePlan, work: Path) -> Iterator[Pass]:
        """What is missing, pass by pass, each once the one before has every marker, on whatever rank."""
        setup = CurateSetup(self.root, work, plan.config_hash, "", self.config, plan.sources, plan.releases)
        if not self.config.decide:
            yield from self._of_shards(plan, setup)
            if any(self.left(plan).values()):
                return
            if read_found(self.root) is None or lost(setup):
                yield from between(setup)
        parts = parts_dealt(setup)
        if parts is None or read_found(self.root) is None:
            if self.config.decide:
                raise InputError(
                    f"{self.root}: half searched; run danqing curate {self.root} without --decide"
                )
            return
        setup = dataclasses.replace(setup, parts=parts)
        if path := lost(setup):
            raise InputError(
                f"{join(self.root, path)}: is not as it was written; run danqing curate {self.root} without --decide"
            )
        clear(self.root, STAGE, (CENTERED, DEALT))
        self.deciding = Curating(setup, plan, self.console)
        yield Pass(f"{WORK}:decision", self.deciding, iter([Unit(0)]), lock=work / "decide.lock")

    def left(self, plan: CuratePlan) -> dict[str, int]:
        """How many shards, of all ranks, each pass over shards has to do."""
        return {told: len(plan.lacks(self.root, what)) for what, told in OF_SHARDS.items()}

    def _of_shards(self, plan: CuratePlan, setup: CurateSetup) -> Iterator[Pass]:
        """The passes over single shards that lack a number."""
        config = self.config
        for what in OF_SHARDS:
            lacking = {one.stem for one in plan.lacks(self.root, what)}
            mine = of_rank(plan.shards, config.place)
            todo = [one for one in mine if one.stem in lacking]
            before = accumulate((one.rows for one in todo), initial=0)
            most = config.limit or math.inf
            if todo := [one for one, rows in zip(todo, before, strict=False) if rows < most]:
                yield self._pass(plan, setup, what, todo)

    def _pass(self, plan: CuratePlan, setup: CurateSetup, what: str, shards: list[Shard]) -> Pass:
        """The pass over single shards that makes one of OF_SHARDS."""
        config, rows = self.config, sum(one.rows for one in shards)
        name = f"{WORK}:{what.rpartition('-')[2]}"
        if what == MEASURED:
            self.console.info(
                f"measuring the stored pictures of {len(shards):,} shards: they were rebuilt without --measure"
            )
            return measuring(setup, shards, rows)
        if what == LOOKED:
            return Pass(
                name, Looking(setup, tuple(self.looks.values()), plan.made_by(what)), iter(shards), rows
            )
        from ..towers import DualEncoder, Options

        assert self.checkpoint is not None  # found by `plan`
        how = {
            one.name: getattr(config, one.name)
            for one in dataclasses.fields(Options)
            if hasattr(config, one.name)
        }
        encoder = DualEncoder.load(self.checkpoint, Options(**how), self.console)
        temporary = setup.work / f"rank-{config.rank}.tmp"
        return Pass(
            f"{EMBEDDINGS}:embeddings",
            Embedding(self.root, temporary, encoder, config.caption, plan.made_by(what)),
            iter(shards),
            rows,
        )

    def summary(self, plan: CuratePlan, work: Path) -> Result:
        """What was decided, or what is left."""
        document = self.deciding.document if self.deciding else None
        if document is None:
            return Uncurated(self.config, plan, self.left(plan))
        found = Curated(self.root, document)
        for line in found.warnings():
            self.console.warn(line)
        return found
