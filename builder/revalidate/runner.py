"""`danqing revalidate`: what it plans, begins, does and tells, for `stage.run`.

plan ─▶ panel, made once ─▶ shards without a marker ─▶ decision, by the last rank to finish; all three by `work`

A marker names the checksum of its images file and the panel: a shard that was rebuilt since is scored again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import Console
from ..disk.files import is_within, resolved
from ..disk.ledger import ShardLedger
from ..disk.location import read_from
from ..disk.root import REVALIDATE, Earlier
from ..errors import UsageError
from ..stage.engine import Pass
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from ..stage.shards import Shard, find_shards, of_rank
from .config import RevalidateConfig
from .decide import Deciding
from .panel import Panel, read_panel
from .plan import NEEDED, STAGE, ScoringPlan, Unscored, agree, make_plan, opened, scored
from .reference import Recorded, Reference, find_parts, open_reference
from .work import Scoring

if TYPE_CHECKING:
    from ..towers import Checkpoint

WORK = "builder.revalidate.work"


def run(config: RevalidateConfig, console: Console) -> Result:
    """Score the shards of this rank; once no shard of the root is left, decide, and return what was decided."""
    config.check()
    return run_stage(Revalidation(config, console))


class Revalidation(Stage[RevalidateConfig, ScoringPlan | None]):
    """One run of a re-validation; with --decide there is no plan."""

    name, place = STAGE, REVALIDATE
    checkpoint: Checkpoint
    recorded: Recorded | None = None
    panel: Panel | None = None  # where there is one yet
    scoring: Scoring | None = None  # where this rank has shards to score

    def __init__(self, config: RevalidateConfig, console: Console) -> None:
        super().__init__(config, console)
        self.deciding = Deciding(config, console)

    @property
    def root(self) -> str:
        """ROOT."""
        return self.config.root

    def plan(self) -> ScoringPlan | None:
        """The shards and what they are scored with. What costs little comes first: the model may be downloaded."""
        config, reference = self.config, self.config.reference
        shards = find_shards(self.root, "scored")
        if config.decide:
            return None
        if config.overwrite and reference and is_within(resolved(reference), resolved(self.root)):
            raise UsageError(
                f"--reference {reference}: --overwrite would remove it; copy it to another place"
            )
        with opened(shards[0], (*NEEDED, *config.captions)):
            pass  # it opens, and has the columns
        from ..towers import find

        source = reference and read_from(reference, self.console.info)
        parts = find_parts(source) if source else ()
        self.checkpoint = find(config.model, config.revision)
        self.recorded = Recorded.of(source, parts, self.checkpoint) if source else None
        known = self.recorded.fingerprint if self.recorded else None
        plan = make_plan(config, shards, self.checkpoint, known)
        self.panel = None if config.overwrite else read_panel(self.root, config.captions)
        return plan

    def preview(self, plan: ScoringPlan | None, before: Earlier | None) -> Unscored:
        """What would be scored, or is left to score."""
        assert plan is not None  # with --decide there is a decision, and no --dry-run
        return Unscored(self.config, plan, self._todo(plan), before)

    def begin(self, plan: ScoringPlan | None, work: Path) -> ScoringPlan | None:
        """Load the model and open the reference, where this rank has shards to score; the plan, as they settle it."""
        config = self.config
        if plan is None or not of_rank(self._todo(plan), config.place):
            return plan
        from ..towers import DualEncoder, Options

        how = {one.name: getattr(config, one.name) for one in dataclasses.fields(Options)}
        siglip = DualEncoder.load(self.checkpoint, Options(**how), self.console)
        known = {"dtype": siglip.dtype_name, "preprocessing": siglip.preprocessing}
        agree(config, known)
        plan, reference = plan.settled(known), Reference.empty()
        if self.recorded is not None:
            self.recorded.warn(self.console, siglip.preprocessing, config.caption)
            reference = open_reference(self.recorded, work)
        temporary = work / f"rank-{config.place[0]}.tmp"
        self.scoring = Scoring(config, self.console, plan, siglip, reference, temporary)
        return plan

    def passes(self, plan: ScoringPlan | None, work: Path) -> Iterator[Pass]:
        """The panel and the shards to score of this rank; the decision, once no shard of any rank is left."""
        if plan is not None and self.scoring is not None:
            yield Pass(f"{WORK}:panel", self.scoring, iter([0]), lock=work / "panel.lock")
            self.panel = self.scoring.panel
            yield self._shards(plan, self.scoring)
        if plan is None or not self._todo(plan):
            yield Pass(f"{WORK}:decision", self.deciding, iter([0]), lock=work / "decide.lock")

    def _shards(self, plan: ScoringPlan, scoring: Scoring) -> Pass:
        done, mine = self._done(plan), of_rank(plan.shards, self.config.place)
        todo = [shard for shard in mine if shard.stem not in done]
        before = accumulate((shard.rows for shard in todo), initial=0)
        limit = self.config.limit
        return Pass(
            f"{WORK}:shards",
            scoring,
            iter([shard for shard, rows in zip(todo, before, strict=False) if not limit or rows < limit]),
            rows=sum(shard.rows for shard in mine),
            done=[done[shard.stem] for shard in mine if shard.stem in done],
        )

    def summary(self, plan: ScoringPlan | None, work: Path) -> Result:
        """What was decided, or which shards are left."""
        return self.deciding.verdicts or self.preview(plan, None)

    def _done(self, plan: ScoringPlan) -> dict[str, ShardLedger]:
        """The markers, by stem, of the shards that are scored as this plan would."""
        return scored(self.root, plan.shards, plan.made_with(self.panel.digest)) if self.panel else {}

    def _todo(self, plan: ScoringPlan) -> list[Shard]:
        """The shards, of all ranks, that are not scored."""
        done = self._done(plan)
        return [shard for shard in plan.shards if shard.stem not in done]
