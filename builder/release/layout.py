"""Which pair of a root goes into which shard of a release: one number a row.

    kept rows and bytes of the row groups ─▶ how many shards ─▶ place: the number of its shard, -1: none

Shards of a split are even in bytes and none is larger than asked for, but by a part of a row group, or by one picture.
Their number is a multiple that divides well over nodes and workers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .source import Part, Root
from .weights import Bools, Floats, Weights, steps

FEWEST = 64  # rows a shard, where a split is so small that a multiple would leave fewer
HEADROOM = 1.01  # the footers, and that rows are not all of the mean size
LEVELS = 64  # steps to the level at which large pictures are cut off
OUT = -1

Places = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Size:
    """How large shards may be, and what their number is a multiple of."""

    shard_bytes: int
    multiple: int

    def count(self, rows: int, total: float) -> int:
        """How many shards `rows` of `total` bytes make: enough that none is too large, and few enough for FEWEST."""
        if not rows:
            return 0
        needed = max(1, -(-int(total * HEADROOM) // self.shard_bytes))
        count = -(-needed // self.multiple) * self.multiple
        if rows // count >= FEWEST:
            return count
        fitting = [d for d in range(needed, count + 1) if count % d == 0]
        return min(rows, max((d for d in fitting if rows // d >= FEWEST), default=fitting[0]))


@dataclass(frozen=True, slots=True)
class Planned:
    """One shard to be made. rows [start, stop) of the root hold its pairs; bytes: as estimated."""

    number: int
    split: str
    path: str
    rows: int
    start: int
    stop: int
    bytes: int


def lay_out(
    root: Root, wanted: Bools, size: Size, weights: Weights, first: int = 0
) -> tuple[Places, dict[str, int]]:
    """Deal the wanted rows evenly: their places, counted from `first`, and how many shards each split gets."""
    place = np.full(root.rows, OUT, np.int32)
    counts = {}
    for split, parts in by_split(root):
        found = [step for part in parts for step in steps(part, wanted, weights)]
        if not found:  # the shards of the split hold no rows
            counts[split] = 0
            continue
        each, rows = (np.hstack([step[column] for step in found]) for column in (0, 1))
        ranks = np.concatenate([[0.0], np.cumsum(rows)])
        total = np.cumsum(np.minimum(each, size.shard_bytes) * rows)[-1]
        counts[split] = count = size.count(int(ranks[-1]), float(total))
        if not count:
            continue
        filled = np.concatenate([[0.0], np.cumsum(np.minimum(each, _level(each, rows, count)) * rows)])
        marks = filled[-1] * np.arange(1, count) / count
        bounds = np.rint(np.interp(marks, filled, ranks)).astype(np.int64)
        before = 0
        for part in parts:
            mine = np.flatnonzero(wanted[part.first : part.stop])
            shard = np.searchsorted(bounds, before + np.arange(mine.size), side="right")
            place[part.first + mine] = first + shard
            before += mine.size
        first += count
    return place, counts


def _level(each: Floats, rows: Floats, count: int) -> float:
    """What a row counts at most: the bytes of an even shard, as one larger picture would leave others empty."""
    level = np.inf
    for _ in range(LEVELS):
        share = float(np.sum(np.minimum(each, level) * rows)) / count
        if not np.any(each[rows > 0] > share):
            break
        level = share
    return level


def by_split(root: Root) -> Iterator[tuple[str, list[Part]]]:
    """The parts of each split, in order."""
    for split in dict.fromkeys(part.shard.split for part in root.parts):
        yield split, [part for part in root.parts if part.shard.split == split]


def planned(root: Root, place: Places, weights: Weights, what: str, extension: str) -> tuple[Planned, ...]:
    """The shards of some places, named and numbered anew: those of a split in order, empty ones left out.

    Changes `place` to the new numbers.
    """
    size = int(place.max(initial=OUT)) + 1
    rows, weight = np.zeros(size, np.int64), np.zeros(size)
    start, stop = np.full(size, root.rows, np.int64), np.zeros(size, np.int64)
    splits: dict[str, list[int]] = {}
    for split, parts in by_split(root):
        numbers: set[int] = set()
        for part in parts:
            numbers |= _gather(part, place, weights, (rows, weight, start, stop))
        if numbers:
            splits[split] = sorted(numbers)
    renumbered = np.full(size + 1, OUT, np.int32)  # the last: of OUT
    shards: list[Planned] = []
    for split, found in splits.items():
        for index, old in enumerate(found):
            renumbered[old] = len(shards)
            path = f"{what}/{split}-{index:05d}-of-{len(found):05d}.{extension}"
            shards.append(
                Planned(
                    len(shards),
                    split,
                    path,
                    int(rows[old]),
                    int(start[old]),
                    int(stop[old]),
                    int(weight[old]),
                )
            )
    for part in root.parts:
        place[part.first : part.stop] = renumbered[place[part.first : part.stop]]
    return tuple(shards)


def _gather(
    part: Part,
    place: Places,
    weights: Weights,
    sums: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> set[int]:
    """Add the rows and bytes of a part to its shards; the places found."""
    rows, weight, start, stop = sums
    found: set[int] = set()
    begin = part.first
    for group, each in zip(part.groups, weights[part.shard.stem], strict=True):
        mine = place[begin : begin + group.rows]
        there, first, which, counts = np.unique(
            mine, return_index=True, return_inverse=True, return_counts=True
        )
        sizes = counts * each if isinstance(each, float) else np.bincount(which, each)
        last = group.rows - 1 - np.unique(mine[::-1], return_index=True)[1]
        for number, low, high, count, size in zip(there, first, last, counts, sizes, strict=True):
            if number == OUT:
                continue
            found.add(int(number))
            rows[number] += count
            weight[number] += size
            start[number] = min(start[number], begin + low)
            stop[number] = max(stop[number], begin + high + 1)
        begin += group.rows
    return found
