"""Ranks by hand on four queries and four items; ties, rows of NaN, several right items and none; any order alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.evaluate.metrics import UNFOUND, Pairs, Ranks, Vectors, cosines, ranks

# Queries along the axes: the cosine of query i with an item is its number i.
AXES = np.eye(4, dtype=np.float32)
ITEMS = np.array(
    [
        [0.8, 0.6, 0.0, 0.0],
        [0.6, 0.8, 0.0, 0.0],
        [0.0, 0.0, 0.6, 0.8],
        [0.6, 0.0, 0.8, 0.0],
    ],
    np.float32,
)
NAN = np.full(4, np.nan, np.float32)


def of(*pairs: tuple[int, int]) -> Pairs:
    return np.array(pairs, np.int64).reshape(-1, 2)


def told(found: Ranks) -> tuple[list[int], list[bool]]:
    return found.rank.tolist(), found.tied.tolist()


def test_ranks_by_hand() -> None:
    # 0: item 0 of .8 is first; 1: item 0 of .6 has item 1 of .8 before it; 2: item 1 of 0 has .8, .6 and a 0;
    # 3: item 2 is the only one above 0.
    found = ranks(AXES, ITEMS, of((0, 0), (1, 0), (2, 1), (3, 2)))
    assert told(found) == ([1, 2, 4, 1], [False, False, True, False])
    assert found.rank.dtype == np.int32


def test_a_wrong_item_as_near_as_the_best_right_one_stands_before_it() -> None:
    # Query 0: item 1 and item 3 have .6 both; item 0 is before them.
    assert told(ranks(AXES[:1], ITEMS, of((0, 1)))) == ([3], [True])
    assert told(ranks(AXES[:1], ITEMS, of((0, 1), (0, 3)))) == (
        [2],
        [False],
    )  # right ones are in nobody's way
    same = np.repeat(ITEMS[:1], 4, axis=0)
    assert told(ranks(AXES, same, of((0, 0), (1, 1), (2, 2), (3, 3)))) == ([4] * 4, [True] * 4)


def test_the_best_of_several_right_items_counts() -> None:
    assert told(ranks(AXES, ITEMS, of((0, 3), (0, 0), (1, 2), (1, 3), (1, 1)))) == (
        [1, 1, UNFOUND, UNFOUND],
        [False] * 4,
    )


def test_a_query_without_a_right_item_finds_none() -> None:
    assert told(ranks(AXES, ITEMS, of())) == ([UNFOUND] * 4, [False] * 4)
    assert told(ranks(AXES, ITEMS[:0], of())) == ([UNFOUND] * 4, [False] * 4)
    assert told(ranks(AXES[:0], ITEMS, of())) == ([], [])


def test_what_could_not_be_read_is_never_found_and_in_nobodys_way() -> None:
    items = np.stack([NAN, ITEMS[1], ITEMS[2], ITEMS[3]])
    # 0: its item is NaN; 1: item 1 is first, also as item 0 is gone; 2: one right item of two is left.
    assert told(ranks(AXES, items, of((0, 0), (1, 1), (2, 0), (2, 2)))) == (
        [UNFOUND, 1, 2, UNFOUND],
        [False] * 4,
    )
    queries = np.stack([NAN, AXES[1], AXES[2], AXES[3]])
    assert told(ranks(queries, ITEMS, of((0, 0), (1, 1), (2, 3), (3, 2)))) == (
        [UNFOUND, 1, 1, 1],
        [False] * 4,
    )


def unit(rng: np.random.Generator, n: int, d: int) -> Vectors:
    rows = rng.standard_normal((n, d), dtype=np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    return rows


def test_equal_rows_tie_wherever_they_stand() -> None:
    # A BLAS gives equal rows other last bits at the edge of a product than inside it: here 997 of 771 numbers are all
    # one row, each query has one of them, and every rank must be that of the last.
    rng = np.random.default_rng(0)
    queries = unit(rng, 5, 771)
    items = np.repeat(unit(rng, 1, 771), 997, axis=0)
    pairs = np.stack([np.arange(5), np.arange(5) * 200], axis=1)
    for block in (1, 2_000, 5_000):
        assert told(ranks(queries, items, pairs, block)) == ([997] * 5, [True] * 5)


def test_a_cosine_is_that_of_its_rows_alone() -> None:
    rng = np.random.default_rng(1)
    queries, items = unit(rng, 9, 771), unit(rng, 8, 771)
    every = np.stack([one.ravel() for one in np.indices((9, 8))], axis=1)
    found = cosines(queries, items, every)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, (queries @ items.T).ravel(), atol=1e-6)
    many = np.resize(every, (9_000, 2))
    assert cosines(queries, items, many).tolist() == np.resize(found, 9_000).tolist()


def plain(queries: Vectors, items: Vectors, pairs: Pairs) -> tuple[list[int], list[bool]]:
    """Ranks as they are defined, one query and one item after the other."""
    rank, tied = [], []
    for at, query in enumerate(queries):
        near = [np.float32((query.astype(np.float64) * item).sum()) for item in items]
        right = {int(item) for one, item in pairs if one == at}
        best = max((near[item] for item in right if not np.isnan(near[item])), default=None)
        wrong = [one for item, one in enumerate(near) if item not in right]
        rank.append(UNFOUND if best is None else 1 + sum(bool(one >= best) for one in wrong))
        tied.append(best is not None and best in wrong)
    return rank, tied


@st.composite
def cases(draw: st.DrawFn) -> tuple[Vectors, Vectors, Pairs]:
    """Few directions, so that there are ties, and some rows of NaN."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    some = np.concatenate([unit(rng, draw(st.integers(1, 6)), 5), NAN.repeat(2)[None, :5]])
    queries = some[rng.integers(len(some), size=draw(st.integers(1, 12)))]
    items = some[rng.integers(len(some), size=draw(st.integers(1, 12)))]
    every = np.argwhere(rng.random((len(queries), len(items))) < draw(st.sampled_from([0.1, 0.3])))
    return queries, items, rng.permutation(every)


@given(cases(), st.integers(1, 200), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_no_rank_depends_on_order_or_blocks(
    case: tuple[Vectors, Vectors, Pairs], block: int, seed: int
) -> None:
    queries, items, pairs = case
    expected = plain(queries, items, pairs)
    assert told(ranks(queries, items, pairs, block)) == expected
    rng = np.random.default_rng(seed)
    one, other = rng.permutation(len(queries)), rng.permutation(len(items))
    back = np.argsort(one)
    moved = np.stack([back[pairs[:, 0]], np.argsort(other)[pairs[:, 1]]], axis=1)
    found = ranks(queries[one], items[other], rng.permutation(moved), block)
    assert told(Ranks(found.rank[back], found.tied[back])) == expected


@pytest.mark.parametrize("d", [1, 64, 768])
def test_near_is_decided_by_the_cosine_and_not_by_the_product(d: int) -> None:
    # Items that differ from the right one in the last bits of single numbers.
    rng = np.random.default_rng(d)
    queries = unit(rng, 20, d)
    items = np.repeat(unit(rng, 1, d), 60, axis=0)
    items[np.arange(60), rng.integers(d, size=60)] *= (
        1 + rng.integers(-4, 5, size=60).astype(np.float32) * 2**-23
    )
    pairs = np.stack([np.arange(20), np.arange(20)], axis=1)
    assert told(ranks(queries, items, pairs, 300)) == plain(queries, items, pairs)
