"""The first part of the demo on its small Common Crawl, and that it notices a link that did not come out as planted."""

from __future__ import annotations

import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.demo import crawl
from builder.demo.config import DemoConfig
from builder.demo.drive import Demo
from builder.manifest import ManifestOptions, open_manifest

from .conftest import PAIRS, Site


@pytest.fixture(scope="module")
def crawled(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Demo:
    """The steps of the crawl, taken."""
    folder = tmp_path_factory.mktemp("crawled")
    demo = Demo(DemoConfig(pairs=PAIRS, quiet=True), folder, site.host, site.truth, web=site.rows)
    for _, step in crawl.STEPS:
        step(demo)
    return demo


def test_every_link_comes_out_as_planted(crawled: Demo) -> None:
    assert crawled.differences == []
    assert len(crawl.came_out(crawled.folder, crawl.WATS)) == sum(
        len(page.links) for each in crawled.pages for page in crawl.looked_at(each)
    )


def test_a_folder_of_candidates_is_a_manifest(crawled: Demo) -> None:
    found = open_manifest(str(crawled.folder / crawl.WATS), ManifestOptions())
    assert found.rows == {"train": sum(row.place == "wat" for row in crawled.web)}


def test_a_link_that_came_out_otherwise_is_named(
    crawled: Demo, site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    demo = Demo(DemoConfig(), tmp_path, site.host, pages=crawled.pages)
    for output in ("dropped/candidates-warc", "candidates-warc/data"):
        (tmp_path / output).mkdir(parents=True)
        for path in (crawled.folder / output).rglob("*.parquet"):
            rows = pq.read_table(path)
            lost = output.startswith("cand")
            pq.write_table(rows.slice(1) if lost else rows, tmp_path / output / path.name)
    gone = pq.read_table(crawled.folder / "candidates-warc" / "data").slice(0, 1).to_pylist()[0]
    crawl.compare(
        demo,
        crawl.WARCS,
        [(page.url, one) for page in crawl.looked_at(crawled.pages[-1]) for one in page.links],
    )
    assert demo.differences == [
        f"{gone['url']} on {gone['page_url']} (picture): planted {gone['text_source']}, came out as nothing"
    ]
    assert f"DIFFERS {demo.differences[0]}" in capsys.readouterr().out


def test_without_the_extra_crawl_one_line_says_how_to_get_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "fastwarc", None)  # as if it were not installed
    assert main(["demo", str(tmp_path / "d")]) == 4
    assert "fastwarc missing; pip install 'danqing[crawl]'" in capsys.readouterr().err
    assert not (tmp_path / "d").exists()
