"""The cosine: exact, whatever the order of the sum."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.towers.cosine import cosines, doubt, floats

from .vectors import unit, world


@given(st.integers(0, 2**32), st.sampled_from([1, 3, 64, 511, 768]))
def test_it_is_the_exact_sum_in_any_order(seed: int, width: int) -> None:
    vectors = world(20, width, seed)
    left, right = vectors[:10], vectors[10:]
    found = cosines(left, right)
    order = np.random.default_rng(seed).permutation(width)
    for row in range(10):
        assert found[row] == math.fsum(left[row].astype(np.float64) * right[row].astype(np.float64))
    assert np.array_equal(cosines(left[:, order], right[:, order]), found)
    assert np.array_equal((left.astype(np.float64) * right.astype(np.float64)).sum(1), found)


def test_the_smallest_and_the_largest_numbers_of_float16_are_exact_too() -> None:
    vectors = unit(np.eye(2, 768))
    vectors[:, 2:] = np.float16(2**-24)
    assert cosines(vectors[:1], vectors[1:])[0] == 766 * 2.0**-48


def test_a_product_in_float32_is_within_the_doubt() -> None:
    for width in (64, 512, 1024):
        left, right = unit(np.ones((1, width))), unit(np.full((1, width), 1.0))
        assert abs(float((floats(left) @ floats(right).T)[0, 0]) - cosines(left, right)[0]) <= doubt(width)


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0, 2.0])
def test_what_is_no_vector_of_length_one_is_refused(bad: float) -> None:
    vectors = world(5, 8)
    vectors[3] = bad
    with pytest.raises(AssertionError, match="length one"):
        floats(vectors)


def test_none_are_none() -> None:
    assert cosines(world(0, 8), world(0, 8)).shape == (0,)


def test_every_number_of_float16_up_to_one_is_the_same_in_float32() -> None:
    every = np.arange(1 << 16, dtype=np.uint16).view(np.float16)
    every = every[np.abs(every) <= 1]  # denormal ones and zeros of both signs among them
    rest = np.sqrt(1 - every.astype(np.float64) ** 2)
    vectors = np.stack([every, rest.astype(np.float16)], axis=1)
    assert np.array_equal(floats(vectors).view(np.uint32), vectors.astype(np.float32).view(np.uint32))
