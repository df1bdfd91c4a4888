"""Sets of duplicates: edges between pictures in; of each set the picture that stays, and what it stands for, out.

    edges, twins ─▶ links between the pairs that are looked at ─▶ connected sets ─▶ the nearest to the centroid stays
    what is no duplicate of that itself ─▶ sets of their own, by the same rule, until none is left

Connected sets chain: a is near b and b near c, but a and c need not be. With `paper` all but one of a set drop, as it
was published; else a pair drops only for one whose cosine with it is above the threshold.
Nothing depends on the order of rows: sums are in that of the keys, ties go to the larger picture, then the lower key.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ..disk.digests import Bools, Digests, locate, within
from ..towers.cosine import compiled

SAME = 1e-9  # two members of a set are as near the centroid as each other, as the two of most sets are
NODES = 2**31  # of connected sets: four bytes each, and no more
AHEAD = 1024  # edges whose nodes are read before they are joined
Rows = npt.NDArray[np.int32]
Labels = npt.NDArray[np.int32]
Nodes = npt.NDArray[np.integer]
Cosines = npt.NDArray[np.float64]
CHUNK = 8192  # members whose vectors are held at once: 50 MB of 768 dimensions, three times


@dataclass(frozen=True, slots=True)
class Graph:
    """Which pictures lie near each other. one, other, cos: of an edge, between the firsts of twins.

    first: of each row (n,), the first of those with its embedding: itself, where it is alone.
    """

    one: Rows
    other: Rows
    cos: npt.NDArray[np.float64]
    first: Rows

    def above(self, least: float) -> Graph:
        """The edges whose cosine is more than this."""
        mask = self.cos > least
        return Graph(self.one[mask], self.other[mask], self.cos[mask], self.first)

    def among(self, active: Bools) -> Graph:
        """The edges both of whose ends have an active row (n,)."""
        there = np.zeros(len(active), np.bool_)
        there[self.first[active]] = True
        mask = there[self.one] & there[self.other]
        return Graph(self.one[mask], self.other[mask], self.cos[mask], self.first)


@dataclass(slots=True)
class Sets:
    """What is known of duplicates so far, of each row (n,); -1: nothing.

    nearest: the row that stands for it; cluster: the row of the least key of its connected set.
    keys, size: of each row, its key and its pixels; vectors: those of some rows, float16 (m, d), by their firsts;
    held: how many of these at once.
    """

    keys: Digests
    size: npt.NDArray[np.int64]
    vectors: Callable[[Rows], npt.NDArray[np.float16]]
    held: int = CHUNK
    nearest: Rows = field(init=False)
    cluster: Rows = field(init=False)

    def __post_init__(self) -> None:
        self.nearest, self.cluster = (np.full(len(self.keys), -1, np.int32) for _ in range(2))

    def settle(
        self, active: Bools, part: npt.NDArray[np.int64], graph: Graph, least: float, *, split: bool
    ) -> tuple[Rows, int]:
        """Keep one of each set of the active rows; the others, of which `nearest` then tells, and how many connect.

        part: (n,) from 0 on, rows of two parts are never of one set; least: the cosine above which two are duplicates.
        The second number is of those that would drop if all of a connected set did but one.
        """
        waiting, dropped, connected = active.copy(), [np.empty(0, np.int32)], -1
        while True:
            graph = graph.among(waiting)
            ends = links(waiting, part, graph)
            if not len(ends[0]):
                return np.concatenate(dropped), max(connected, 0)
            nodes, places = np.unique(np.concatenate(ends), return_inverse=True)
            half = len(ends[0])
            labels = components(
                len(nodes), [(places[:half].astype(np.int32), places[half:].astype(np.int32))]
            )
            order = np.lexsort((self.keys[nodes], labels))
            members, starts = nodes[order].astype(np.int32), _starts(labels[order])
            kept, cos = self._chosen(members, starts, graph.first)
            stands = np.repeat(kept, np.diff(starts))  # for each member
            if connected < 0:
                connected = len(members) - len(kept)
                self.cluster[members] = np.repeat(members[starts[:-1]], np.diff(starts))
            goes = (members != stands) & ((cos > least) | (not split))
            self.nearest[members[goes]] = stands[goes]
            dropped.append(members[goes])
            waiting = np.zeros(len(waiting), np.bool_)
            waiting[members[(members != stands) & ~goes]] = True

    def _chosen(self, members: Rows, starts: npt.NDArray[np.int64], first: Rows) -> tuple[Rows, Cosines]:
        """The kept row of each set, and of each member its cosine with that. members: by set, then by key."""
        kept, cos = np.empty(len(starts) - 1, np.int32), np.empty(len(members))
        at = 0
        while at < len(kept):
            stop = max(at + 1, int(np.searchsorted(starts, starts[at] + self.held, "right")) - 1)
            some = slice(int(starts[at]), int(starts[stop]))
            rows, size = first[members[some]], self.size[members[some]]
            if len(rows) > self.held:
                best = self._large(rows, size, cos[some])
            else:
                best = choose(
                    self.vectors(rows).astype(np.float64), starts[at : stop + 1] - starts[at], size, cos[some]
                )
            kept[at:stop] = members[some][best]
            at = stop
        return kept, cos

    def _large(self, rows: Rows, size: npt.NDArray[np.int64], cos: Cosines) -> npt.NDArray[np.int64]:
        """The same as `choose`, of one set whose vectors are not held at once; rows: the firsts of its members."""

        def parts() -> Iterator[tuple[slice, npt.NDArray[np.float64]]]:
            for start in range(0, len(rows), self.held):
                some = slice(start, start + self.held)
                yield some, self.vectors(rows[some]).astype(np.float64)

        centroid: Any = sum(_unit(vectors).sum(axis=0) for _, vectors in parts())
        near = np.concatenate([_dot(_unit(vectors), centroid[None]) for _, vectors in parts()])
        best = _best(near, size, np.zeros(1, np.int64))
        (chosen,) = self.vectors(rows[best]).astype(np.float64)
        for some, vectors in parts():
            cos[some] = _dot(vectors, chosen[None])
        return best


def choose(
    vectors: npt.NDArray[np.float64], starts: npt.NDArray[np.int64], size: npt.NDArray[np.int64], cos: Cosines
) -> npt.NDArray[np.int64]:
    """The member of each set that is nearest its centroid; and into `cos` the cosine of each member with that one.

    vectors: (m, d), float16 values, whose products are exact in float64; starts: of the sets among them, and the end
    (s + 1,); size: in pixels (m,).
    """
    each, unit = np.diff(starts), _unit(vectors)
    centroids = np.add.reduceat(unit, starts[:-1])
    best = _best(_dot(unit, np.repeat(centroids, each, axis=0)), size, starts[:-1])
    cos[:] = _dot(vectors, vectors[np.repeat(best, each)])
    return best


def _best(near: Cosines, size: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """The member of each set with the highest `near`; of several within SAME of it the largest, then the first."""
    each = np.diff(starts, append=len(near))
    tied = near >= np.repeat(np.maximum.reduceat(near, starts), each) - SAME
    order = np.lexsort((np.arange(len(near)), -size, ~tied, np.repeat(np.arange(len(each)), each)))
    best: npt.NDArray[np.int64] = order[starts]
    return best


def _unit(vectors: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The vectors, of length one: float16 leaves lengths that differ by 1e-4, and of two the longer would win."""
    unit: npt.NDArray[np.float64] = vectors / np.sqrt(_dot(vectors, vectors))[:, None]
    return unit


def _dot(one: npt.NDArray[np.float64], other: npt.NDArray[np.float64]) -> Cosines:
    found: Cosines = np.einsum("md,md->m", one, np.broadcast_to(other, one.shape))
    return found


def links(active: Bools, part: npt.NDArray[np.int64], graph: Graph) -> tuple[Rows, Rows]:
    """Pairs of active rows of one part that connect all that edges and twins do."""
    touched = np.zeros(len(active), np.bool_)
    touched[graph.one] = touched[graph.other] = True
    alone = graph.first == np.arange(len(active))
    touched[graph.first[~alone]] = True
    rows = np.flatnonzero(active & touched[graph.first]).astype(np.int32)
    order = np.lexsort((rows, part[rows], graph.first[rows]))
    rows = rows[order]
    first, parts = graph.first[rows], part[rows]
    new = np.ones(len(rows), np.bool_)
    new[1:] = (first[1:] != first[:-1]) | (parts[1:] != parts[:-1])
    chained = rows[:-1][~new[1:]], rows[1:][~new[1:]]
    # Of each embedding and part the first row; edges lead from one of these to another.
    heads, of, parts = rows[new], first[new], parts[new]
    low, high = (np.searchsorted(of, graph.one, side) for side in ("left", "right"))
    head, edge = within(low, high)
    kinds = int(part.max(initial=0)) + 1
    pairs, wanted = (
        of.astype(np.int64) * kinds + parts,
        graph.other[edge].astype(np.int64) * kinds + parts[head],
    )
    place, there = locate(pairs, wanted)
    return (
        np.concatenate([chained[0], heads[head[there]]]),
        np.concatenate([chained[1], heads[place[there]]]),
    )


def _starts(labels: npt.NDArray[np.int32]) -> npt.NDArray[np.int64]:
    """Where each run of equal labels begins, and the end."""
    return np.flatnonzero(np.concatenate([[True], labels[1:] != labels[:-1], [True]]))


def components(nodes: int, chunks: Iterable[tuple[Nodes, Nodes]]) -> Labels:
    """The smallest node that each is connected to, (nodes,), of edges that come as arrays (m,) and (m,).

    Edges may come in any order, either way round and more than once. An edge to a node that is not there is a
    ValueError.
    """
    if nodes > NODES:
        raise ValueError(f"{nodes} nodes: at most {NODES}")
    parents = np.arange(nodes, dtype=np.int32)
    for one, other in chunks:
        for ends in (one, other):
            if len(ends) and not 0 <= int(ends.min()) <= int(ends.max()) < nodes:
                raise ValueError(f"an edge of a node that is none of {nodes}")
        _join(parents, one, other)
    _flatten(parents)
    return parents


@compiled
def _root(parents: Labels, node: int) -> int:
    """The root of a node's set; each second node on the way then points two further (path halving)."""
    while parents[node] != node:
        parents[node] = parents[parents[node]]
        node = parents[node]
    return node


@compiled
def _join(parents: Labels, one: Nodes, other: Nodes) -> int:
    """Join the sets of both ends of each edge, the larger root to the smaller.

    Nodes lie all over memory, and each waits for it. The first look at those of many edges does not depend on the one
    before, so that the processor has many on their way at once.
    """
    seen = 0
    for start in range(0, len(one), AHEAD):
        stop = min(start + AHEAD, len(one))
        for edge in range(start, stop):
            seen ^= parents[one[edge]] ^ parents[other[edge]]
        for edge in range(start, stop):
            low, high = _root(parents, one[edge]), _root(parents, other[edge])
            if low < high:
                parents[high] = low
            elif high < low:
                parents[low] = high
    return seen  # or the compiler would leave the look out


@compiled
def _flatten(parents: Labels) -> None:
    """Point each node to its root: all smaller ones, its parent too, do so already."""
    for node in range(len(parents)):
        parents[node] = parents[parents[node]]
