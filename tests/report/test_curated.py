"""The page of a curated root, with and without scores: counts, measures beside thresholds, sets of duplicates."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.console import Console
from builder.reasons import Reason
from builder.report.gather import gather
from tests.curated import DUPLICATES

from . import planted
from .conftest import LOST, Made, plant_curated
from .measured import MIX, NEAR, RECIPE, SLUG, THRESHOLDS, Measuring, change, edges
from .reading import Page
from .test_page import report

SHARD = "train-00001-of-00002.parquet"
RISK = Measuring().risk
EMPTY = {"name": "nothing", "reasons": []}


@dataclass(frozen=True)
class Odd:
    """A folder and the page of a root in it."""

    folder: Path
    page: Page


@pytest.fixture(scope="module")
def page(curated: Made) -> Page:
    return Page(curated.text)


def cells(page: Page, table: str) -> list[list[str]]:
    return [[" ".join(cell.split()) for cell in row] for row in page.tables[table][1:]]


def shown(page: Page) -> list[str]:
    """The keys of the pairs on the page, in its order."""
    keys = (
        a["title"] for tag, a in page.elements if tag == "li" and (a.get("class") or "").startswith("pair")
    )
    return [(key or "").removeprefix("key ") for key in keys]


def test_a_root_without_scores_has_a_page(curated: Made, page: Page) -> None:
    kept = sum(row["reason"] is None for row in curated.scores)
    assert f"Of {60 + LOST} pairs in the manifest, {kept} (" in page.text
    assert re.search(
        r"Decided \d+ \w+ 20\d\d, \d\d:\d\d UTC · looked at with OFA-Sys/chinese-clip", page.text
    )
    assert not {"fates", "spread"} & page.tables.keys()


def test_every_reason_is_counted_once(curated: Made, page: Page) -> None:
    reasons = Counter(row["reason"] for row in curated.scores if row["reason"])
    assert page.column("losses", 1) == reasons | {"dns": 3, "http_4xx": 6}
    steps = cells(page, "steps")
    assert steps[-1][2] == str(60 - reasons.total())
    assert sum(int(row[2]) for row in steps[:-1]) == reasons.total()
    (flat,) = (row for row in steps if row[0].startswith("its luminance varies: 2 levels"))
    assert f"{reasons['flat']} flat: the picture is of nearly one shade" in flat[0]


def test_ours_stands_beside_the_paper_share_for_share(curated: Made, page: Page) -> None:
    told = {row[0].split()[0]: row[1:] for row in cells(page, "paper")}
    assert [*told] == ["3", "12", "13", "14", "15", "16", "17", "18", "19"]
    reasons = Counter(row["reason"] for row in curated.scores)
    left = 60 - reasons[Reason.TOO_SMALL]
    assert told["13"] == [f"{reasons['flat'] / left:.1%}", "0.1%"]
    assert told["16"][1] == "41.2%"
    assert "Compare shares, not counts: steps of row 16 come after later rows here." in page.text
    assert told["3"] == [f"{LOST / (60 + LOST):.1%}", "32.7%"]


def test_a_row_whose_steps_were_skipped_says_so(tmp_path: Path) -> None:
    steps = [
        {**one, "name": one["name"] + " (skipped: no --image-classifier)"} if one.get("row") == 17 else one
        for one in RECIPE["steps"]
    ]
    recipe = {**RECIPE, "steps": steps}
    mix = [reason for reason in MIX if reason != Reason.UNSAFE_IMAGE]
    used = {name: value for name, value in THRESHOLDS.items() if name != "risk"}
    plant_curated(tmp_path / "root", Measuring(mix, thresholds=used, recipe=recipe, risk=""))  # type: ignore[arg-type]
    page = report(tmp_path / "root", tmp_path / "page.html")
    assert [row[1] for row in cells(page, "paper") if row[0].startswith("17")] == ["skipped"]
    assert "the picture is safe: risk 0.8 at most (skipped: no --image-classifier)" in page.text
    assert "risk" not in page.tables
    assert "unsafe_image" not in made_of(page)


def made_of(page: Page) -> str:
    return page.text[page.text.index("How this was decided", page.text.index("Duplicates")) :]


@pytest.mark.parametrize(
    ("bound", "name", "least"),
    [
        ("spread", "spread", True), ("sharpness", "sharpness", True), ("entropy", "entropy", True),
        ("cos_low", "cos", True), ("cos_high", "cos", False), ("risk", "risk", False),
    ],
)  # fmt: skip
def test_a_measure_tells_what_other_thresholds_would_keep(
    curated: Made, page: Page, bound: str, name: str, least: bool
) -> None:
    rows = [row for row in curated.scores if row[name] is not None]
    told = cells(page, f"other-{bound}")
    used = [row for row in told if row[0].endswith("in use")]
    assert [float(row[0].split()[0].replace(",", "")) for row in used] == [THRESHOLDS[bound]]
    for row in told:
        value = float(row[0].split()[0].replace(",", "").replace("−", "-"))
        # four digits of a threshold are printed, so those within them may be on either side
        margin = 0 if row in used else abs(value) * 0.0006
        counts = []
        for chosen in (rows, [one for one in rows if one["reason"] is None]):
            passing = [
                sum((one[name] >= value + by) if least else (one[name] <= value - by) for one in chosen)
                for by in (margin, -margin)
            ]
            counts.append(range(passing[0], passing[1] + 1))
        assert int(row[1]) in counts[0]
        assert int(row[3]) in counts[1]
    (back,) = (int(row[4]) for row in used)
    assert back == 0
    assert int(told[0][4]) > 0  # a laxer one would let some come back


def test_each_threshold_is_marked_in_its_chart(curated: Made) -> None:
    words = {*re.findall(r"<text[^>]*>([^<]+)</text>", curated.text)}
    assert words >= {"≥ 2", "≥ 100", "≥ 3", "≤ 0.8", "≥ 0.2312", "≤ 0.4382"}
    assert "The axis of the numbers is logarithmic" in curated.text


@pytest.mark.parametrize(
    ("name", "bound", "reason"),
    [
        ("spread", "spread", Reason.FLAT), ("sharpness", "sharpness", Reason.BLURRED),
        ("cos", "cos_low", Reason.WEAK_MATCH), ("cos", "cos_high", Reason.TEXT_PICTURE),
    ],
)  # fmt: skip
def test_the_pairs_nearest_to_a_threshold_are_shown_from_both_sides(
    curated: Made, page: Page, name: str, bound: str, reason: Reason
) -> None:
    def near(rows: Sequence[dict[str, Any]]) -> list[str]:
        found = sorted(rows, key=lambda row: (abs(row[name] - THRESHOLDS[bound]), row["key"]))[:6]
        return [row["key"] for row in sorted(found, key=lambda row: (row[name], row["key"]))]

    dropped = near([row for row in curated.scores if row["reason"] == reason])
    kept = near([row for row in curated.scores if row["reason"] is None])
    keys = shown(page)
    found = [
        place for place in range(len(keys)) if keys[place : place + len(dropped + kept)] == dropped + kept
    ]
    assert len(found) == 1
    value = next(row[name] for row in curated.scores if row["key"] == dropped[0])
    assert f"{value:.4g}" in page.text


def test_what_may_disturb_is_folded_up(page: Page) -> None:
    assert page.count("details", **{"class": "hidden"}) == 1
    assert "some of these pictures may be disturbing" in page.text


def test_a_set_is_a_strip_with_the_kept_pair_first(curated: Made, page: Page) -> None:
    sets = {row["key"]: [] for row in curated.scores if row["reason"] is None and row["dup_count"] > 1}
    for row in curated.scores:
        if row["reason"] in DUPLICATES:
            sets[row["nearest"]].append(row["key"])
    keys = shown(page)
    first = [a["title"] for tag, a in page.elements if tag == "li" and a.get("class") == "pair first"]
    strips = [(title or "").removeprefix("key ") for title in first]
    largest = sorted(sets, key=lambda key: (-len(sets[key]), key))[:4]
    assert strips[:4] == largest
    assert sorted(strips) == sorted({*largest, *sorted(sets)[:2]})
    for kept in strips:
        place = max(number for number, key in enumerate(keys) if key == kept)
        assert keys[place + 1 : place + 1 + len(sets[kept])] == sorted(sets[kept])
    assert cells(page, "sets") == [["2 to 3", str(len(sets)), str(sum(map(len, sets.values())))]]


def test_a_large_set_shows_some_of_it(tmp_path: Path) -> None:
    rows = plant_curated(tmp_path / "root", Measuring([None, *[Reason.NEAR_DUPLICATE] * 59]))
    page = report(tmp_path / "root", tmp_path / "page.html")
    assert "60 pairs 12 of them shown" in " ".join(page.text.split())
    assert cells(page, "sets") == [["32 to 63", "1", "59"]]
    assert shown(page)[-12:] == [rows[0]["key"], *sorted(row["key"] for row in rows[1:])[:11]]


def test_a_member_tells_how_near_it_is(curated: Made, page: Page) -> None:
    told = re.findall(r"(?:copy|near duplicate|cross batch), ([\d.]+)\n", page.text)
    assert len(told) > 3
    assert [float(one) for one in told] == pytest.approx([NEAR] * len(told), abs=0.001)


def test_near_couples_stand_on_both_sides_of_the_threshold(curated: Made, page: Page) -> None:
    own = [edge for edge in edges(curated.scores) if edge["other"] < 60]
    told = {row[0].split()[0]: int(row[1]) for row in cells(page, "other-couples")}
    assert told == {
        f"{value:.4g}": sum(edge["cos"] > value for edge in own)
        for value in (0.86, 0.88, 0.9, 0.92, 0.94, 0.96, 0.98)
    }
    rows = curated.scores
    near = [
        sorted((e for e in own if (e["cos"] > 0.9) == same), key=lambda e: abs(e["cos"] - 0.9))[:6]
        for same in (1, 0)
    ]
    wanted = []
    for side in near:
        for edge in sorted(side, key=itemgetter("cos")):
            wanted += sorted(rows[edge[end]]["key"] for end in ("one", "other"))
    titles = [a["title"] for tag, a in page.elements if tag == "div" and a.get("class") == "pair"]
    assert [(title or "").removeprefix("key ") for title in titles] == wanted
    assert "> 0.9" in re.findall(r"<text[^>]*>([^<]+)</text>", curated.text.replace("&gt;", ">"))


@pytest.mark.parametrize("edge", [{"one": -1}, {"other": -2}, {"cos": float("nan")}, {"cos": None}])
def test_edges_that_are_none(root: Path, capsys: pytest.CaptureFixture[str], edge: dict[str, Any]) -> None:
    path = root / "ledger/curate/edges/cell-00001-of-00002.parquet"
    rows = pq.read_table(path).to_pylist()
    pq.write_table(pa.Table.from_pylist([*rows, rows[0] | edge], pq.read_schema(path)), path)
    assert "cell-00001-of-00002.parquet: no edges between pictures" in refused(root, capsys)


def test_a_root_without_edges_and_embeddings_has_neither(root: Path, tmp_path: Path) -> None:
    shutil.rmtree(root / "ledger/curate/edges")
    shutil.rmtree(root / "embeddings")
    page = report(root, tmp_path / "page.html")
    assert "other-couples" not in page.tables
    assert "sets" in page.tables
    assert not re.findall(r"near duplicate, [\d.]+\n", page.text)


def test_the_recall_of_the_search_is_told_by_band(page: Page) -> None:
    assert cells(page, "recall") == [
        ["0.85-0.90", "400", "399", "99.8%"], ["0.90-0.95", "120", "120", "100%"], ["0.95-0.98", "0", "0", "–"],
    ]  # fmt: skip


def test_how_it_was_decided(page: Page) -> None:
    told = " ".join(made_of(page).split())
    assert "embedder modelOFA-Sys/chinese-clip-vit-large-patch14" in told
    assert "threshold of cos low0.2312" in told
    assert "duplicates, sets9" in told


def test_both_judges_on_one_page(tmp_path: Path) -> None:
    rows = plant_curated(tmp_path / "root", scored=True)
    page = report(tmp_path / "root", tmp_path / "page.html")
    reasons = Counter(row["reason"] for row in rows)
    scored = pq.read_table(tmp_path / "root" / "scores").to_pylist()
    assert reasons[Reason.VERDICT] == sum(not row["kept"] for row in scored) > 0
    losses = page.column("losses", 1)
    assert sum(losses.values()) == 60 + LOST - reasons[None]
    assert "verdict" not in losses  # it is told by what the verdict was
    assert page.column("fates", 3)["manifest"] == sum(row["kept"] for row in scored)
    assert f"pairs in the manifest, {reasons[None]} (" in page.text
    assert {"spread", "steps", "sets", "other-cos_low"} <= page.tables.keys()
    assert {value[1:] for value in page.attributes("href")} <= {*page.attributes("id")}
    assert max(Counter(page.attributes("id")).values()) == 1


def test_the_same_bytes_whatever_the_shards(curated: Made, root: Path, tmp_path: Path) -> None:
    for folder in ("images", "outcomes", "curated", "measures", f"measures/{RISK}", f"embeddings/{SLUG}"):
        files = sorted((root / folder).glob("*.parquet"))
        later, sooner = map(pq.read_table, files)
        table = pa.concat_tables([sooner.slice(0, 11), later, sooner.slice(11)])
        for number, first in enumerate((0, 23, 46)):
            part = table.slice(first, 23 if number < 2 else None)
            pq.write_table(part, root / folder / f"train-{number:05d}-of-00003.parquet", row_group_size=5)
        for file in files:
            file.unlink()
    moved = np.concatenate([np.arange(11, 41), np.arange(11), np.arange(41, 1000)])
    for file in (root / "ledger/curate/edges").iterdir():
        rows = pq.read_table(file).to_pylist()
        edges = [{**row, **{end: moved[row[end]] for end in ("one", "other")}} for row in reversed(rows)]
        pq.write_table(pa.Table.from_pylist(edges, pq.read_schema(file)), file)
    report(root, tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text() == curated.text


def test_hostile_words_are_words(curated: Made, page: Page) -> None:
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert page.count("script") == 0
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.attributes("src"))


@pytest.fixture(scope="module")
def odd(curated: Made, tmp_path_factory: pytest.TempPathFactory) -> Odd:
    """A page without samples: of a root without pictures, of models on this machine and of words that are markup."""
    folder = tmp_path_factory.mktemp("odd")
    root = Path(shutil.copytree(curated.root, folder / "root"))
    for path in (root / "images").iterdir():
        pq.write_table(pq.read_table(path, columns=["key", "url"]), path)
    steps = [{**one, "name": f"<i>{one['name']}"} for one in RECIPE["steps"]]
    paper = [{**one, "name": "<b>row"} for one in RECIPE["paper"]]
    change(root, recipe={"steps": steps, "paper": paper}, sets={"<b>": 1}, recall={"<b>": [1, 1]})
    at = f"{folder}/models/tuned"
    change(root, embedder={"model": at, "name": "tuned", "revision": None, "fingerprint": "b" * 32})
    plan = root / "ledger/curate/plan.json"
    against = f"{folder}/earlier,s3://bucket/older"
    asked = {"embedder": at, "against": against, "image_classifier": "Freepik/nsfw"}
    plan.write_text(json.dumps(json.loads(plan.read_text()) | {"config": asked}))
    return Odd(folder, report(root, folder / "page.html", "--samples", "0"))


def test_no_samples_no_pictures_and_none_is_read(odd: Odd) -> None:
    assert odd.page.count("img") == 0
    assert "sets" in odd.page.tables


def refused(root: Path, capsys: pytest.CaptureFixture[str]) -> str:
    page = root.parent / "refused.html"
    assert main(["report", str(root), str(page), "--quiet"]) == 3
    err = capsys.readouterr().err
    assert err.count("\n") == 1
    assert not page.exists()
    return err


@pytest.fixture
def root(curated: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(curated.root, tmp_path / "root"))


def test_scores_of_another_decision_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    plant_curated(tmp_path / "root", scored=True)
    change(tmp_path / "root", scores="another")
    assert f"run danqing curate {tmp_path}/root --decide" in refused(tmp_path / "root", capsys)


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"decision": "another"}, "is not of the last decision"),
        ({"kept": 1}, "or counts other reasons: files are missing or changed"),
        ({"reasons": {"copy": 36}}, "or counts other reasons"),
        ({"recipe": RECIPE | {"steps": [*RECIPE["steps"], *[EMPTY] * 60]}}, "its recipe is none (more than 64 steps)"),
        ({"recipe": {}}, "its recipe is none"),
        ({"recall": {"0.9": [1, 2, 3]}}, "is no two counts"),
        ({"recall": {"0.9": ["<b>"]}}, "no decision"),
        ({"thresholds": {"spread": "2"}}, "no decision"),
    ],
)  # fmt: skip
def test_a_decision_that_is_none(
    root: Path, capsys: pytest.CaptureFixture[str], fields: dict[str, object], said: str
) -> None:
    change(root, **fields)
    assert said in refused(root, capsys)


def test_files_of_different_runs(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "measures" / SHARD
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    assert f"measures/{SHARD}: its rows are not those of" in refused(root, capsys)


def test_a_shard_that_is_missing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "curated" / SHARD).unlink()
    assert "files are missing or changed" in refused(root, capsys)


@pytest.mark.parametrize("folder", ["curated", "measures", "measures/open-nsfw-12345678", "images"])
def test_a_shard_cut_short(root: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    path = root / folder / SHARD
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{folder}/{SHARD}: no whole Parquet file" in refused(root, capsys)


def test_a_column_of_another_type(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "measures" / SHARD
    table = pq.read_table(path)
    place = table.schema.get_field_index("spread")
    pq.write_table(table.set_column(place, "spread", table["spread"].cast("string")), path)
    assert "column spread is string, not float" in refused(root, capsys)


def test_a_reason_that_is_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "curated" / SHARD
    table = pq.read_table(path)
    place = table.schema.get_field_index("reason")
    pq.write_table(table.set_column(place, table.schema.field(place), [[planted.SCRIPT] * len(table)]), path)
    assert f"curated/{SHARD}: \"<script>document.title='ran'" in refused(root, capsys)


def test_names_of_steps_are_words(odd: Odd) -> None:
    assert "<i>its luminance varies" in odd.page.text
    assert "19 <b>row" in odd.page.text
    assert odd.page.count("b") == 0


def test_numbers_of_another_model_are_not_counted(root: Path) -> None:
    plan = root / "ledger/curate/plan.json"
    for slug in (RISK, "newer-00000000", f"../measures/{RISK}", 7):
        plan.write_text(json.dumps(json.loads(plan.read_text()) | {"made_from": {"look_risk": slug}}))
        curation = gather(str(root), 0, Console(quiet=True)).curated
        assert curation is not None
        assert {one.measure.name for one in curation.measured if one.whole.total} == {
            "spread", "sharpness", "entropy", "cos", *(["risk"] if slug == RISK else []),
        }  # fmt: skip


def test_pictures_that_are_not_those_that_were_curated(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = sorted((root / "images").iterdir())
    shutil.copy(first, second)
    assert "its rows are not those of" in refused(root, capsys)


def test_what_lies_on_this_machine_is_told_by_its_name(odd: Odd) -> None:
    assert str(odd.folder) not in odd.page.text
    assert "bucket" not in odd.page.text
    assert "looked at with tuned" in odd.page.text
    assert "earlier,older" in odd.page.text
    assert "Freepik/nsfw" in odd.page.text
