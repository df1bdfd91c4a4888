"""The layout of a release that comes after another: every pair stays where it was, so that little is sent again.

    keys of the last release's shards, keys of the root ─▶ place, the shard of each row

A pair that is not kept any more stays too, and says kept=false. New pairs come in shards of their own at the end.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..disk.digests import halves_of, keys_of, locate
from ..disk.files import join
from ..disk.parquet import parquet
from ..disk.release import Release, split_of
from ..disk.schema import SPLITS
from .census import Census, Ids
from .layout import OUT, Places, Size, by_split, lay_out
from .source import Root
from .weights import Weights

Rows = npt.NDArray[np.int64]
MOST_DROPPED = 0.2  # of the rows with kept=false; beyond it the images are laid out anew


def pin(
    root: Root, census: Census, sizes: tuple[Size, Weights], url: str, previous: Release
) -> Places | None:
    """The place of each row, those of `previous` first; None where it does not pay, or is not possible.

    sizes: of new shards, and the weights of the rows; url: where `previous` is. It is not possible where the root has
    its pairs in another order, or splits, now.
    """
    shards = _shards(previous)
    order = np.argsort(census.ids, kind="stable")
    ordered = census.ids[order]
    splits = np.empty(root.rows, np.int8)
    for split, parts in by_split(root):
        for part in parts:
            splits[part.first : part.stop] = SPLITS.index(split)
    place = np.full(root.rows, OUT, np.int32)
    free = ~(census.removed | census.repeated)
    for number, path in enumerate(shards):
        rows = _rows_of(_keys(join(url, path)), ordered, order)
        split = split_of(path)
        if np.any(np.diff(rows) <= 0) or np.any(splits[rows] != SPLITS.index(split)):
            return None
        place[rows] = number
    place[~free] = OUT
    dropped = int(np.count_nonzero((place != OUT) & ~census.kept))
    new = census.wanted & (place == OUT)
    if dropped > MOST_DROPPED * (dropped + np.count_nonzero(census.wanted)):
        return None
    added, _ = lay_out(root, new, *sizes, first=len(shards))
    return np.where(added == OUT, place, added)


def _shards(release: Release) -> list[str]:
    """Its shards, in the order of the splits and of their numbers."""
    return sorted(release.shards(), key=lambda path: (SPLITS.index(split_of(path)), path))


def _keys(url: str) -> Ids:
    with parquet(url) as file:
        batches = [
            halves_of(keys_of(batch["key"])[0]) for batch in file.iter_batches(65_536, columns=["key"])
        ]
    return np.concatenate([np.empty(0, np.uint64), *batches])


def _rows_of(ids: Ids, ordered: Ids, order: Rows) -> Rows:
    """The rows of the root that have these ids, in the order of `ids`; one that is not in the root is left out."""
    places, found = locate(ordered, ids)
    rows: Rows = order[places[found]]
    return rows
