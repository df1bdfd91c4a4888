"""Cells: the right ones by brute force, the same for any batch, and none that breaks on odd worlds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.towers.cells import (
    MOST_PROBES,
    NEAR,
    PROBES,
    SINGLE,
    SPARE,
    cell_count,
    centroids_of,
    meeting,
    visits,
)

from .vectors import Array, brute, unit, world


def probed(vectors: Array, centroids: Array) -> list[list[int]]:
    """The cells of each row as the rule says, by brute force: the nearest first."""
    every = []
    for row in brute(vectors, centroids):
        order = sorted(range(len(row)), key=lambda cell: (-row[cell], cell))
        third = row[order[min(2, len(order) - 1)]]
        every.append(
            [cell for at, cell in enumerate(order) if at < 3 or row[cell] >= third - NEAR][: PROBES + SPARE]
        )
    return every


def told(vectors: Array, centroids: Array) -> list[list[int]]:
    home, row, cell = visits(vectors, centroids)
    assert (home.dtype, row.dtype, cell.dtype) == (np.int32, np.int64, np.int32)
    return [[int(one), *cell[row == at].tolist()] for at, one in enumerate(home)]


@pytest.mark.parametrize("count", [1, 2, 3, 40])
def test_a_row_has_its_nearest_cell_and_visits_two_more(count: int) -> None:
    vectors = world(700, 32, clusters=30)
    centroids = centroids_of(vectors[:400], count)
    assert told(vectors, centroids) == probed(vectors, centroids)


def test_more_cells_may_be_visited() -> None:
    vectors = world(300, 32)
    centroids = centroids_of(vectors, 40)
    order = np.argsort(-brute(vectors, centroids), axis=1, kind="stable")
    for probes in (1, 2, 7, 40):
        home, row, cell = visits(vectors, centroids, probes)
        assert home.tolist() == order[:, 0].tolist()
        for at in range(300):
            assert cell[row == at][: probes - 1].tolist() == order[at, 1:probes].tolist()


def test_two_meet_in_the_first_cell_that_both_visit() -> None:
    vectors = world(400, 24, near=150)
    centroids = centroids_of(vectors, 60)
    order = np.argsort(-brute(vectors, centroids), axis=1, kind="stable")[:, :MOST_PROBES]
    found = meeting(vectors[:200], vectors[200:], centroids)
    for row in range(200):
        common = [p for p in range(1, MOST_PROBES + 1) if {*order[row, :p]} & {*order[row + 200, :p]}]
        assert found[row] == (common or [MOST_PROBES + 1])[0]
    assert meeting(vectors[:200], vectors[200:], centroids[:1]).tolist() == [1] * 200


def test_equals_go_to_the_lower_number_and_what_is_near_the_third_is_probed_too() -> None:
    # Cosines .8, .6, .6 (twice the same centroid) and 0: the third and its equal, and no more.
    centroids = unit([[0, 1, 0], [6, 0, 8], [8, 0, 6], [6, 0, -8], [6, 8, 0]])
    assert told(unit([[1, 0, 0]]), centroids) == [[2, 1, 3, 4]]


def test_cells_of_a_row_have_an_end() -> None:
    # All centroids are as near.
    centroids = np.repeat(unit([[1, 0]]), 50, axis=0)
    assert told(unit([[1, 1]]), centroids) == [[*range(PROBES + SPARE)]]


@given(st.integers(0, 2**32), st.integers(1, 300))
def test_no_row_depends_on_the_others_of_a_batch(seed: int, size: int) -> None:
    vectors = world(300, 16, 1)
    centroids = centroids_of(vectors[:100], 20)
    order = np.random.default_rng(seed).permutation(300)[:size]
    every = told(vectors, centroids)
    assert told(vectors[order], centroids) == [every[row] for row in order]


def test_centroids_are_those_of_the_sample_alone() -> None:
    sample = world(900, 24, clusters=12)
    first = centroids_of(sample, 30)
    assert first.dtype == np.float16
    assert first.shape == (30, 24)
    assert np.allclose(np.linalg.norm(first.astype(np.float64), axis=1), 1, atol=1e-3)
    assert np.array_equal(first, centroids_of(sample.copy(), 30))


def test_centroids_find_clusters() -> None:
    centres = world(8, 64, 3)
    random = np.random.default_rng(0)
    near = random.standard_normal((800, 64)) * 0.02
    sample = unit(centres[random.integers(8, size=800)].astype(np.float64) + near)
    found = brute(centres, centroids_of(sample, 24)).max(axis=1)
    assert (found > 0.98).all()


def test_a_cell_that_is_left_empty_begins_anew() -> None:
    # The first rows, which are the first centroids, are all equal; the others are three far from each other.
    sample = np.concatenate(
        [np.repeat(unit([[1, 0, 0, 0]]), 4, axis=0), np.repeat(unit(np.eye(4)[1:]), 5, axis=0)]
    )
    found = brute(centroids_of(sample, 4), unit(np.eye(4)))
    assert (found.max(axis=0) > 0.99).all()


def test_rows_that_cancel_out_leave_no_centroid_without_length() -> None:
    found = centroids_of(unit([[1, 0], [-1, 0], [1, 0], [-1, 0]]), 1)
    assert np.linalg.norm(found.astype(np.float64)) == pytest.approx(1)


def test_fewer_rows_than_cells() -> None:
    assert centroids_of(world(5, 8), 20).shape == (5, 8)
    home, row, cell = visits(world(0, 8), world(3, 8))
    assert len(home) == len(row) == len(cell) == 0


def test_few_rows_are_one_cell_and_many_three_times_the_root_of_half_as_many() -> None:
    assert cell_count(0) == cell_count(SINGLE) == 1
    assert cell_count(1_000_000) == 2121
    assert cell_count(316_000_000) == 37_709
    assert cell_count(1_000_000, probes=12) == 8485
