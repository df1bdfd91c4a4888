"""The pages of the demo's Common Crawl: those that name the pictures of its web, and those that a crawl must drop.

    rows of the web ─▶ pages ─▶ WebPage: what it says of itself, and PlantedLink ...: what must come of each

A kind of junk has pages of its own in every file, so that nothing else decides what becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..crawl.recipe import TEXT_PAIRS, URL_TEXTS
from ..reasons import Reason
from ..stage.chinese import LONGEST
from .web import WARC, WAT, WebRow

CRAWL = "CC-MAIN-2025-30"
FILES = 4  # of the crawl; the pictures of the last are loaded by scripts
PICTURES = 12  # of a page
AGAIN = "pair of an earlier file"
ALT, CAPTION = "alt", "figcaption"  # where a text comes from
LOGO = "/static/logo.png"
LOADING = "/static/loading.gif"  # what stands where a script puts the picture


Mention = tuple[
    str, str | None, str | None
]  # URLs of a page and of a picture, and its text, as the crawl tells them


class PlantedLink(NamedTuple):
    """A picture that a page names, and what must come of it.

    src, text: as the page has them; planted: in words; url: as the crawl tells it; source: of the text, where the pair
    is kept; reason: why it is not; lazy: whether a script puts it in the place of another, LOADING.
    """

    src: str | None
    text: str | None
    planted: str
    url: str | None
    source: str = ""
    reason: str | None = None
    lazy: bool = False

    def by_wat(self) -> PlantedLink:
        """The link as a WAT has it: of one that a script loads, what stands there until then, and no caption."""
        if not self.lazy:
            return self
        if self.source == CAPTION:
            return PlantedLink(LOADING, None, "captioned by its figure", LOADING, reason=Reason.NO_TEXT.value)
        reason = Reason.PLACEHOLDER_URL.value
        return PlantedLink(LOADING, self.text, "loaded by a script", LOADING, reason=reason)

    def told(self, page_url: str) -> Mention:
        """The link as the crawl tells of it."""
        return page_url, self.url, " ".join((self.text or "").split()) or None


class WebPage(NamedTuple):
    """A page and what it says of itself.

    language: ISO 639-3, by the crawl; headers: of its answer, beside the usual.
    """

    url: str
    links: Sequence[PlantedLink]
    language: str = "zho"
    metas: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


class Junk(NamedTuple):
    """Links that a crawl must drop, for one reason; of addresses and texts {n} is the number of the page."""

    planted: str
    reason: Reason
    links: Sequence[tuple[str | None, str | None]]
    language: str = "zho"
    metas: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}


_PHOTO, _TEXT = "http://img.example.cn/{n}.jpg", "秋日的山间小路，第{n}张"
_ONE = ((_PHOTO, _TEXT),)
JUNK = (
    Junk("English page", Reason.NOT_CHINESE, [(_PHOTO, "A red circle on a grey wall"), ("", None)], "eng"),
    Junk("Japanese page", Reason.NOT_CHINESE, [(_PHOTO, "赤い丸の写真"), ("/{n}.png", "東京都庁舎外観")], "jpn"),
    Junk("no address", Reason.NO_URL, [("", _TEXT), ("#", _TEXT), (None, _TEXT)]),
    Junk("placeholder", Reason.PLACEHOLDER_URL, [(LOADING, _TEXT), ("data:image/gif;base64,", "雨后的古镇石板路")]),
    Junk("user and password", Reason.INVALID_URL, [("http://user:secret@img.example.cn/{n}.jpg", _TEXT)]),
    Junk("other scheme", Reason.BLOCKED_SCHEME, [("ftp://img.example.cn/{n}.jpg", _TEXT)]),
    Junk("other languages", Reason.NOT_CHINESE, [(_PHOTO, "DSC_{n}.JPG"), ("/{n}.png", "ひまわり畑の写真")]),
    Junk("short text", Reason.SHORT_TEXT, [(_PHOTO, "红花图")]),
    Junk("long text", Reason.LONG_TEXT, [(_PHOTO, "红" * (LONGEST + 1))]),
    Junk("broken text", Reason.BROKEN_TEXT, [(_PHOTO, "秋日的\ufffd间小路")]),
    Junk("noai", Reason.NOAI, _ONE, metas={"robots": "index, noai"}),
    Junk("noimageai", Reason.NOIMAGEAI, _ONE, headers={"X-Robots-Tag": "noimageai"}),
    Junk("train-ai=n", Reason.TRAIN_AI, _ONE, headers={"Content-Usage": "train-ai=n"}),
    Junk("tdm-reservation", Reason.TDM_RESERVED, _ONE, metas={"tdm-reservation": "1"}),
    Junk(
        "menu text", Reason.COMMON_TEXT,
        [(f"http://img.example.cn/{{n}}-{number}.gif", "返回网站首页") for number in range(TEXT_PAIRS + 1)],
    ),
    Junk("icon", Reason.COMMON_URL, [(_PHOTO, f"{{n}}号店铺的第{number}款") for number in range(URL_TEXTS + 1)]),
)  # fmt: skip


def pages(rows: Sequence[WebRow]) -> list[list[WebPage]]:
    """The pages of every file."""
    wat, warc = ([row for row in rows if row.place == place] for place in (WAT, WARC))
    last = FILES - 1
    files = [_naming(wat[number::last], number) for number in range(last)]
    for number in range(1, last):
        files[number].append(_again(files[0][0], number))
    files.append(_naming(warc, last, lazy=True))
    return [
        [*one, *(_junk(junk, 100 * number + place) for place, junk in enumerate(JUNK))]
        for number, one in enumerate(files)
    ]


def _naming(rows: Sequence[WebRow], file: int, *, lazy: bool = False) -> list[WebPage]:
    """Pages that name the pictures of these rows, and a logo without a text. lazy: by scripts, some in figures."""
    sources = (ALT, CAPTION) if lazy else (ALT,)
    logo = PlantedLink(LOGO, None, "no text", LOGO, reason=Reason.NO_TEXT.value)
    links = [
        PlantedLink(
            row.src, row.text, "picture", row.manifest["url"], sources[number % len(sources)],
            lazy=lazy,
        )
        for number, row in enumerate(rows)
    ]  # fmt: skip
    return [
        WebPage(f"http://site{file}.example.cn/{start}.html", [*links[start : start + PICTURES], logo])
        for start in range(0, len(links), PICTURES)
    ]


def _again(page: WebPage, file: int) -> WebPage:
    """The pairs of a page of an earlier file, on a page of this one."""
    links = [
        link._replace(src=link.url, planted=AGAIN, source="", reason=Reason.DUPLICATE.value)
        for link in page.links
        if link.source
    ]
    return WebPage(f"http://site{file}.example.cn/again.html", links)


def _junk(junk: Junk, number: int) -> WebPage:
    """The page of one kind of junk; all its links are told by the address that stands there."""
    links = []
    for src, text in junk.links:
        src, text = (one and one.format(n=number) for one in (src, text))
        links.append(PlantedLink(src, text, junk.planted, src or None, reason=junk.reason.value))
    return WebPage(f"http://junk.example.cn/{number}.html", links, junk.language, junk.metas, junk.headers)
