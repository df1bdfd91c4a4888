"""The judge of the verdicts: what it counts, what it lets pass and what it names, on cases worked by hand."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.demo import truth
from builder.demo.truth import Share


def row(key: str, change: str | None = None) -> dict[str, Any]:
    return {"key": key, "url": f"http://{key}/", "change": change}


ROWS = [row("a"), row("b", "smaller"), row("c", "banner"), row("d", "gone"), row("e", "replaced")]
RELEASED = {"a": "matching", "b": "matching", "c": "matching", "d": "matching", "e": "matching"}
RIGHT = {"a": "same", "b": "moved", "c": "placeholder", "e": "drifted"}


def counts_of(verdicts: dict[str, str]) -> dict[str, Counter[str]]:
    return truth.cross(ROWS, verdicts, lambda one: one["change"] or truth.SAME)


def test_verdicts_are_read_from_all_shards(tmp_path: Path) -> None:
    (tmp_path / "scores").mkdir()
    for number, (key, verdict) in enumerate(RIGHT.items()):
        table = pa.table({"key": [key], "verdict": [verdict], "score": [0.1]})
        pq.write_table(table, tmp_path / "scores" / f"train-{number:05d}-of-00004.parquet")
    assert truth.verdicts_of(tmp_path) == RIGHT


def test_the_table_has_a_row_for_each_planting_and_only_verdicts_that_came() -> None:
    head, *body = truth.crossed(counts_of(RIGHT))
    assert head.split() == ["planted", "dead", "same", "placeholder", "moved", "drifted"]
    assert [line.split()[-1] for line in body] == ["1"] * 5


def test_all_right_is_within_every_bound() -> None:
    assert [share.holds for share in truth.shares_later(counts_of(RIGHT))] == [True] * 4
    assert truth.same_differences(ROWS, RIGHT, RELEASED) == []


@pytest.mark.parametrize(
    ("wrong", "broken"),
    [
        ({"c": "matching"}, ["banners dropped", "junk among the changed that were kept"]),
        ({"e": "moved"}, ["replaced dropped", "junk among the changed that were kept"]),
        ({"b": "drifted"}, ["intact dropped"]),
    ],
)
def test_a_wrong_verdict_breaks_its_bounds(wrong: dict[str, str], broken: list[str]) -> None:
    shares = truth.shares_later(counts_of(RIGHT | wrong))
    assert [share.name for share in shares if not share.holds] == broken


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"a": "moved"}, "http://a/ (same bytes): came out as moved"),
        ({"b": "same"}, "http://b/ (smaller): came out as same"),
        ({"d": "drifted"}, "http://d/ (gone): came out as drifted"),
    ],
)
def test_same_and_dead_are_exact(wrong: dict[str, str], told: str) -> None:
    assert truth.same_differences(ROWS, RIGHT | wrong, RELEASED) == [told]


def test_what_the_release_dropped_is_the_same_as_nothing() -> None:
    assert truth.same_differences(ROWS, RIGHT | {"a": "moved"}, RELEASED | {"a": "drifted"}) == []
    assert truth.same_differences(ROWS, RIGHT, RELEASED | {"a": "drifted"}) != []


def test_a_share_says_what_it_is_of_and_what_was_wanted() -> None:
    share = Share("intact dropped", 3, 100, 0.02)
    assert share.cells() == ("intact dropped", "3", "100", "3.00%", "<= 2%")
    assert str(share) == "intact dropped: 3 of 100, wanted <= 2%"
    assert not share.holds
    assert Share("nothing", 0, 0, 0.02).holds


def test_without_a_reference_placeholders_must_go_and_pictures_stay() -> None:
    counts = {"own": Counter(matching=99, drifted=1), "banner": Counter(placeholder=3, matching=1)}
    caught, lost = truth.shares_alone(counts, "banner", "own")
    assert (caught.hits, caught.of, caught.holds) == (3, 4, False)
    assert (lost.hits, lost.of, lost.holds) == (1, 100, True)
