"""Histograms of numbers of any range: every number in its bin, quantiles near the exact ones, few bins for a chart."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.card.histogram import EDGES, SHOWN, FloatHistogram, rebinned

NUMBERS = st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1, max_size=50)


@given(NUMBERS)
def test_every_number_is_in_the_bin_of_its_edges(numbers: list[float]) -> None:
    for number in numbers:
        (place,) = np.flatnonzero(FloatHistogram(np.array([number])).counts)
        assert EDGES[place] <= number <= EDGES[place + 1]


@given(NUMBERS, st.integers(1, 49))
def test_batches_add_up_in_any_order(numbers: list[float], cut: int) -> None:
    first, second = FloatHistogram(np.array(numbers[cut:])), FloatHistogram(np.array(numbers[:cut]))
    assert np.array_equal((first + second).counts, FloatHistogram(np.array(numbers)).counts)
    assert (first + second).total == len(numbers)


def test_what_is_not_finite_counts_nowhere() -> None:
    assert FloatHistogram(np.array([np.nan, np.inf, -np.inf, 1.0])).total == 1


def test_edges_ascend() -> None:
    assert (np.diff(EDGES) >= 0).all()
    assert EDGES[0] == -EDGES[-1]


@pytest.mark.parametrize("scale", [0.001, 1.0, 5000.0])
def test_quantiles_are_within_a_fiftieth_of_a_part(scale: float) -> None:
    numbers = np.arange(1, 10_001) / 10_000 * scale
    one = FloatHistogram(numbers)
    for share in (0.05, 0.5, 0.95):
        assert one.quantile(share) == pytest.approx(share * scale, rel=0.003)
        assert one.from_on(share * scale) == pytest.approx(10_000 * (1 - share), abs=25)


def test_what_passes_a_quantile_is_counted_exactly() -> None:
    numbers = np.float32(np.random.default_rng(0).normal(0.3, 0.1, 5000))
    one = FloatHistogram(numbers)
    for share in (0.01, 0.1, 0.5):
        assert one.from_on(one.quantile(share)) == int((numbers >= one.quantile(share)).sum())


def test_a_chart_has_few_bins_and_all_numbers() -> None:
    near, far = np.random.default_rng(0).normal(7.4, 0.2, 9000), np.geomspace(1, 1e5, 9000)
    edges, counts, log = rebinned([FloatHistogram(near), FloatHistogram(near[:100])])
    assert (len(edges), log, counts[0].sum(), counts[1].sum()) == (SHOWN + 1, False, 9000, 100)
    # no comb, though a bin of the chart holds one or two of the histogram
    wanted = np.histogram(near, edges)[0][5:-5]
    assert np.abs(counts[0][5:-5] - wanted).max() < 40
    edges, counts, log = rebinned([FloatHistogram(np.append(far, np.zeros(50)))])
    assert log
    assert counts[0].sum() == 9050
    assert edges[0] > 0


def test_a_chart_holds_its_marks() -> None:
    edges, _, _ = rebinned([FloatHistogram(np.array([0.2, 0.3]))], [0.1, 0.9])
    assert edges[0] < 0.1 < 0.9 < edges[-1]


def test_one_number_has_a_chart() -> None:
    edges, counts, log = rebinned([FloatHistogram(np.array([0.0]))])
    assert (counts[0].sum(), log) == (1, False)
    assert np.isfinite(edges).all()
