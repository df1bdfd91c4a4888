"""Pairs counted by host, without a loop over pairs or hosts: a column of hosts in, the worst few out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.ledger import WORST_HOSTS
from .judge import VERDICTS

pc: Any = compute  # its stubs know no mix of column and constant
HELD = 100
Counts: TypeAlias = pa.Table  # host, verdict (its place in VERDICTS), kept, pairs


@dataclass(slots=True)
class Host:
    """The pairs of one host."""

    kept: int = 0
    dropped: int = 0
    verdicts: dict[str, int] = field(default_factory=dict)


def by_host(host: Any, verdict: npt.NDArray[np.uint8], kept: npt.NDArray[np.bool_]) -> Counts:
    """The pairs, all of shape (n,), counted by host, verdict and whether kept; those without a host left out."""
    columns = {"host": host, "verdict": pa.array(verdict), "kept": pa.array(kept)}
    pairs = pa.table(columns).filter(pc.is_valid(host))
    counts = pairs.group_by(["host", "verdict", "kept"], use_threads=False).aggregate([([], "count_all")])
    return counts.rename_columns(["host", "verdict", "kept", "pairs"])


def merged(parts: Iterable[Counts]) -> Counts:
    """The counts of all shards together; no more than HELD of them are held at once."""
    held = [by_host(pa.chunked_array([], pa.string()), np.zeros(0, np.uint8), np.zeros(0, np.bool_))]
    for part in parts:
        held.append(part)
        if len(held) > HELD:
            held = [_sum(held)]
    return _sum(held)


def _sum(parts: Sequence[Counts]) -> Counts:
    groups = pa.concat_tables(parts).group_by(["host", "verdict", "kept"], use_threads=False)
    return groups.aggregate([("pairs", "sum")]).rename_columns(["host", "verdict", "kept", "pairs"])


def worst(counts: Counts, limit: int = WORST_HOSTS) -> dict[str, Host]:
    """The hosts that lost most, worst first and then by name, at most `limit`."""
    lost = counts.filter(pc.invert(counts["kept"])).group_by("host").aggregate([("pairs", "sum")])
    names: Any = lost.sort_by([("pairs_sum", "descending"), ("host", "ascending")])["host"][:limit]
    hosts = {name: Host() for name in names.to_pylist()}
    for row in counts.filter(pc.is_in(counts["host"], names)).to_pylist():
        host, verdict = hosts[row["host"]], str(VERDICTS[row["verdict"]])
        host.verdicts[verdict] = host.verdicts.get(verdict, 0) + row["pairs"]
        host.kept += row["pairs"] if row["kept"] else 0
        host.dropped += 0 if row["kept"] else row["pairs"]
    return hosts
