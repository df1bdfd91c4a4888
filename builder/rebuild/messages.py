"""What the parent and its workers say to each other over their pipes.

Apart from both, so that the parent loads neither the HTTP client nor the decoders: 0.25 s of CPU at every start.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..disk.ledger import ShardLedger, Tally
from ..reasons import Reason
from .assemble import Layout
from .config import Config, Rules
from .plan import Shard


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker is started with. suspects: (shard number, row) of each decode thread, -1 when idle."""

    config: Config
    layout: Layout
    digest: tuple[str, str] | None  # column of the manifest, algorithm
    rules: Rules
    suspects: Any


@dataclass(frozen=True, slots=True)
class Task:
    """A shard to do. rows: its part of the manifest as an Arrow IPC stream; redo: reasons to fetch again in a
    finished shard; poison: rows at which a decoder died, dropped as corrupt without another try; removed: rows on the
    removal list, dropped without a request.
    """

    shard: Shard
    rows: bytes
    redo: frozenset[Reason] = frozenset()
    poison: frozenset[int] = frozenset()
    removed: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Finish:
    """To a worker: no more shards will come."""


@dataclass(frozen=True, slots=True)
class Drain:
    """To a worker: start nothing more, end what is in flight."""


@dataclass(frozen=True, slots=True)
class Want:
    """From a worker: another shard would keep the slots busy."""


@dataclass(frozen=True, slots=True)
class Told:
    """From a worker: the tallies of its open shards that have changed, by stem."""

    tallies: dict[str, Tally]


@dataclass(frozen=True, slots=True)
class Done:
    """From a worker: a shard is on disk."""

    shard: Shard
    ledgers: list[ShardLedger]


@dataclass(frozen=True, slots=True)
class Fatal:
    """From a worker: it cannot go on; a message for the user and the traceback for --debug."""

    message: str
    exit_code: int
    traceback: str
