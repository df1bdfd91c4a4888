"""Placeholders: clusters of equal pictures whose captions disagree, found among all pairs at once."""

import numpy as np
import numpy.typing as npt
import pytest

from builder.revalidate.clusters import hash_codes, placeholders

NAN = float("nan")


def found(
    picture: list[int], caption: list[int], p_caption: float | list[float] = 0.5
) -> npt.NDArray[np.bool_]:
    p = np.broadcast_to(np.array(p_caption, np.float32), len(picture))
    return placeholders(np.array(picture, np.uint64), np.array(caption, np.uint64), p)


def test_four_equal_pictures_under_four_captions_are_placeholders() -> None:
    assert found([7, 1, 7, 2, 7, 7], [1, 2, 3, 4, 5, 6]).tolist() == [True, False, True, False, True, True]


def test_three_are_none() -> None:
    assert not found([7, 7, 7, 2], [1, 2, 3, 4]).any()


@pytest.mark.parametrize(("captions", "is_one"), [([1, 2, 3, 3], True), ([1, 2, 2, 2], False)])
def test_three_of_four_captions_have_to_differ(captions: list[int], is_one: bool) -> None:
    assert found([9, 9, 9, 9], captions).all() == is_one
    assert found([9, 9, 9, 9], captions).any() == is_one


@pytest.mark.parametrize(
    ("p", "is_one"),
    [
        ([0.01, 0.04, 0.07, 0.9], True),  # median .055
        ([0.01, 0.02, 0.07, 0.9], False),  # median .045
        ([0.01, 0.05, 0.049, 0.9], False),  # median .0495
        ([NAN, 0.01, 0.9, NAN], True),  # those without a caption do not count
    ],
)
def test_the_captions_must_not_fit_the_picture(p: list[float], is_one: bool) -> None:
    assert found([9, 9, 9, 9], [1, 2, 3, 4], p).all() == is_one


def test_without_captions_nothing_disagrees() -> None:
    assert not found([9] * 5, [0] * 5, NAN).any()


def test_no_hash_is_no_cluster() -> None:
    assert not found([0] * 6, [1, 2, 3, 4, 5, 6]).any()


@pytest.mark.parametrize("count", [0, 1, 3])
def test_fewer_pairs_than_a_cluster(count: int) -> None:
    assert found([9] * count, list(range(1, count + 1))).tolist() == [False] * count


def test_many_clusters_are_told_apart_whatever_the_order() -> None:
    rng = np.random.default_rng(3)
    picture = rng.permutation(np.repeat(np.arange(1, 201, dtype=np.uint64), 5))
    caption = np.arange(1, 1001, dtype=np.uint64)
    caption[picture <= 50] = 1  # they agree
    p = np.where(picture <= 100, 0.9, 0.001).astype(np.float32)  # the others fit
    assert (placeholders(picture, caption, p) == ((picture > 50) & (picture <= 100))).all()


def test_hashes_of_codes_are_equal_where_the_codes_are() -> None:
    rng = np.random.default_rng(4)
    codes = rng.integers(0, 256, (5000, 32), np.uint8)
    codes[4000:] = codes[:1000]
    one_bit = codes[:256].copy()
    one_bit[np.arange(256), np.arange(256) // 8] ^= 1 << (np.arange(256) % 8).astype(np.uint8)
    hashes = hash_codes(codes)
    assert (hashes[4000:] == hashes[:1000]).all()
    assert len(np.unique(hashes)) == 4000
    assert not (hash_codes(one_bit) == hashes[:256]).any()
    assert hash_codes(np.zeros((1, 32), np.uint8))[0] != 0
