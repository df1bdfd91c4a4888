"""The page about a run of `danqing train`: its recipe beside the paper's, its curves, what was lost, its checkpoints.

RunRecord ─▶ the text of one HTML file that asks for nothing else, also of a run under way
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import __version__
from ..card import charts
from ..card.charts import Chart, Line
from ..console import in_time, in_words
from ..disk.ledger import by_count
from ..disk.schema import published
from ..stage.trained import RunRecord, ToldTable
from .page import environment, name_of, placeless, worded
from .samples import visible

MARKED = 50  # steps that stood out, the newest of them
SHOWN = 100  # rows of a table, the newest
LOST = {
    "corrupt": "the picture could not be decoded",
    "no_text": "the pair has none of the captions that were asked for",
}
WAYS = {"image_to_text": ("image to text", "kept"), "text_to_image": ("text to image", "matching")}
# Charts of one line: name in the log ─▶ title.
SINGLE = {
    "learning_rate": "Learning rate",
    "gradient_norm": "Norm of the gradient, unclipped",
    "scale": "Scale of the logits",
    "bias": "Bias of the logits",
    "pairs_per_second": "Pairs a second, on all ranks",
    "stall": "Share of a step that waited for data",
}


@dataclass(frozen=True, slots=True)
class RunPage:
    """What was written. bytes: of the page; steps: done, of `total`."""

    output: str
    bytes: int
    steps: int
    total: int

    def lines(self) -> list[str]:
        """The summary in a line for people."""
        return [f"{self.output}: {self.steps:,} of {self.total:,} steps, {in_words(self.bytes)}"]

    def as_dict(self) -> dict[str, object]:
        """The summary as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def render(record: RunRecord) -> str:
    """The page as text."""
    steps, losses = record.steps["step"], record.steps["loss"]
    none = [int(step) for step, loss in zip(steps, losses, strict=True) if not math.isfinite(loss)]
    odd = {"whose loss is no number": none, "whose loss stood out from those before": record.spikes}
    known = {
        "name": visible(name_of(record.run)),
        "record": record,
        "tiles": _tiles(record),
        "charts": _charts(record),
        "recipe": _recipe(record.plan.get("recipe", {})),
        "lost": [(visible(name), count, LOST.get(name, "")) for name, count in by_count(record.lost)],
        "validations": _validations(record),
        "odd": [(what, found[-MARKED:], len(found)) for what, found in odd.items()],
        "evaluated": _evaluated(record),
        "checkpoints": record.checkpoints[-SHOWN:],
        "wide": charts.WIDE,
        "made": _made(record),
    }
    return environment().get_template("run.html").render(known)


def figure(value: float, form: str = ".4g") -> str:
    """A number as people read it, a dash where there is none; nan and inf where it is none."""
    return f"{value:{form}}".replace("-", "\N{MINUS SIGN}")


def _tiles(record: RunRecord) -> list[tuple[str, str, str]]:
    """What, how much, of what."""
    pairs, left = record.end["pairs"] if record.end else record.last("pairs", 0), record.seconds_left
    ends = f"took {in_time(record.end['seconds'])}" if record.end else "not done"
    found = {name: numbers[-1] for name, numbers in record.validations.items() if numbers}
    tiles = [
        (
            "steps",
            figure(record.at, ","),
            f"of {record.total:,}; {ends if left is None else in_time(left) + ' to go'}",
        ),
        ("pairs", figure(pairs, ",.0f"), f"in batches of {record.asked('batch_size'):,}"),
        ("loss", figure(record.recent("loss")), "median of the newest steps"),
    ]
    if found:
        of = f"of {figure(found['pairs'], ',.0f')} pairs, after step {figure(found['step'], ',.0f')}"
        tiles += [(f"R@1, {way}", figure(found[name], ".1%"), of) for name, (way, _) in WAYS.items()]
    speed = f"{figure(record.recent('stall'), '.1%')} of it waited for data"
    return [*tiles, ("pairs a second", figure(record.recent("pairs_per_second"), ",.0f"), speed)]


def _charts(record: RunRecord) -> list[Chart]:
    """Every curve that has a number to draw."""

    def line(of: Mapping[str, array[float]], name: str, label: str = "", colour: str = "kept") -> Line:
        dots = of is record.validations
        return Line(label, colour, np.array(of["step"]), np.array(of[name]), dots)

    found, marks = record.validations, record.spikes[-MARKED:]
    loss = [line(record.steps, "loss")]
    ways = [line(found, name, label, colour) for name, (label, colour) in WAYS.items()]
    asked = [
        ("loss", "Loss; dotted: steps that stood out" if marks else "Loss", loss, marks),
        ("validation_loss", "Loss on the pairs to validate on", [line(found, "loss", colour="matching")], []),
        ("recall", "R@1 on the pairs to validate on", ways, []),
        *((name, title, [line(record.steps, name)], []) for name, title in SINGLE.items()),
    ]
    return [
        charts.lines(name, shown, title, f"{title}, of {len(shown[0].steps):,} steps", steps)
        for name, title, shown, steps in asked
        if any((np.abs(one.values) < charts.DRAWN).any() for one in shown)
    ]


def _recipe(told: Mapping[str, object]) -> list[tuple[list[str], bool]]:
    """Name, value, default and source of each part, and whether a default was left."""
    rows = []
    for name, one in [*told.items()][:SHOWN]:
        if isinstance(one, dict):
            value, paper, source = (one.get(part) for part in ("value", "paper", "source"))
            cells = ("–" if part is None else worded(part) for part in (value, paper, source))
            rows.append((list(map(visible, (name.replace("_", " "), *cells))), value != paper))
    return rows


def _validations(record: RunRecord) -> list[list[str]]:
    """Step, pairs, loss and R@1 both ways of the newest validations."""
    forms = {"step": ",.0f", "pairs": ",.0f", "loss": ".4g", **dict.fromkeys(WAYS, ".1%")}
    columns = [
        [figure(one, form) for one in record.validations[name][-SHOWN:]] for name, form in forms.items()
    ]
    return [list(row) for row in zip(*columns, strict=True)]


def _evaluated(record: RunRecord) -> list[ToldTable]:
    """The tables of an evaluation, in characters that are seen."""
    told = record.evaluation["tables"] if record.evaluation else []
    return [
        {
            "title": visible(one["title"]),
            "columns": [*map(visible, one["columns"])],
            "rows": [[*map(visible, row)] for row in one["rows"]],
            "notes": [*map(visible, one["notes"])],
        }
        for one in told
    ]


def _made(record: RunRecord) -> list[tuple[str, str]]:
    """Data, checkpoint and options of the run, for whoever wants to repeat it."""
    plan = record.plan
    identity = plan.get("made_from", {}).get("identity")
    facts: dict[str, Any] = {
        **{f"data, {name}": one for name, one in (identity if isinstance(identity, dict) else {}).items()},
        **{f"checkpoint, {name}": one for name, one in published(plan.get("checkpoint", {})).items()},
        **plan.get("config", {}),
        "danqing": f"{plan.get('version', 'unknown')}, page {__version__}",
    }
    given = ((name, placeless(worded(one))) for name, one in facts.items() if one not in (None, "", {}))
    return [(visible(name.replace("_", " ")), visible(one)) for name, one in given]
