"""What the demo stores as Common Crawl does can be read by others: members, records, HTML, and the WAT made of them."""

from __future__ import annotations

import io
import json
import zlib
from html.parser import HTMLParser
from typing import Any

import pytest
from fastwarc.warc import ArchiveIterator

from builder.demo.archive import name_of, warc, wat
from builder.demo.pages import ALT, CAPTION, CRAWL, LOADING, PlantedLink, WebPage

URL = "http://site.example.cn/1.html"
PAGE = WebPage(
    URL,
    [
        PlantedLink('http://h/图 "a".jpg?a=1&reg=2', "红色 & <圆形>", "picture", None),
        PlantedLink(None, "没有地址", "picture", None),
        PlantedLink("/b.png", None, "picture", None),
        PlantedLink("//h/c.jpg", "蓝色三角形", "picture", None, CAPTION, lazy=True),
        PlantedLink("//h/d.jpg", "绿色三角形", "picture", None, ALT, lazy=True),
    ],
    metas={"robots": "noai"},
    headers={"Content-Usage": "train-ai=n"},
)
ENGLISH = WebPage("http://site.example.com/2.html", [], "eng")


def records(data: bytes) -> list[tuple[dict[str, str], bytes]]:
    found = ArchiveIterator(io.BytesIO(data), parse_http=False)
    return [(dict(one.headers.items()), one.reader.read()) for one in found]


@pytest.fixture
def whole() -> bytes:
    return warc([PAGE, ENGLISH], 3)


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return [json.loads(content) for _, content in records(wat([PAGE, ENGLISH], 3))[1:]]


def test_a_page_is_a_request_an_answer_and_what_was_found_out(whole: bytes) -> None:
    found = records(whole)
    page = ["request", "response", "metadata"]
    assert [headers["WARC-Type"] for headers, _ in found] == ["warcinfo", *page, *page]
    assert found[0][0]["WARC-Filename"] == name_of(3)
    assert f"isPartOf: {CRAWL}\r\n".encode() in found[0][1]
    assert {headers.get("WARC-Target-URI") for headers, _ in found} == {None, URL, ENGLISH.url}
    assert b'"code-iso-639-3":"zho"' in found[3][1]
    assert b'"code-iso-639-3":"eng"' in found[6][1]
    assert len({headers["WARC-Record-ID"] for headers, _ in found}) == len(found)


def test_a_wat_tells_where_the_records_of_its_warc_are(whole: bytes, told: list[dict[str, Any]]) -> None:
    wanted = records(whole)
    assert len(told) == len(wanted)
    for one, (headers, content) in zip(told, wanted, strict=True):
        assert one["Container"]["Filename"] == name_of(3)
        member = zlib.decompressobj(wbits=31).decompress(whole[int(one["Container"]["Offset"]) :])
        assert member.endswith(content + b"\r\n\r\n")
        assert one["Envelope"]["WARC-Header-Metadata"] == headers


class Images(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: list[dict[str, str | None]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.found.append(dict(attrs))


def test_a_wat_tells_of_the_pictures_what_the_html_has(whole: bytes, told: list[dict[str, Any]]) -> None:
    head, _, body = records(whole)[2][1].partition(b"\r\n\r\n")
    assert b"Content-Usage: train-ai=n" in head
    assert f"Content-Length: {len(body)}".encode() in head
    html = body.decode("gb18030")
    assert 'charset=gb2312"' in html
    assert '<meta name="robots" content="noai">' in html
    assert "<figcaption>蓝色三角形</figcaption>" in html
    parser = Images()
    parser.feed(html)
    *plain, figure, lazy = parser.found
    assert plain == [
        {"src": PAGE.links[0].src, "alt": PAGE.links[0].text},
        {"alt": "没有地址"},
        {"src": "/b.png"},
    ]
    assert figure == {"src": LOADING, "data-src": "//h/c.jpg"}
    assert lazy == {"src": LOADING, "data-src": "//h/d.jpg", "alt": "绿色三角形"}
    answer = told[2]["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]
    assert answer["Headers"]["Content-Usage"] == "train-ai=n"
    assert {"name": "robots", "content": "noai"} in answer["HTML-Metadata"]["Head"]["Metas"]
    assert answer["HTML-Metadata"]["Links"] == [
        {"path": "IMG@/src", "url": PAGE.links[0].src, "alt": PAGE.links[0].text},
        {"path": "IMG@/src", "alt": "没有地址"},
        {"path": "IMG@/src", "url": "/b.png"},
        {"path": "IMG@/src", "url": LOADING},
        {"path": "IMG@/src", "url": LOADING, "alt": "绿色三角形"},
    ]
