"""`danqing report`: what the page says, and what it must not do."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from pathlib import Path

import fsspec
import pytest

from builder.cli import main
from builder.reasons import Cause
from tests.scored import DECISION, MIX, Scoring
from tests.stage.test_funnels import two

from . import planted
from .conftest import LOST, Made
from .reading import Page

INVISIBLE = re.compile("[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def report(root: Path, page: Path, *flags: str) -> Page:
    assert main(["report", str(root), str(page), "--quiet", *flags]) == 0
    return Page(page.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def page(made: Made) -> Page:
    return Page(made.text)


def test_every_row_of_the_manifest_has_one_verdict(made: Made, page: Page) -> None:
    pairs = page.column("fates", 1)
    planted_ = Counter(row["verdict"] for row in made.scores)
    planted_["dead"] += LOST
    total = pairs.pop("manifest")
    assert pairs == planted_
    assert sum(pairs.values()) == total == made.manifest


def test_the_stages_before_the_manifest_stand_beside_the_paper(
    made: Made, page: Page, tmp_path: Path
) -> None:
    assert not {"before", "paper"} & page.tables.keys()
    shutil.copytree(made.root, tmp_path / "root")
    path = tmp_path / "root" / "ledger" / "rebuild" / "plan.json"
    funnels = two()
    funnels[0]["paper"][0]["name"] = planted.SCRIPT[:40]
    path.write_text(json.dumps(json.loads(path.read_text()) | {"funnels": funnels}))
    told = report(tmp_path / "root", tmp_path / "page.html")
    before, paper = (
        [[*map(str.strip, row)] for row in told.tables[name][1:]] for name in ("before", "paper")
    )
    assert before == [["crawl", "400", "200", "50.0%"], ["refine", "200", "152", "76.0%"]]
    assert paper == [
        [f"1 {planted.SCRIPT[:40]}", "40.0%", "20.0%"],
        ["2 length", "36.7%", "25.0%"],
        ["3 download success", f"{LOST / made.manifest:.1%}", "32.7%"],
    ]


def test_what_is_lost_is_lost_for_one_reason(made: Made, page: Page) -> None:
    reasons = page.column("losses", 1)
    causes = Counter(row["cause"] for row in made.scores if not row["kept"])
    assert reasons == causes | {"dns": 3, "http_4xx": 6}
    assert sum(reasons.values()) == made.manifest - page.column("fates", 3)["manifest"]


def test_every_pair_is_counted_at_its_host(made: Made, page: Page) -> None:
    largest = {row[0].split()[0]: row for row in page.tables["largest"][1:]}
    assert (
        int(largest["images.test"][1]) == made.manifest - len(planted.HOSTILE) - 1
    )  # one lost URL is hostile
    assert int(largest["a.test"][1]) == 1
    assert {row[0].split()[0] for row in page.tables["worst"][1:]} < {*largest, "⟨202E⟩evil.test"}


def test_the_head_says_what_was_decided_and_how_sure_it_is(made: Made, page: Page) -> None:
    decision = json.loads((made.root / "ledger/revalidate/decision.json").read_bytes())
    assert f"Of 69 pairs in the manifest, {decision['kept']} (" in page.text
    assert f"At most {100 * decision['bound']:.2g}% of the changed pairs" in page.text
    assert f"among the {decision['tested']} pairs that were tested" in page.text.replace("\n", " ")
    assert decision["checkpoint"]["fingerprint"] in page.text
    assert re.search(r"Decided \d+ \w+ 20\d\d, \d\d:\d\d UTC · scored with google/siglip2", page.text)


def test_nothing_is_asked_of_anyone(page: Page) -> None:
    assert all(value.startswith("data:image/jpeg;base64,") for value in page.attributes("src"))
    assert all(value.startswith("#") for name in ("href", "xlink:href") for value in page.attributes(name))
    assert {tag for tag, _ in page.elements} & {"script", "link", "iframe", "object", "form", "base"} == set()
    (policy,) = [a["content"] for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert (policy or "").startswith("default-src 'none'; style-src 'unsafe-inline'; img-src data:;")


def test_no_id_stands_twice(page: Page) -> None:
    ids = Counter(page.attributes("id"))
    assert [name for name, count in ids.items() if count > 1] == []
    assert {value[1:] for value in page.attributes("href")} <= set(ids)


def test_hostile_words_are_words(made: Made, page: Page) -> None:
    assert planted.SCRIPT in page.text
    assert not [name for _, attributes in page.elements for name in attributes if name.startswith("on")]
    assert '"onmouseover="' in page.text
    assert "{{ 7 * 7 }}{% raw %}&lt;b&gt;" in page.text
    assert "零⟨0000⟩字符⟨001B⟩[31m和⟨FEFF⟩记号" in page.text
    assert (
        re.findall(
            "[\x00-\x09\x0b-\x1f\x7f-\x9f\u200b-\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", made.text
        )
        == []
    )
    assert "一万个字" * 500 not in page.text
    assert "(10,000 characters)" in page.text


def test_text_from_the_web_is_isolated_and_captions_are_chinese(made: Made, page: Page) -> None:
    shown = [a for tag, a in page.elements if tag == "li" and a.get("class") == "pair"]
    assert page.count("bdi", lang="zh") == len(shown)  # one caption each
    assert page.count("bdi", dir="ltr") >= 2 * len(shown)  # host and URL


def test_each_verdict_shows_the_pairs_with_the_smallest_keys(made: Made, tmp_path: Path) -> None:
    page = report(made.root, tmp_path / "few.html", "--samples", "2")
    shown = [a["title"] for tag, a in page.elements if tag == "li" and a.get("class") == "pair"]
    for verdict in ("drifted", "moved", "same"):
        keys = sorted(row["key"] for row in made.scores if row["verdict"] == verdict)
        assert [f"key {key}" in shown for key in keys] == [True, True] + [False] * (len(keys) - 2)


def test_pictures_are_small_jpegs_and_broken_ones_a_box(made: Made, page: Page) -> None:
    shown = page.count("li", **{"class": "pair"})
    assert page.count("img") + page.text.count("no picture that can be decoded") == shown
    assert page.text.count("no picture that can be decoded") > 5
    assert len(list(page.attributes("alt"))) == page.count("img") > 30


def test_the_same_root_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    report(made.root, tmp_path / "again.html")
    assert (tmp_path / "again.html").read_bytes() == made.page.read_bytes()


def test_no_samples_no_pictures(made: Made, tmp_path: Path) -> None:
    page = report(made.root, tmp_path / "none.html", "--samples", "0")
    assert page.count("img") == page.count("li", **{"class": "pair"}) == 0
    assert page.column("fates", 1)["manifest"] == made.manifest


def test_a_root_without_outcomes_begins_with_its_scores(tmp_path: Path) -> None:
    scores = planted.plant(tmp_path / "root", planted.pairs(20), [])
    for path in (tmp_path / "root" / "outcomes").iterdir():
        path.unlink()
    (tmp_path / "root/ledger/rebuild/plan.json").unlink()
    page = report(tmp_path / "root", tmp_path / "x.html")
    assert page.column("fates", 1)["manifest"] == len(scores)
    assert "no record of its rebuild" in page.text
    assert "Of 20 pairs that were scored" in page.text


def test_rows_that_are_to_come_are_counted(tmp_path: Path) -> None:
    planted.plant(tmp_path / "root", planted.pairs(20), planted.lost(4))
    plan = {"rows": {"train": 30}, "shards": {"train": 2}}
    (tmp_path / "root/ledger/rebuild/plan.json").write_text(json.dumps(plan))
    (tmp_path / "root/scores/train-00001-of-00002.parquet").unlink()  # not scored yet when it was decided
    decision = tmp_path / "root/ledger/revalidate/decision.json"
    decision.write_text(json.dumps(json.loads(decision.read_text()) | {"rows": 10}))
    rows = report(tmp_path / "root", tmp_path / "x.html").tables["fates"]
    assert [(row[0].split()[:3], row[1].strip()) for row in rows[-3:-1]] == [
        (["not", "rebuilt", "yet"], "6"),
        (["not", "scored", "yet"], "10"),
    ]
    assert sum(int(row[1]) for row in rows[1:-1]) == int(rows[-1][1]) == 30


def test_a_root_where_all_is_same_needs_no_bound(tmp_path: Path) -> None:
    mix = [cause for cause in MIX if cause == "hash"]
    planted.plant(tmp_path / "root", planted.pairs(8), [], Scoring(mix=mix))
    page = report(tmp_path / "root", tmp_path / "x.html")
    assert "No pair had to be tested" in page.text
    assert "losses" not in page.tables


def test_a_root_without_one_score_has_no_charts_of_them(tmp_path: Path) -> None:
    planted.plant(tmp_path / "root", planted.pairs(2), [], Scoring(mix=[Cause.NO_PICTURE]))
    page = report(tmp_path / "root", tmp_path / "x.html")
    assert "spread" not in page.tables
    assert page.column("fates", 1)["dead"] == page.column("losses", 1)["no_picture"] == 2


def test_root_and_page_on_an_object_store(made: Made) -> None:
    store = fsspec.filesystem("memory")
    store.put(str(made.root), "/report-root", recursive=True)
    assert main(["report", "memory://report-root", "memory://report-page.html", "--quiet"]) == 0
    page = Page(store.cat_file("/report-page.html").decode())
    assert page.column("fates", 1) == Page(made.text).column("fates", 1)
    assert page.count("img") == Page(made.text).count("img")


def test_recaptions_are_shown_where_they_were_scored(tmp_path: Path) -> None:
    planted.plant(tmp_path / "root", planted.pairs(30), [])
    path = tmp_path / "root/ledger/revalidate/plan.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "config": {"caption": "both"}}))
    page = report(tmp_path / "root", tmp_path / "x.html")
    assert "重写的第29句" in page.text
    assert page.count("bdi", lang="zh") > 30


def test_the_summary(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(made.root), str(tmp_path / "x.html"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["manifest"], told["kept"]) == (made.manifest, sum(row["kept"] for row in made.scores))
    assert told["bytes"] == (tmp_path / "x.html").stat().st_size
    assert main(["report", str(made.root), str(tmp_path / "x.html")]) == 0  # one of ours is replaced
    assert capsys.readouterr().out.startswith(f"{tmp_path}/x.html: {told['kept']} of 69 pairs kept, ")
    assert DECISION in (tmp_path / "x.html").read_text()


def test_what_lies_on_this_machine_is_told_by_its_name(made: Made, tmp_path: Path) -> None:
    root = shutil.copytree(made.root, tmp_path / "root")
    path = root / "ledger" / "revalidate" / "decision.json"
    decision = json.loads(path.read_bytes())
    decision["checkpoint"] |= {"model": str(tmp_path / "tuned"), "name": "tuned", "revision": None}
    path.write_text(json.dumps(decision))
    page = report(root, tmp_path / "report.html")
    assert str(tmp_path) not in page.text
    assert "scored with tuned" in page.text


def test_no_word_of_a_table_is_broken(made: Made) -> None:
    assert (
        "tbody th { overflow-wrap: break-word; }" in made.text
    )  # `anywhere` makes a column as narrow as a letter
