"""Figures by hand, each weighted one against the same of repeated items, and the draws that give the weights."""

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.evaluate.metrics import (
    UNFOUND,
    Floats,
    auc,
    draws_of,
    interval,
    mean_average_precision,
    mean_per_class,
    recall,
    top1,
)

ONES = np.ones((1, 4))
TWICE = np.array([[1, 1, 1, 1], [2, 1, 1, 0], [0, 0, 0, 4], [0, 0, 0, 0]], float)


def values(of: Floats) -> list[float | None]:
    return [None if math.isnan(one) else one for one in of.tolist()]


def test_recall_by_hand() -> None:
    rank = np.array([1, 3, 6, UNFOUND], np.int32)
    assert [values(recall(rank, ONES, most)) for most in (1, 5, 10)] == [[0.25], [0.5], [0.75]]
    assert values(recall(rank, TWICE, 5)) == [0.5, 0.75, 0, None]


def test_top1_by_hand() -> None:
    right = np.array([True, False, True, False])
    assert values(top1(right, TWICE)) == [0.5, 0.75, 0, None]


def test_mean_per_class_by_hand() -> None:
    # Three of class 7, of which two are right, and one of class 2, which is wrong: (2/3 + 0) / 2.
    right, label = np.array([True, False, True, False]), np.array([7, 7, 7, 2])
    found = mean_per_class(right, label, TWICE)
    assert values(found) == [pytest.approx(1 / 3), 0.75, 0, None]  # a class that was not drawn is not there


def test_eleven_point_precision_by_hand() -> None:
    # In order of the scores: right, wrong, right, wrong. Precision is 1 up to a recall of 1/2 (0 to .5: six points) and
    # 2/3 above (.6 to 1: five points).
    scores = np.array([[0.9], [0.8], [0.7], [0.6]], np.float32)
    truth = np.array([[True], [False], [True], [False]])
    found = mean_average_precision(scores, truth, TWICE)
    # The first twice: precision 1 up to 2/3 (0 to .6: seven points), then 3/4 (four). Without any, none.
    assert values(found) == [
        pytest.approx((6 + 5 * 2 / 3) / 11),
        pytest.approx((7 + 4 * 3 / 4) / 11),
        None,
        None,
    ]


def test_eleven_points_are_whole_numbers() -> None:
    # Ten are right, three of them first: of floats, 3/10 is less than 3 * 0.1, and the point .3 would go to 10/17.
    truth = np.array([True] * 3 + [False] * 7 + [True] * 7)[:, None]
    scores = np.arange(17, 0, -1, dtype=np.float32)[:, None]
    (found,) = mean_average_precision(scores, truth, np.ones((1, 17)))
    assert found == pytest.approx((4 * 1 + 7 * 10 / 17) / 11)


def test_mean_average_precision_is_of_the_classes_that_are_there() -> None:
    scores = np.array([[0.9, 0.1, 0.5], [0.8, 0.9, 0.5], [0.7, 0.8, 0.5], [0.6, 0.7, 0.5]], np.float32)
    truth = np.array([[1, 0, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], bool)  # the third class has nobody
    assert values(mean_average_precision(scores, truth, ONES)) == [pytest.approx(((6 + 10 / 3) / 11 + 1) / 2)]


def test_wrong_items_of_the_same_score_come_first() -> None:
    truth = np.array([[True], [False], [True], [False]])
    assert values(mean_average_precision(np.zeros((4, 1), np.float32), truth, ONES)) == [0.5]
    assert values(auc(np.zeros(4, np.float32), truth[:, 0], ONES)) == [0.5]


def test_auc_by_hand() -> None:
    # .9 is above both others, .7 above one of them and level with the other: 3.5 of 4.
    scores, truth = np.array([0.9, 0.7, 0.7, 0.6], np.float32), np.array([True, True, False, False])
    assert values(auc(scores, truth, TWICE)) == [0.875, pytest.approx(2.5 / 3), None, None]


def test_what_could_not_be_read_counts_against_the_model() -> None:
    scores, truth = np.array([0.9, np.nan, 0.7, 0.6], np.float32), np.array([True, True, False, False])
    assert values(auc(scores, truth, ONES)) == [0.5]
    # Found is one of two: precision 1 to a recall of .5, and none above.
    assert values(mean_average_precision(scores[:, None], truth[:, None], ONES)) == [pytest.approx(6 / 11)]
    assert values(auc(scores, ~truth, ONES)) == [0]
    # In the way of nobody: the right ones are second and third of three.
    assert values(mean_average_precision(scores[:, None], ~truth[:, None], ONES)) == [pytest.approx(2 / 3)]


def test_nothing_gives_no_figure() -> None:
    none, no_weights = np.zeros(0), np.zeros((2, 0))
    assert values(top1(none.astype(bool), no_weights)) == [None, None]
    assert values(mean_per_class(none.astype(bool), none.astype(np.int64), no_weights)) == [None, None]
    assert values(auc(none.astype(np.float32), none.astype(bool), no_weights)) == [None, None]
    empty = np.zeros((0, 2))
    assert (
        values(mean_average_precision(empty.astype(np.float32), empty.astype(bool), no_weights)) == [None] * 2
    )


Figure = Callable[[npt.NDArray[np.int64], Floats], Floats]
SCORES = np.random.default_rng(5).integers(5, size=(40, 3)).astype(np.float32)  # many of them equal
SCORES[::9] = np.nan
RANKS = np.random.default_rng(4).integers(1, 10, size=40).astype(np.int32)
TRUTH = np.random.default_rng(6).random((40, 3)) < 0.3
FIGURES: dict[str, Figure] = {
    "recall": lambda at, weights: recall(RANKS[at], weights, 5),
    "top1": lambda at, weights: top1(TRUTH[at, 0], weights),
    "mean per class": lambda at, weights: mean_per_class(TRUTH[at, 0], at % 7, weights),
    "11-point mAP": lambda at, weights: mean_average_precision(SCORES[at], TRUTH[at], weights),
    "AUC": lambda at, weights: auc(SCORES[at, 0], TRUTH[at, 0], weights),
}


@pytest.mark.parametrize("name", FIGURES)
@given(st.lists(st.integers(0, 39), min_size=1, max_size=60))
@settings(deadline=None, max_examples=40)
def test_a_weighted_figure_is_that_of_repeated_items(name: str, drawn: list[int]) -> None:
    at = np.array(drawn)
    weights = np.bincount(at, minlength=40)[None].astype(float)
    found = FIGURES[name](np.arange(40), weights)
    np.testing.assert_allclose(found, FIGURES[name](at, np.ones((1, len(at)))), rtol=1e-12)


@pytest.mark.parametrize("name", FIGURES)
def test_no_figure_depends_on_the_order_of_the_items(name: str) -> None:
    order = np.random.default_rng(7).permutation(40)
    weights = np.concatenate(list(draws_of(40, 5, 0, name)))
    found, moved = FIGURES[name](np.arange(40), weights), FIGURES[name](order, weights[:, order])
    np.testing.assert_allclose(moved, found, rtol=1e-12)


def test_draws_are_of_the_whole_and_follow_from_seed_and_name() -> None:
    every = np.concatenate(list(draws_of(100, 400, 3, "muge")))
    assert every.shape == (400, 100)
    assert (every.sum(axis=1) == 100).all()
    assert every.mean(axis=0) == pytest.approx(1, abs=0.3)  # each item as often as any other
    assert every.var() == pytest.approx(0.99, abs=0.05)  # of a multinomial: n p (1 - p)
    assert (np.concatenate(list(draws_of(100, 400, 3, "muge"))) == every).all()
    for other in ((100, 400, 4, "muge"), (100, 400, 3, "dci-cn")):
        assert (np.concatenate(list(draws_of(*other))) != every).any()
    # Kept here: what PCG64 gives raw is the same in every version of NumPy.
    assert next(draws_of(8, 1, 0, "muge"))[0].tolist() == [0, 0, 1, 2, 0, 2, 2, 1]


def test_draws_come_in_blocks_that_do_not_change_them() -> None:
    few = list(draws_of(30, 5, 0, "x", 60))
    assert [len(block) for block in few] == [2, 2, 1]
    assert (np.concatenate(few) == next(draws_of(30, 6, 0, "x"))[:5]).all()
    assert next(draws_of(30, 5, 0, "x", 1)).shape == (1, 30)
    assert list(draws_of(5, 0, 0, "x")) == []
    assert next(draws_of(0, 2, 0, "x")).shape == (2, 0)


def test_an_interval_has_95_percent_of_the_draws() -> None:
    assert interval(np.append(np.arange(1001.0), np.nan)) == (25, 975)
    assert [math.isnan(one) for one in interval(np.full(3, np.nan))] == [True, True]


def test_a_difference_of_two_has_an_interval_as_draws_are_the_same() -> None:
    right = np.arange(1000) % 3 == 0
    better = right | (np.arange(1000) % 50 == 1)
    weights = np.concatenate(list(draws_of(1000, 500, 0, "x")))
    low, high = interval(top1(better, weights) - top1(right, weights))
    apart = interval(top1(better, weights))[1] - interval(top1(right, weights))[0]
    assert 0 < low < np.mean(better) - np.mean(right) < high < apart
