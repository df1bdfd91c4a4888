"""What the words of a text tell, by their share of all words; and thresholds, beyond which a share of all pairs lies.

hashes of the words of all texts ─▶ Counts ─▶ Surprise: -p log2 p of each ─▶ their sum over a text, in bits
values of all texts ─▶ Histogram ─▶ Histogram.below: the value below which a share of them lies

Sums are of whole numbers, 2^-32 bits each, and histograms add up: neither depends on any order.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from .words import HASHES, Hashes, sums

UNIT = 2.0**-32  # bits; no word has more than 0.531 of them, at p = 1/e
COUNTED = pa.schema([pa.field("word", pa.uint32()), pa.field("count", pa.int64())])
_SHIFT = 38  # of the 52 bits of a fraction: a bin of the histogram is 1/16,384 of its value wide
_ZERO = (1023 << 14) - 1  # the bin of 0: that of 1, as a float begins with its exponent, comes after it
Values = npt.NDArray[np.int64]


def counted(hashes: Iterable[Hashes]) -> pa.Table:
    """How often each word comes, a row for each that does."""
    words, counts = np.unique(np.concatenate([np.empty(0, np.uint32), *hashes]), return_counts=True)
    return pa.Table.from_arrays([pa.array(words), pa.array(counts.astype(np.int64))], schema=COUNTED)


def summed(tables: Iterable[pa.Table]) -> pa.Table:
    """The counts of several tables of `counted`, added up."""
    total = np.zeros(HASHES, np.int64)
    for table in tables:
        total[table["word"].to_numpy()] += table["count"].to_numpy()  # no word comes twice in one
    (words,) = np.nonzero(total)
    return pa.Table.from_arrays([pa.array(words.astype(np.uint32)), pa.array(total[words])], schema=COUNTED)


class Surprise:
    """What each word tells, by how often it comes in all texts. counts: a table of `summed`."""

    def __init__(self, counts: pa.Table) -> None:
        share = counts["count"].to_numpy() / max(int(counts["count"].to_numpy().sum()), 1)
        self._units = np.zeros(HASHES, np.uint32)
        self._units[counts["word"].to_numpy()] = np.rint(-share * np.log2(share) / UNIT).astype(np.uint32)

    def of(self, words: Hashes, counts: npt.NDArray[np.int64]) -> Values:
        """The entropy of texts in UNIT, (n,), by their words (m,), of which each has `counts` (n,)."""
        return sums(self._units[words], counts)


class Histogram:
    """How many values lie where, of numbers from 0 to 2^40, exactly for those up to 16,384."""

    def __init__(self) -> None:
        self._counts = np.zeros(1 << 20, np.int64)

    def add(self, values: Values) -> None:
        """Count values."""
        self._counts += np.bincount(_bins(values), minlength=len(self._counts))

    def below(self, share: float) -> int:
        """The value below which the share of all values that lies is nearest to `share`; 0 where there is none."""
        total = int(self._counts.sum())
        beneath = np.concatenate([[0], np.cumsum(self._counts)])  # of bin n, all before it
        if not total:
            return 0
        best = int(np.argmin(np.abs(beneath[:-1] / total - share)))
        return _value(best)


def _bins(values: Values) -> npt.NDArray[np.int64]:
    """The bins of values: they ascend as these do."""
    found: npt.NDArray[np.int64] = np.maximum((values.astype(np.float64).view(np.int64) >> _SHIFT) - _ZERO, 0)
    return found


def _value(bin_: int) -> int:
    """The least value of a bin."""
    return int(np.ceil(np.array([(bin_ + _ZERO) << _SHIFT], np.int64).view(np.float64)[0])) if bin_ else 0
