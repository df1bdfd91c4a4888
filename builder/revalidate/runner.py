"""`danqing revalidate`: what it plans, begins, does and tells, for `stage.run`.

plan ─▶ panel, made once ─▶ shards without a marker ─▶ work ─▶ verdicts, by the last rank to finish

A marker names the checksum of its images file and the panel: a shard that was rebuilt since is scored again.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING

from ..console import Console
from ..disk.card import offer
from ..disk.files import is_within, join, remove, resolved
from ..disk.ledger import ShardLedger
from ..disk.location import read_from
from ..disk.root import REVALIDATE, Earlier, earlier
from ..errors import UsageError
from ..stage.engine import Pass
from ..stage.hold import alone
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from ..stage.shards import Shard, find_shards, of_rank
from .config import RevalidateConfig
from .decide import decide
from .panel import Panel, make_panel, read_panel
from .plan import NEEDED, STAGE, ScoringPlan, agree, make_plan, opened, scored
from .reference import Recorded, Reference, find_parts, open_reference
from .scores import ScoreWriter
from .summary import Unscored

if TYPE_CHECKING:
    from ..towers import Checkpoint, Siglip
    from .work import Scoring


def run(config: RevalidateConfig, console: Console) -> Result:
    """Score the shards of this rank; once no shard of the root is left, decide, and return what was decided."""
    config.check()
    return run_stage(Revalidation(config, console))


@dataclass(frozen=True, slots=True)
class Prepared:
    """What a run goes by. scoring: None where this rank has nothing to score; panel: None where there is none yet."""

    plan: ScoringPlan
    checkpoint: Checkpoint
    recorded: Recorded | None
    panel: Panel | None = None
    scoring: Scoring | None = None

    @property
    def made_from(self) -> str:
        """What the marker of a scored shard says that it was made from."""
        return f"{self.plan.config_hash}-{self.panel.digest[:16] if self.panel else ''}"

    def done(self, root: str) -> dict[str, ShardLedger]:
        """The markers, by stem, of the shards that are scored as this plan would."""
        return scored(root, self.plan.shards, self.made_from) if self.panel else {}


class Revalidation(Stage[RevalidateConfig, Prepared | None]):
    """One run of a re-validation; with --decide there is nothing to prepare."""

    name, place = STAGE, REVALIDATE

    @property
    def root(self) -> str:
        """ROOT."""
        return self.config.root

    def plan(self) -> Prepared | None:
        """The shards and what they are scored with. What costs little comes first: the model may be downloaded."""
        config = self.config
        shards = find_shards(self.root, "scored")
        if config.decide:
            return None
        if (
            config.overwrite
            and config.reference
            and is_within(resolved(config.reference), resolved(self.root))
        ):
            raise UsageError(
                f"--reference {config.reference}: --overwrite would remove it; copy it to another place"
            )
        with opened(shards[0], (*NEEDED, *config.captions)):
            pass  # it opens, and has the columns
        from ..towers import find

        source = config.reference and read_from(config.reference, self.console.info)
        parts = find_parts(source) if source else ()
        checkpoint = find(config.model, config.revision)
        recorded = Recorded.of(source, parts, checkpoint) if source else None
        plan = make_plan(config, shards, checkpoint, recorded.fingerprint if recorded else None)
        return Prepared(plan, checkpoint, recorded)

    def preview(self, plan: Prepared | None, before: Earlier | None) -> Unscored:
        """What would be scored."""
        assert plan is not None  # --decide and --dry-run exclude each other
        return self._unscored(dataclasses.replace(plan, panel=self._panel()), before, dry=True)

    def begin(self, plan: Prepared | None, work: Path) -> Prepared | None:
        """Load the model and make the panel, where this rank has shards to score."""
        if plan is None:
            return None
        plan = dataclasses.replace(plan, panel=self._panel())
        if not of_rank(self._todo(plan), self.config.place):
            return plan
        from ..towers import Options, Siglip
        from .work import Scoring

        config = self.config
        how = {one.name: getattr(config, one.name) for one in dataclasses.fields(Options)}
        siglip = Siglip.load(plan.checkpoint, Options(**how), self.console)
        known = {"dtype": siglip.dtype_name, "preprocessing": siglip.preprocessing}
        agree(config, known)
        settled, reference = plan.plan.settled(known), Reference.empty()
        if plan.recorded is not None:
            plan.recorded.warn(self.console, siglip.preprocessing, config.caption)
            reference = open_reference(plan.recorded, work)
        with alone(work / "panel.lock"):
            panel = self._begun(settled, reference, siglip)
        remove(
            join(self.root, "ledger", STAGE, "decision.json")
        )  # its verdicts are not those of the scores any more
        offer(self.root, scored=False)
        plan = dataclasses.replace(plan, plan=settled, panel=panel)
        said = {
            **settled.checkpoint,
            "caption": config.caption,
            "projection": "danqing code 1",
            "panel": panel.digest,
            "reference": plan.recorded.fingerprint if plan.recorded else None,
        }
        writer = ScoreWriter(self.root, work / f"rank-{config.place[0]}.tmp", said, plan.made_from)
        scoring = Scoring(siglip, panel, reference, writer, config.captions, config.embeddings)
        return dataclasses.replace(plan, scoring=scoring)

    def _begun(self, plan: ScoringPlan, reference: Reference, siglip: Siglip) -> Panel:
        """Write the plan, and return the panel of the root: as some run published it, else made here.

        Nothing is written, nor removed by --overwrite, before all that can be wrong with the input was looked at.
        """
        agree(self.config, plan.made_from)  # again: another rank may have begun while the model was loaded
        panel = self._panel()
        if panel is None:
            self.console.info("choosing the panel, the pairs among which each pair is ranked")
            panel = make_panel(plan.shards, reference, siglip, self.config.captions)
            if self.config.overwrite:
                earlier(self.root, REVALIDATE).remove()
            plan.write(self.root)
            panel.write(self.root)
            return read_panel(self.root, self.config.captions) or panel  # of a rank elsewhere that was later
        plan.write(self.root)
        return panel

    def passes(self, plan: Prepared | None, work: Path) -> Iterator[Pass]:
        """One, over the shards to score of this rank."""
        if plan is None or plan.scoring is None:
            return
        done, mine = plan.done(self.root), of_rank(plan.plan.shards, self.config.place)
        todo = [shard for shard in mine if shard.stem not in done]
        before = accumulate((shard.rows for shard in todo), initial=0)
        limit = self.config.limit
        yield Pass(
            "builder.revalidate.work",
            plan.scoring,
            iter([shard for shard, rows in zip(todo, before, strict=False) if not limit or rows < limit]),
            rows=sum(shard.rows for shard in mine),
            done=[done[shard.stem] for shard in mine if shard.stem in done],
        )

    def summary(self, plan: Prepared | None, work: Path) -> Result:
        """What was decided, once no shard of any rank is left."""
        if plan is not None and self._todo(plan):
            return self._unscored(plan, None, dry=False)
        with alone(work / "decide.lock"):
            return decide(self.root, self.config, self.console)

    def _panel(self) -> Panel | None:
        return None if self.config.overwrite else read_panel(self.root, self.config.captions)

    def _todo(self, plan: Prepared) -> Sequence[Shard]:
        """The shards, of all ranks, that are not scored."""
        done = plan.done(self.root)
        return [shard for shard in plan.plan.shards if shard.stem not in done]

    def _unscored(self, plan: Prepared, before: Earlier | None, *, dry: bool) -> Unscored:
        todo = self._todo(plan)
        return Unscored(self.root, plan.plan, todo, len(of_rank(todo, self.config.place)), dry, before)
