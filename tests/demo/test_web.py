"""Every row of the web, asked of the host by a client of the standard library, does what its truth says."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from opencc import OpenCC
from PIL import Image

from builder.crawl.recipe import TEXT_PAIRS
from builder.demo import web
from builder.demo.faults import FAULTS, FORMS, WRITINGS
from builder.demo.truth import TOLERANCE, distance
from builder.disk.schema import pair_key
from builder.reasons import Reason

from .client import PATIENCE, ask, judge, see
from .conftest import PAIRS, Site


def of_fault(site: Site, name: str | None) -> list[dict[str, Any]]:
    return [row for row in site.truth.rows if row["fault"] == name]


REACHABLE = [
    fault.name for fault in FAULTS if fault.name not in ("null", "invalid", "scheme", "redirect to ftp")
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("fault", [None, *REACHABLE])
def test_the_host_does_to_every_row_what_its_truth_says(
    site: Site, fault: str | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    for row in of_fault(site, fault):
        reason, body = judge(row["url"], 0.5 if row["reason"] == Reason.TIMEOUT else PATIENCE)
        assert (reason and reason.value) == row["reason"], row["url"]
        assert (row["thumbnail"] is None) == (row["outcome"] == "dropped")
        if row["thumbnail"]:
            assert distance(see(body), row["thumbnail"]) <= TOLERANCE, row["url"]


def test_rows_that_no_request_may_answer(site: Site) -> None:
    urls = {
        row["url"]: row["reason"] for name in ("null", "invalid", "scheme") for row in of_fault(site, name)
    }
    assert set(urls.values()) == {"invalid_url", "blocked_scheme"}
    assert all(not url or not url.strip() or "@" in url or not url.startswith("http://127") for url in urls)


def test_a_redirect_leads_to_another_scheme(site: Site) -> None:
    (row,) = of_fault(site, "redirect to ftp")
    assert ask(row["url"])[2]["Location"].startswith("ftp://")


def test_every_fault_is_planted_and_most_rows_are_kept(site: Site) -> None:
    assert {row["fault"] for row in site.truth.rows} == {None, *(fault.name for fault in FAULTS)}
    assert len(site.truth.kept) > 0.7 * PAIRS
    assert sum(fault.share for fault in FAULTS) < 0.4
    assert sum(share for share, _ in FORMS) == pytest.approx(1)


def test_the_truth_knows_the_key_of_every_row(site: Site) -> None:
    assert [row.truth for row in site.rows] == site.truth.rows
    keys = [pair_key(row.manifest["url"], row.manifest["alt_text"]) for row in site.rows]
    assert keys == [row["key"] for row in site.truth.rows]
    assert len({*keys}) == len(keys)
    assert any("/图片/" in (row.src or "") for row in site.rows)
    assert any(" 副本 " in (row.src or "") for row in site.rows)


def test_most_rows_come_by_a_crawl_and_those_that_none_lets_through_by_the_list(site: Site) -> None:
    counts = Counter(row.place for row in site.rows)
    assert counts[web.WAT] > counts[web.LIST] > counts[web.WARC] > 10
    listed = [row for row in site.rows if row.place == web.LIST]
    assert {row.truth["fault"] for row in listed} >= {"null", "invalid", "scheme"}
    assert all(row.manifest["url"] == row.src for row in listed)
    crawled = [row.manifest["url"] or "" for row in site.rows if row.place != web.LIST]
    assert all(url.startswith("http://127.") and url.isascii() and " " not in url for url in crawled)


def test_some_captions_are_written_as_a_refinement_undoes_it(site: Site) -> None:
    written = Counter(row.text != row.manifest["alt_text"] for row in site.rows)
    assert written[False] > 4 * written[True] > 20
    script = OpenCC("t2s")
    for row in site.rows:
        text = script.convert(row.text).strip("★■\u200b \u3000\U0001f338\ufe0f")
        assert text == row.manifest["alt_text"]
    assert {"背景", "圓"} <= {part for row in site.rows for part in ("背景", "圓") if part in row.text}
    assert sum(share for share, _ in WRITINGS) == pytest.approx(1)


def test_a_text_that_many_rows_have_is_left_to_the_list() -> None:
    truth: Any = {"key": "", "url": "", "reason": None}
    many = [
        web.WebRow({"alt_text": "红色圆形图片"}, truth, {}, f"http://h/{index}.jpg", "红色圆形图片")
        for index in range(40)
    ]
    crawled = [row for row in web._placed(many) if row.place != web.LIST]
    assert len(crawled) == TEXT_PAIRS


def test_the_same_seed_and_address_make_the_same_web(site: Site, tmp_path: Path) -> None:
    web.write(tmp_path, PAIRS, 0, site.host)
    assert (tmp_path / "truth.parquet").read_bytes() == (site.folder / "truth.parquet").read_bytes()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h:1/图/a b.jpg", "/%E5%9B%BE/a%20b.jpg"),
        ("//h:1//cdn//x.jpg", "//cdn//x.jpg"),
        (" HTTP://h/src=http%3A%2F%2fx~%7E.jpg?a=%2f#原图 ", "/src=http%3A%2F%2fx~%7E.jpg?a=%2f"),
    ],
)
def test_targets_go_out_byte_for_byte(url: str, target: str) -> None:
    assert web.target_of(url) == target
    assert web.sent(url) == f"http://{'h' if 'HTTP' in url else 'h:1'}{target}"
