"""The judge of the curation: what it counts, what it lets pass and what it names, on cases worked by hand."""

from __future__ import annotations

from typing import Any

import pytest

from builder.demo import curate


def row(key: str, fault: str | None = None, change: str | None = None, scene: str = "") -> dict[str, Any]:
    kind = None if fault or change == "banner" else "jpeg"
    return {"key": key, "fault": fault, "kind": kind, "change": change, "scene": scene or key}


ROWS: Any = [
    row("a"), row("b", change="smaller"), row("c"), row("d", "copy", scene="c"), row("e", "blurred"),
    row("f", "flat"), row("g", "wrong caption"), row("h", change="replaced"), row("i", change="banner"),
    row("j", "placeholder"),
]  # fmt: skip
RIGHT = {
    "a": "kept", "b": "kept", "c": "kept", "d": "copy", "e": "blurred", "f": "flat", "g": "weak_match",
    "h": "verdict", "i": "verdict", "j": "verdict",
}  # fmt: skip


def broken(reasons: dict[str, str]) -> list[str]:
    """The shares that are out of their bounds."""
    counts = curate.crossed(ROWS, reasons)
    return [one.name for one in (*curate.shares(counts), curate.twice(ROWS, reasons)) if not one.holds]


def test_all_right_is_within_every_bound() -> None:
    assert broken(RIGHT) == []
    assert broken(RIGHT | {"c": "copy", "d": "kept"}) == []  # whichever of the two is kept


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"a": "near_duplicate"}, "intact, dropped"),
        ({"d": "kept"}, "shown by several rows, kept twice"),
        ({"e": "kept"}, "blurred, dropped"),
        ({"f": "kept"}, "flat, dropped"),
        ({"g": "kept"}, "wrong caption, dropped"),
        ({"h": "kept"}, "replaced, dropped"),
        ({"i": "kept"}, "banner, dropped"),
        ({"j": "kept"}, "placeholder, dropped"),
    ],
)
def test_a_wrong_reason_breaks_its_bound(wrong: dict[str, str], told: str) -> None:
    assert broken(RIGHT | wrong) == [told]


def test_the_table_has_a_row_for_each_planting_and_only_reasons_that_came() -> None:
    head, *body = curate.shown(curate.crossed(ROWS, RIGHT))
    assert head.split() == ["planted", "kept", "verdict", "flat", "blurred", "weak_match", "copy"]
    assert len(body) == 10
    assert any(line.startswith(curate.COPIED) and line.endswith("1") for line in body)
