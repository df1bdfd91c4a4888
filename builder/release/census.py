"""Which rows of a root may be released: kept by every judge, not on the removal list, each key once.

    keys and URLs of images/, scores/ and curated/ ─▶ three arrays, one value a row

Rows are read a part at a time. 11 bytes a row are held, and 8 more while equal keys are looked for.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..disk.digests import KEY, Bools, Digests, halves_of, keys_of
from ..disk.parquet import parquet
from ..disk.removals import Removals
from ..disk.sidecar import kept
from ..errors import InputError
from .source import Part, Root

THREADS = 4  # parts read at once

Ids = npt.NDArray[np.uint64]


@dataclass(frozen=True, slots=True)
class Census:
    """The rows of a root, (n,), by all that decides about each.

    ids: the first half of its key, as a number; kept: by all that judge it; removed: by the removal list; repeated: its
    key was there before.
    """

    ids: Ids
    kept: Bools
    removed: Bools
    repeated: Bools

    @property
    def wanted(self) -> Bools:
        """The rows that a release holds as kept."""
        return self.kept & ~self.removed & ~self.repeated

    def counts(self) -> dict[str, int]:
        """The counts of a funnel: pairs that all judges keep, and that are left out all the same."""
        left = self.kept & self.removed
        return {
            "removed": int(np.count_nonzero(left)),
            "duplicates": int(np.count_nonzero(self.kept & ~self.removed & self.repeated)),
        }


def take(root: Root, removals: Removals) -> Census:
    """Read what decides about each row; InputError where a key is none."""
    rows = root.rows
    census = Census(
        np.empty(rows, np.uint64), np.ones(rows, np.bool_), np.zeros(rows, np.bool_), np.zeros(rows, np.bool_)
    )
    with ThreadPoolExecutor(THREADS) as pool:
        for _ in pool.map(lambda part: _read(root, part, removals, census), root.parts):
            pass
    _find_repeated(root, census)
    return census


def _read(root: Root, part: Part, removals: Removals, census: Census) -> None:
    columns = ["key", *(["url"] if len(removals) else [])]
    start = part.first
    with parquet(part.shard.url) as file:
        for batch in file.iter_batches(65_536, columns=columns):
            rows = slice(start, start + batch.num_rows)
            keys, valid = keys_of(batch["key"])
            if not valid.all():
                row = start - part.first + int(np.flatnonzero(~valid)[0])
                raise InputError(f"{part.shard.url}: row {row}: its key is none; rebuild the root")
            census.ids[rows] = halves_of(keys)
            if len(removals):
                census.removed[rows] = removals.covers(batch["key"], batch["url"])
            start += batch.num_rows
    for judge in root.judges:
        with parquet(part.beside[judge.folder]) as file:
            judged = file.read(columns=[judge.says[-1]], use_threads=False)
        census.kept[part.first : part.stop] &= kept(judge, judged).to_numpy()


def _find_repeated(root: Root, census: Census) -> None:
    """Mark all but one of the rows of a key: the first that is kept stays, else the first."""
    ordered = np.sort(census.ids)
    twice = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
    del ordered
    if not twice.size:
        return
    suspects = np.flatnonzero(np.isin(census.ids, twice))
    keys = _keys_at(root, suspects)
    usable = census.kept[suspects] & ~census.removed[suspects]
    order = np.lexsort((suspects, ~usable, keys))
    later = np.concatenate([[False], keys[order][1:] == keys[order][:-1]])
    census.repeated[suspects[order[later]]] = True


def _keys_at(root: Root, rows: npt.NDArray[np.int64]) -> Digests:
    """The whole keys of some rows, ascending."""
    found = [np.empty(0, KEY)]
    for part in root.parts:
        mine = rows[(rows >= part.first) & (rows < part.stop)] - part.first
        if mine.size:
            with parquet(part.shard.url) as file:
                keys, _ = keys_of(file.read(columns=["key"], use_threads=False)["key"])
            found.append(keys[mine])
    return np.concatenate(found)
