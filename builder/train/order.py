"""The order in which pairs are trained on: sizes of units in, for every stream the pairs that it gives, without end.

    epoch: units in the order of a hash ─▶ their pairs, one after the other ─▶ cut into streams ─▶ shuffled in windows

A unit is a row group, or a range of a tar. Batch b takes as many pairs of every stream, so which pairs it holds follows
from b, the seed and the sizes alone: never from ranks, threads or where a run was interrupted. A rank has some of the
streams, and reads no others. Nothing is held for a pair but within the window at hand.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import UsageError

# Pairs among which a stream deals its next one. With 64 streams of row groups of 1,000 rows, a batch comes from 64,000
# pairs in 64 places; what waits of them is half of that, at 25 kB a picture 0.8 GB on all ranks together.
WINDOW = 1024
_UNITS, _ROWS = 1, 2  # what is ordered: no two hashes of one seed are alike
_Ints = npt.NDArray[np.int64]


def mixed(*parts: int | npt.NDArray[np.integer]) -> npt.NDArray[np.uint64]:
    """A 64-bit hash of some numbers and an array of numbers, (n,): splitmix64 of one after the other.

    For given numbers before it, different values of the last have different hashes. NumPy's own generators are not
    used, as their streams may change from one version to the next. Source: Steele, Lea and Flood, OOPSLA 2014.
    """
    state = np.zeros(1, np.uint64)
    for part in parts:
        state = state ^ np.asarray(part).astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        state = (state ^ state >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        state = (state ^ state >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        state = state ^ state >> np.uint64(31)
    return state


@dataclass(frozen=True, slots=True)
class Stretch:
    """What a stream gives next: a window of it. start: pairs that it gave before.

    units: of each pair (n,); rows: which of its unit's pairs it is (n,).
    """

    start: int
    epoch: int
    units: _Ints
    rows: _Ints


@dataclass(frozen=True, slots=True)
class _Laid:
    """An epoch. units: in its order; starts: pairs before each, and all of them; cuts: pairs before each stream."""

    units: _Ints
    starts: _Ints
    cuts: _Ints


class Order:
    """The order of the pairs of units of these sizes, cut into streams, each of which gives as much of every batch.

    pairs: of an epoch. Raises ValueError for an empty unit, or batches that streams cannot share out.
    """

    def __init__(
        self, sizes: npt.ArrayLike, batch: int, streams: int, seed: int, window: int = WINDOW
    ) -> None:
        self._sizes = np.asarray(sizes, np.int64)
        self.pairs = int(self._sizes.sum())
        self.batch, self.streams, self._seed, self._window = batch, streams, seed, window
        if batch % streams or self.pairs < streams or self._sizes.min() < 1:
            raise ValueError(
                f"{streams} streams of {self.pairs} pairs in batches of {batch}, or an empty unit"
            )
        self._laid = functools.lru_cache(maxsize=4)(self._lay)

    @property
    def each(self) -> int:
        """Pairs of a batch that one stream gives."""
        return self.batch // self.streams

    def steps(self, epochs: int) -> int:
        """The number of whole batches in so many epochs."""
        return epochs * self.pairs // self.batch

    def share(self, rank: int, world: int) -> range:
        """The streams of a rank. Raises UsageError where ranks cannot share them out."""
        if self.streams % world:
            fit = ", ".join(str(n) for n in range(1, self.streams + 1) if self.streams % n == 0)
            raise UsageError(
                f"{world} ranks cannot share out {self.streams} streams; run {fit}, or begin with other --streams"
            )
        each = self.streams // world
        return range(rank * each, (rank + 1) * each)

    def stream(self, number: int, start: int) -> Iterator[Stretch]:
        """What stream `number` gives after its first `start` pairs, epoch after epoch."""
        epoch = max(0, start * self.streams // self.pairs - 1)
        while self._before(number, epoch + 1) <= start:
            epoch += 1
        while True:
            yield from self._stretches(number, epoch, start)
            epoch += 1

    def _before(self, streams: int | _Ints, epoch: int) -> _Ints:
        """Pairs that streams gave before an epoch.

        Where pairs are left over, one stream after the other has one more of an epoch; the next epoch goes on there.
        """
        most, more = divmod(self.pairs, self.streams)
        return epoch * most - (np.asarray(streams, np.int64) - epoch * more) // self.streams

    def _lay(self, epoch: int) -> _Laid:
        units = np.argsort(mixed(_UNITS, self._seed, epoch, np.arange(len(self._sizes))))
        every = np.arange(self.streams)
        lengths = self._before(every, epoch + 1) - self._before(every, epoch)
        return _Laid(units, _sums(self._sizes[units]), _sums(lengths))

    def _stretches(self, number: int, epoch: int, start: int) -> Iterator[Stretch]:
        """The windows of a stream in an epoch, from the pair on before which it gave `start`."""
        laid = self._laid(epoch)
        low, high = int(laid.cuts[number]), int(laid.cuts[number + 1])
        before = int(self._before(number, epoch)) - low
        first, last = np.searchsorted(laid.starts, low, "right") - 1, np.searchsorted(laid.starts, high)
        edges = np.clip(laid.starts[first : last + 1], low, high)
        # Whole units, so that none is read twice. The first window of each stream ends elsewhere: else all of them
        # would read at once, and hold nothing before that.
        late = self._window - self._window * (number + 1) // self.streams
        windows = (edges[:-1] - low + late) // self._window
        edges = edges[[0, *np.flatnonzero(np.diff(windows)) + 1, -1]]
        for left, right in zip(edges[:-1].tolist(), edges[1:].tolist(), strict=True):
            if before + right <= start:
                continue
            places = np.arange(left, right)
            places = places[np.argsort(mixed(_ROWS, self._seed, epoch, places))]
            places = places[max(0, start - before - left) :]
            at = np.searchsorted(laid.starts, places, "right") - 1
            yield Stretch(max(start, before + left), epoch, laid.units[at], places - laid.starts[at])


def _sums(lengths: _Ints) -> _Ints:
    """What comes before each of some lengths, and all of it."""
    return np.concatenate([[0], np.cumsum(lengths)])
