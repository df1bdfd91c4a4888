"""The comparison with the truth names what differs, and is silent only where nothing does."""

from __future__ import annotations

from typing import Any

import pytest
from PIL import Image

from builder.demo.truth import Truth
from builder.demo.web import thumbnail

RED, BLUE = Image.new("RGB", (90, 60), "red"), Image.new("RGB", (90, 60), "blue")


def row(key: str, reason: str | None = None) -> dict[str, Any]:
    outcome = "dropped" if reason else "kept"
    seen = None if reason else thumbnail(RED)
    return {
        "key": key,
        "url": f"http://{key}/",
        "fault": reason,
        "kind": None,
        "outcome": outcome,
        "reason": reason,
    } | {"thumbnail": seen}


TRUTH = Truth([row("a"), row("b", "timeout"), row("c"), row("c")])


def test_equal_outcomes_in_any_order_are_no_difference() -> None:
    assert TRUTH.differences(reversed(TRUTH.rows)) == []
    assert len(TRUTH.kept) == 3


@pytest.mark.parametrize(
    ("outcomes", "told"),
    [
        (
            [row("a"), row("b", "connect"), row("c"), row("c")],
            "http://b/ (timeout): planted timeout, came out as connect",
        ),
        ([row("a"), row("b"), row("c"), row("c")], "http://b/ (timeout): planted timeout, came out as kept"),
        (
            [row("b", "timeout"), row("c"), row("c")],
            "http://a/ (no fault): planted kept, came out as nothing",
        ),
        ([*TRUTH.rows, row("a")], "http://a/ (no fault): planted nothing, came out as kept"),
        ([*TRUTH.rows, row("x")], "key x: planted nothing, came out as kept"),
    ],
)
def test_a_difference_is_named(outcomes: list[dict[str, Any]], told: str) -> None:
    assert TRUTH.differences(outcomes) == [told]


def test_pictures_are_compared_and_counted() -> None:
    assert TRUTH.picture_differences([("a", RED), ("c", RED), ("c", RED)]) == []
    (other,) = TRUTH.picture_differences([("a", BLUE), ("c", RED), ("c", RED)])
    assert "another picture, 255 levels off" in other
    (missing,) = TRUTH.picture_differences([("c", RED), ("c", RED)])
    assert missing == "key a: -1 pairs beside the planted"
