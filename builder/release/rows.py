"""The rows of a planned shard, read from the root: columns of the release, a row group of the root at a time.

images/, scores/, place ─▶ Arrow tables in the schema of the release
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.parquet import parquet
from ..errors import InputError
from .columns import Columns
from .layout import Places, Planned
from .source import Part, Root
from .weights import Bools


def read(root: Root, columns: Columns, place: Places, shard: Planned) -> Iterator[pa.Table]:
    """The pairs of a shard in the order of the root, some at a time.

    Raises InputError where scores and pictures do not belong together.
    """
    for part in root.parts:
        if part.first >= shard.stop or part.stop <= shard.start:
            continue
        mine = np.asarray(place[part.first : part.stop]) == shard.number
        if mine.any():
            yield from _read_part(part, columns, mine)


def _read_part(part: Part, columns: Columns, mine: Bools) -> Iterator[pa.Table]:
    scores = _scores(part, columns)
    start = 0
    with parquet(part.shard.url) as file:
        for number, group in enumerate(part.groups):
            chosen = mine[start : start + group.rows]
            if chosen.any():
                pairs = _group(file, number, columns)
                beside = None if scores is None else scores.slice(start, group.rows)
                _check(part, pairs, beside, start)
                yield columns.table(*_chosen(pairs, beside, chosen))
            start += group.rows


def _group(file: pq.ParquetFile, number: int, columns: Columns) -> pa.Table:
    return file.read_row_group(number, columns=list(columns.images), use_threads=False)


def _scores(part: Part, columns: Columns) -> pa.Table | None:
    if part.scores is None:
        return None
    with parquet(part.scores) as file:
        return file.read(columns=list(columns.scores), use_threads=False)


def _check(part: Part, pairs: pa.Table, scores: pa.Table | None, start: int) -> None:
    """InputError where row i of scores/ is not of the pair in row i of images/."""
    if scores is None or pairs["key"].equals(scores["key"]):
        return
    rows = zip(pairs["key"].to_pylist(), scores["key"].to_pylist(), strict=True)
    row = [one == other for one, other in rows].index(False)
    raise InputError(
        f"{part.scores}: row {start + row} is of another pair than in images/: the shard was made anew since it was "
        f"scored; run danqing revalidate {part.shard.root} again"
    )


def _chosen(pairs: pa.Table, scores: pa.Table | None, chosen: Bools) -> tuple[pa.Table, pa.Table | None]:
    """The chosen rows; those that lie in a row are not copied."""
    rows = np.flatnonzero(chosen)
    first, count = int(rows[0]), rows.size
    if int(rows[-1]) - first + 1 == count:
        return pairs.slice(first, count), None if scores is None else scores.slice(first, count)
    mask: Any = pa.array(chosen)
    return pairs.filter(mask), None if scores is None else scores.filter(mask)
