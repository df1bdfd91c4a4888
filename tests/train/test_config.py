"""The options of a run: what makes no sense is refused in one line, before anything is read."""

from __future__ import annotations

from typing import Any

import pytest

from builder.errors import UsageError
from builder.train.config import TrainConfig


def config(**options: Any) -> TrainConfig:
    found = TrainConfig("in", "out", **options)
    found.check()
    return found


@pytest.mark.parametrize(
    ("text", "shares"),
    [
        ("alt_text", {"alt_text": 1.0}),
        ("alt_text:0.7,recaption:0.3", {"alt_text": 0.7, "recaption": 0.3}),
        ("recaption:2, alt_text:2", {"recaption": 0.5, "alt_text": 0.5}),
        ("alt_text:0,recaption:1", {"alt_text": 0.0, "recaption": 1.0}),
    ],
)
def test_the_mix_of_captions(text: str, shares: dict[str, float]) -> None:
    assert config(text=text).mix == pytest.approx(shares)


@pytest.mark.parametrize(
    "text", ["", "caption", "alt_text:x", "alt_text:0", "alt_text:-1,recaption:2", "alt_text:nan",
             "alt_text:inf", "alt_text,alt_text", "alt_text:1:2", ","],
)  # fmt: skip
def test_a_mix_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"--text .*write captions with their shares"):
        config(text=text)


@pytest.mark.parametrize(
    ("text", "pairs"), [("", None), ("30M", 30_000_000), ("500k", 500_000), ("1.5m", 1_500_000), ("12", 12)]
)
def test_a_subset(text: str, pairs: int | None) -> None:
    assert config(subset=text).pairs == pairs


@pytest.mark.parametrize("text", ["0", "-3", "3G", "10M,30M", "many", "0.2"])
def test_a_subset_that_is_none(text: str) -> None:
    with pytest.raises(UsageError, match=r"--subset .*write a number of pairs"):
        config(subset=text)


@pytest.mark.parametrize(
    ("batch", "streams", "parts"), [(12_288, 0, 64), (100, 0, 50), (7, 0, 7), (67, 0, 1), (96, 48, 48)]
)
def test_the_streams_divide_the_batch(batch: int, streams: int, parts: int) -> None:
    assert config(batch_size=batch, streams=streams).parts == parts


def test_streams_that_do_not_are_refused() -> None:
    with pytest.raises(UsageError, match="--streams 7: does not divide --batch-size 100"):
        config(batch_size=100, streams=7)


def test_one_length_is_said_and_not_two() -> None:
    assert config(steps=10).steps == 10
    with pytest.raises(UsageError, match="--steps and --epochs"):
        config(steps=10, epochs=3)


@pytest.mark.parametrize(
    "option",
    [
        {"learning_rate": float("nan")},
        {"beta2": 1.5},
        {"beta1": 1.0},
        {"beta2": 1.0},
        {"batch_size": 1},
        {"keep": 0},
    ],
)
def test_values_out_of_their_range(option: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="must be"):
        config(**option)
