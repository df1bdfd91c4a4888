"""Captions dealt by share: by key, seed and epoch, and another where the one dealt is lacking."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest

from builder.disk.schema import pair_key
from builder.train.captions import LONGEST, deal

MIX = {"alt_text": 0.7, "recaption": 0.3}


def table(rows: int, alt_text: str | None = "a", recaption: str | None = "b") -> pa.Table:
    return pa.table(
        {
            "key": [pair_key(str(number), "") for number in range(rows)],
            "alt_text": pa.array([alt_text] * rows, pa.string()),
            "recaption": pa.array([recaption] * rows, pa.string()),
        }
    )


def test_shares_are_those_asked_for() -> None:
    counts = Counter(deal(table(20_000), MIX, 0, 0).to_pylist())
    assert counts["a"] / 20_000 == pytest.approx(0.7, abs=0.02)  # six standard deviations


def test_what_is_dealt_follows_from_key_seed_and_epoch_alone() -> None:
    whole = deal(table(200), MIX, 3, 5)
    order = [*range(199, -1, -1)]
    assert deal(table(200).take(order), MIX, 3, 5).to_pylist() == whole.to_pylist()[::-1]
    assert deal(table(200).slice(50, 20), MIX, 3, 5).equals(whole.slice(50, 20))


@pytest.mark.parametrize("other", [(3, 6), (4, 5)])
def test_another_epoch_or_seed_deals_anew(other: tuple[int, int]) -> None:
    first, second = deal(table(4000), MIX, 3, 5).to_pylist(), deal(table(4000), MIX, *other).to_pylist()
    both = sum(one == two == "b" for one, two in zip(first, second, strict=True))
    assert both / 4000 == pytest.approx(0.09, abs=0.03)  # as if one knew nothing of the other


@pytest.mark.parametrize("blank", [None, "", "  ", "\u3000\n"])
def test_where_one_is_lacking_the_other_is_taken(blank: str | None) -> None:
    assert {*deal(table(50, recaption=blank), MIX, 0, 0).to_pylist()} == {"a"}
    assert {*deal(table(50, alt_text=blank), MIX, 0, 0).to_pylist()} == {"b"}
    assert {*deal(table(50, blank, blank), MIX, 0, 0).to_pylist()} == {None}


def test_a_caption_that_nobody_would_write_is_cut() -> None:
    assert deal(table(1, " " * 10_000 + "图" * 10**6), {"alt_text": 1.0}, 0, 0).to_pylist() == [
        "图" * LONGEST
    ]


def test_a_caption_without_a_share_is_never_taken() -> None:
    assert {*deal(table(50, recaption=None), {"recaption": 1.0}, 0, 0).to_pylist()} == {None}
    assert {*deal(table(50, None), {"alt_text": 1.0, "recaption": 0.0}, 0, 0).to_pylist()} == {None}


def test_captions_are_dealt_as_ever() -> None:
    """A run that another version began goes on with the same captions."""
    assert "".join(deal(table(24), MIX, 1, 2).to_pylist()) == "aababaaabaababaabbaababa"
