"""The steps of the recipe that are about duplicates: edges and what was judged before in, the rest of the reasons out.

    known      shows what a pair of --against shows: what is there always wins
    copies     another file of a picture: one perceptual hash, and a cosine of --copy-cosine at least
    duplicates a cosine above --dedup-cosine
    union      both again, over all batches

Each looks only at pairs that all steps before it keep.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.digests import Bools, Digests, hex_of
from ..reasons import Reason
from ..stage.embeddings import Halves
from .config import CurateConfig
from .judge import CODES, PairJudge
from .pairs import Pairs
from .sets import Graph, Rows, Sets

pc: Any = compute  # its stubs know no mix of column and constant
DUPLICATES = tuple(
    CODES[one] for one in (Reason.COPY, Reason.NEAR_DUPLICATE, Reason.CROSS_BATCH, Reason.KNOWN)
)


@dataclass(slots=True)
class Redundancy:
    """The duplicates of a root. graph: all edges that may matter; recorded: keys of releases by the row they match.

    load: makes the vectors of some rows; looked: which rows were looked at (own,); counts: of what was done.
    """

    judge: PairJudge
    pairs: Pairs
    graph: Graph
    recorded: dict[int, str]
    load: Callable[[Rows], Halves]
    looked: Bools = field(init=False)
    sets: Sets = field(init=False)
    counts: dict[str, int] = field(default_factory=dict)
    _rows: Rows = field(init=False)
    _vectors: Halves | None = None

    def __post_init__(self) -> None:
        self.looked = np.zeros(len(self.pairs.numbers), np.bool_)
        self.sets = Sets(self.pairs.keys, self.pairs.size, self._of)

    @property
    def config(self) -> CurateConfig:
        """The options."""
        return self.judge.config

    def step(self, name: str) -> None:
        """Take the step of that name of `recipe.STEPS`, one of those about duplicates."""
        self.judge.used |= {"copy_cosine": self.config.copy_cosine, "dedup_cosine": self.config.dedup_cosine}
        self.looked |= self.judge.left
        if name == "known":
            self._known()
        elif name == "union":
            for level in ("copies", "duplicates"):
                if level not in self.config.skipped and self.pairs.batches > 1:
                    self._settle(level, Reason.CROSS_BATCH, np.zeros_like(self.pairs.batch))
        else:
            self._settle(name, Reason.COPY if name == "copies" else Reason.NEAR_DUPLICATE, self.pairs.batch)

    def _known(self) -> None:
        """Drop what a release recorded, and what lies above the threshold beside a row of an earlier root."""
        own, first = len(self.looked), self.graph.first
        shown = np.zeros(own, np.bool_)
        shown[[*self.recorded]] = True
        foreign = np.full(len(first), -1, np.int32)  # of an embedding, the first row of --against that has it
        rows = np.arange(own, len(first), dtype=np.int32)[::-1]
        foreign[first[rows]] = rows
        graph = self.graph.above(self.config.dedup_cosine)
        one, other = np.concatenate([graph.one, graph.other]), np.concatenate([graph.other, graph.one])
        cos = np.concatenate([graph.cos, graph.cos])
        some = foreign[other] >= 0
        order = np.lexsort((other[some], -cos[some], one[some]))
        heads, best = np.unique(one[some][order], return_index=True)
        beside = foreign.copy()
        lacks = beside[heads] < 0
        beside[heads[lacks]] = foreign[other[some][order][best[lacks]]]
        found = np.where(self.judge.left, beside[first[:own]], -1)
        self.sets.nearest[:own] = np.where(found >= 0, found, self.sets.nearest[:own])
        self.judge.drop((found >= 0) | shown, Reason.KNOWN)

    def _settle(self, level: str, reason: Reason, part: npt.NDArray[np.int64]) -> None:
        """Keep one of each set of copies, or of duplicates, among the rows of one part."""
        own, copies, config = len(self.looked), level == "copies", self.config
        active, parts = np.zeros(len(self.pairs.keys), np.bool_), np.zeros(len(self.pairs.keys), np.int64)
        active[:own] = self.judge.left & (self.pairs.hashed | (not copies))
        if copies:
            _, parts[:own] = np.unique(part << 32 | self.pairs.phash, return_inverse=True)
        else:
            parts[:own] = part
        # A copy has the cosine or more; a duplicate more than it.
        least = np.nextafter(config.copy_cosine, 0) if copies else config.dedup_cosine
        self._load_vectors()
        graph = self.graph.above(least)
        gone, connected = self.sets.settle(active, parts, graph, least, split=config.dedup == "split")
        mask = np.zeros(own, np.bool_)
        mask[gone] = True
        self.judge.drop(mask, reason)
        for name, count in (("dropped", len(gone)), ("connected", connected)):
            self.counts[name] = self.counts.get(name, 0) + count

    def _load_vectors(self) -> None:
        """Load the vectors of all rows that may be of a set, before the first is settled."""
        if self._vectors is None:
            left = np.zeros(len(self.pairs.keys), np.bool_)
            left[: len(self.looked)] = self.judge.left
            graph = self.graph.among(left)
            twins = graph.first != np.arange(len(graph.first))
            self._rows = np.unique(np.concatenate([graph.one, graph.other, graph.first[twins]]))
            self._vectors = self.load(self._rows)

    def _of(self, rows: Rows) -> Halves:
        """The vectors of some rows of those that were loaded."""
        assert self._vectors is not None  # loaded before sets are settled
        return self._vectors[np.searchsorted(self._rows, rows)]

    def told(self) -> Told:
        """What is to be told of the rows of the root, once all steps are done."""
        own, rows = len(self.looked), len(self.pairs.keys)
        reasons, nearest = self.judge.reasons, self.sets.nearest[: len(self.looked)]
        dropped = np.isin(reasons, DUPLICATES) & (nearest >= 0)
        final = np.arange(rows, dtype=np.int32)
        final[:own][dropped] = nearest[dropped]
        while not np.array_equal(after := final[final], final):
            final = after
        count = np.bincount(final[:own], minlength=rows)
        count[own:] += 1  # a row of --against stands for itself too
        final, cluster = final[:own], self.sets.cluster[:own]
        cluster = np.where(dropped & (final < own), self.sets.cluster[final], cluster)
        shown = self.looked & ((reasons == 0) | dropped)
        return Told(self.pairs.keys, final, count[final].astype(np.int32), cluster, shown, self.recorded)


@dataclass(frozen=True, slots=True)
class Told:
    """What is known of duplicates in the end. final: the row that stands for each (own,), itself where it does.

    count: how many rows that stands for; cluster: the row that names a connected set, -1: none; shown: which were
    looked at and are kept or dropped for it; recorded: as of Redundancy.
    """

    keys: Digests
    final: Rows
    count: npt.NDArray[np.int32]
    cluster: Rows
    shown: Bools
    recorded: dict[int, str]

    def columns(self, span: slice, known: Bools) -> list[Any]:
        """The columns nearest, dup_count and dup_cluster of some rows; known: which of them are dropped as KNOWN."""
        final, cluster = self.final[span], self.cluster[span]
        rows = np.arange(span.start, span.stop)
        nearest = pa.array(hex_of(self.keys[final]), pa.string())
        nearest = pc.if_else(pa.array(final != rows), nearest, pa.scalar(None, pa.string()))
        if self.recorded:
            released = [
                self.recorded.get(row) if one else None for row, one in zip(rows.tolist(), known, strict=True)
            ]
            nearest = pc.coalesce(nearest, pa.array(released, pa.string()))
        names = pc.if_else(pa.array(cluster >= 0), hex_of(self.keys[cluster]), pa.scalar(None, pa.string()))
        return [nearest, pa.array(self.count[span], mask=~self.shown[span]), names]
