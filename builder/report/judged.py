"""The sections of the page about a curation: measures with their thresholds, and duplicate sets, as they are shown.

CuratedCounts, images/ ─▶ charts, tables and samples for curated.html
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from ..card import charts
from ..card.charts import Chart, Layer, Mark, Scale
from .curated import CuratedCounts
from .measures import ELSE, KEPT, Bound, Measured, Other
from .samples import Row, read
from .strips import Strip

COLOURS = ("drifted", "placeholder")  # of the pairs dropped for the bounds of a measure


@dataclass(frozen=True, slots=True)
class ShownBound:
    """A threshold on the page. others: what it and others would keep; dropped, kept: the pairs on its two sides."""

    bound: Bound
    value: float | None
    others: list[Other]
    dropped: list[Row]
    kept: list[Row]


@dataclass(frozen=True, slots=True)
class ShownMeasure:
    """A measure on the page. measured, missing: pairs with a number and without."""

    name: str
    title: str
    chart: Chart
    measured: int
    missing: int
    hidden: bool
    bounds: list[ShownBound]


def plain(value: float) -> str:
    """A number of any size in four digits, or with commas, and a true minus sign."""
    told = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    return told.replace("-", "\N{MINUS SIGN}")


def measures_shown(root: str, curated: CuratedCounts) -> list[ShownMeasure]:
    """The measures that the root has numbers of."""
    found = [one for one in curated.measured if one.whole.total]
    edges = [row for one in found for bound in one.measure.bounds for side in one.edge(bound) for row in side]
    seen = iter(read(root, edges, "curated"))
    return [_measure(one, seen) for one in found]


def _measure(one: Measured, seen: Iterator[Row]) -> ShownMeasure:
    """A measure; seen: the samples next to its bounds, in their order, and more behind them."""
    rule, bounds = one.measure, []
    for bound in rule.bounds:
        dropped, kept = ([*islice(seen, len(side))] for side in one.edge(bound))
        value = one.thresholds.get(bound.name)
        bounds.append(ShownBound(bound, value, [*one.others(bound)], dropped, kept))
    measured = one.whole.total
    return ShownMeasure(rule.name, rule.title, _chart(one), measured, one.missing, rule.hidden, bounds)


def _chart(one: Measured) -> Chart:
    """Kept above, dropped below, the latter by whether it was for this measure; its thresholds as lines."""
    bounds = one.measure.bounds
    lost = [
        Layer(bound.reason.replace("_", " "), colour, one.groups[bound.name])
        for bound, colour in zip(bounds, COLOURS, strict=False)
    ]
    used = [(bound, one.thresholds[bound.name]) for bound in bounds if bound.name in one.thresholds]
    marks = tuple(
        Mark(value, f"{'≥' if bound.least else '≤'} {plain(value)}", bound.least) for bound, value in used
    )
    told = f"{one.measure.title}: {one.groups[KEPT].total:,} kept pairs, and below them {_dropped(one):,} dropped ones."
    return charts.kept_and_dropped(
        f"measure-{one.measure.name}",
        one.groups[KEPT],
        [*lost, Layer("for something else", "dead", one.groups[ELSE])],
        Scale(one.measure.axis, marks),
        told,
    )


def _dropped(one: Measured) -> int:
    return one.whole.total - one.groups[KEPT].total


@dataclass(frozen=True, slots=True)
class ShownCouples:
    """Near couples on the page. above: thresholds, the couples beyond each, and whether it was used."""

    chart: Chart
    threshold: float
    above: list[tuple[float, int, bool]]
    same: list[tuple[Row, Row, float]]
    apart: list[tuple[Row, Row, float]]


def couples_shown(root: str, curated: CuratedCounts) -> ShownCouples | None:
    """The near couples of the root, those next to the threshold with their pictures; None where none are known."""
    found = curated.couples
    if found is None or not found.apart.total + found.same.total:
        return None
    told = f"Near couples: {found.apart.total:,} up to {plain(found.threshold)}, and {found.same.total:,} above it."
    mark = Mark(found.threshold, f"> {plain(found.threshold)}", least=False)
    scale = Scale("cosine of two pictures", (mark,), ("different pictures", "the same picture"))
    chart = charts.kept_and_dropped("couples", found.apart, [Layer("", "drifted", found.same)], scale, told)
    same, apart = found.side("same"), found.side("apart")
    rows = [row for one, other, _ in (*same, *apart) for row in (one, other)]
    seen = iter(read(root, rows, "curated"))
    ends = zip(seen, seen, strict=True)
    same, apart = (
        [(*two, cos) for (_, _, cos), two in zip(side, ends, strict=False)] for side in (same, apart)
    )
    above = [(value, found.above[value], value == found.threshold) for value in sorted(found.above)]
    return ShownCouples(chart, found.threshold, above, same, apart)


def strips_shown(root: str, curated: CuratedCounts) -> list[Strip]:
    """The duplicate sets that are shown, with their pictures: the kept pair of each before those it stands for."""
    strips = curated.sets.strips
    seen = iter(read(root, [row for one in strips for row in (one.kept, *one.members)], "curated"))
    return [Strip(next(seen, one.kept), [*islice(seen, len(one.members))], one.pairs) for one in strips]
