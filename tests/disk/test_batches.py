"""The rules on columns agree with those on single values."""

from __future__ import annotations

import random

import pyarrow as pa
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.disk import batches
from builder.disk.schema import pair_key, validation_share

KEY = st.text("0123456789abcdef", min_size=32, max_size=32)


@given(st.lists(KEY, min_size=1), st.floats(0, 1, exclude_max=True))
@example(["1" + 31 * "f"], 1 - 2**-53)  # the limit does not fit 8 characters
def test_validation_is_the_same_rule(keys, share):
    found = batches.in_validation(pa.array(keys, pa.string()), share).to_pylist()
    assert found == [validation_share(key) < share for key in keys]


@given(KEY)
def test_validation_at_the_very_share_of_a_key(key):
    share = validation_share(key)
    assert batches.in_validation(pa.array([key]), share).to_pylist() == [False]


@pytest.mark.parametrize("alt_text", [["猫", None, ""], None])
def test_keys_are_made_where_there_are_none(alt_text):
    urls = ["http://a.test/1", "http://a.test/2", None]
    table = pa.table({"url": urls} | ({} if alt_text is None else {"alt_text": alt_text}))
    expected = [pair_key(url, text) for url, text in zip(urls, alt_text or [None] * 3, strict=True)]
    assert batches.with_key(table)["key"].to_pylist() == expected


def test_random_captions_are_fair_and_independent_of_each_other():
    keys = [f"{random.Random(number).getrandbits(128):032x}" for number in range(4000)]
    table = pa.table({"key": keys, "alt_text": ["a"] * 4000, "recaption": ["r"] * 4000})
    dealt = [batches.caption(table, "random", seed).to_pylist() for seed in range(4)]
    for one in range(4):
        assert 1800 < dealt[one].count("r") < 2200  # 6 standard deviations
        for other in range(one):
            assert 1800 < sum(a == b for a, b in zip(dealt[one], dealt[other], strict=True)) < 2200


@pytest.mark.parametrize("choice", ["recaption", "random"])
def test_caption_is_null_only_where_both_are(choice):
    table = pa.table(
        {"key": ["0" * 32, "f" * 32, "1" * 32], "alt_text": ["a", None, None], "recaption": [None, "r", None]}
    )
    assert batches.caption(table, choice, 0).to_pylist() == ["a", "r", None]


def test_caption_without_a_recaption_column():
    assert batches.caption(pa.table({"key": ["0"], "alt_text": ["a"]}), "recaption", 0).to_pylist() == ["a"]


@pytest.mark.parametrize(
    ("unit", "value", "served"),
    [("s", 2, 2000), ("us", 1999, 1), ("us", -1, -1), ("ns", 1_999_999, 1), ("us", 2**62, 2**62 // 1000)],
)
def test_moments_of_any_unit_are_served_in_whole_milliseconds(unit, value, served):
    for zone in (None, "UTC", "Asia/Shanghai"):
        table = pa.table({"fetched_at": pa.array([value, None], pa.timestamp(unit, zone))})
        target = pa.schema([("fetched_at", pa.int64())])
        assert batches.conform(table, target)["fetched_at"].to_pylist() == [served, None]


def test_a_moment_too_far_for_milliseconds_is_refused():
    """Cast unchecked, it came out as another moment."""
    table = pa.table({"fetched_at": pa.array([2**62], pa.timestamp("s"))})
    with pytest.raises(pa.ArrowInvalid, match="out of bounds"):
        batches.conform(table, pa.schema([("fetched_at", pa.int64())]))


def test_table_of_other_types_is_cast():
    target = pa.schema([("n", pa.int64())])
    assert batches.conform(pa.table({"n": pa.array([1], pa.int32())}), target).schema == target
