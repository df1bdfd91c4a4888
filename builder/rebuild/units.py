"""The units of a rebuild: shards of a manifest, and what goes to a process of one.

Apart from `plan` and `work`: a worker loads no reader of manifests, and the parent no HTTP client and no decoders.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import Reason
from ..stage.engine import Unit

STAGE = "rebuild"


@dataclass(frozen=True, slots=True)
class ManifestShard:
    """The unit of work: rows [start, stop) of a split of the manifest; `index` of `count` in it, `number` in all."""

    number: int
    split: str
    index: int
    count: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows of the manifest it covers."""
        return self.stop - self.start

    @property
    def numbers(self) -> str:
        """The part of the file names that tells shards apart: 00000-of-00042."""
        return f"{self.index:05d}-of-{self.count:05d}"

    @property
    def stem(self) -> str:
        """The file name without folder and extension."""
        return f"{self.split}-{self.numbers}"


@dataclass(frozen=True, slots=True)
class Task(Unit):
    """A shard to do. rows: its part of the manifest as an Arrow IPC stream; redo: reasons to fetch again in a
    finished shard; removed: rows on the removal list, dropped without a request. Poison is dropped as corrupt.
    """

    shard: ManifestShard
    rows: bytes
    redo: frozenset[Reason] = frozenset()
    removed: frozenset[int] = frozenset()
