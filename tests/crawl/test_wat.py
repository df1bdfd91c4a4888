"""The pages of WAT files of several years, and of hostile ones."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import orjson
from hypothesis import example, given
from hypothesis import strategies as st

from builder.crawl.page import ImageEntry, PageFacts
from builder.crawl.records import DAMAGED
from builder.crawl.wat import UNREADABLE, WatPage, pages

from . import made

CAT = made.image("/a.jpg", "一只猫")
OTHER = "http://example.com/other"


def read(
    folder: Path, *contents: Any, head: bytes = b"format: WARC File Format 1.0\r\n"
) -> tuple[list[WatPage], Counter[str]]:
    """The pages of a WAT with a record for each of these, and the damage."""
    path, damage = folder / "a.warc.wat.gz", Counter[str]()
    urls = [made.URL if isinstance(content, bytes) else target(content) for content in contents]
    records = [made.wat(content, url) for content, url in zip(contents, urls, strict=True)]
    path.write_bytes(made.members(made.record("warcinfo", head), *records))
    return list(pages(path, damage)), damage


def target(content: Mapping[str, Any]) -> str:
    return str(content["Envelope"]["WARC-Header-Metadata"]["WARC-Target-URI"])


def facts(folder: Path, **parts: Any) -> PageFacts:
    """The facts of a page of these parts."""
    (page,), damage = read(folder, made.page(**parts))
    assert not damage
    return page.facts()


def test_page(tmp_path: Path) -> None:
    links = [CAT, {"path": "A@/href", "url": "/b"}, made.image("b.jpg", "", "title"), made.image("c.jpg")]
    request = made.envelope("request", made.URL, "HTTP-Request-Metadata", {"Headers": {}})
    (page,), damage = read(tmp_path, request, made.page(links), made.languages("zho", "eng"))
    assert (page.url, page.crawl, page.fetched, page.warc) == (
        made.URL,
        "",
        1_735_689_600_000,
        (made.WARC, 940),
    )
    assert (page.languages, page.may_have_chinese()) == (("zho", "eng"), True)
    assert page.images() == [
        ImageEntry("/a.jpg", "一只猫"),
        ImageEntry("b.jpg", "", "title"),
        ImageEntry("c.jpg"),
    ]
    assert not damage


def test_languages_are_those_of_the_record_behind(tmp_path: Path) -> None:
    found, _ = read(
        tmp_path,
        made.page(),
        made.languages("zho"),
        made.languages("jpn"),  # behind no page
        made.page(url=OTHER),
        made.page(),
        made.languages("zho", url=OTHER),
        made.page(url=OTHER),
        made.languages(url=OTHER),
        made.page(),
    )
    assert [(page.url, page.languages) for page in found] == [
        (made.URL, ("zho",)), (OTHER, None), (made.URL, None), (OTHER, None), (made.URL, None),
    ]  # fmt: skip


def test_crawl_is_that_of_the_file(tmp_path: Path) -> None:
    named = "CC-MAIN-2025-30"
    info = made.envelope("warcinfo", "a.warc.gz", "WARC-Info-Metadata", {"isPartOf": named})
    assert read(tmp_path, info, made.page())[0][0].crawl == named
    assert read(tmp_path, made.page(), head=f"isPartOf: {named}\r\n".encode())[0][0].crawl == named
    assert read(tmp_path, made.page(), info, made.page())[0][1].crawl == ""


def test_pages_are_html_that_was_answered_with_200(tmp_path: Path) -> None:
    picture = made.page()
    del picture["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]
    moved, revisit = made.page([CAT], status="301"), made.envelope("revisit", made.URL, "X", {})
    assert read(tmp_path, picture, moved, revisit, made.page([CAT], status="404")) == ([], {})


def shuffled(value: Any) -> Any:
    """The same, its names in another order, as in WATs of 2018 and 2019."""
    if isinstance(value, dict):
        return {name: shuffled(value[name]) for name in sorted(value, key=lambda name: name[::-1])}
    return [shuffled(each) for each in value] if isinstance(value, list) else value


def test_names_in_another_order(tmp_path: Path) -> None:
    links = [CAT, {"path": "A@/href", "url": "/b"}, made.image("b.jpg", "cat")]
    languages = orjson.dumps(made.languages("zho")).replace(b'"Name":"languages-cld2",', b"")
    languages = languages.replace(b'}"}]', b'}","Name":"languages-cld2"}]')
    (page,), damage = read(tmp_path, shuffled(made.page(links)), orjson.loads(languages))
    assert (page.url, page.languages, page.warc) == (made.URL, ("zho",), (made.WARC, 940))
    assert page.images() == [ImageEntry("/a.jpg", "一只猫"), ImageEntry("b.jpg", "cat")]
    assert page.facts().charset == "utf-8"
    assert (read(tmp_path, shuffled(made.page(links, status="404"))), damage) == (([], {}), {})


def test_facts(tmp_path: Path) -> None:
    head = {
        "Base": "/base/",
        "Title": "猫 &amp;amp;",
        "Metas": [
            {"name": "HTML@/lang", "content": "zh-CN"},
            {"name": "Robots", "content": "noai"},
            {"content": "text/html; charset='GB2312'", "http-equiv": "Content-Type"},
            {"content": "一只猫", "property": "og:title"},
            {"content": "of no name"},
            {"name": "empty"},
        ],
        "Link": [
            {"path": "LINK@/href", "url": "/style.css", "rel": "stylesheet"},
            {"path": "LINK@/href", "url": "/terms", "rel": "License nofollow"},
        ],
    }
    links = [
        {"path": "A@/href", "url": "https://creativecommons.org/licenses/by/4.0/"},
        {
            "path": "A@/href",
            "url": "http://www.creativecommons.org/publicdomain/zero/1.0/",
            "rel": "nofollow",
        },
        {"path": "A@/href", "url": " //creativecommons.org/licenses/by-sa/3.0/"},
        {"path": "A@/href", "url": "https://creativecommons.org/about"},
        {"path": "A@/href", "rel": "license"},
    ]
    headers = {"Content-Type": "text/html", "X-Robots-Tag": ["noai", "noindex"], "Set-Cookie": ["a", "b"]}
    assert facts(tmp_path, links=links, head=head, headers=headers) == PageFacts(
        base="/base/",
        html_lang="zh-CN",
        charset="gb2312",
        title="猫 &amp;amp;",
        headers={
            "content-type": ["text/html"],
            "x-robots-tag": ["noai", "noindex"],
            "set-cookie": ["a", "b"],
        },
        metas=[
            ("robots", "noai"),
            ("content-type", "text/html; charset='GB2312'"),
            ("og:title", "一只猫"),
            ("empty", ""),
        ],
        licenses=[
            "/terms",
            "https://creativecommons.org/licenses/by/4.0/",
            "http://www.creativecommons.org/publicdomain/zero/1.0/",
            "https://creativecommons.org/licenses/by-sa/3.0/",
        ],
    )


def test_header_decides_over_meta(tmp_path: Path) -> None:
    head = {"Metas": [{"http-equiv": "content-type", "content": "text/html; charset=gbk"}]}
    assert facts(tmp_path, head=head, headers={"content-TYPE": 'text/html;charset="Big5"'}).charset == "big5"
    assert facts(tmp_path, head=head, headers={"Content-Type": "text/html"}).charset == "gbk"
    assert facts(tmp_path, headers={"Server": "x"}).charset is None


def test_lazy_pictures_have_the_url_of_their_data_uri(tmp_path: Path) -> None:
    lazy = {"path": "IMG@/data-uri", "url": "/real.jpg"}
    links = [
        lazy, made.image("/loading.gif", "甲"),
        lazy, made.image("", "乙"),
        lazy, made.image(None, "丙"),
        lazy, made.image("/own.jpg", "丁"),
        lazy, {"path": "A@/href", "url": "/"}, made.image("", "戊"),
        {"path": "DIV@/data-uri", "url": "/div.jpg"}, made.image("", "己"),
    ]  # fmt: skip
    (page,), _ = read(tmp_path, made.page(links))
    assert [(entry.url, entry.alt) for entry in page.images()] == [
        ("/real.jpg", "甲"), ("/real.jpg", "乙"), ("/real.jpg", "丙"), ("/own.jpg", "丁"), ("", "戊"), ("", "己"),
    ]  # fmt: skip
    assert len(page.images()) == 6


def test_unreadable(tmp_path: Path) -> None:
    """No JSON, nested absurdly, of wrong types: counted, and nothing raised."""
    good = made.page([CAT])
    for content in (
        orjson.dumps(good)[:-1],
        orjson.dumps(good).replace("一".encode(), b"\xff"),
        orjson.dumps(good).replace(b'"Links":[', b'"Links":[' + b"[" * 100_000),
        b'{"HTML-Metadata":{"Links":[]}}',
        orjson.dumps(good).replace(b'"Links":[', b'"Links":[5,'),
        good | {"Container": None},
        good | {"Container": {"Filename": "a", "Offset": "x"}},
        good | {"Container": {"Filename": 5, "Offset": "5"}},
        good | {"Container": {"Filename": "a", "Offset": "9" * 30}},
        good | {"Container": {"Filename": "a", "Offset": -5}},
        good | {"Container": {"Filename": "a" * 2000, "Offset": "5"}},
        orjson.dumps(good).replace(b'"Links":[', b'"Links":"x","L":['),
        orjson.dumps(good).replace(b'"Links":[', b'"Links":["x",'),
        made.page([CAT], headers={"a": "b"}, head={"Metas": {"name": "x"}}),
    ):
        found, damage = read(tmp_path, content)
        assert all(page.facts() is None and page.fetched is None for page in found), content
        assert damage == {UNREADABLE: 1}, content


def test_date_that_is_none(tmp_path: Path) -> None:
    page = made.page([CAT])
    page["Envelope"]["WARC-Header-Metadata"]["WARC-Date"] = "2008-10-294T05:21:46-0700"  # as ClueWeb09 has it
    (read_page,), damage = read(tmp_path, page)
    assert (read_page.fetched, read_page.images(), damage) == (None, [ImageEntry("/a.jpg", "一只猫")], {})


def test_damaged_member(tmp_path: Path) -> None:
    read(tmp_path, made.page([CAT]), made.languages("zho"), made.page([CAT], url=OTHER))
    path, damage = tmp_path / "a.warc.wat.gz", Counter[str]()
    content = bytearray(path.read_bytes())
    second = [match.start() for match in re.finditer(b"\x1f\x8b\x08", content)][2]
    content[second + 60] ^= 0xFF
    path.write_bytes(content)
    assert [(page.url, page.languages) for page in pages(path, damage)] == [(made.URL, None), (OTHER, None)]
    assert damage == {DAMAGED: 1}


# --- what is read off the bytes is what a parser finds ----------------------------------------------------------

HAN = re.compile("[\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]")
HOSTILE = st.sampled_from(
    [
        '"IMG@/src"', '{"path":"IMG@/src","url":"x"}', '},{"path":"IMG@/src"', '"}', "\\", '\\"', "[", "[[", ",[",
        '":[', '":{', '"Links":[', '"WARC-Header-Metadata":{', "汉", "\u2019", "\x0b", "字}", "</a>", "é", "",
    ]
)  # fmt: skip
TEXTS = st.lists(HOSTILE | st.text(max_size=3), max_size=4).map("".join)
VALUES = TEXTS | st.sampled_from(
    [None, 5, True, ["汉"], {"alt": "汉"}, {"path": "IMG@/src", "url": "x"}, [CAT]]
)
PATHS = st.sampled_from(["IMG@/src"] * 4 + ["A@/href", "IMG@/data-uri", "IMG@/longdesc", "IMG@/src/", "", 5])
LINKS = st.one_of(
    st.builds(made.image, TEXTS, TEXTS, st.none() | TEXTS),
    st.builds(lambda url, text: {"path": "A@/href", "url": url, "text": text}, TEXTS, TEXTS),
    st.fixed_dictionaries({"path": PATHS}, optional=dict.fromkeys(("url", "alt", "title", "other"), VALUES)),
    st.fixed_dictionaries({}, optional={"alt": VALUES, "url": VALUES, "path": PATHS}),
)
HEADS = st.fixed_dictionaries(
    {}, optional={"Title": TEXTS, "Metas": st.lists(st.fixed_dictionaries({"content": TEXTS}))}
)


def reference(content: bytes) -> list[ImageEntry]:
    """The pictures of a record by its whole tree."""
    html = orjson.loads(content)["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]
    values = [
        [link.get(name) for name in ("url", "alt", "title")]
        for link in html["Links"]
        if link.get("path") == "IMG@/src"
    ]
    return [ImageEntry(*(value if isinstance(value, str) else None for value in each)) for each in values]


def check(content: bytes) -> None:
    """Both are asked first once: what one finds out is not to mend the other."""
    damage = Counter[str]()
    expected = reference(content)
    chinese = any(HAN.search(text) for entry in expected for text in (entry.alt, entry.title) if text)
    assert WatPage("", "", content, damage).may_have_chinese() >= chinese
    images = WatPage("", "", content, damage).images()
    if b'"IMG@/data-uri"' not in content:
        assert images == expected
    assert [(entry.alt, entry.title) for entry in images] == [(entry.alt, entry.title) for entry in expected]
    assert not damage


@given(st.lists(LINKS, max_size=8), HEADS)
@example([made.image("x", 'a"}'), made.image("y", "汉")], {})
@example([{"path": "IMG@/src", "other": {"a": "b"}, "alt": "汉"}], {})
@example([{"path": "A@/href", "url": "x", "other": [CAT, CAT]}], {})
def test_bytes_tell_what_a_parser_finds(links: list[dict[str, Any]], head: dict[str, Any]) -> None:
    check(orjson.dumps(made.page(links, head=head)))
    check(orjson.dumps(shuffled(made.page(links, head=head))))


@given(st.lists(TEXTS, max_size=6), st.sampled_from([1, 2]))
def test_other_spellings_of_the_same(texts: list[str], every: int) -> None:
    """Escapes, and a name twice in one object."""
    content = orjson.dumps(made.page([made.image(text, text) for text in texts]))
    check(re.sub(rb"[^\x00-\x7f]+", lambda run: ascii_of(run[0]), content))
    check(content.replace(b'"IMG@/src"', b'"IMG@\\/src"', every))
    check(content.replace(b'"IMG@/src"', b'"\\u0049MG@/src"', every))
    check(content.replace(b'"path":"IMG', b'"p\\u0061th":"IMG', every))
    check(content.replace(b',"alt":', b',"alt":"\xe6\xb1\x89","alt":', every))


def ascii_of(run: bytes) -> bytes:
    """The characters as JSON escapes."""
    return json.dumps(run.decode())[1:-1].encode()
