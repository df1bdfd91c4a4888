"""The units of a rebuild: shards of a manifest, and what goes to a process of one.

Apart from `plan` and `work`: a worker loads no reader of manifests, and the parent no HTTP client and no decoders.
"""

from __future__ import annotations

from dataclasses import dataclass

from ..reasons import Reason
from ..stage.engine import Unit
from ..stage.rows import ManifestShard

STAGE = "rebuild"


@dataclass(frozen=True, slots=True)
class RebuildUnit(Unit):
    """A shard to do. rows: its part of the manifest as an Arrow IPC stream; redo: reasons to fetch again in a
    finished shard; removed: rows on the removal list, dropped without a request. Poison is dropped as corrupt.
    """

    shard: ManifestShard
    rows: bytes
    redo: frozenset[Reason] = frozenset()
    removed: frozenset[int] = frozenset()
