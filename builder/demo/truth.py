"""Compares what came out of a root with what was planted in the web, row by row and picture by picture."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

from .web import thumbnail

# Levels of 255 that any of 12 x 12 cells may differ by. Of 903 pictures of every kind, scaled to 256 and stored as
# JPEG, the right one was 11 off at most; 99 % of quarter turns 43 and more, all negatives and neighbours 66 and more.
TOLERANCE = 20


@dataclass(frozen=True, slots=True)
class Truth:
    """The rows of truth.parquet (`web.TRUTH`)."""

    rows: list[dict[str, Any]]

    @classmethod
    def read(cls, path: Path) -> Truth:
        """Read truth.parquet."""
        return cls(pq.read_table(path).to_pylist())

    @property
    def kept(self) -> int:
        """Pairs that must be kept."""
        return sum(row["outcome"] == "kept" for row in self.rows)

    def by_fault(self) -> dict[str, list[dict[str, Any]]]:
        """The rows by the name of their fault, `none` for those without; the most frequent first."""
        groups: dict[str, list[dict[str, Any]]] = {}
        for row in self.rows:
            groups.setdefault(row["fault"] or "none", []).append(row)
        return dict(sorted(groups.items(), key=lambda group: -len(group[1])))

    def differences(self, outcomes: Iterable[Mapping[str, Any]]) -> list[str]:
        """One line for each row whose outcome or reason is not the planted one, is missing or is too many."""
        planted = Counter((row["key"], row["outcome"], row["reason"]) for row in self.rows)
        found = Counter((row["key"], row["outcome"], row["reason"]) for row in outcomes)
        names = {row["key"]: f"{row['url']} ({row['fault'] or 'no fault'})" for row in self.rows}
        lines = []
        for key in dict.fromkeys(key for key, _, _ in [*(planted - found), *(found - planted)]):
            wanted, got = (_told(counts, key) for counts in (planted - found, found - planted))
            lines.append(f"{names.get(key, f'key {key}')}: planted {wanted}, came out as {got}")
        return lines

    def picture_differences(self, pairs: Iterable[tuple[str, Image.Image]]) -> list[str]:
        """One line for each (key, picture) that shows something else, and for each pair missing or too many."""
        expected = Counter(row["key"] for row in self.rows if row["outcome"] == "kept")
        seen = {row["key"]: row for row in self.rows if row["thumbnail"]}
        lines = []
        for key, image in pairs:
            expected[key] -= 1
            if key in seen and (far := distance(thumbnail(image), seen[key]["thumbnail"])) > TOLERANCE:
                lines.append(f"{seen[key]['url']} ({seen[key]['kind']}): another picture, {far} levels off")
        return lines + [
            f"key {key}: {-count:+} pairs beside the planted" for key, count in expected.items() if count
        ]


def outcomes_of(root: Path) -> list[dict[str, Any]]:
    """The rows of all outcomes files of a root."""
    columns = ["key", "outcome", "reason", "attempts"]
    files = sorted((root / "outcomes").glob("*.parquet"))
    return [row for path in files for row in pq.read_table(path, columns=columns).to_pylist()]


def distance(one: bytes, other: bytes) -> int:
    """The largest difference of two thumbnails, in levels of 255."""
    first, second = (np.frombuffer(data, np.uint8).astype(int) for data in (one, other))
    return int(abs(first - second).max())


def _told(counts: Mapping[tuple[str, str, str | None], int], key: str) -> str:
    """The outcomes of `key` in words; `nothing` where there is none."""
    words = [reason or outcome for (of, outcome, reason), _ in counts.items() if of == key]
    return ", ".join(words) or "nothing"
