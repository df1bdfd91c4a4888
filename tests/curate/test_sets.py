"""Sets of duplicates: what stays, what it stands for, and that neither depends on the order of rows."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.curate.sets import CHUNK, Graph, Sets, links

Halves = npt.NDArray[np.float16]


def at(*degrees: float) -> Halves:
    """Unit vectors of the plane."""
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)


def graph_of(vectors: Halves, least: float = 0.85) -> Graph:
    """All edges and twins, by brute force."""
    wide = vectors.astype(np.float64)
    cos = wide @ wide.T
    first = np.array([int(np.flatnonzero((vectors == row).all(axis=1))[0]) for row in vectors], np.int32)
    one, other = np.nonzero(np.triu(cos >= least, 1))
    lone = (first[one] == one) & (first[other] == other)
    one, other = one[lone].astype(np.int32), other[lone].astype(np.int32)
    return Graph(one, other, cos[one, other], first)


def sets_of(
    vectors: Halves, keys: list[str] | None = None, size: list[int] | None = None, held: int = CHUNK
) -> Sets:
    n = len(vectors)
    names = np.array(keys or [f"{number:016d}" for number in range(n)], "S16")
    return Sets(names, np.array(size or [1] * n, np.int64), lambda rows: vectors[rows], held)


def settled(
    vectors: Halves, least: float = 0.9, split: bool = True, held: int = CHUNK, **told: list[int]
) -> tuple[list[int], list[int]]:
    """Which rows go, and the row that stands for each."""
    made = sets_of(vectors, None, told.get("size"), held)
    part = np.array(told.get("part") or [0] * len(vectors), np.int64)
    gone, _ = made.settle(np.ones(len(vectors), np.bool_), part, graph_of(vectors), least, split=split)
    return sorted(gone.tolist()), made.nearest.tolist()


def test_of_a_set_the_nearest_to_the_centroid_stays() -> None:
    assert settled(at(0, 10, 14, 90)) == ([0, 2], [1, -1, 1, -1])


def test_a_chain_is_split_where_its_ends_are_no_duplicates() -> None:
    """0 and 40 degrees (cosine .77) are connected by 20 alone (cosine .94 to each)."""
    vectors = at(0, 20, 40, 60, 80)
    gone, nearest = settled(vectors)
    assert (gone, nearest) == ([1, 3], [-1, 2, -1, 2, -1])
    gone, nearest = settled(vectors, split=False)
    assert (gone, nearest) == ([0, 1, 3, 4], [2, 2, -1, 2, 2])


def test_what_is_let_go_forms_sets_of_its_own() -> None:
    """Rows far from the kept one of a chain, but near each other, are one set in the next round."""
    vectors = at(0, 20, 40, 60, 80, 82)
    gone, nearest = settled(vectors)
    kept = [row for row in range(6) if row not in gone]
    wide = vectors.astype(np.float64)
    assert all(wide[row] @ wide[nearest[row]] > 0.9 for row in gone)
    assert all(wide[one] @ wide[other] <= 0.9 for one in kept for other in kept if one != other)


def test_the_number_of_connected_ones_is_that_of_the_published_rule() -> None:
    made = sets_of(at(0, 20, 40, 60, 80, 180))
    part, graph = np.zeros(6, np.int64), graph_of(at(0, 20, 40, 60, 80, 180))
    gone, connected = made.settle(np.ones(6, np.bool_), part, graph, 0.9, split=True)
    assert (len(gone), connected) == (2, 4)
    assert made.cluster.tolist() == [0, 0, 0, 0, 0, -1]


def test_ties_go_to_the_larger_picture_and_then_to_the_lower_key() -> None:
    assert settled(at(5, 5), size=[1, 2]) == ([0], [1, -1])
    assert settled(at(5, 5, 5), size=[2, 2, 1]) == ([1, 2], [-1, 0, 0])
    made = sets_of(at(5, 5), keys=["b", "a"])
    gone, _ = made.settle(np.ones(2, np.bool_), np.zeros(2, np.int64), graph_of(at(5, 5)), 0.9, split=True)
    assert gone.tolist() == [0]


def test_rows_of_two_parts_are_never_of_one_set() -> None:
    assert settled(at(0, 1, 2, 0), part=[0, 1, 0, 1]) == ([2, 3], [-1, -1, 0, 1])


def test_only_active_rows_connect() -> None:
    """0 and 40 degrees meet by 20 alone; where that is out, both stay. Of twins one that is out hides no other."""
    vectors = at(0, 20, 40, 40, 45)
    made = sets_of(vectors)
    active = np.array([True, False, False, True, True])
    gone, _ = made.settle(active, np.zeros(5, np.int64), graph_of(vectors), 0.9, split=True)
    assert gone.tolist() == [4]
    assert made.nearest[4] == 3


def test_a_threshold_is_exceeded_not_reached() -> None:
    """Of float16 (1, 0) and (0.8, 0.6), whose product is exactly that of 0.8."""
    vectors = np.array([[1, 0], [0.8, 0.6]], np.float16)
    cos = float(np.float16(0.8))
    edge = Graph(
        np.array([0], np.int32), np.array([1], np.int32), np.array([cos]), np.arange(2, dtype=np.int32)
    )
    for least, gone in ((cos, 0), (np.nextafter(cos, 0), 1)):
        found, _ = sets_of(vectors).settle(
            np.ones(2, np.bool_), np.zeros(2, np.int64), edge.above(least), least, split=True
        )
        assert len(found) == gone


def test_a_set_too_large_to_be_held_is_judged_as_a_small_one() -> None:
    rng = np.random.default_rng(0)
    vectors = at(*rng.uniform(0, 200, 60))
    assert settled(vectors, held=3) == settled(vectors)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(0, 60), min_size=1, max_size=25), st.randoms(use_true_random=False))
def test_the_order_of_rows_decides_nothing(degrees: list[int], random: object) -> None:
    """The same pictures in another order, by their keys: the same stay, for the same."""
    vectors, n = at(*[3.1 * one for one in degrees]), len(degrees)
    order = np.array(random.sample(range(n), n))  # type: ignore[attr-defined]
    parts = np.array(degrees) % 2

    def by_key(rows: npt.NDArray[np.intp]) -> dict[str, str]:
        made = sets_of(vectors[rows], keys=[f"{row:016d}" for row in rows])
        made.settle(
            np.ones(n, np.bool_), parts[rows].astype(np.int64), graph_of(vectors[rows]), 0.9, split=True
        )
        return {str(rows[row]): str(rows[stands]) for row, stands in enumerate(made.nearest) if stands >= 0}

    assert by_key(np.arange(n)) == by_key(order)


def test_links_connect_twins_and_the_edges_of_their_firsts() -> None:
    graph = Graph(
        np.array([0], np.int32), np.array([2], np.int32), np.array([0.95]), np.array([0, 0, 2, 2], np.int32)
    )
    part = np.array([0, 1, 1, 0], np.int64)
    one, other = links(np.ones(4, np.bool_), part, graph)
    assert sorted(zip(one.tolist(), other.tolist(), strict=True)) == [(0, 3), (1, 2)]
