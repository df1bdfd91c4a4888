"""Which pair of a root goes into which shard of a release: one number a row.

    kept rows and bytes of the row groups ─▶ how many shards ─▶ place: the number of its shard, -1: none

Shards of a split are even in bytes, and their number is a multiple that divides well over nodes and workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .source import Part, Root

FEWEST = 64  # rows a shard, where a split is so small that a multiple would leave fewer
HEADROOM = 1.01  # the footers, and that rows are not all of the mean size
SPARE_BYTES = 24  # a row, of columns that the release makes
OUT = -1

Places = npt.NDArray[np.int32]
Bools = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Size:
    """How large shards may be, and what their number is a multiple of."""

    shard_bytes: int
    multiple: int

    def count(self, rows: int, total: float) -> int:
        """How many shards `rows` of `total` bytes make."""
        if not rows:
            return 0
        steps = max(1, -(-int(total * HEADROOM) // (self.shard_bytes * self.multiple)))
        count = steps * self.multiple
        if rows // count >= FEWEST:
            return count
        return max((d for d in range(1, count + 1) if count % d == 0 and rows // d >= FEWEST), default=1)


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
    root: Root, wanted: Bools, size: Size, what: str, first: int = 0
) -> tuple[Places, dict[str, int]]:
    """Deal the wanted rows evenly: their places, counted from `first`, and how many shards each split gets."""
    place = np.full(root.rows, OUT, np.int32)
    counts = {}
    for split, parts in by_split(root):
        weights, ranks = _cumulated(parts, wanted, what)
        counts[split] = count = size.count(int(ranks[-1]), float(weights[-1]))
        if not count:
            continue
        marks = weights[-1] * np.arange(1, count) / count
        bounds = np.rint(np.interp(marks, weights, ranks)).astype(np.int64)
        before = 0
        for part in parts:
            rows = np.flatnonzero(wanted[part.first : part.stop])
            shard = np.searchsorted(bounds, before + np.arange(rows.size), side="right")
            place[part.first + rows] = first + shard
            before += rows.size
        first += count
    return place, counts


def by_split(root: Root) -> Iterator[tuple[str, list[Part]]]:
    """The parts of each split, in order."""
    for split in dict.fromkeys(part.shard.split for part in root.parts):
        yield split, [part for part in root.parts if part.shard.split == split]


def _cumulated(
    parts: Iterable[Part], wanted: Bools, what: str
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Bytes and wanted rows up to the end of each row group, from 0; a row weighs as the mean of its group."""
    weights, ranks = [0.0], [0.0]
    for part in parts:
        start = part.first
        for group in part.groups:
            rows = int(np.count_nonzero(wanted[start : start + group.rows]))
            size = group.other_bytes + (group.picture_bytes if what == "images" else 0)
            each = size / max(1, group.rows) + part.score_bytes + SPARE_BYTES
            weights.append(weights[-1] + rows * each)
            ranks.append(ranks[-1] + rows)
            start += group.rows
    return np.array(weights), np.array(ranks)


def planned(root: Root, place: Places, what: str, extension: str) -> tuple[Planned, ...]:
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
            numbers |= _gather(part, place, what, (rows, weight, start, stop))
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
    what: str,
    sums: tuple[npt.NDArray[np.int64], npt.NDArray[np.float64], npt.NDArray[np.int64], npt.NDArray[np.int64]],
) -> set[int]:
    """Add the rows and bytes of a part to its shards; the places found."""
    rows, weight, start, stop = sums
    found: set[int] = set()
    begin = part.first
    for group in part.groups:
        mine = place[begin : begin + group.rows]
        size = group.other_bytes + (group.picture_bytes if what == "images" else 0)
        each = size / max(1, group.rows) + part.score_bytes + SPARE_BYTES
        there, first, counts = np.unique(mine[::1], return_index=True, return_counts=True)
        last = group.rows - 1 - np.unique(mine[::-1], return_index=True)[1]
        for number, low, high, count in zip(there, first, last, counts, strict=True):
            if number == OUT:
                continue
            found.add(int(number))
            rows[number] += count
            weight[number] += count * each
            start[number] = min(start[number], begin + low)
            stop[number] = max(stop[number], begin + high + 1)
        begin += group.rows
    return found
