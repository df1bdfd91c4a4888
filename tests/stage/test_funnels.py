"""The funnel that travels: written beside candidates, read from a stranger's folder, held against its own counts."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pytest

from builder.disk.ledger import Tally
from builder.errors import InputError
from builder.stage.funnels import (
    NAME,
    StageFunnel,
    checked_funnels,
    earlier_funnels,
    funnels_of,
    write_funnel,
)
from builder.stage.recipe import RecipeDocument, funnel_of
from tests.stage.test_recipe import TWO

COUNTED = Tally(100, 24, {"short": 20, "other": 50, "copy": 5, "twin": 1}, {"pages": 7})
AGAIN = Tally(24, 18, {"short": 6})


def two(times: int = 1) -> list[StageFunnel]:
    """The funnels of a crawl that kept 200 of 400 pairs, and of what refined them to 152; or so many times that."""
    before: list[StageFunnel] = []
    recipe = RecipeDocument(steps=TWO["steps"][:1], paper=TWO["paper"][1:])
    told = [("crawl", TWO, 400, {"other": 160, "short": 40}), ("refine", recipe, 200, {"short": 48})]
    for stage, steps, pairs, reasons in told:
        many = {reason: times * count for reason, count in reasons.items()}
        before.append(StageFunnel(**funnel_of(steps, times * pairs, many), stage=stage, counters={}))
    return before


def begun(folder: Path, stage: str = "crawl") -> Path:
    """A folder that a stage has made, as far as its ledger tells."""
    (folder / "ledger" / stage).mkdir(parents=True)
    (folder / "ledger" / stage / "plan.json").write_text("{}")
    return folder


@pytest.fixture
def candidates(tmp_path: Path) -> Path:
    """A folder of 24 candidates, of 100 pairs."""
    folder = begun(tmp_path / "candidates")
    write_funnel(str(folder), "crawl", TWO, COUNTED)
    return folder


def read(source: object, rows: int = 24) -> list[StageFunnel]:
    """The funnels, read without a warning."""
    warned: list[str] = []
    found = earlier_funnels(str(source), rows, warned.append)
    assert not warned
    return found


def test_a_stage_hands_on_its_own_funnel_and_those_before_it(candidates: Path, tmp_path: Path) -> None:
    (crawl,) = read(candidates)
    assert (crawl["stage"], crawl["pairs"], crawl["kept"]) == ("crawl", 100, 24)
    assert crawl["counters"] == {"pages": 7}
    assert [one["found"] for one in crawl["paper"]] == [0.5, 0.4]
    refined = begun(tmp_path / "refined", "refine")
    write_funnel(str(refined), "refine", TWO, AGAIN, [crawl])
    document = json.loads((refined / NAME).read_text())
    assert document["before"] == [crawl]
    assert "before" not in document["before"][0]
    assert [one["stage"] for one in read(refined, 18)] == ["crawl", "refine"]
    assert read(refined, 18)[0] == crawl


def test_an_address_of_a_store_is_read_alike(candidates: Path) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(candidates), "/funnels/candidates", recursive=True)
    assert read("memory://funnels/candidates") == read(candidates)
    store.rm("/funnels", recursive=True)


def test_what_danqing_did_not_make_has_none(candidates: Path, tmp_path: Path) -> None:
    strange = tmp_path / "strange"
    strange.mkdir()
    (strange / NAME).write_text("{}")  # theirs, whatever it is
    (strange / "ledger").write_text("a file of theirs")
    data = candidates / "data"
    data.mkdir()
    (data / "train-00000-of-00001.parquet").write_bytes(b"")
    sources = (strange, data, data / "train-00000-of-00001.parquet", data / "*.parquet", tmp_path / "none")
    for source in (*sources, "https://host.invalid/pairs.parquet", "https://host.invalid/pairs/"):
        assert read(source) == []
    (candidates / NAME).unlink()
    assert read(candidates) == []
    (candidates / NAME).symlink_to("nothing")
    assert read(candidates) == []


def edited(edit: Callable[[Any], object]) -> Callable[[Path], object]:
    """What writes the document again, changed."""

    def write(path: Path) -> object:
        document = json.loads(path.read_text())
        edit(document)
        return path.write_text(json.dumps(document))

    return write


def large(path: Path) -> None:
    """A file that says it has a gigabyte."""
    with path.open("r+b") as file:
        file.truncate(1 << 30)


def elsewhere(target: str) -> Callable[[Path], object]:
    """What puts a link in the place of the file."""

    def link(path: Path) -> None:
        path.unlink()
        path.symlink_to(target)

    return link


def pipe(path: Path) -> None:
    """A pipe in the place of the file, at which a reader would wait."""
    path.unlink()
    os.mkfifo(path)


BROKEN: dict[str, tuple[Callable[[Path], object], str]] = {
    "large": (large, "more than 1,048,576 bytes"),
    "deep": (lambda path: path.write_text("[" * 100_000), "recursion"),
    "cut": (lambda path: path.write_text("{"), "Expecting"),
    "list": (lambda path: path.write_text("[]"), "no object of JSON"),
    "bytes": (lambda path: path.write_bytes(b'{"a": "\xff"}'), "codec"),
    "nan": (lambda path: path.write_text('{"pairs": NaN}'), "NaN is no number"),
    "device": (elsewhere("/dev/zero"), "no file"),
    "pipe": (pipe, "no file"),
    "lacking": (edited(lambda one: one.pop("before")), "without before"),
    "negative": (edited(lambda one: one.update(pairs=-1)), "pairs: '-1' is no int"),
    "infinite": (edited(lambda one: one["paper"][0].update(share=float("1e300"))), "a share should be"),
    "type": (edited(lambda one: one.update(counters={"pages": "7"})), "counters"),
    "nested": (edited(lambda one: one["steps"][0].update(reasons=[1])), "steps"),
    "steps": (edited(lambda one: one.update(steps=one["steps"] * 30)), "more than 64 steps"),
    "stages": (edited(lambda one: one.update(before=[one.copy()] * 64)), "more than 64 stages"),
    "sum": (edited(lambda one: one.update(kept=25)), "kept: 25, by its steps 24"),
    "less": (edited(lambda one: one["steps"][0].update(reasons={"short": 200})), "kept: 24, by its steps -156"),
    "terminal": (edited(lambda one: one.update(stage="\x1b[2J")), r"'\\x1b\[2J' is no name"),
    "lone": (edited(lambda one: one["counters"].update({"\ud800": 1})), r"'\\ud800' is no name"),
    "long": (edited(lambda one: one["paper"][0].update(name="x" * 81)), "is no name"),
}  # fmt: skip


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_one_is_passed_over_with_one_line_that_says_what_to_do(candidates: Path, name: str) -> None:
    damage, said = BROKEN[name]
    damage(candidates / NAME)
    warned: list[str] = []
    assert earlier_funnels(str(candidates), 24, warned.append) == []
    (line,) = warned
    assert line.isprintable()
    assert line.startswith(f"{candidates}/{NAME}: no funnel of danqing (")
    assert "writes it anew when it is run again" in line
    assert re.search(said, line)


def test_a_link_to_a_funnel_is_followed_as_those_to_shards_are(candidates: Path, tmp_path: Path) -> None:
    (candidates / NAME).rename(tmp_path / "kept.json")
    (candidates / NAME).symlink_to(tmp_path / "kept.json")
    assert len(read(candidates)) == 1


def test_a_stage_meets_no_more_pairs_than_the_one_before_it_kept(candidates: Path) -> None:
    (crawl,) = read(candidates)
    (less,) = read(candidates, 10)  # --limit
    assert less == crawl
    with pytest.raises(ValueError, match="crawl kept 24 pairs, the manifest has 25"):
        checked_funnels([crawl], 25)
    with pytest.raises(ValueError, match="crawl kept 24 pairs, crawl has 100"):
        checked_funnels([crawl, crawl], 0)


def test_shares_are_those_of_the_counts_whatever_the_document_says(candidates: Path) -> None:
    (true,) = read(candidates)
    lying: Any = copy.deepcopy(true)
    lying["steps"][0] |= {"pairs": 7, "dropped": 7, "share": 0.7}
    lying["paper"][0]["found"] = 0.7
    lying |= {"order": "another", "own": "of a later build"}
    assert checked_funnels([lying], 0) == [true]


def test_the_funnels_of_a_plan_are_checked_and_older_plans_have_none() -> None:
    assert funnels_of({"rows": {}, "shards": {}}, "rebuild") == []
    with pytest.raises(
        InputError, match=r"^ledger/rebuild/plan\.json: its funnels are none \(without .*; restore it"
    ):
        funnels_of({"rows": {}, "shards": {}, "funnels": [{}]}, "rebuild")
