"""The plan of a run: of what data, from which checkpoint, how many steps, and whether it was begun the same way.

TrainConfig, Source, Checkpoint ─▶ plan.json; with the plan of an earlier run ─▶ refusals by name of what changed
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from .. import __version__
from ..disk import ledger
from ..disk.ledger import PlanDocument
from ..stage import plan as plans
from ..stage.trained import STAGE
from .config import TrainConfig
from .recipe import SOURCES, TrainingRecipe

if TYPE_CHECKING:
    from ..towers import Checkpoint
    from .data import PairSource
    from .order import Order

PLACES = ("input", "model", "revision")  # options that say where to look; what is found there is compared


@dataclass(frozen=True, slots=True)
class TrainPlan:
    """All that the weights follow from. pairs: of an epoch; validation: pairs looked at; world: ranks."""

    config: TrainConfig
    identity: Mapping[str, Any]
    checkpoint: Mapping[str, str | None]
    pairs: int
    validation: int
    steps: int
    world: int

    @property
    def made_from(self) -> dict[str, object]:
        """What another run of the same folder must have too, by option or by what it is."""
        options = {k: v for k, v in plans.content(self.config).items() if k not in PLACES}
        return {**options, "data": self.identity["hash"], "checkpoint": self.checkpoint["fingerprint"]}

    def document(self) -> PlanDocument:
        """What plan.json holds."""
        recipe, paper = self.config.recipe, TrainingRecipe()
        values = {
            name: {"value": value, "paper": getattr(paper, name), "source": SOURCES[name]}
            for name, value in asdict(recipe).items()
        }
        told = {
            name: {"value": None, "paper": None, "source": SOURCES[name]}
            for name in SOURCES
            if name not in values
        }
        return {
            "stage": STAGE,
            "version": __version__,
            "rows": {"train": self.pairs, "validation": self.validation},
            "shards": {"train": self.config.parts},
            "config": {**plans.content(self.config), "input": self.config.input, "steps": self.steps},
            "config_hash": plans.hash_of(self.made_from),
            "checkpoint": {**self.checkpoint},
            "made_from": {**self.made_from, "identity": {**self.identity}},
            "recipe": {**values, **told},
        }

    def refuse_other(self, run: str) -> None:
        """UsageError, by name of what changed, where the folder holds a run that was begun otherwise."""
        if (old := ledger.read_plan(run, STAGE)) is not None:
            then = {k: v for k, v in old.get("made_from", {}).items() if k != "identity"}
            remedy = "take the same, another folder, or --overwrite"
            plans.refuse(f"{run} was trained", then, self.made_from, self.config, remedy)


def make_plan(
    config: TrainConfig, source: PairSource, order: Order, checkpoint: Checkpoint, world: int
) -> TrainPlan:
    """The plan of a run of so many ranks. Raises UsageError where they cannot share a batch."""
    order.share(0, world)
    steps = config.steps or order.steps(config.epochs)
    looked = int(source.validation.sizes.sum())
    return TrainPlan(config, source.identity, checkpoint.as_dict(), order.pairs, looked, steps, world)


@dataclass(frozen=True, slots=True)
class Untrained:
    """What --dry-run tells."""

    plan: TrainPlan
    failure: str | None = None

    def lines(self) -> list[str]:
        """The plan for people."""
        plan, config = self.plan, self.plan.config
        share, epochs = config.batch_size // plan.world, plan.steps * config.batch_size / plan.pairs
        return [
            f"data      {config.input}: {plan.pairs:,} pairs, {plan.validation:,} more to validate on",
            f"model     {plan.checkpoint['model']}",
            f"steps     {plan.steps:,} of {config.batch_size:,} pairs, {epochs:.2f} epochs",
            f"ranks     {plan.world}, {share:,} pairs of a batch each",
            f"output    {config.output}",
        ]

    def as_dict(self) -> Mapping[str, object]:
        """The plan as JSON."""
        return {"dry_run": True, "steps": self.plan.steps, **self.plan.document()}
