"""Measures with thresholds: how the numbers of all pairs lie, which lie next to a threshold, and what others keep.

    a column of numbers and one of reasons, batch by batch ─▶ Measured ─▶ a chart, a table, samples of both sides

A threshold is shown as it was used: what equals it is kept. Other thresholds are those that would let a round share of
all measured pairs go. What they would keep in the end is more than a count can say, as other steps and the search for
duplicates come after; so the table tells what it can: how many pass, how many of those kept now would, and how many of
those dropped for it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..card.histogram import FloatHistogram
from ..disk.schema import floats
from ..reasons import Reason
from .columns import pc, scalar
from .samples import Row, Smallest

DROPPED = (
    0.001,
    0.01,
    0.05,
    0.1,
    0.25,
    0.5,
)  # shares of all measured pairs that other thresholds would let go
KEPT, ELSE = "kept", "else"  # groups of pairs beside those dropped for the measure


@dataclass(frozen=True, slots=True)
class Bound:
    """One threshold of a measure. name: as decisions have it; least: numbers below drop, not those above."""

    name: str
    reason: Reason
    least: bool


@dataclass(frozen=True, slots=True)
class Measure:
    """What is measured of pairs. name: of its column; axis: what its numbers are; hidden: pictures may disturb."""

    name: str
    title: str
    axis: str
    bounds: tuple[Bound, ...]
    hidden: bool = False


RULES = (
    Measure(
        "spread", "Spread of the luminance", "standard deviation of the luminance",
        (Bound("spread", Reason.FLAT, least=True),),
    ),
    Measure(
        "sharpness", "Sharpness", "variance of the Laplacian of the luminance",
        (Bound("sharpness", Reason.BLURRED, least=True),),
    ),
    Measure(
        "entropy", "Entropy of the picture", "entropy of the luminance, bits",
        (Bound("entropy", Reason.LOW_DETAIL, least=True),),
    ),
    Measure(
        "risk", "Risk", "risk, by the image classifier",
        (Bound("risk", Reason.UNSAFE_IMAGE, least=False),), hidden=True,
    ),
    Measure(
        "cos", "Picture and caption", "cosine of picture and caption",
        (Bound("cos_low", Reason.WEAK_MATCH, least=True), Bound("cos_high", Reason.TEXT_PICTURE, least=False)),
    ),
    Measure(
        "text_share", "Text in the picture", "share of the picture that is text",
        (Bound("text_share", Reason.TEXT_IN_IMAGE, least=False),),
    ),
)  # fmt: skip


class Other(NamedTuple):
    """A threshold, and how many pairs it would keep. passing: of all measured; still: of those kept now; back: of
    those dropped for it. used: whether it is the one that was used."""

    value: float
    passing: int
    still: int
    back: int
    used: bool


@dataclass(slots=True)
class Measured:
    """A measure of a root. thresholds: as used, by the name of the bound; missing: pairs without a number."""

    measure: Measure
    thresholds: Mapping[str, float]
    nearest: Smallest
    missing: int = 0
    passing: defaultdict[str, int] = field(default_factory=lambda: defaultdict(int))
    groups: dict[str, FloatHistogram] = field(default_factory=lambda: defaultdict(FloatHistogram))

    def count(self, table: pa.Table, column: Any, shard: str) -> None:
        """Count a batch. table: key, row and reason of its pairs; column: their numbers."""
        numbers = floats(column)
        reasons = table["reason"]
        left = np.asarray(reasons.is_null())
        known = ~np.isnan(numbers)
        self.missing += int(np.count_nonzero(~known))
        rest = known & ~left
        self.groups[KEPT].add(numbers[left])
        for bound in self.measure.bounds:
            lost = np.asarray(pc.fill_null(pc.equal(reasons, scalar(bound.reason)), False))
            self.groups[bound.name].add(numbers[lost])
            rest &= ~lost
            if (value := self.thresholds.get(bound.name)) is not None:
                kept = numbers >= value if bound.least else numbers <= value
                self.passing[bound.name] += int(np.count_nonzero(kept & known))
                self._offer(bound, numbers, (lost, left & known), (table, shard))
        self.groups[ELSE].add(numbers[rest])

    def _offer(
        self, bound: Bound, numbers: npt.NDArray[np.float32], sides: tuple[Any, Any], of: tuple[pa.Table, str]
    ) -> None:
        """Offer the pairs that lie nearest to a bound, of those dropped for it and of those that are kept."""
        table, shard = of
        distance = np.abs(numbers.astype(np.float64) - self.thresholds[bound.name])
        table = table.append_column("value", pa.array(numbers)).append_column("distance", pa.array(distance))
        for side, mask in zip(("dropped", KEPT), sides, strict=True):
            self.nearest.offer(f"{bound.name} {side}", table.filter(pa.array(mask)), shard)

    @property
    def whole(self) -> FloatHistogram:
        """The numbers of all pairs."""
        return sum(self.groups.values(), FloatHistogram())

    def edge(self, bound: Bound) -> tuple[list[Row], list[Row]]:
        """The pairs on both sides of a bound, in the order of their numbers: dropped for it, and kept."""
        below, above = (
            sorted(
                self.nearest.groups.get(f"{bound.name} {side}", []),
                key=lambda row: (row["value"], row["key"]),
            )
            for side in ("dropped", KEPT)
        )
        return below, above

    def others(self, bound: Bound) -> Iterator[Other]:
        """What other thresholds would keep, the laxest first, and that in use among them."""
        whole = self.whole
        if not whole.total:
            return
        kept, lost = self.groups[KEPT], self.groups[bound.name]
        found = {}
        for share in DROPPED:
            value = whole.quantile(share if bound.least else 1 - share)
            passing, still, back = (
                one.from_on(value) if bound.least else one.total - one.from_on(value)
                for one in (whole, kept, lost)
            )
            found[value] = Other(value, passing, still, back, used=False)
        if bound.name in self.thresholds:
            value = self.thresholds[bound.name]
            found[value] = Other(value, self.passing[bound.name], kept.total, 0, used=True)
        yield from (found[value] for value in sorted(found, reverse=not bound.least))
