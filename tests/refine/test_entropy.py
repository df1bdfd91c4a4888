"""Entropy by hand, and thresholds against a sort of all values."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.refine.entropy import UNIT, Histogram, Surprise, counted, summed


def hashes(*numbers: int) -> np.ndarray[tuple[int], np.dtype[np.uint32]]:
    return np.array(numbers, np.uint32)


def test_the_entropy_of_a_text_by_hand() -> None:
    """Of 8 words four are 1, two are 2, one is 3 and one is 4: p = 1/2, 1/4, 1/8, 1/8."""
    words = summed([counted([hashes(1, 1, 2)]), counted([hashes(1, 3), hashes(4, 2, 1)])])
    assert words.to_pylist() == [{"word": n, "count": c} for n, c in ((1, 4), (2, 2), (3, 1), (4, 1))]
    found = Surprise(words).of(hashes(1, 2, 3, 3, 9), np.array([2, 0, 2, 1]))
    assert (found * UNIT).tolist() == pytest.approx([0.5 + 0.5, 0.0, 2 * 0.375, 0.0])


def test_no_word_tells_more_than_its_units_hold() -> None:
    words = summed([counted([hashes(*[1] * 1000, *[2] * 1718)])])  # p = 1/e, nearly
    most = Surprise(words).of(hashes(1), np.array([1]))[0]
    assert most * UNIT == pytest.approx(math.log2(math.e) / math.e, rel=1e-4)
    assert Surprise(summed([])).of(hashes(), np.array([0])).tolist() == [0]


def test_counts_add_up_in_any_order() -> None:
    parts = [counted([hashes(n % 5, n % 3, n)]) for n in range(20)]
    assert summed(parts).equals(summed(parts[::-1]))
    assert summed(parts)["count"].to_numpy().sum() == 60


@given(st.lists(st.integers(0, 1 << 37), min_size=1, max_size=60), st.floats(0, 1))
def test_the_value_below_which_a_share_lies(values: list[int], share: float) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(np.array([value]))
    below = histogram.below(share)
    found = sum(value < below for value in values) / len(values)
    # No other value of the list would do better, but for values that lie within 1/16,384 of each other.
    best = min(
        abs(sum(other < value for other in values) / len(values) - share) for value in [*values, 1 << 38]
    )
    alike = sum(abs(value - below) <= below / 8192 for value in values) / len(values)
    assert abs(found - share) <= best + alike + 1e-12


def test_small_values_are_told_apart_and_nothing_at_all_drops_nothing() -> None:
    histogram = Histogram()
    assert histogram.below(0.5) == 0
    histogram.add(np.arange(16_384))
    assert [histogram.below(n / 16_384) for n in (0, 1, 5000, 16_383)] == [0, 1, 5000, 16_383]
