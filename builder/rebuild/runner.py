"""`danqing rebuild`: what it plans, begins, does and tells, for `stage.run`.

manifest ─▶ plan ─▶ plan.json, card, removal list ─▶ shards without a marker ─▶ work ─▶ the funnel of the root
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..console import Console
from ..disk.card import offer, root_card
from ..disk.files import environment, join, read_bytes, write_atomic
from ..disk.ledger import ShardLedger, Tally, decision_at, write_plan
from ..disk.location import read_from
from ..disk.removals import Removals
from ..disk.root import REBUILD, Earlier, earlier
from ..disk.schema import JUDGES, carried
from ..reasons import Reason
from ..stage import shards, status
from ..stage.engine import Pass
from ..stage.preview import ManifestPreview
from ..stage.rows import ManifestShard, check_apart
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from . import removed
from .assemble import Setup
from .config import RebuildConfig
from .plan import RebuildPlan, make_plan, tasks
from .rules import judged, loosened
from .units import STAGE

TARS = (
    "--format webdataset: danqing revalidate, danqing report and load_dataset('danqing') read no tars; for tars of "
    "kept pairs rebuild to Parquet, re-validate, then danqing release ROOT OUT --what images --format webdataset"
)
# Shards to do, with the reasons for which rows of a finished one are fetched again.
Todo = list[tuple[ManifestShard, frozenset[Reason]]]


def run(config: RebuildConfig, console: Console) -> Result:
    """Rebuild the pictures of a manifest; returns the funnel of the whole root."""
    config.check()
    lists = [read_from(one, console.info) for one in removed.sources(config.removals)]
    config = dataclasses.replace(
        config, input=read_from(config.input, console.info), removals=",".join(lists)
    )
    with environment(f"cannot use {config.output}"):
        check_apart(config.input, config.output, REBUILD)
    return run_stage(Rebuild(config, console))


class Rebuild(Stage[RebuildConfig, RebuildPlan]):
    """One run of a rebuild."""

    name, place = STAGE, REBUILD

    def __init__(self, config: RebuildConfig, console: Console) -> None:
        super().__init__(config, console)
        self.removals: Removals | None = None
        self.done: dict[str, ShardLedger] = {}  # the markers as it began
        self.kept: list[ShardLedger] = []  # those of shards of this rank that stay as they are
        self.todo: Todo = []

    @property
    def root(self) -> str:
        """OUTPUT."""
        return self.config.output

    def plan(self) -> RebuildPlan:
        """Look at the manifest, the plan of an earlier run and the removal lists."""
        plan = make_plan(self.config)
        for note in plan.manifest.notes:
            self.console.warn(note)
        self.removals = removed.look(self.config)
        if self.config.format == "webdataset":
            self.console.warn(TARS)
        return plan

    def preview(self, plan: RebuildPlan, before: Earlier | None) -> ManifestPreview:
        """The plan, with how many shards of this rank are to do."""
        if not self.config.overwrite:
            self.done = shards.markers(self.root, STAGE)
        todo, more = self._todo(plan), removed.told(self.removals)
        return ManifestPreview(self.config, plan.manifest, plan.config, todo, plan.shards, before, more)

    def begin(self, plan: RebuildPlan, work: Path) -> RebuildPlan:
        """Remove what --overwrite does, write plan, card and removal list, and find out what is to do."""
        config = self.config
        if config.overwrite:
            self._remove(work)
        write_plan(self.root, STAGE, plan.document)
        self._offer(plan)
        grown = removed.keep(config, self.removals)
        self.done = shards.markers(self.root, STAGE)
        if grown and self.done:
            self.console.warn(
                f"{self.root}: {len(self.done)} finished shards were made before the removal list: their pairs "
                f"stay until danqing release --remove, or a rebuild with --overwrite"
            )
        self.todo = self._todo(plan)
        redone = {shard.number for shard, _ in self.todo}
        self.kept = _of([one for one in self._mine(plan) if one.number not in redone], self.done)
        shards.check_files(self.root, self.kept)
        unfinished = {shard.stem for shard, again in self.todo if not again}
        for shard in self._mine(plan):  # spools of which a kill between marker and clean-up left one
            if shard.stem not in unfinished:
                Setup(config, work, plan.config_hash).spool(shard).unlink(missing_ok=True)
        return plan

    def passes(self, plan: RebuildPlan, work: Path) -> Iterator[Pass]:
        """One, over the shards to do."""
        if not self.todo:
            return
        cores = len(os.sched_getaffinity(0))
        count = min(self.config.workers or cores, len(self.todo))
        config = dataclasses.replace(self.config, per_host=max(1, self.config.per_host // count))
        digest = plan.manifest.hash_column if config.verify_hash else None
        threads = max(1, cores // count)
        yield Pass(
            "builder.rebuild.work:work",
            Setup(config, work, plan.config_hash, digest, threads),
            tasks(plan, self.todo, self.removals),
            rows=sum(shard.rows for shard in self._mine(plan)),
            done=self.kept,
            processes=count,
            threads=threads,
        )

    def facts(self, counts: Tally, before: Tally, seconds: float) -> Mapping[str, Any]:
        """The share kept, the speed of the line and the commonest reasons."""
        return {
            "kept_share": counts.kept_share,
            "mb_per_s": (counts.counter("bytes") - before.counter("bytes")) / 1e6 / seconds,
            "top_reasons": counts.top_reasons(),
        }

    def summary(self, plan: RebuildPlan, work: Path) -> status.Funnels:
        """The funnel of the root, and what is to be said where nobody can have wanted it."""
        found = status.summary_of(self.root)
        (funnel,) = (one for one in found.funnels if one.stage == STAGE)
        again = _of([shard for shard, reasons in self.todo if reasons], self.done)
        now = _of(self._mine(plan), shards.markers(self.root, STAGE))
        if not self.todo and (said := loosened(self.config, funnel.counted.reasons)):
            self.console.warn(said)
        return dataclasses.replace(found, failure=judged(self.config, plan, again, now, funnel.lost))

    def _mine(self, plan: RebuildPlan) -> list[ManifestShard]:
        return shards.of_rank(plan.shards, self.config.place)

    def _todo(self, plan: RebuildPlan) -> Todo:
        """The shards of this rank that are not done, and those with rows to fetch again, with the reasons."""
        again = self.config.retried - {Reason.REMOVED}
        todo: Todo = []
        for shard in self._mine(plan):
            if shard.stem not in self.done:
                todo.append((shard, frozenset()))
            elif any(again & one.reasons.keys() for one in _of([shard], self.done)):
                todo.append((shard, again))
        return todo

    def _remove(self, work: Path) -> None:
        before = earlier(self.root, REBUILD)
        before.remove()
        for spool in work.glob("*.spool"):
            if before.named.file(spool.name):
                spool.unlink()
        if before.stays:
            self.console.warn(f"there stays {before.stays}")

    def _offer(self, plan: RebuildPlan) -> None:
        """Write the card, where there is none."""
        config, card = self.config, join(self.root, "README.md")
        if read_bytes(card) is not None:
            return
        splits = [*plan.manifest.rows, *(["validation"] if config.validation else [])]
        text = root_card(splits, config.format, carried(plan.manifest.schema), config.encode)
        write_atomic(card, text.encode())
        scored, curated = (read_bytes(decision_at(self.root, judge.stage)) is not None for judge in JUDGES)
        offer(self.root, scored=scored, curated=curated)


def _of(chosen: Iterable[ManifestShard], done: Mapping[str, ShardLedger]) -> list[ShardLedger]:
    """The markers of some shards, and of the pairs that were carved out of them."""
    stems = (stem for shard in chosen for stem in (shard.stem, f"validation-{shard.numbers}"))
    return [done[stem] for stem in stems if stem in done]
