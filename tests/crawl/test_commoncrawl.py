"""The synthetic crawl of the benchmarks: what is in it, and that its records are read as those of Common Crawl."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from benchmarks.commoncrawl import CRAWL, LINKS, PICTURES, crawl
from builder.crawl.consent import consent
from builder.crawl.links import stands_in
from builder.crawl.wat import WatPage, pages
from builder.stage.chinese import has_han

FILES, PAGES = 2, 500  # pages of a file


def read(folder: Path, chinese: float = 0.06) -> list[list[WatPage]]:
    paths = crawl(folder, FILES * PAGES, FILES, chinese, workers=1)
    damage: Counter[str] = Counter()
    found = [list(pages(path, damage)) for path in paths]
    assert not damage
    return found


def test_pages(tmp_path: Path) -> None:
    files = read(tmp_path)
    assert [len(each) for each in files] == [PAGES] * FILES
    both = [page for each in files for page in each]
    assert {page.crawl for page in both} == {CRAWL}
    assert len({page.warc for page in both}) == len(both)
    languages = Counter(page.languages[0] if page.languages else None for page in both)
    assert None not in languages
    assert 0.03 < languages["zho"] / len(both) < 0.09
    assert 0.03 < languages["jpn"] / len(both) < 0.08
    pictures = sum(len(page.images()) for page in both) / len(both)
    assert 0.8 * PICTURES < pictures < 1.2 * PICTURES
    links = [len(page.images()) for page in both]
    assert links == [len(page.images()) for page in both]
    assert min(links) == 0
    assert max(links) < 4 * PICTURES + LINKS
    again = {page.url for page in files[0]} & {page.url for page in files[1]}
    assert 0 < len(again) < 0.03 * PAGES


def test_what_is_hard(tmp_path: Path) -> None:
    both = [page for each in read(tmp_path, chinese=0.3) for page in each]
    entries = [entry for page in both for entry in page.images()]
    told = Counter({
        "alt": sum(bool(entry.alt) for entry in entries),
        "title": sum(bool(entry.title) for entry in entries),
        "stands in": sum(stands_in(entry.url) for entry in entries),
        "base": sum(page.facts().base is not None for page in both),
        "licence": sum(bool(page.facts().licenses) for page in both),
        "object": sum(bool(consent(page.facts())) for page in both),
        "lists": sum(len(page.facts().headers["set-cookie"]) == 2 for page in both),
        "abroad": sum(
            any(has_han(entry.alt or "") for entry in page.images())
            for page in both
            if not {"zho", "jpn"} & set(page.languages or ())
        ),
    })  # fmt: skip
    assert 0.5 * len(entries) < told["alt"] < 0.65 * len(entries)
    assert 0.01 * len(entries) < told["stands in"] < 0.2 * len(entries)
    assert 0.002 * len(both) < told["object"] < 0.02 * len(both)
    assert told["lists"] == len(both)
    assert min(told.values()) > 0


def test_same_bytes(tmp_path: Path) -> None:
    once, twice = (crawl(tmp_path / name, 40, 2, workers=1 + (name == "b")) for name in ("a", "b"))
    assert [path.read_bytes() for path in once] == [path.read_bytes() for path in twice]
