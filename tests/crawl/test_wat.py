"""The pages of WAT files of several years, and of hostile ones."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from builder.crawl.page import ImageEntry
from builder.crawl.wat import UNREADABLE, WatPage, pages

from . import made


def read(folder: Path, *contents: Any) -> tuple[list[WatPage], Counter[str]]:
    """The pages of a WAT with a record for each of these, and the damage."""
    path, damage = folder / "a.warc.wat.gz", Counter[str]()
    path.write_bytes(
        made.members(made.record("warcinfo", b"format: WARC File Format 1.0\r\n"), *map(made.wat, contents))
    )
    return list(pages(path, damage)), damage


def test_page(tmp_path: Path) -> None:
    links = [
        made.image("/a.jpg", "一只猫"),
        {"path": "A@/href", "url": "/b"},
        made.image("b.jpg", "", "title"),
    ]
    (page,), damage = read(tmp_path, made.page(links), made.languages("zho", "eng"))
    assert (page.url, page.fetched, page.warc) == (made.URL, 1_735_689_600_000, (made.WARC, 940))
    assert (page.languages, page.count, page.may_have_chinese()) == (("zho", "eng"), 2, True)
    assert page.images() == [ImageEntry("/a.jpg", "一只猫"), ImageEntry("b.jpg", "", "title")]
    assert not damage


def test_unreadable(tmp_path: Path) -> None:
    """No JSON, nested absurdly, of wrong types: counted, and nothing raised."""
    links = [made.image("/a.jpg", "猫")]
    for content in (
        b'{"Response-Message":{"Status":"200"},"HTML-Metadata":{"Links":[' + b"[" * 100_000,
        b'{"HTML-Metadata":{"Links":[]}}',
        made.page(links) | {"Container": None},
        made.page(links) | {"Container": {"Filename": "a", "Offset": "x"}},
    ):
        found, damage = read(tmp_path, content)
        assert [page.images() for page in found] in ([], [[]])
        assert damage == {UNREADABLE: 1}
