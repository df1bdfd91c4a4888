"""What becomes of the URLs of pictures as pages have them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.crawl.links import lazy_twins, picture_url, stands_in
from builder.crawl.page import ImageEntry
from builder.reasons import Dropped, Reason
from builder.web.url import normalise

PAGE = "https://example.com/a/b/page.html?q=1"
# As a browser resolves them on PAGE; the query of an image host is a command, or signed
PICTURES = [
    ("x.jpg", "https://example.com/a/b/x.jpg"),
    ("/x.jpg", "https://example.com/x.jpg"),
    ("../x.jpg", "https://example.com/a/x.jpg"),
    ("../../../../x.jpg", "https://example.com/x.jpg"),
    ("./c/.././x.jpg", "https://example.com/a/b/x.jpg"),
    ("%2e%2E/x.jpg", "https://example.com/a/x.jpg"),
    ("?id=7", "https://example.com/a/b/page.html?id=7"),
    ("//cdn.example.com/x.jpg", "https://cdn.example.com/x.jpg"),
    ("/\\cdn.example.com/x.jpg", "https://cdn.example.com/x.jpg"),
    ("\\d\\x.jpg", "https://example.com/d/x.jpg"),
    ("http://cdn.example.com/x.jpg", "http://cdn.example.com/x.jpg"),
    ("HTTP://CDN.example.com:80/X.jpg", "http://cdn.example.com/X.jpg"),
    ("https:x.jpg", "https://example.com/a/b/x.jpg"),
    ("https:/x.jpg", "https://example.com/x.jpg"),
    ("http:/cdn.example.com/x.jpg", "http://cdn.example.com/x.jpg"),
    ("https:////cdn.example.com/x.jpg", "https://cdn.example.com/x.jpg"),
    ("https://example.com/a/../x.jpg", "https://example.com/x.jpg"),
    ("x.jpg#top", "https://example.com/a/b/x.jpg"),
    (" \n/x.jpg\r\n ", "https://example.com/x.jpg"),
    ("ht\ntp://cdn.exam\tple.com/x\r\ny.jpg", "http://cdn.example.com/xy.jpg"),
    ("/图/一 二.jpg?名=值 '", "https://example.com/%E5%9B%BE/%E4%B8%80%20%E4%BA%8C.jpg?%E5%90%8D=%E5%80%BC%20%27"),
    ("/o.jpg?x-oss-process=image/resize,w_500|auto", "https://example.com/o.jpg?x-oss-process=image/resize,w_500|auto"),
    ("/o.jpg!w700", "https://example.com/o.jpg!w700"),
    ("/o.jpg@!thumb", "https://example.com/o.jpg@!thumb"),
    ("/o~tplv-k3u1fbpfcp-zoom:0:0.image", "https://example.com/o~tplv-k3u1fbpfcp-zoom:0:0.image"),
    ("/a%2Fb%7e.jpg?s=%3d&t=a+b", "https://example.com/a%2Fb%7e.jpg?s=%3d&t=a+b"),
    ("/i?a=1&copy=2&image=3&amp;b", "https://example.com/i?a=1&copy=2&image=3&amp;b"),
    ("/i?u=http://h/x.jpg?y", "https://example.com/i?u=http://h/x.jpg?y"),
    ("/x^.jpg?^{|}`", "https://example.com/x%5E.jpg?^{|}`"),
    ("/100%.jpg", "https://example.com/100%.jpg"),
]  # fmt: skip
BASES = [
    (None, "https://example.com/a/b/x.jpg"),
    ("", "https://example.com/a/b/x.jpg"),
    ("http://other.com/c/d", "http://other.com/c/x.jpg"),
    ("//other.com/", "https://other.com/x.jpg"),
    ("/c/", "https://example.com/c/x.jpg"),
    ("ftp://other.com/", "https://example.com/a/b/x.jpg"),
    ("javascript:void(0)", "https://example.com/a/b/x.jpg"),
    ("http://", "https://example.com/a/b/x.jpg"),
]
NOTHING = [
    None,
    "",
    "   ",
    "\n",
    "#",
    "#top",
    " #",
    "page.html?q=1",
    PAGE,
    PAGE + "#top",
    "//example.com/a/b/page.html?q=1",
]
PLACEHOLDERS = [
    "data:image/gif;base64,R0lGODlhAQABAAAAACw=", " DATA:image/png;base64,", "loading.gif", "/img/Loading.svg",
    "/img/loading.gif?v=2", "/template/zi/static/images/loading.gif", "/blank.png", "spacer.gif", "/lazy.png",
    "/lazyload.gif", "/lazy-load.gif", "/1x1.png", "/img_1x1.gif", "/pixel.gif", "/transparent.png", "/ajax-loader.gif",
    "/loading_1.gif", "/loading-300x200.png", "/transparent-pixel.png", "/images/placeholder.png", "/img-loading.gif",
    "https://cdn.example.com/blank.gif#x", "\\img\\spacer.gif", "/grey-placeholder.gif",
]  # fmt: skip
REAL = [
    "/loading-dock-photo.jpg", "/loading-dock.png", "/spacex.jpg", "/spacex.png", "/pixel-8.png", "/google-pixel-8.png",
    "/lazy-cat.gif", "/blankets.png", "/blank-verse-book.png", "/transparent-led-wall.png", "/loading/cat.png",
    "/blank/1.gif", "/pixelart.gif", "/downloading.png", "/reloaded.png", "/upload.png", "/uploads.gif", "/11x1.png",
    "/image.png", "/1.gif", "/white.png", "/loading.jpg", "/loader-crane.png", "/png/icon.png", "/big-image.gif",
    "/加载loading.gif", "/" + "loading" * 2000 + ".gif",
]  # fmt: skip
INVALID = [
    "http://",
    "http://user@example.com/x.jpg",
    "https://exam ple.com/x.jpg",
    "/\x00x.jpg",
    "x" * 9000,
    "http://a..b/",
]
BLOCKED = [
    "javascript:void(0)",
    "about:blank",
    "blob:https://example.com/1",
    "file:///c:/x.jpg",
    "c:\\x.jpg",
    "ftp://h/x",
]


@pytest.mark.parametrize(("raw", "url"), PICTURES)
def test_pictures(raw: str, url: str) -> None:
    assert picture_url(raw, None, PAGE) == url


@pytest.mark.parametrize(("base", "url"), BASES)
def test_bases(base: str | None, url: str) -> None:
    assert picture_url("x.jpg", base, PAGE) == url


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        *((raw, Reason.NO_URL) for raw in NOTHING),
        *((raw, Reason.PLACEHOLDER_URL) for raw in PLACEHOLDERS),
        *((raw, Reason.INVALID_URL) for raw in INVALID),
        *((raw, Reason.BLOCKED_SCHEME) for raw in BLOCKED),
    ],
)
def test_no_picture(raw: str | None, reason: Reason) -> None:
    with pytest.raises(Dropped) as caught:
        picture_url(raw, None, PAGE)
    assert caught.value.reason is reason


def test_page_itself_under_a_base() -> None:
    with pytest.raises(Dropped, match="no_url"):
        picture_url("/a/b/page.html?q=1", "https://example.com/c/", PAGE)


@pytest.mark.parametrize("raw", REAL)
def test_names_of_pictures(raw: str) -> None:
    assert not stands_in(raw)


@given(st.text() | st.text("/\\.?#:%2e@ \tht图"), st.none() | st.text("/\\.?:ht"))
def test_any_text_becomes_a_url_or_is_dropped(raw: str, base: str | None) -> None:
    try:
        url = picture_url(raw, base, PAGE)
    except Dropped:
        return
    assert url.isascii()
    assert normalise(url) == url == picture_url(url, base, PAGE)


A, B, C = ImageEntry("/s.gif", "甲"), ImageEntry("/s.gif", "乙"), ImageEntry("/s.gif", "")
REAL_A, REAL_B = ImageEntry("/a.jpg", "甲"), ImageEntry("/b.jpg", "乙")


@pytest.mark.parametrize(
    ("entries", "twins"),
    [
        ([A, REAL_A, B, REAL_B], {0, 2}),  # lazy pictures, each with its <noscript>
        ([A, REAL_A, B], {0}),
        ([A, REAL_A], set()),  # nothing tells which is which
        ([REAL_A, A, REAL_B, B], set()),  # the one behind is kept
        ([A, B, REAL_A, REAL_B], set()),  # not next to each other
        ([C, ImageEntry("/a.jpg", ""), B, A], set()),  # without alt
        ([A, A, B, B], set()),  # the same picture twice
        ([A, REAL_B, B], set()),  # other alts
        ([], set()),
    ],
)
def test_lazy_twins(entries: list[ImageEntry], twins: set[int]) -> None:
    assert lazy_twins(entries) == twins
