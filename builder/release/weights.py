"""How many bytes each row of a root adds to a shard of its release, from footers; of large pictures, as they are.

    row groups ─▶ of each the mean of its rows, or one number a row where groups are large beside the shards

A footer tells the bytes of a row group and not of its rows: their mean will do while a shard holds many groups.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.compute as compute

from ..disk.parquet import parquet
from .source import Part, Root

SPARE_BYTES = 24  # a row, of columns that the release makes
TAR_BYTES = (
    3 * (512 + 256) + 400
)  # a pair, of heads and padding of its three members, and of names in its JSON
FINE = 8  # row groups that a shard should hold, or its rows are weighed one by one
BATCH = 256  # rows of pictures read at once

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float64]
Weights = dict[str, tuple["float | Floats", ...]]  # of the row groups of a part, by the stem of its shard
pc: Any = compute  # its stubs know no mix of column and constant


def weigh(root: Root, what: str, extension: str, shard_bytes: int) -> Weights:
    """The weights of all rows; pictures are read only where their row groups are large beside `shard_bytes`."""
    tars = extension == "tar"
    return {part.shard.stem: tuple(_of_groups(part, what, tars, shard_bytes)) for part in root.parts}


def steps(part: Part, wanted: Bools, weights: Weights) -> Iterator[tuple[float | Floats, int | Floats]]:
    """Of each row group the bytes of a row and how many rows are wanted, or of each wanted row its bytes, and ones."""
    start = part.first
    for group, each in zip(part.groups, weights[part.shard.stem], strict=True):
        mine = wanted[start : start + group.rows]
        yield (
            (each, int(np.count_nonzero(mine)))
            if isinstance(each, float)
            else (each[mine], np.ones(mine.sum()))
        )
        start += group.rows


def _of_groups(part: Part, what: str, tars: bool, shard_bytes: int) -> Iterator[float | Floats]:
    for number, group in enumerate(part.groups):
        rows, spare = max(1, group.rows), part.score_bytes + (TAR_BYTES if tars else SPARE_BYTES)
        other = group.plain_bytes if tars else group.other_bytes
        if what == "images" and group.picture_bytes > shard_bytes / FINE:
            yield _pictures(part, number) + (other / rows + spare)
        else:
            yield (other + (group.picture_bytes if what == "images" else 0)) / rows + spare


def _pictures(part: Part, number: int) -> Floats:
    """The bytes of the picture in each row of a row group."""
    with parquet(part.shard.url) as file:
        batches = file.iter_batches(BATCH, row_groups=[number], columns=["image.bytes"], use_threads=False)
        lengths = [pc.binary_length(pc.struct_field(batch["image"], "bytes")) for batch in batches]
    return np.concatenate([np.empty(0), *(pc.fill_null(one, 0).to_numpy() for one in lengths)])


def larger(root: Root, wanted: Bools, weights: Weights, shard_bytes: int) -> int:
    """How many of the wanted rows take more than a whole shard."""
    found = (step for part in root.parts for step in steps(part, wanted, weights))
    return int(sum(np.sum((np.asarray(each) > shard_bytes) * rows) for each, rows in found))
