"""Differences that a check found: a line each, the first of every kind, in the order of the files.

add("sha256", "images/train-00003-of-00016.parquet: sha256 should be 9f…, it is 04…") ─▶ lines()
"""

from __future__ import annotations

from collections import Counter
from typing import Any

SHOWN = 20  # of a kind; a shard that is wrong in one row is mostly wrong in all of them


class Differences:
    """Lines by kind, at most SHOWN of each, and how many there are beyond."""

    def __init__(self) -> None:
        self._lines: dict[str, list[str]] = {}
        self._counts: Counter[str] = Counter()

    @property
    def kinds(self) -> set[str]:
        """The kinds there are."""
        return {*self._counts}

    def add(self, kind: str, line: str) -> None:
        """Take a difference."""
        self._counts[kind] += 1
        known = self._lines.setdefault(kind, [])
        if len(known) < SHOWN:
            known.append(line)

    def unequal(self, kind: str, where: str, wanted: Any, found: Any) -> None:
        """Take a difference where what was found is not what was wanted."""
        if wanted != found:
            self.add(kind, f"{where} should be {shown(wanted)}, it is {shown(found)}")

    def count(self, kind: str, number: int) -> None:
        """Count further ones of a kind without their lines."""
        self._counts[kind] += number

    def room(self, kind: str) -> int:
        """The number of lines of a kind that are still taken."""
        return SHOWN - len(self._lines.get(kind, ()))

    def merge(self, other: Differences) -> None:
        """Take the differences of a file that was checked apart."""
        for kind, lines in other._lines.items():
            known = self._lines.setdefault(kind, [])
            known += lines[: SHOWN - len(known)]
        self._counts.update(other._counts)

    def lines(self) -> list[str]:
        """The lines, a kind after the other, and for each how many are left out."""
        found = []
        for kind, lines in self._lines.items():
            found += lines
            if more := self._counts[kind] - len(lines):
                found.append(f"... and {more:,} more of this kind: {kind}")
        return found


def shown(value: Any) -> str:
    """A value as a line shows it: numbers with commas, all else as it is, cut where it is long."""
    plain = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return plain if len(plain) <= 120 else plain[:117] + "..."
