"""The units of a rebuild: whole shards with their rows of the manifest.

Apart from `work`, so that the parent loads neither the HTTP client nor the decoders: 0.25 s of CPU at every start.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

from ..disk.removals import Removals
from ..reasons import Reason
from ..stage.engine import Unit
from .plan import ManifestShard, RebuildPlan
from .removed import rows_of


@dataclass(frozen=True, slots=True)
class Task(Unit):
    """A shard to do. rows: its part of the manifest as an Arrow IPC stream; redo: reasons to fetch again in a
    finished shard; removed: rows on the removal list, dropped without a request. Poison is dropped as corrupt.
    """

    shard: ManifestShard
    rows: bytes
    redo: frozenset[Reason] = frozenset()
    removed: frozenset[int] = frozenset()


def tasks(
    plan: RebuildPlan, todo: Sequence[tuple[ManifestShard, frozenset[Reason]]], removals: Removals | None
) -> Iterator[Task]:
    """The shards of `todo`, with the reasons to fetch rows again for, and their rows, read as they are asked for."""
    by_split = defaultdict(list)
    for shard, again in todo:
        by_split[shard.split].append((shard, again))
    for split, shards in by_split.items():
        ranges = [(shard.start, shard.stop) for shard, _ in shards]
        for (shard, again), table in zip(shards, plan.manifest.tables(split, ranges), strict=True):
            sink = pa.BufferOutputStream()
            with pa.ipc.new_stream(sink, table.schema) as stream:
                stream.write_table(table)
            yield Task(shard.number, shard, sink.getvalue().to_pybytes(), again, rows_of(removals, table))
