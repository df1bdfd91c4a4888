"""`--pilot`: the first rows of a manifest through the whole recipe in memory, and what each step costs and drops.

RefineConfig ─▶ rows of one unit ─▶ Steps, thresholds ─▶ Pilot: a table for people, or JSON; nothing is written
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from ..console import Console, table
from ..stage.recipe import RecipeFunnel, funnel_of
from ..stage.rows import rows_of_shards
from .config import RefineConfig
from .entropy import counted
from .plan import RefinePlan
from .read import batches, languages, lists_of
from .recipe import STEPS, advice, recipe_of
from .spool import STOP, TOLD, ThresholdsDocument
from .steps import Cost, Steps
from .thresholds import calibrated


@dataclass(frozen=True, slots=True)
class Pilot:
    """What the recipe did to some rows. costs: of each step; thresholds: as they were found on these rows."""

    costs: Mapping[str, Cost]
    funnel: RecipeFunnel
    thresholds: ThresholdsDocument

    def as_dict(self) -> dict[str, object]:
        """The costs in microseconds of CPU a pair, the funnel and the thresholds as JSON."""
        costs = {name: one.each for name, one in self.costs.items()}
        return {"microseconds": costs, "funnel": self.funnel, "thresholds": self.thresholds}

    def lines(self) -> list[str]:
        """A row for each step, with the paper's share beside its own."""
        paper = {one["row"]: one["share"] for one in self.funnel["paper"]}
        rows = [
            (
                f"{name}: {step['name']}", f"{step['pairs']:,}", f"{step['dropped']:,}", f"{step['share']:.2%}",
                f"{paper[step['row']]:.2%}" if step["row"] in paper else "–", f"{self.costs[name].each:.2f}",
            )
            for name, step in zip(STEPS, self.funnel["steps"], strict=False)
        ]  # fmt: skip
        spent = sum(one.seconds for one in self.costs.values())
        rate = f"{self.funnel['pairs'] / spent:,.0f} pairs a second and core" if spent else ""
        return [
            *table([("step", "pairs", "dropped", "share", "in the paper", "µs each"), *rows]),
            f"kept {self.funnel['kept']:,} of {self.funnel['pairs']:,}; {rate}",
            "nothing was written: --pilot",
        ]


def pilot(config: RefineConfig, plan: RefinePlan, console: Console) -> Pilot:
    """Refine the rows of the first unit, and say what is far from the paper."""
    steps, reasons, parts, hashes = Steps(config), Counter[str](), [], []
    steps.refine(["春天的花"], [None])  # tables are made, and the dictionary read
    steps.costs = {name: Cost() for name in STEPS}
    ((_, rows),) = rows_of_shards(plan.manifest, plan.inputs[:1])
    for part in batches([rows]):
        refined = steps.refine(part["alt_text"].to_pylist(), languages(part))
        reasons.update(reason.value for reason in refined.reasons if reason)
        hashes.append(refined.words.spoken[0])
        parts.append(pa.table({STOP: pa.array(refined.words.stop), TOLD: lists_of(refined.words)}))
    found = calibrated(config, counted(hashes), lambda columns: parts)
    for part in parts:
        empty = found.judge.empty(part)
        for name, mask, stays in (
            ("stop-words", empty, empty | True),
            ("entropy", found.judge.dull(part), ~empty),
        ):
            cost = steps.costs[name]
            cost.pairs += int(stays.sum())
            cost.dropped += int((mask & stays).sum())
            reasons[STEPS[name]["reasons"][0]] += int((mask & stays).sum())
    funnel = funnel_of(recipe_of(plan.skipped, found.document["used"]), len(rows), reasons)
    unknown = {
        name.partition("/")[2]: count for name, count in steps.counters.items() if name.startswith("unknown/")
    }
    for said in advice(funnel, found.document["calibrated"], unknown):
        console.warn(said)
    return Pilot(steps.costs, funnel, found.document)
