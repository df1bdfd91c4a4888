"""Connected sets: scipy's, named by their smallest node."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from builder.curate.sets import components

Edges = list[tuple[int, int]]


def smallest(nodes: int, edges: Edges) -> list[int]:
    """The smallest node of each node's set, by scipy."""
    ends = np.array(edges, np.int64).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(nodes, nodes))
    _, sets = connected_components(graph, directed=False)
    first = {name: node for node, name in reversed([*enumerate(sets.tolist())])}
    return [first[name] for name in sets.tolist()]


@given(st.integers(1, 60), st.data())
def test_sets_are_scipys_whatever_the_order_and_the_chunks(nodes: int, data: st.DataObject) -> None:
    edges = data.draw(st.lists(st.tuples(*[st.integers(0, nodes - 1)] * 2), max_size=80))
    turned = [pair[::-1] for pair in data.draw(st.permutations(edges))]
    cut = data.draw(st.integers(0, len(edges)))
    chunks = [np.array(part, np.int64).reshape(-1, 2) for part in (turned[:cut], turned[cut:])]
    found = components(nodes, ((part[:, 0], part[:, 1]) for part in chunks))
    assert found.dtype == np.int32
    assert found.tolist() == smallest(nodes, edges)


def test_many_edges() -> None:
    random = np.random.default_rng(0)
    one, other = random.integers(50_000, size=(2, 30_000))
    wanted = smallest(50_000, [*zip(one.tolist(), other.tolist(), strict=True)])
    assert components(50_000, [(one, other)]).tolist() == wanted
    assert components(50_000, [(one[::-1].astype(np.int32), other[::-1].astype(np.int32))]).tolist() == wanted


def test_a_long_chain_from_its_far_end() -> None:
    nodes = np.arange(100_000)
    assert not components(100_000, [(nodes[:0:-1], nodes[-2::-1])]).any()


def test_no_edges() -> None:
    assert components(4, []).tolist() == [0, 1, 2, 3]
    assert components(0, [(np.empty(0, np.int64), np.empty(0, np.int64))]).tolist() == []


@pytest.mark.parametrize("end", [-1, 5])
def test_an_edge_to_nowhere_is_refused(end: int) -> None:
    with pytest.raises(ValueError, match="none of 5"):
        components(5, [(np.array([0]), np.array([end]))])


def test_too_many_nodes_are_refused() -> None:
    with pytest.raises(ValueError, match="at most"):
        components(2**31 + 1, [])
