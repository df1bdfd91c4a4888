"""Holds what came out of a root against what was planted: rows, pictures and verdicts.

    truth rows + outcomes/, pictures -> a line for each difference
    truth rows + scores/             -> {planted: {verdict: pairs}} -> a table, and shares with their bounds

A test on a sample is wrong now and then, so a share has a bound; what is known byte by byte has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from ..console import table
from ..reasons import KEPT, Verdict
from .changes import BANNER, GONE, REPLACED, WRITERS
from .web import PlantedRow, thumbnail

# Levels of 255 that any of 12 x 12 cells may differ by. Of 903 pictures of every kind, scaled to 256 and stored as
# JPEG, the right one was 11 off at most; 99 % of quarter turns 43 and more, all negatives and neighbours 66 and more.
TOLERANCE = 20
SAME, BEFORE = "same bytes", "placeholder"  # the banners of the first web, which still stand
ENOUGH = 1000  # rows of the manifest from which the bounds hold: the least p is about 1 / pairs
Planted = Mapping[str, Counter[str]]
K = TypeVar("K")
Fate = tuple[K, str, str | None]  # a key, its outcome and the reason


class Truth(NamedTuple):
    """The rows of truth.parquet."""

    rows: list[PlantedRow]

    @classmethod
    def read(cls, path: Path) -> Truth:
        """Read truth.parquet."""
        return cls(cast(list[PlantedRow], pq.read_table(path).to_pylist()))

    @property
    def kept(self) -> list[PlantedRow]:
        """Rows of the pairs that must be kept."""
        return [row for row in self.rows if row["outcome"] == "kept"]

    def by_fault(self) -> dict[str, list[PlantedRow]]:
        """The rows by the name of their fault, `none` for those without; the most frequent first."""
        groups: dict[str, list[PlantedRow]] = {}
        for row in self.rows:
            groups.setdefault(row["fault"] or "none", []).append(row)
        return dict(sorted(groups.items(), key=lambda group: -len(group[1])))

    def differences(self, outcomes: Iterable[Mapping[str, Any]]) -> list[str]:
        """One line for each row whose outcome or reason is not the planted one, is missing or is too many."""
        planted = ((row["key"], row["outcome"], row["reason"]) for row in self.rows)
        found = ((row["key"], row["outcome"], row["reason"]) for row in outcomes)
        names = {row["key"]: f"{row['url']} ({row['fault'] or 'no fault'})" for row in self.rows}
        return differences(planted, found, lambda key: names.get(key, f"key {key}"))

    def picture_differences(self, pairs: Iterable[tuple[str, Image.Image]]) -> list[str]:
        """One line for each (key, picture) that shows something else, and for each pair missing or too many."""
        expected = Counter(row["key"] for row in self.kept)
        seen = {row["key"]: row for row in self.rows if row["thumbnail"]}
        lines = []
        for key, image in pairs:
            expected[key] -= 1
            if key in seen and (far := distance(thumbnail(image), seen[key]["thumbnail"] or b"")) > TOLERANCE:
                lines.append(f"{seen[key]['url']} ({seen[key]['kind']}): another picture, {far} levels off")
        return lines + [
            f"key {key}: {-count:+} pairs beside the planted" for key, count in expected.items() if count
        ]


def read_rows(root: Path, kind: str, *columns: str) -> list[dict[str, Any]]:
    """The rows of all files of a kind, such as outcomes, of a root; columns: those wanted, all without."""
    files = sorted((root / kind).glob("*.parquet"))
    tables = [pq.read_table(path, columns=list(columns) or None) for path in files]
    return pa.concat_tables(tables).to_pylist() if tables else []


def outcomes_of(root: Path) -> list[dict[str, Any]]:
    """The rows of outcomes/, without their times."""
    return read_rows(root, "outcomes", "key", "outcome", "reason", "attempts")


def distance(one: bytes, other: bytes) -> int:
    """The largest difference of two thumbnails, in levels of 255."""
    first, second = (np.frombuffer(data, np.uint8).astype(int) for data in (one, other))
    return int(abs(first - second).max())


def differences(planted: Iterable[Fate[K]], found: Iterable[Fate[K]], name: Callable[[K], str]) -> list[str]:
    """One line for each key whose fates are not the planted ones. name: what a key is called."""
    one, other = Counter(planted), Counter(found)
    lacking, more = one - other, other - one
    return [
        f"{name(key)}: planted {_fate(lacking, key)}, came out as {_fate(more, key)}"
        for key in dict.fromkeys(key for key, _, _ in [*lacking, *more])
    ]


def as_planted(found: Iterable[tuple[str, str, bool]]) -> list[str]:
    """A table of what was planted, what was wanted of it, and how often that came out."""
    counts: dict[tuple[str, str], list[bool]] = {}
    for planted, wanted, right in found:
        counts.setdefault((planted, wanted), []).append(right)
    rows = [(*one, f"{len(right):,}", f"{sum(right):,}") for one, right in counts.items()]
    return table([("planted", "wanted", "all", "as planted"), *rows])


def _fate(counts: Mapping[Fate[K], int], key: K) -> str:
    """The outcomes of `key` in words; `nothing` where there is none."""
    return ", ".join(reason or outcome for of, outcome, reason in counts if of == key) or "nothing"


class Share(NamedTuple):
    """`hits` of `of` pairs, wanted to be at most, or at least, `bound`."""

    name: str
    hits: int
    of: int
    bound: float
    at_least: bool = False

    @property
    def holds(self) -> bool:
        """Whether the share is within its bound; a share of nothing is."""
        share = self.hits / self.of if self.of else self.bound
        return share >= self.bound if self.at_least else share <= self.bound

    def cells(self) -> tuple[str, ...]:
        """The row of a table."""
        share = f"{self.hits / self.of:.2%}" if self.of else ""
        return self.name, f"{self.hits:,}", f"{self.of:,}", share, self._wanted()

    def __str__(self) -> str:
        return f"{self.name}: {self.hits:,} of {self.of:,}, wanted {self._wanted()}"

    def _wanted(self) -> str:
        return f"{'>=' if self.at_least else '<='} {self.bound:.0%}"


def verdicts_of(root: Path) -> dict[str, str]:
    """The verdict of every pair that has a row in scores/, by key."""
    return {row["key"]: row["verdict"] for row in read_rows(root, "scores", "key", "verdict")}


def cross(
    rows: Iterable[PlantedRow], verdicts: Mapping[str, str], name: Callable[[PlantedRow], str]
) -> dict[str, Counter[str]]:
    """Counts by what was planted in a row, as `name` calls it, and by verdict; a row without one is dead."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(name(row), Counter())[verdicts.get(row["key"], Verdict.DEAD.value)] += 1
    return counts


def crossed(counts: Planted) -> list[str]:
    """The counts as a table: what was planted down, verdicts across, in their order."""
    columns = [one for one in Verdict if any(row[one] for row in counts.values())]
    shown = [
        (name, *(f"{row[one]:,}" if row[one] else "" for one in columns)) for name, row in counts.items()
    ]
    return table([("planted", *(one.value for one in columns)), *shown])


def shares_later(counts: Planted) -> list[Share]:
    """What a re-validation against a release is judged by.

    Junk: pairs whose bytes changed and that were kept, though the picture is another one.
    """
    junk, _ = _kept(counts, BANNER, BEFORE, REPLACED)
    harmless, _ = _kept(counts, *WRITERS)
    return [
        _caught("banners dropped", 0.99, counts, BANNER, BEFORE),
        _caught("replaced dropped", 0.97, counts, REPLACED),
        _lost(counts, SAME, *WRITERS),
        Share("junk among the changed that were kept", junk, junk + harmless, 0.02),
    ]


def shares_alone(counts: Planted, placeholder: str, picture: str) -> list[Share]:
    """What the re-validation of a root without any reference is judged by."""
    return [_caught("placeholders dropped", 0.99, counts, placeholder), _lost(counts, picture)]


def _kept(counts: Planted, *planted: str) -> tuple[int, int]:
    """Pairs of these plantings that were kept, and all of them."""
    rows = [counts[name] for name in planted if name in counts]
    return sum(row[verdict] for row in rows for verdict in KEPT), sum(row.total() for row in rows)


def _caught(name: str, bound: float, counts: Planted, *junk: str) -> Share:
    kept, there = _kept(counts, *junk)
    return Share(name, there - kept, there, bound, at_least=True)


def _lost(counts: Planted, *intact: str) -> Share:
    kept, there = _kept(counts, *intact)
    return Share("intact dropped", there - kept, there, 0.02)


def same_differences(
    rows: Iterable[PlantedRow], verdicts: Mapping[str, str], released: Mapping[str, str]
) -> list[str]:
    """One line for each pair that is `same` or `dead` and should not be, or the other way round.

    released: the verdicts of the reference. What was kept there, and has the same bytes, is `same`; the others have
    nothing to be the same as. What is gone is `dead`.
    """
    lines = []
    for row in rows:
        verdict, wanted = verdicts.get(row["key"], Verdict.DEAD), ""
        if row["change"] == GONE:
            wanted = Verdict.DEAD
        elif row["change"] is None and released.get(row["key"]) in KEPT:
            wanted = Verdict.SAME
        exact = (Verdict.DEAD, Verdict.SAME)
        if (verdict in exact or wanted) and verdict != wanted:
            lines.append(f"{row['url']} ({row['change'] or SAME}): came out as {verdict}")
    return lines
