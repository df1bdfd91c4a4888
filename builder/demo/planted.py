"""Holds the verdicts of a root against what was planted: a table, a few shares, and which of them are out of bounds.

    truth rows + scores/ -> {planted: {verdict: pairs}} -> lines

A test on a sample is wrong now and then, so a share has a bound; what is known byte by byte has none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..console import table
from ..reasons import KEPT, Verdict
from .changes import BANNER, GONE, HARMLESS, REPLACED

SAME, BEFORE = "same bytes", "banner before"  # the placeholders of the first web, which still stand
ENOUGH = 1000  # rows of the manifest from which the bounds hold: the least p is about 1 / pairs
Planted = Mapping[str, Counter[str]]


@dataclass(frozen=True, slots=True)
class Share:
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
    files = sorted((root / "scores").glob("*.parquet"))
    tables = [pq.read_table(path, columns=["key", "verdict"]).to_pydict() for path in files]
    return {key: verdict for one in tables for key, verdict in zip(one["key"], one["verdict"], strict=True)}


def cross(
    rows: Iterable[Mapping[str, Any]], verdicts: Mapping[str, str], name: Callable[[Mapping[str, Any]], str]
) -> dict[str, Counter[str]]:
    """Counts by what was planted in a row, as `name` calls it, and by verdict; a row without one is dead."""
    counts: dict[str, Counter[str]] = {}
    for row in rows:
        counts.setdefault(name(row), Counter())[verdicts.get(row["key"], Verdict.DEAD.value)] += 1
    return counts


def lines(counts: Planted) -> list[str]:
    """The counts as a table: what was planted down, verdicts across, in their order."""
    columns = [one for one in Verdict if any(row[one] for row in counts.values())]
    shown = [
        (planted, *(f"{row[one]:,}" if row[one] else "" for one in columns))
        for planted, row in counts.items()
    ]
    return table([("planted", *(one.value for one in columns)), *shown])


def kept(counts: Planted, *planted: str) -> int:
    """Pairs of these plantings that were kept."""
    return sum(counts[name][verdict] for name in planted if name in counts for verdict in KEPT)


def total(counts: Planted, *planted: str) -> int:
    """All pairs of these plantings."""
    return sum(counts[name].total() for name in planted if name in counts)


def shares_later(counts: Planted) -> list[Share]:
    """What a re-validation against a release is judged by.

    Junk: pairs whose bytes changed and that were kept, though the picture is another one.
    """
    banners, replaced = (BANNER, BEFORE), (REPLACED,)
    junk = kept(counts, *banners, *replaced)
    return [
        _caught("banners dropped", counts, banners, 0.99),
        _caught("replaced dropped", counts, replaced, 0.97),
        _false_drops(counts, SAME, *HARMLESS),
        Share("junk among the changed that were kept", junk, junk + kept(counts, *HARMLESS), 0.02),
    ]


def shares_alone(counts: Planted, placeholder: str, picture: str) -> list[Share]:
    """What the re-validation of a root without any reference is judged by."""
    caught = _caught("placeholders dropped", counts, (placeholder,), 0.99)
    return [caught, _false_drops(counts, picture)]


def _caught(name: str, counts: Planted, junk: tuple[str, ...], bound: float) -> Share:
    there = total(counts, *junk)
    return Share(name, there - kept(counts, *junk), there, bound, at_least=True)


def _false_drops(counts: Planted, *intact: str) -> Share:
    there = total(counts, *intact)
    return Share("intact dropped", there - kept(counts, *intact), there, 0.02)


def same_differences(
    rows: Iterable[Mapping[str, Any]], verdicts: Mapping[str, str], released: Mapping[str, str]
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
