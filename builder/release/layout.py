"""Which pair of a root goes into which shard of a release: one number a row.

    row groups ─▶ bytes of each row ─▶ how many shards ─▶ place: the number of its shard, OUT: none

Shards of a split are even in bytes and none is larger than asked for, but by a part of a row group, or by one picture.
Their number is a multiple that divides well over nodes and workers. A footer tells the bytes of a row group and not of
its rows: their mean will do while a shard holds many groups; of larger groups every picture is weighed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as compute

from ..disk.digests import Bools
from ..disk.parquet import parquet
from .source import Part, Root

FEWEST = 64  # rows a shard, where a split is so small that a multiple would leave fewer
HEADROOM = 1.01  # the footers, and that rows are not all of the mean size
LEVELS = 64  # steps to the level at which large pictures are cut off
SPARE_BYTES = 24  # a row, of columns that the release makes
# A pair in a tar, of heads and padding of its three members, and of names in its JSON.
TAR_BYTES = 3 * (512 + 256) + 400
FINE = 8  # row groups that a shard should hold, or its rows are weighed one by one
BATCH = 256  # rows of pictures read at once
OUT = -1

Floats = npt.NDArray[np.float64]
Places = npt.NDArray[np.int32]
Weights = dict[str, tuple["float | Floats", ...]]  # of the row groups of a part, by the stem of its shard
pc: Any = compute  # its stubs know no mix of column and constant


@dataclass(frozen=True, slots=True)
class ShardSize:
    """The most bytes of a shard, and what the number of shards is a multiple of."""

    shard_bytes: int
    multiple: int

    def count(self, rows: int, total: float) -> int:
        """The number of shards for `rows` of `total` bytes: enough that none is too large, few enough for FEWEST."""
        if not rows:
            return 0
        needed = max(1, -(-int(total * HEADROOM) // self.shard_bytes))
        count = -(-needed // self.multiple) * self.multiple
        if rows // count >= FEWEST:
            return count
        fitting = [d for d in range(needed, count + 1) if count % d == 0]
        return min(rows, max((d for d in fitting if rows // d >= FEWEST), default=fitting[0]))


@dataclass(frozen=True, slots=True)
class PlannedShard:
    """One shard to be made. rows [start, stop) of the root hold its pairs; bytes: as estimated."""

    number: int
    split: str
    path: str
    rows: int
    start: int
    stop: int
    bytes: int


def weigh(root: Root, what: str, extension: str, shard_bytes: int) -> Weights:
    """The bytes that each row adds; pictures are read only where their row groups are large beside `shard_bytes`."""
    return {part.shard.stem: tuple(_weigh(part, what, extension, shard_bytes)) for part in root.parts}


def _weigh(part: Part, what: str, extension: str, shard_bytes: int) -> Iterator[float | Floats]:
    tars, pictures = extension == "tar", what == "images"
    spare = part.beside_bytes + (TAR_BYTES if tars else SPARE_BYTES)
    for number, group in enumerate(part.groups):
        rows, other = max(1, group.rows), group.plain_bytes if tars else group.other_bytes
        if pictures and group.picture_bytes > shard_bytes / FINE:
            yield _pictures(part, number) + (other / rows + spare)
        else:
            yield (other + (group.picture_bytes if pictures else 0)) / rows + spare


def _pictures(part: Part, number: int) -> Floats:
    """The bytes of the picture in each row of a row group."""
    with parquet(part.shard.url) as file:
        batches = file.iter_batches(BATCH, row_groups=[number], columns=["image.bytes"], use_threads=False)
        lengths = [pc.binary_length(pc.struct_field(batch["image"], "bytes")) for batch in batches]
    return np.concatenate([np.empty(0), *(pc.fill_null(one, 0).to_numpy() for one in lengths)])


def _steps(part: Part, wanted: Bools, weights: Weights) -> Iterator[tuple[float | Floats, int | Floats]]:
    """Bytes of a row and number of wanted rows of each row group, or bytes of each wanted row of it, and ones."""
    start = part.first
    for group, each in zip(part.groups, weights[part.shard.stem], strict=True):
        mine = wanted[start : start + group.rows]
        if isinstance(each, float):
            yield each, int(np.count_nonzero(mine))
        else:
            yield each[mine], np.ones(mine.sum())
        start += group.rows


def larger(root: Root, wanted: Bools, weights: Weights, shard_bytes: int) -> int:
    """The number of wanted rows that take more than a whole shard."""
    found = (step for part in root.parts for step in _steps(part, wanted, weights))
    return int(sum(np.sum((np.asarray(each) > shard_bytes) * rows) for each, rows in found))


def lay_out(root: Root, wanted: Bools, size: ShardSize, weights: Weights, first: int = 0) -> Places:
    """Deal the wanted rows of each split evenly: the number of the shard of each row, counted from `first`."""
    place = np.full(root.rows, OUT, np.int32)
    for split in root.splits:
        parts = [part for part in root.parts if part.shard.split == split]
        found = [(0.0, 0), *(step for part in parts for step in _steps(part, wanted, weights))]
        each, rows = (np.hstack([step[column] for step in found]) for column in (0, 1))
        ranks = np.cumsum(rows)
        total = np.cumsum(np.minimum(each, size.shard_bytes) * rows)[-1]
        count = size.count(int(ranks[-1]), float(total))
        if not count:
            continue
        filled = np.cumsum(np.minimum(each, _level(each[1:], rows[1:], count)) * rows)
        marks = filled[-1] * np.arange(1, count) / count
        bounds = np.rint(np.interp(marks, filled, ranks)).astype(np.int64)
        before = 0
        for part in parts:
            mine = np.flatnonzero(wanted[part.first : part.stop])
            shard = np.searchsorted(bounds, before + np.arange(mine.size), side="right")
            place[part.first + mine] = first + shard
            before += mine.size
        first += count
    return place


def _level(each: Floats, rows: Floats, count: int) -> float:
    """The most that a row counts: the bytes of an even shard, as one larger picture would leave others empty."""
    level = np.inf
    for _ in range(LEVELS):
        share = float(np.sum(np.minimum(each, level) * rows)) / count
        if not np.any(each[rows > 0] > share):
            break
        level = share
    return level


def planned(
    root: Root, place: Places, weights: Weights, what: str, extension: str
) -> tuple[PlannedShard, ...]:
    """The shards of some places, named and numbered anew: those of a split in order, empty ones left out.

    Changes `place` to the new numbers.
    """
    size = int(place.max(initial=OUT)) + 2  # the last: of OUT
    rows, start, stop = np.zeros(size, np.int64), np.full(size, root.rows), np.zeros(size, np.int64)
    weight = np.zeros(size)
    numbers: dict[str, set[int]] = {split: set() for split in root.splits}
    for part in root.parts:
        mine = place[part.first : part.stop]
        there, first, which, counts = np.unique(
            mine, return_index=True, return_inverse=True, return_counts=True
        )
        after = mine.size - np.unique(mine[::-1], return_index=True)[1]
        weight[there] += np.bincount(which, _each(part, weights), there.size)
        rows[there] += counts
        start[there] = np.minimum(start[there], part.first + first)
        stop[there] = np.maximum(stop[there], part.first + after)
        numbers[part.shard.split].update(there[there != OUT].tolist())
    renumbered = np.full(size, OUT, np.int32)
    shards: list[PlannedShard] = []
    for split, found in numbers.items():
        for index, old in enumerate(sorted(found)):
            path = f"{what}/{split}-{index:05d}-of-{len(found):05d}.{extension}"
            sums = (int(column[old]) for column in (rows, start, stop, weight))
            renumbered[old] = len(shards)
            shards.append(PlannedShard(len(shards), split, path, *sums))
    for part in root.parts:
        place[part.first : part.stop] = renumbered[place[part.first : part.stop]]
    return tuple(shards)


def _each(part: Part, weights: Weights) -> Floats:
    """The bytes of each row of a part."""
    groups = zip(part.groups, weights[part.shard.stem], strict=True)
    return np.concatenate([np.empty(0), *(np.broadcast_to(each, group.rows) for group, each in groups)])
