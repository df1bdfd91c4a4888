"""The second part of the demo on its small web, and that it notices a row that did not come out as planted."""

from __future__ import annotations

import json
import shutil
import sys
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.demo import crawl, refine
from builder.demo.config import DemoConfig
from builder.demo.drive import Demo
from builder.demo.truth import read_rows
from builder.disk.schema import pair_key
from builder.manifest import ManifestOptions, open_manifest
from builder.reasons import REFINE_REASONS, Reason

from .conftest import PAIRS, Site


@pytest.fixture(scope="module")
def refined(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The steps of crawl and refine, taken."""
    folder = tmp_path_factory.mktemp("refined")
    demo = Demo(DemoConfig(pairs=PAIRS, quiet=True), folder, site.host, site.truth, web=site.rows)
    for _, step in (*crawl.STEPS, *refine.STEPS):
        step(demo)
    return demo


def test_every_row_comes_out_as_planted(refined: Demo) -> None:
    assert refined.differences == []


def test_the_manifest_holds_every_row_with_its_recaption_and_what_must_be_dropped(refined: Demo) -> None:
    found = open_manifest(str(refined.folder / "manifest"), ManifestOptions())
    planted = [*refine.captions(refined)]
    assert found.rows == {"train": len(planted)}
    (table,) = found.tables("train", [(0, len(planted))])
    rows = table.to_pylist()
    texts = Counter((row["url"], refine.in_one_line(row["alt_text"])) for row in rows)
    assert texts == Counter((one.url, refine.in_one_line(one.text)) for one in planted)
    assert {row["text_source"] for row in rows} == {"alt", "figcaption", None}
    assert {row["crawl"] for row in rows} == {"CC-MAIN-2025-30", None}


def test_what_is_rebuilt_is_every_row_of_the_truth_with_its_recaption(refined: Demo) -> None:
    rows = read_rows(refined.refined, "data")
    keys = {pair_key(row["url"], row["alt_text"]): row["recaption"] for row in rows}
    assert len(rows) == len(keys) == PAIRS
    assert keys == {row.truth["key"]: row.manifest["recaption"] for row in refined.web}


def test_every_reason_that_needs_no_model_is_planted(refined: Demo) -> None:
    planted = {one.reason for one in refine.captions(refined)} - {None}
    assert planted >= {*REFINE_REASONS} - {Reason.UNKNOWN_TOKENS}
    funnel = json.loads((refined.refined / "funnel.json").read_text())
    assert {reason for step in funnel["steps"] for reason in step["reasons"]} == planted
    names = {one.planted for one in refine.captions(refined) if not one.reason}
    assert names == {"picture", "picture, written otherwise"}


def test_rows_that_came_out_otherwise_are_named(
    refined: Demo, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("refined", "dropped"):
        shutil.copytree(refined.folder / name, tmp_path / name)
    demo = Demo(DemoConfig(), tmp_path, site.host, web=site.rows)
    first, *_ = sorted((demo.refined / "data").glob("*.parquet"))
    rows = pq.read_table(first)
    gone, kept = rows.to_pylist()[:2]
    other = rows["alt_text_raw"].to_pylist()
    other[1] = "别的文字"
    place = rows.column_names.index("alt_text_raw")
    pq.write_table(rows.set_column(place, "alt_text_raw", [other]).slice(1), first)
    funnel = json.loads((demo.refined / "funnel.json").read_text())
    funnel["steps"][0]["reasons"]["no_text"] += 1
    (demo.refined / "funnel.json").write_text(json.dumps(funnel))
    refine.compare(demo)
    lost, changed, told = demo.differences
    assert lost.startswith(f"{gone['url']} (")
    assert lost.endswith(f": planted {gone['alt_text']}, came out as nothing")
    assert changed == f"{kept['url']}: its alt_text_raw is another text"
    assert told.startswith("funnel.json tells ")
    assert f"DIFFERS {lost}" in capsys.readouterr().out


def test_without_the_extra_refine_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rjieba", None)  # as if it were not installed
    for words in (["demo", str(tmp_path / "d")], ["refine", "a.parquet", str(tmp_path / "d")]):
        assert main(words) == 4
        assert "rjieba missing; pip install 'danqing[refine]'" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
