"""Couples of pictures that lie near each other: how their cosines lie, and which lie next to the threshold.

    ledger/curate/edges/, curated/ ─▶ Couples ─▶ a chart, counts at other thresholds, couples on both sides of it

An edge names two pictures by their numbers: those of the root in the order of its shards, then those of --against.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from itertools import accumulate
from operator import itemgetter

import numpy as np
import pyarrow as pa

from ..card.histogram import FloatHistogram
from ..disk.files import join, tables_in
from ..disk.parquet import parquet, rows_by_number
from ..disk.schema import SPLITS
from ..errors import InputError
from .columns import AGAIN, batches
from .samples import DAMAGED, Row, Smallest, as_bytes

FOLDER = "ledger/curate/edges"
THRESHOLD = "dedup_cosine"  # the name of the threshold: what lies above it shows the same
OTHERS = (0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
_EDGES: pa.Schema = pa.schema(
    [pa.field("one", pa.int32()), pa.field("other", pa.int32()), pa.field("cos", pa.float64())]  # type: ignore[arg-type]
)


@dataclass(slots=True)
class Couples:
    """The near couples of a root. apart, same: their cosines, on either side of the threshold.

    above: couples beyond this and other thresholds; nearest: those next to it, as `apart` and `same`; pictures: theirs,
    by number.
    """

    threshold: float
    nearest: Smallest
    apart: FloatHistogram = field(default_factory=FloatHistogram)
    same: FloatHistogram = field(default_factory=FloatHistogram)
    above: Counter[float] = field(default_factory=Counter)
    pictures: dict[int, Row] = field(default_factory=dict)

    def count(self, table: pa.Table) -> None:
        """Count a batch of edges."""
        cos = table["cos"].to_numpy()
        beyond = cos > self.threshold
        self.same.add(cos[beyond])
        self.apart.add(cos[~beyond])
        for value in {*OTHERS, self.threshold}:
            self.above[value] += int(np.count_nonzero(cos > value))
        table = table.append_column("distance", pa.array(np.abs(cos - self.threshold)))
        for side, mask in (("same", beyond), ("apart", ~beyond)):
            self.nearest.offer(side, table.filter(pa.array(mask)), "")

    def side(self, name: str) -> list[tuple[Row, Row, float]]:
        """The couples on a side of the threshold, in the order of their cosines."""
        found = []
        for edge in self.nearest.groups.get(name, []):
            one, other = sorted((self.pictures[edge[end]] for end in ("row", "other")), key=itemgetter("key"))
            found.append((one, other, edge["cos"]))
        return sorted(found, key=lambda couple: (couple[2], couple[0]["key"]))


def count_couples(root: str, rows: Mapping[str, int], threshold: float | None, most: int) -> Couples | None:
    """The couples of a root; None where no threshold was used, or the search left no edges.

    rows: of each shard, by the name of its file; most: couples to show on each side.
    """
    names = tables_in(root, FOLDER)
    if threshold is None or not names:
        return None
    found = Couples(threshold, Smallest(most, ("distance", "row", "other")))
    own = sum(rows.values())
    for name in names:
        for _, table in batches(join(root, FOLDER, name), _EDGES):
            ends = [table[name].to_numpy() for name in ("one", "other")]
            if not np.isfinite(table["cos"].to_numpy()).all() or (np.minimum(*ends) < 0).any():
                raise InputError(f"{join(root, FOLDER, name)}: no edges between pictures; {AGAIN}")
            table = table.filter(pa.array(np.maximum(*ends) < own))
            found.count(table.rename_columns(["row", "other", "cos"]))
    wanted = {
        edge[end] for side in found.nearest.groups.values() for edge in side for end in ("row", "other")
    }
    found.pictures = dict(_pictures(root, rows, wanted))
    return found


def _pictures(root: str, rows: Mapping[str, int], wanted: Iterable[int]) -> Iterable[tuple[int, Row]]:
    """The shard, row, key and reason of each picture that is `wanted` by its number."""
    numbers = np.unique(np.fromiter(wanted, np.int64))
    names = sorted(rows, key=lambda name: (*(name.startswith(split) for split in reversed(SPLITS)), name))
    for name, first in zip(names, accumulate((rows[name] for name in names), initial=0), strict=False):
        inside = numbers[(numbers >= first) & (numbers < first + rows[name])] - first
        with parquet(join(root, "curated", name), DAMAGED) as file:
            for places, table in rows_by_number(file, inside, ["key", "reason"]):
                for row, pair in zip(inside[places].tolist(), as_bytes(table).to_pylist(), strict=True):
                    yield first + row, {**pair, "shard": name, "row": row}
