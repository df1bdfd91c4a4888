"""Near pictures: all pairs of brute force, whatever the blocks, the order and the size of a cell."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.towers import neighbours
from builder.towers.cells import MOST_PROBES, PROBES, centroids_of, meeting
from builder.towers.cosine import cosines
from builder.towers.neighbours import against_sample, collapse, hashed, pairs_within, probes_for

from .vectors import Array, brute, unit, world

LEAST = 0.85
Found = dict[tuple[int, int], float]


def gathered(pairs: object) -> Found:
    """The pairs with their cosines; one that comes twice comes with the same."""
    found: Found = {}
    for one, other, cosine in pairs:  # type: ignore[attr-defined]
        assert (one.dtype, other.dtype, cosine.dtype) == (np.int64, np.int64, np.float64)
        for pair in zip(one.tolist(), other.tolist(), cosine.tolist(), strict=True):
            assert found.setdefault(pair[:2], pair[2]) == pair[2]
    return found


def expected(vectors: Array, least: float = LEAST) -> Found:
    """Every pair, by brute force."""
    every = brute(vectors, vectors)
    rows, columns = np.nonzero(every >= least)
    return {(i, j): every[i, j] for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if i < j}


@pytest.mark.parametrize("rows", [0, 1, 300, 1024, 2600, 3072])
def test_pairs_are_those_of_brute_force(rows: int) -> None:
    vectors = world(rows, 48, near=rows // 3)
    wanted = expected(vectors)
    assert gathered(pairs_within(vectors, LEAST)) == wanted
    assert len(wanted) > 20 or rows < 2


def test_a_panel_is_compared_with_what_comes_after_it() -> None:
    rows, near = neighbours.PANEL + 1900, 800
    vectors = world(rows, 64, near=near)  # none but the planted pairs are near
    exact = cosines(vectors[:near], vectors[-near:])
    wanted = {(i, rows - near + i): exact[i] for i in range(near) if exact[i] >= LEAST}
    assert gathered(pairs_within(vectors, LEAST)) == wanted
    assert len(wanted) > near / 2


def test_a_pair_at_the_border_is_decided_by_the_exact_product() -> None:
    # Pairs next to 0.85, on both sides of it; then each with its own cosine as the border.
    random = np.random.default_rng(7)
    left = world(4000, 32)
    aside = random.standard_normal((4000, 32))
    wide = left.astype(np.float64)
    aside -= (aside * wide).sum(1, keepdims=True) * wide
    aside /= np.linalg.norm(aside, axis=1, keepdims=True)
    right = unit(LEAST * wide + np.sqrt(1 - LEAST**2) * aside)
    exact = cosines(left, right)
    close = np.flatnonzero(np.abs(exact - LEAST) < 1e-5)
    assert 20 < len(close) < 2000
    assert 0 < (exact[close] >= LEAST).sum() < len(close)
    for row in close:
        pair = np.concatenate([left[row : row + 1], right[row : row + 1]])
        own = exact[row]
        assert gathered(pairs_within(pair, LEAST)) == ({(0, 1): own} if own >= LEAST else {})
        assert gathered(pairs_within(pair, own)) == {(0, 1): own}
        assert gathered(pairs_within(pair, np.nextafter(own, 2))) == {}


def renamed(found: Found, order: npt.NDArray[np.int64]) -> Found:
    """The pairs by the rows that were at these places before."""
    ends = {pair: sorted((int(order[pair[0]]), int(order[pair[1]]))) for pair in found}
    return {(ends[pair][0], ends[pair][1]): cosine for pair, cosine in found.items()}


@given(st.integers(0, 2**32))
def test_any_order_of_the_rows_gives_the_same_pairs(seed: int) -> None:
    vectors = world(300, 16, 5, near=100)
    order = np.random.default_rng(seed).permutation(300)
    assert renamed(gathered(pairs_within(vectors[order], LEAST)), order) == expected(vectors)


def test_a_large_cell_is_cut_and_the_order_of_its_rows_does_not_matter() -> None:
    rows, near, least = 20_000, 4000, 0.95
    vectors = world(rows, 24, near=near)  # none but the planted pairs are as near as that
    exact = cosines(vectors[:near], vectors[-near:])
    wanted = {(i, rows - near + i): exact[i] for i in range(near) if exact[i] >= least}
    pairs = [*pairs_within(vectors, least, most=rows - 1)]
    found = gathered(pairs)
    assert found.items() <= wanted.items()
    assert len(found) >= 0.99 * len(wanted) > 500
    assert sum(len(one) for one, _, _ in pairs) > len(found)  # it was cut: pairs meet in several cells
    order = np.random.default_rng(1).permutation(rows)
    assert renamed(gathered(pairs_within(vectors[order], least, most=rows - 1)), order) == found


def test_a_ball_that_cannot_be_cut_is_compared_whole() -> None:
    # Two directions only: no k-means makes more than two cells of them.
    vectors = np.repeat(unit([[1, 0]]), 5000, axis=0)
    vectors[-1] = unit([[0.9, 0.43589]])[0]
    count = sum(len(one) for one, _, _ in pairs_within(vectors, 1.0, most=4100))
    assert count == 4999 * 4998 // 2
    few = world(60, 12, near=20)  # fewer than are worth a cut
    assert gathered(pairs_within(few, LEAST, most=10)) == expected(few)


def test_more_cells_are_probed_where_three_miss_too_much() -> None:
    # Of few dimensions, and near pairs with them: borders on every side.
    sample = world(8000, 6, near=3000)
    centroids = centroids_of(sample, 100)
    probes = probes_for(sample, centroids, LEAST)
    assert PROBES < probes <= MOST_PROBES
    pairs = [*expected(sample[:3000])]
    one, other = (sample[[pair[end] for pair in pairs]] for end in (0, 1))
    assert (meeting(one, other, centroids) <= probes).mean() > 0.99
    # Where hardly a pair is known, and where three are enough.
    assert probes_for(sample[:20], centroids, LEAST) == PROBES
    assert probes_for(world(3000, 64, near=1400), centroids_of(world(3000, 64), 4), LEAST) == PROBES


def test_rows_against_a_sample() -> None:
    vectors = world(1300, 40, near=500)
    wanted = brute(vectors[:900], vectors[900:])
    found = gathered(against_sample(vectors[:900], vectors[900:], LEAST))
    assert found == {(int(i), int(j)): wanted[i, j] for i, j in np.argwhere(wanted >= LEAST)}
    assert found


def test_equal_bytes_are_one() -> None:
    vectors = world(50, 12)[np.array([0, 1, 2, 1, 0, 5, 1])]
    order = np.array([4, 9, 0, 3, 1, 2, 5])
    assert collapse(vectors, order).tolist() == [4, 3, 2, 3, 4, 5, 3]
    assert collapse(vectors, np.arange(7)).tolist() == [0, 1, 2, 1, 0, 5, 1]
    assert collapse(vectors[:0], order[:0]).tolist() == []


@given(st.integers(0, 2**32))
def test_what_stands_for_a_row_has_its_bytes_and_comes_first(seed: int) -> None:
    random = np.random.default_rng(seed)
    vectors = world(6, 8)[random.integers(6, size=40)]
    order = random.permutation(40)
    stands = collapse(vectors, order)
    for row, one in enumerate(stands.tolist()):
        equal = [k for k in range(40) if vectors[k].tobytes() == vectors[row].tobytes()]
        assert one == min(equal, key=lambda k: order[k])


def test_hashes_tell_zeros_of_both_signs_apart() -> None:
    vectors = np.array([[1, 0], [1, -0.0]], np.float16)
    hashes: npt.NDArray[np.uint64] = hashed(vectors)
    assert hashes[0] != hashes[1]
    assert collapse(vectors, np.arange(2)).tolist() == [0, 1]
