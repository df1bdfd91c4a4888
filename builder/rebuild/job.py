"""One row to fetch, and what the manifest says of the bytes that should come."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..web.pace import PAUSE_CAP


@dataclass(slots=True)
class Job:
    """One row to fetch. owner: whatever the caller needs to find its row; digest: (algorithm, hex) or None; attempts:
    requests made; due: when the next may be made, seconds since the epoch; unescaped: whether url is its fallback;
    waited: seconds that it was waited for because its host asked for that.
    """

    owner: Any
    row: int
    url: str
    digest: tuple[str, str] | None = None
    attempts: int = 0
    due: float = 0.0
    unescaped: bool = False
    waited: float = 0.0

    def wait(self, now: float) -> float:
        """Seconds until it is due: never long, as the clock may have been set since an earlier run."""
        return min(max(self.due - now, 0.0), PAUSE_CAP)


def digests_of(table: pa.Table, hash_column: tuple[str, str] | None) -> list[tuple[str, str] | None]:
    """What the manifest's (column, algorithm) says of the bytes of each row; None where it says nothing."""
    if hash_column is None:
        return [None] * len(table)
    column, algorithm = hash_column
    return [(algorithm, str(value)) if value else None for value in table[column].to_pylist()]


def verify(body: bytes, digest: tuple[str, str] | None) -> tuple[str, bool | None]:
    """The sha256 of `body` in hex, and whether it is what the manifest recorded (None: nothing recorded)."""
    sha256 = hashlib.sha256(body).hexdigest()
    if digest is None:
        return sha256, None
    algorithm, expected = digest
    found = (
        sha256 if algorithm == "sha256" else hashlib.new(algorithm, body, usedforsecurity=False).hexdigest()
    )
    return sha256, found == expected.strip().lower()
