"""Numbers of any range, counted: nothing has to be known of them beforehand, and nothing grows with them.

    float32, batch by batch ─▶ FloatHistogram ─▶ quantiles, shares, and the few bins of a chart

A bin holds the numbers whose first BITS bits are the same, once these are turned so that they ascend as the numbers do.
So a bin is 0.2 % of its number wide, be that a cosine or the variance of a Laplacian, and what a histogram says of one
number is exact for the edge next to it. Of bfloat16, which is the same with 16 bits, two cosines of .23 differ by .001.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

BITS = 18
SHOWN = 72  # bins of a chart, at most
WIDE = 30  # times the 5 % quantile: where the one of 95 % is more than that, a chart has a logarithmic axis
ENDS = 0.0005  # of the numbers, at either end, that a chart shows at its edge

_SIGN = np.uint32(1 << 31)
_LAST = 32 - BITS
_INFINITE = np.float32(np.inf).view(np.uint32)
_MOST = float(np.finfo(np.float32).max)

Edges = npt.NDArray[np.float64]


def _places(numbers: npt.NDArray[np.float32]) -> npt.NDArray[np.uint32]:
    """The bin of each number."""
    bits = numbers.view(np.uint32)
    return np.where(bits & _SIGN, ~bits, bits | _SIGN) >> np.uint32(_LAST)


def _edges() -> Edges:
    """The least number of each bin, and behind them one more; those that no finite number is in at the ends."""
    turned = np.arange(1 << BITS, dtype=np.uint32) << np.uint32(_LAST)
    bits = np.where(turned & _SIGN, turned ^ _SIGN, ~turned)
    finite = bits & ~_SIGN < _INFINITE
    least = np.where(turned & _SIGN, _MOST, -_MOST)
    least[finite] = bits[finite].view(np.float32)
    return np.append(least, _MOST)


EDGES = _edges()


class FloatHistogram:
    """How many numbers lie in each bin."""

    def __init__(self, numbers: npt.NDArray[Any] | None = None) -> None:
        self.counts = np.zeros(1 << BITS, np.int64)
        if numbers is not None:
            self.add(numbers)

    def add(self, numbers: npt.NDArray[Any]) -> None:
        """Count numbers; those that are not finite count nowhere."""
        found = np.asarray(numbers, np.float32).ravel()
        found = found[np.isfinite(found)]
        if len(found):
            self.counts += np.bincount(_places(found), minlength=len(self.counts))

    def __add__(self, other: FloatHistogram) -> FloatHistogram:
        """Both together."""
        both = FloatHistogram()
        both.counts = self.counts + other.counts
        return both

    @property
    def total(self) -> int:
        """The numbers that were counted."""
        return int(self.counts.sum())

    def quantile(self, share: float) -> float:
        """The upper edge of the bin in which a share of the numbers is reached."""
        cumulated = np.cumsum(self.counts)
        return float(EDGES[int(np.searchsorted(cumulated, share * cumulated[-1])) + 1])

    def from_on(self, number: float) -> int:
        """The numbers in the bin of `number` and in those above."""
        (place,) = _places(np.array([number], np.float32))
        return int(self.counts[place:].sum())


def rebinned(
    histograms: Sequence[FloatHistogram], marks: Sequence[float] = ()
) -> tuple[Edges, list[Edges], bool]:
    """The edges of SHOWN bins or fewer for a chart, the numbers in each, and whether its axis is logarithmic.

    marks: numbers that the chart has to hold. The ENDS of the histograms, each of the same weight, count at the edge.
    """
    weighed = [one.counts / one.total for one in histograms if one.total]
    cumulated = np.cumsum(np.sum(weighed, axis=0)) / len(weighed)
    low, q05, q95, high = (int(np.searchsorted(cumulated, at)) for at in (ENDS, 0.05, 0.95, 1 - ENDS))
    first, last = min([float(EDGES[low]), *marks]), max([float(EDGES[high + 1]), *marks])
    log = bool(EDGES[q95] > WIDE * EDGES[q05] > 0) and all(one > 0 for one in marks)
    if log:
        least = max(first, last / 1e7)
        edges = np.geomspace(least, last, SHOWN + 1)
    else:
        margin = (last - first) / SHOWN if marks else 0.0
        edges = np.linspace(first - margin, last + margin, SHOWN + 1)
    return edges, [_shared(one, edges) for one in histograms], log


def _shared(histogram: FloatHistogram, edges: Edges) -> Edges:
    """The numbers between `edges`, those of a bin that one of them cuts by its part on either side."""
    below = np.interp(edges, EDGES, np.append(0, np.cumsum(histogram.counts)))
    below[0], below[-1] = 0, histogram.total
    return np.diff(below)
