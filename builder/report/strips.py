"""Duplicate sets: how many there are of each size, and some of them from the kept pair to those that it stands for.

    curated/, once for the sets and once for their members ─▶ SetCounts ─▶ a table and strips of pictures

Sets fall into bands of size: 2 and 3, 4 to 7, and so on. Of each band those are shown whose kept pair has the smallest
key, a fair draw, and before them the largest of all.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.files import join, listdir, tables_in
from ..disk.parquet import parquet, rows_by_number
from ..disk.schema import CURATED
from ..errors import InputError
from .columns import AGAIN, batches, numbered, pc
from .samples import DAMAGED, Row, Smallest, decoded

LARGEST = 4  # sets shown of all
DRAWN = 2  # of each band
STRIP = 12  # pictures of a set that are shown, the kept one among them
_MEMBERS = pa.schema([CURATED.field(name) for name in ("key", "nearest", "reason")])


@dataclass(frozen=True, slots=True)
class Strip:
    """A set as it is shown. kept: the pair that stands for it; members: some of the others; pairs: all of them."""

    kept: Row
    members: list[Row]
    pairs: int


@dataclass(slots=True)
class SetCounts:
    """The duplicate sets of a root. sets, pairs: of each band, by the exponent of its least size."""

    sets: Counter[int] = field(default_factory=Counter)
    pairs: Counter[int] = field(default_factory=Counter)
    largest: Smallest = field(default_factory=lambda: Smallest(LARGEST, ("size", "key")))
    drawn: Smallest = field(default_factory=lambda: Smallest(DRAWN))
    strips: list[Strip] = field(default_factory=list)

    def count(self, table: pa.Table, shard: str) -> None:
        """Count a batch with the columns key, row, reason and dup_count."""
        found = table.filter(
            pc.and_(pc.is_null(table["reason"]), pc.fill_null(pc.greater(table["dup_count"], 1), False))
        )
        sizes = found["dup_count"].to_numpy()
        bands = np.frexp(sizes.astype(np.float64))[1] - 1
        found = found.append_column("size", pa.array(-sizes.astype(np.int64)))
        self.largest.offer("", found, shard)
        for band in np.unique(bands).tolist():
            chosen = bands == band
            self.sets[band] += int(chosen.sum())
            self.pairs[band] += int(sizes[chosen].sum())
            self.drawn.offer(f"{band}", found.filter(pa.array(chosen)), shard)

    def rows(self) -> list[tuple[str, int, int]]:
        """Each band in words, with its sets and the pairs that duplicates of these were dropped for."""
        bands = sorted(self.sets)
        return [
            (f"{1 << band:,} to {(2 << band) - 1:,}", self.sets[band], self.pairs[band] - self.sets[band])
            for band in bands
        ]

    def find_members(self, root: str) -> None:
        """Read who else is in the sets that are to be shown: those with the smallest keys."""
        chosen = {row["key"]: row for row in self.largest.groups.get("", [])}
        for band in sorted(self.sets, reverse=True):
            chosen |= {row["key"]: row for row in self.drawn.groups[f"{band}"] if row["key"] not in chosen}
        if not chosen:
            return
        members = Smallest(STRIP - 1)
        wanted = pa.array(sorted(chosen), pa.binary())
        for name in tables_in(root, "curated"):
            for first, table in batches(join(root, "curated", name), _MEMBERS):
                found = numbered(table, first).filter(pc.is_in(table["nearest"], value_set=wanted))
                for key in pc.unique(found["nearest"]).to_pylist():
                    members.offer(
                        decoded(key), found.filter(pc.equal(found["nearest"], pa.scalar(key))), name
                    )
        self.strips = [
            Strip(row, members.groups.get(decoded(key), []), row["dup_count"]) for key, row in chosen.items()
        ]


def compare(root: str, strips: Sequence[Strip], slug: str) -> None:
    """Say of each member, as `cosine`, how near its picture is to the kept one, where the root has its embeddings.

    slug: the folder of the embedder, below embeddings/.
    """
    if slug not in listdir(join(root, "embeddings")):
        return
    vectors: dict[tuple[str, int], npt.NDArray[np.float64]] = {}
    rows = [row for strip in strips for row in (strip.kept, *strip.members)]
    for shard in sorted({row["shard"] for row in rows}):
        numbers = np.unique([row["row"] for row in rows if row["shard"] == shard])
        url = join(root, "embeddings", slug, shard)
        with parquet(url, DAMAGED) as file:
            if "image" not in file.schema_arrow.names:
                raise InputError(f"{url}: no embeddings of pictures in it; {AGAIN}")
            for inside, table in rows_by_number(file, numbers, ["image"]):
                for row, vector in zip(numbers[inside].tolist(), table["image"].to_pylist(), strict=True):
                    vectors[shard, row] = np.array([] if vector is None else vector, np.float64)
    for strip in strips:
        kept = vectors.get((strip.kept["shard"], strip.kept["row"]))
        for member in strip.members:
            other = vectors.get((member["shard"], member["row"]))
            if kept is not None and other is not None and kept.shape == other.shape:
                length = float(np.linalg.norm(kept)) * float(np.linalg.norm(other))
                if 0 < length < np.inf:
                    member["cosine"] = float(kept @ other) / length
