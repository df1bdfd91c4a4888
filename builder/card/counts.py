"""The numbers of a release, counted from the rows of its shards: what the card tells and `danqing verify` recounts.

    columns of shards, batch by batch ─▶ Counts ─▶ plain JSON

Only whole numbers are summed, so the same rows give the same JSON in whatever order, batches or parts they come.
Distributions are of the kept rows; a release without a column `kept` keeps all of its rows.
"""

from __future__ import annotations

import datetime
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..stage.counts import SHOWN, HostCounts

pc: Any = compute  # its stubs know no mix of column and constant

COLUMNS = (
    *("url", "alt_text", "recaption", "width", "height", "format"),
    *("score", "verdict", "suspect", "kept", "fetched_at", "cos", "cos_model", "dup_count"),
)
CAPTIONS = ("alt_text", "recaption")
COUNTERS = ("sums", "captioned", "formats", "verdicts", "left_out")
SIDE_STEP, SIDE_BINS = 50, 81  # pixels of the shorter side, the last bin: 4,000 and more
LENGTHS = 513  # of captions in characters, a bin each, the last: 512 and more
SCORE_STEP, SCORE_BINS = 0.01, 200  # over [-1, 1)
MILLIONTHS = 1_000_000  # in which scores are summed

Bins = npt.NDArray[np.int64]


def _bins() -> dict[str, Bins]:
    return defaultdict(lambda: np.zeros(0, np.int64))


@dataclass(slots=True)
class Counts:
    """Counts of one release, or of a part of it.

    splits: rows, kept, bytes and shards of each; histograms: by name (resolution, score, cos, alt_text, recaption),
    bins from the lowest; sums: of what the histograms are of, scores in millionths, and of dup_count; captioned: pairs
    with a caption, not empty, by its column; verdicts: of the kept pairs; left_out: verdicts of the others; fetched:
    the first and the last date, in milliseconds since 1970.
    """

    splits: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    histograms: dict[str, Bins] = field(default_factory=_bins)
    sums: Counter[str] = field(default_factory=Counter)
    captioned: Counter[str] = field(default_factory=Counter)
    formats: Counter[str] = field(default_factory=Counter)
    verdicts: Counter[str] = field(default_factory=Counter)
    left_out: Counter[str] = field(default_factory=Counter)
    suspects: int = 0
    hosts: HostCounts = field(default_factory=HostCounts)
    fetched: tuple[int, int] | None = None

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(split["rows"] for split in self.splits.values())

    @property
    def kept(self) -> int:
        """The rows that are kept: all where there is no such column."""
        return sum(split["kept"] for split in self.splits.values())

    def file(self, split: str, bytes: int) -> None:  # noqa: A002
        """Count one shard more."""
        self.splits[split].update(shards=1, bytes=bytes)

    def add(self, split: str, table: pa.Table) -> None:
        """Count a batch of rows. Of COLUMNS those that are missing are passed over, others are not looked at."""
        table = table.select([name for name in COLUMNS if name in table.column_names])
        self.splits[split]["rows"] += table.num_rows
        if "kept" in table.column_names:
            kept = pc.fill_null(table["kept"], False)
            if not pc.all(kept).as_py():
                if "verdict" in table.column_names:
                    self.left_out.update(_values(table["verdict"].filter(pc.invert(kept))))
                table = table.filter(kept)
        self.splits[split]["kept"] += table.num_rows
        if table.num_rows:
            self._add_kept(table)

    def _add_kept(self, table: pa.Table) -> None:
        there = {*table.column_names}
        if {"width", "height"} <= there:
            side = pc.min_element_wise(table["width"], table["height"], skip_nulls=False)
            side = _numbers(side).astype(np.int64)
            self._bin("resolution", side // SIDE_STEP, SIDE_BINS, int(side.sum()))
        for name in sorted({*CAPTIONS} & there):
            length = _numbers(pc.utf8_length(table[name]))
            length = length[length > 0].astype(np.int64)
            self.captioned[name] += length.size
            self._bin(name, length, LENGTHS, int(length.sum()))
        self._cosines(table)
        if "verdict" in there:
            self.verdicts.update(_values(table["verdict"]))
        if "format" in there:
            self.formats.update(_values(table["format"]))
        if "suspect" in there:
            self.suspects += pc.sum(table["suspect"]).as_py() or 0
        if "url" in there:
            self.hosts.add_urls(table["url"])
        if "fetched_at" in there:
            self._date(table["fetched_at"])

    def _cosines(self, table: pa.Table) -> None:
        curated = "cos_model" in table.column_names  # else `cos` and `dup_count` were carried from a manifest
        if curated and "dup_count" in table.column_names:
            self.sums["dup_count"] += pc.sum(table["dup_count"]).as_py() or 0
        for name in [name for name in ("score", *["cos"] * curated) if name in table.column_names]:
            cosine = np.rint(_numbers(table[name]).astype(np.float64) * MILLIONTHS).astype(np.int64)
            step = round(SCORE_STEP * MILLIONTHS)
            self._bin(name, (cosine + MILLIONTHS) // step, SCORE_BINS, int(cosine.sum()))

    def _bin(self, name: str, places: Bins, bins: int, total: int) -> None:
        """Add to a histogram; what lies beyond its ends counts at the end."""
        self.histograms[name] = _added(self.histograms[name], np.bincount(np.clip(places, 0, bins - 1)))
        self.sums[name] += total

    def _date(self, column: Any) -> None:
        ends = pc.min_max(column.cast(pa.timestamp("ms", tz="UTC")).cast(pa.int64())).as_py()
        if ends["min"] is not None:
            known = self.fetched or (ends["min"], ends["max"])
            self.fetched = min(known[0], ends["min"]), max(known[1], ends["max"])

    def merge(self, other: Counts) -> None:
        """Add what another has counted; ValueError where either lists the largest hosts only."""
        for split, counts in other.splits.items():
            self.splits[split].update(counts)
        for name, bins in other.histograms.items():
            self.histograms[name] = _added(self.histograms[name], bins)
        for name in COUNTERS:
            getattr(self, name).update(getattr(other, name))
        self.suspects += other.suspects
        self.hosts.merge(other.hosts)
        if other.fetched is not None:
            known = self.fetched or other.fetched
            self.fetched = min(known[0], other.fetched[0]), max(known[1], other.fetched[1])

    def as_dict(self, hosts: int | None = SHOWN) -> dict[str, object]:
        """The counts as plain JSON, sorted. hosts: how many to list; None: all, for what is merged later."""
        return {
            "rows": self.rows,
            "kept": self.kept,
            "splits": {
                split: {name: counts[name] for name in ("bytes", "kept", "rows", "shards")}
                for split, counts in sorted(self.splits.items())
            },
            "histograms": {name: bins.tolist() for name, bins in sorted(self.histograms.items())},
            **{name: dict(sorted(getattr(self, name).items())) for name in COUNTERS},
            "suspects": self.suspects,
            "hosts": self.hosts.as_dict(hosts),
            "fetched": [_iso(end) for end in self.fetched or ()],
        }

    @classmethod
    def of_dict(cls, document: Mapping[str, Any]) -> Self:
        """The counts that as_dict wrote."""
        counts = cls(suspects=document["suspects"], hosts=HostCounts.of_dict(document["hosts"]))
        for split, known in document["splits"].items():
            counts.splits[split].update(known)
        for name, bins in document["histograms"].items():
            counts.histograms[name] = np.array(bins, np.int64)
        for name in COUNTERS:
            getattr(counts, name).update(document[name])
        if document["fetched"]:
            first, last = (_milliseconds(end) for end in document["fetched"])
            counts.fetched = first, last
        return counts


def _added(one: Bins, other: Bins) -> Bins:
    """The sum of two histograms that begin with the same bin; the longer one says how far it goes."""
    longer, shorter = sorted((one, other), key=len, reverse=True)
    total = longer.astype(np.int64)
    total[: shorter.size] += shorter
    return total


def _numbers(column: Any) -> npt.NDArray[Any]:
    """The numbers of a column, without nulls and what is not finite."""
    numbers: npt.NDArray[Any] = column.drop_null().to_numpy()
    return numbers[np.isfinite(numbers)] if numbers.dtype.kind == "f" else numbers


def _values(column: Any) -> dict[str, int]:
    """The number of times that each word of a column comes; nulls do not count."""
    counted = pc.value_counts(column.drop_null())
    return dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True))


def _iso(milliseconds: int) -> str:
    moment = datetime.datetime(1970, 1, 1) + datetime.timedelta(milliseconds=milliseconds)
    return moment.isoformat(timespec="milliseconds") + "Z"


def _milliseconds(text: str) -> int:
    since = datetime.datetime.fromisoformat(text) - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    return since // datetime.timedelta(milliseconds=1)
