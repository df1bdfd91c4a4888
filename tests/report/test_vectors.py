"""Embeddings of a sample: clusters, the words that tell them apart, how even they are."""

from __future__ import annotations

import math

import numpy as np
import pytest

from builder.report.vectors import balance, cluster_count, clusters, keywords


def blobs(each: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Rows near four directions, shuffled, and which."""
    draw = np.random.default_rng(seed)
    homes = draw.permutation(np.repeat(np.arange(4), each))
    return (np.eye(8)[homes] + draw.normal(0, 0.05, (4 * each, 8))).astype(np.float16), homes


def test_clusters_are_those_that_are_there() -> None:
    vectors, true = blobs(50)
    found = clusters(vectors, 4)
    assert {len({*found[true == home]}) for home in range(4)} == {1}
    assert len({*found.tolist()}) == 4


def test_an_empty_cluster_begins_anew() -> None:
    """The first rows are all of one direction, so that all but one centroid begin without a row of their own."""
    vectors, true = blobs(50)
    order = np.argsort(true, kind="stable")
    found = clusters(vectors[order], 4)
    assert len({*found.tolist()}) == 4
    assert {len({*found[true[order] == home]}) for home in range(4)} == {1}


def test_the_length_of_a_row_says_nothing() -> None:
    vectors, _ = blobs(20)
    longer = (vectors.astype(np.float32) * np.random.default_rng(1).integers(1, 5, (80, 1))).astype(
        np.float16
    )
    assert (clusters(vectors, 4) == clusters(longer, 4)).all()


def test_more_clusters_than_directions_and_no_row() -> None:
    assert {*clusters(np.ones((30, 4), np.float16), 3).tolist()} == {0}
    assert clusters(np.empty((0, 4), np.float16), 1).tolist() == []


def test_there_are_as_many_clusters_as_rows_allow() -> None:
    assert [cluster_count(rows) for rows in (0, 9, 50, 319, 100_000, 10_000_000)] == [
        1,
        1,
        5,
        31,
        100,
        10_000,
    ]


def test_words_that_are_in_all_clusters_tell_none() -> None:
    """A is 6 / 2 = 3: 猫 3 log(1 + 3 / 3) = 2.08, 图 1 log(1 + 3 / 2) = .92, 狗 1 log(1 + 3 / 1) = 1.39."""
    words = [["猫", "猫", "图"], ["猫"], ["图", "狗"]]
    told = keywords(words, np.array([0, 0, 1]), 3)
    assert told == [["猫", "图"], ["狗", "图"], []]
    assert 1 * math.log(1 + 3 / 2) < 1 * math.log(1 + 3 / 1)


def test_of_equal_words_the_first_by_the_alphabet_comes_first() -> None:
    assert keywords([["b", "a", "c"]], np.array([0]), 1) == [["a", "b", "c"]]


def test_balance_by_hand() -> None:
    even = balance(np.array([5, 5, 5, 5]))
    assert (even.entropy, even.effective, even.gini) == (2.0, 4.0, 0.0)
    one = balance(np.array([0, 0, 8, 0]))
    assert (one.entropy, one.effective, one.gini) == (0.0, 1.0, 0.75)
    some = balance(np.array([4, 2, 1, 1]))  # 1/2 + 1/4 2 + 1/8 3 + 1/8 3 bits; (-3 -1 + 2 + 12) / (4 8)
    assert some.entropy == pytest.approx(1.75)
    assert some.gini == pytest.approx(10 / 32)
