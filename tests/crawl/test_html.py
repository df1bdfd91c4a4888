"""Pages of WARC files: pictures that are loaded later, captions, charsets, what a page says, hostile pages."""

from __future__ import annotations

import gzip
import zlib
from collections import Counter
from pathlib import Path

import pytest

from builder.crawl import html
from builder.crawl.html import DEEPEST, MOST, SHORT, HtmlPage
from builder.crawl.page import ImageEntry
from tests.crawl.made import URL, members, record, response

METADATA = (
    b'languages-cld2: {"languages":[{"code":"zh","code-iso-639-3":"zho"},{"code-iso-639-3":"eng"}]}\r\n'
)
INFO = record("warcinfo", b"isPartOf: CC-MAIN-2025-05\r\n", WARC_Filename="CC-MAIN-x.warc.gz")


def read(tmp_path: Path, *records: bytes) -> tuple[list[HtmlPage], Counter[str]]:
    path, damage = tmp_path / "x.warc.gz", Counter[str]()
    path.write_bytes(members(*records))
    return list(html.pages(path, damage)), damage


def page(tmp_path: Path, body: str | bytes, **told: object) -> HtmlPage:
    (found,), damage = read(tmp_path, response(body, **told))  # type: ignore[arg-type]
    assert not damage
    return found


def first(tmp_path: Path, body: str) -> ImageEntry:
    (image,) = page(tmp_path, body).images()
    return image


@pytest.mark.parametrize(
    ("markup", "url"),
    [
        ("<img src=a.jpg alt=x>", "a.jpg"),
        ("<img src=blank.gif data-src=' a.jpg '>", "a.jpg"),
        ("<img src=blank.gif data-original=a.jpg>", "a.jpg"),
        ("<img data-lazy-src=a.jpg>", "a.jpg"),
        ("<img src=loading.gif data-src=a.jpg data-original=b.jpg>", "a.jpg"),
        ("<img src=a.jpg srcset='b.jpg 2x'>", "a.jpg"),
        ("<img srcset='a.jpg 320w, b.jpg 640w, c.jpg 480w'>", "b.jpg"),
        ("<img src='data:image/gif;base64,R0' data-srcset='a.jpg, b.jpg 1.5x'>", "b.jpg"),
        ("<img srcset='a.jpg?w=1,2 1x'>", "a.jpg?w=1,2"),
        ("<img srcset=', a.jpg 1x,b.jpg 2q, c.jpg 1.5x ,'>", "c.jpg"),
        ("<img srcset='" + "a" * 20_000 + " b'>", "a" * 20_000),
        ("<picture><source srcset='a.webp 1x, b.webp 2x'><img alt=x></picture>", "b.webp"),
        ("<picture><source srcset='a.webp'><img src=a.jpg></picture>", "a.jpg"),
        ("<img alt=x>", None),
        ("<img src=''>", ""),
    ],
)  # fmt: skip
def test_the_url_of_a_picture(tmp_path: Path, markup: str, url: str | None) -> None:
    assert first(tmp_path, markup).url == url


def test_texts_are_unescaped_once_and_captions_are_those_of_the_nearest_figure(tmp_path: Path) -> None:
    body = """<figure><div><img src=a.jpg alt="甲&amp;amp;乙" title=" 题 "></div>
    <figcaption> 山 间\n <b>小路</b></figcaption></figure>
    <img src=b.jpg alt>"""
    assert page(tmp_path, body).images() == [
        ImageEntry("a.jpg", "甲&amp;乙", " 题 ", "山 间 小路"),
        ImageEntry("b.jpg", None, None, None),
    ]


def test_noscript_counts_and_templates_comments_scripts_do_not(tmp_path: Path) -> None:
    body = """<noscript><img src=1.jpg></noscript><template><img src=2.jpg></template><!-- <img src=3.jpg> -->
    <textarea><img src=4.jpg></textarea><script>'<img src=5.jpg>'</script>"""
    assert [one.url for one in page(tmp_path, body).images()] == ["1.jpg"]


@pytest.mark.parametrize("charset", ["gb2312", '"gbk"', "gb18030"])
def test_a_page_of_gbk_is_read_by_what_its_answer_says(tmp_path: Path, charset: str) -> None:
    found = page(
        tmp_path,
        "<img alt=陶喆演唱会>".encode("gbk"),
        headers={"Content-Type": f"text/html; charset={charset}"},
    )
    assert found.images()[0].alt == "陶喆演唱会"
    assert found.facts().charset == charset.strip('"')


def test_what_a_page_says_of_itself(tmp_path: Path) -> None:
    body = """<html lang=zh-Hant><head><base href=/b/><title> 標題</title><meta NAME=Robots content=NOAI>
    <meta property=og:image content=x><link rel="license" href=/terms><a href=http://creativecommons.org/licenses/by/4.0/>"""
    answer = [("Content-Type", "text/html"), ("X-Robots-Tag", "a"), ("x-robots-tag", "b")]
    facts = page(tmp_path, body, headers=answer).facts()
    assert (facts.base, facts.html_lang, facts.title) == ("/b/", "zh-Hant", " 標題")
    assert facts.metas == [("robots", "NOAI"), ("og:image", "x")]
    assert facts.headers["x-robots-tag"] == ["a", "b"]
    assert facts.licenses == ["/terms", "http://creativecommons.org/licenses/by/4.0/"]


def test_the_crawl_the_languages_and_the_place_of_a_page(tmp_path: Path) -> None:
    other = record("metadata", METADATA, WARC_Target_URI="http://other.example/")
    own = record("metadata", METADATA, WARC_Target_URI=URL)
    (one, two), _ = read(tmp_path, INFO, response("<p>"), own, response("<p>"), other)
    assert (one.crawl, one.url, one.languages, two.languages) == (
        "CC-MAIN-2025-05",
        URL,
        ("zho", "eng"),
        None,
    )
    assert one.fetched == 1_735_689_600_000
    assert one.warc == ("CC-MAIN-x.warc.gz", len(members(INFO)))


def test_what_is_no_page(tmp_path: Path) -> None:
    pdf = response("%PDF", headers={"Content-Type": "application/pdf"})
    gone = response("<p>", status="404 Not Found")
    found, damage = read(
        tmp_path,
        pdf,
        gone,
        record("response", b"no answer", WARC_Target_URI=URL),
        record("response", b"\r\n\r\n<p>", WARC_Target_URI=URL),
        record("request", b"GET /"),
    )
    assert (found, damage) == ([], Counter())


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        ("gzip", gzip.compress(b"<img src=a.jpg>", mtime=0)),
        ("deflate", zlib.compress(b"<img src=a.jpg>")),
        ("gzip", b"<img src=a.jpg>"),  # it was stored decoded, under its old header
        ("br", b"<img src=a.jpg>"),
    ],
)
def test_the_coding_of_a_body(tmp_path: Path, coding: str, body: bytes) -> None:
    answer = {"Content-Type": "text/html", "Content-Encoding": coding}
    assert page(tmp_path, body, headers=answer).images()[0].url == "a.jpg"


@pytest.mark.parametrize(
    "body",
    [
        b"f\r\n<img src=a.jpg>\r\n-11\r\n",
        b"6\r\n<img s\r\n9;x=y\r\nrc=a.jpg>\r\n0\r\n\r\n",
        b"<img src=a.jpg>",
    ],
)
def test_chunks_are_joined_unless_they_are(tmp_path: Path, body: bytes) -> None:
    answer = {"Content-Type": "text/html", "Transfer-Encoding": "chunked"}
    assert page(tmp_path, body, headers=answer).images()[0].url == "a.jpg"


def test_a_page_of_a_hundred_thousand_pictures_and_one_nested_deep(tmp_path: Path) -> None:
    assert page(tmp_path, "<img src=a.jpg>" * 20_000).images() == [ImageEntry("a.jpg")] * MOST
    assert page(tmp_path, "<div>" * 20_000 + "<img src=a.jpg>").images()[0].url == "a.jpg"


def test_ten_thousand_pictures_of_one_figure_share_its_caption(tmp_path: Path) -> None:
    figure = (
        "<img src=a.jpg>" * MOST + "<b></b>" * 100_000 + "<figcaption>" + "山水" * 100_000 + "</figcaption>"
    )
    captions = {id(one.caption) for one in page(tmp_path, f"<figure>{figure}</figure>").images()}
    assert len(captions) == 1


def test_ten_thousand_pictures_share_ten_thousand_sources(tmp_path: Path) -> None:
    sources = "<source srcset=''>" * MOST + "<source srcset='b.webp'>"
    images = page(tmp_path, f"<picture>{sources}{'<img>' * MOST}</picture>").images()
    assert len({id(one.url) for one in images}) == 1


def test_a_body_that_inflates_without_end_costs_that_page(tmp_path: Path) -> None:
    bomb = gzip.compress(b"\0" * (65 << 20), 1)
    answer = {"Content-Type": "text/html", "Content-Encoding": "gzip"}
    found, damage = read(tmp_path, response(bomb, headers=answer), response("<img src=a.jpg>"))
    assert [one.images()[0].url for one in found] == ["a.jpg"]
    assert damage == {"records too large": 1}


@pytest.mark.parametrize("body", ["<div>" * (DEEPEST + 1), "<p " + "a=1 " * (MOST + 1) + ">"])
def test_a_page_that_is_nested_as_none_is_costs_that_page(tmp_path: Path, body: str) -> None:
    long = "<!-- " + "x" * SHORT + " -->"
    found, damage = read(
        tmp_path, response(body + long), response("<div>" * DEEPEST + long + "<img src=a.jpg>")
    )
    assert [one.images()[0].url for one in found] == ["a.jpg"]
    assert damage == {"pages unreadable": 1}


def test_long_lists_are_not_nested(tmp_path: Path) -> None:
    body = "<ul>" + "<li><p>text<br>" * 2 * DEEPEST + "</ul><img src=a.jpg>"
    assert page(tmp_path, body).images()[0].url == "a.jpg"
