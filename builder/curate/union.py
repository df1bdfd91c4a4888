"""Connected sets of up to 2^31 nodes: edges in, chunk by chunk, the smallest node of each node's set out.

    labels = components(n, chunks)

Four bytes a node and no more: each node points to a smaller one of its set or to itself, and the root of a set is its
smallest node, whatever the order of the edges.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from .cosine import compiled

Labels = npt.NDArray[np.int32]
Nodes = npt.NDArray[np.integer]

MOST = 2**31  # nodes
AHEAD = 1024  # edges whose nodes are read before they are joined


def components(nodes: int, chunks: Iterable[tuple[Nodes, Nodes]]) -> Labels:
    """The smallest node that each is connected to, (nodes,), of edges that come as arrays (m,) and (m,).

    Edges may come in any order, either way round and more than once. An edge to a node that is not there is a
    ValueError.
    """
    if nodes > MOST:
        raise ValueError(f"{nodes} nodes: at most {MOST}")
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
