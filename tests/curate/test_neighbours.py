"""Near pictures: all pairs of brute force, whatever the blocks, the order and the size of a cell."""

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.curate import neighbours
from builder.curate.cosine import cosines
from builder.curate.neighbours import against_sample, collapse, hashed, pairs_within

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


def expected(home: Array, guests: Array, least: float = LEAST) -> Found:
    """Every pair, by brute force."""
    every = brute(home, np.concatenate([home, guests]))
    rows, columns = np.nonzero(every >= least)
    return {(i, j): every[i, j] for i, j in zip(rows.tolist(), columns.tolist(), strict=True) if i < j}


@pytest.mark.parametrize(("rows", "guests"), [(0, 5), (1, 0), (300, 0), (1500, 1100), (2300, 70), (64, 3000)])
def test_pairs_are_those_of_brute_force(rows: int, guests: int) -> None:
    vectors = world(rows + guests, 48, near=(rows + guests) // 3)
    wanted = expected(vectors[:rows], vectors[rows:])
    assert gathered(pairs_within(vectors[:rows], vectors[rows:], LEAST)) == wanted
    assert len(wanted) > 20 or rows < 2


def test_a_panel_is_compared_with_what_comes_after_it() -> None:
    rows, near = neighbours.PANEL + 1500, 800
    vectors = world(rows + 400, 64, near=near)  # none but the planted pairs are near
    exact = cosines(vectors[:near], vectors[-near:])
    planted = range(rows + 400 - near, rows + 400)
    wanted = {(i, j): exact[i] for i, j in enumerate(planted) if exact[i] >= LEAST}
    assert gathered(pairs_within(vectors[:rows], vectors[rows:], LEAST)) == wanted
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
        (pair,) = (exact[row],)
        found = gathered(pairs_within(left[row : row + 1], right[row : row + 1], LEAST))
        assert found == ({(0, 1): pair} if pair >= LEAST else {})
        assert gathered(pairs_within(left[row : row + 1], right[row : row + 1], pair)) == {(0, 1): pair}
        assert gathered(pairs_within(left[row : row + 1], right[row : row + 1], np.nextafter(pair, 2))) == {}


@given(st.integers(0, 2**32))
def test_any_order_of_the_rows_gives_the_same_pairs(seed: int) -> None:
    vectors = world(700, 16, 5, near=200)
    order = np.random.default_rng(seed).permutation(700)
    found = gathered(pairs_within(vectors[order[:400]], vectors[order[400:]], LEAST))
    home = set(order[:400].tolist())
    wanted = expected(vectors, vectors[:0])
    named = {tuple(sorted((int(order[i]), int(order[j])))): cosine for (i, j), cosine in found.items()}
    assert named == {pair: cosine for pair, cosine in wanted.items() if home & {*pair}}


def test_a_large_cell_is_cut_and_the_order_of_its_rows_does_not_matter() -> None:
    rows, guests = 5000, 2000
    vectors = world(rows + guests, 48, near=3000, clusters=100)
    found = gathered(pairs_within(vectors[:rows], vectors[rows:], LEAST, most=4000))
    wanted = expected(vectors[:rows], vectors[rows:])
    assert found.items() <= wanted.items()
    assert len(found) >= 0.99 * len(wanted) > 1000
    order = np.random.default_rng(1).permutation(rows)
    again = gathered(pairs_within(vectors[:rows][order], vectors[rows:], LEAST, most=4000))
    place = np.concatenate([order, np.arange(rows, rows + guests)])
    assert found == {
        (min(place[i], place[j]), max(place[i], place[j])): cosine for (i, j), cosine in again.items()
    }


def test_a_ball_that_cannot_be_cut_is_compared_whole() -> None:
    # Two directions only: no k-means makes more than two cells of them.
    vectors = np.repeat(unit([[1, 0]]), 5000, axis=0)
    vectors[-1] = unit([[0.9, 0.43589]])[0]
    count = sum(len(one) for one, _, _ in pairs_within(vectors, vectors[:0], 1.0, most=4100))
    assert count == 4999 * 4998 // 2


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
