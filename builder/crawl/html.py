"""The pages of a WARC file: the HTML itself, of which a WAT tells only src, alt and title of its pictures.

file ─▶ records ─▶ Page of each answer 200 that is HTML, decoded as browsers do, parsed by lexbor when it is asked

What this adds: the URLs of pictures that are loaded later (data-src, srcset, <picture>), captions of figures, and pages
whose charset the WAT writer did not see.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path

from selectolax.lexbor import LexborHTMLParser, LexborNode

from ..web.charset import decoded, label_of
from .page import ImageEntry, PageFacts, license_link, milliseconds
from .records import LARGEST, TOO_LARGE, Record, records

LONGEST = (
    5 << 20
)  # bytes of a page that are parsed, as many as Common Crawl keeps; a tree takes twenty times as many
SHORT, DEEPEST = (
    128 << 10,
    5000,
)  # bytes of a page that is parsed in a second whatever it is; elements in each other
MOST = 10_000  # pictures of a page that are read; galleries have hundreds
CAPTION = 1 << 16  # characters of a caption that are read
UNREADABLE = "pages unreadable"

_LICENCES = 'a[rel][href], link[rel][href], area[rel][href], [href*="creativecommons.org"]'
_TAG, _LONG_TAG = re.compile(rb"<(/?)([a-zA-Z][a-zA-Z0-9]*)"), re.compile(rb"<[a-zA-Z][^>]{20000,}")
# Elements that hold none, or that the next of them ends.
_FLAT = frozenset(
    b"area base br col embed hr img input link meta param source track wbr p li td th tr option dt dd rt rp".split()
)
# Where scripts look for the picture to load: the names that the libraries of lazy loading use, the commonest first.
_LAZY = (
    "data-src",
    "data-original",
    "data-lazy-src",
    "data-actualsrc",
    "data-echo",
    "data-url",
    "data-lazyload",
    "file",
)
_SETS = ("data-srcset", "data-lazy-srcset", "srcset")
_URL, _SIZE = re.compile(r"[\s,]*([^\s,]\S*)"), re.compile(r"(\d{1,9}(?:\.\d{0,9})?)[wx]")
_CHUNK = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;[^\r\n]{0,1000})?\r\n")
_CRAWL = re.compile(rb"isPartOf:\s*(CC-MAIN-\d{4}-\d{2})\b")
_LANGUAGES = re.compile(rb"languages-cld2:\s*(\{.*\})")
_CODE = re.compile(rb'"code-iso-639-3":\s*"([a-z]{3})"')
_DETECTED = re.compile(rb"charset-detected:\s*(\S{1,40})")
_CHARSET = re.compile(r"charset\s*=\s*([^\s;]+|\"[^\"]*\")", re.IGNORECASE)
_HTML = ("text/html", "application/xhtml+xml")
_HEADERS = 1 << 16  # bytes of the headers of an answer
_BLANK = re.compile(rb"\r?\n\r?\n")


class HtmlPage:
    """A page by its answer."""

    def __init__(self, record: Record, answer: _HtmlAnswer, place: tuple[str, int], crawl: str) -> None:
        self.url, self.crawl, self.warc = str(record.headers.get("WARC-Target-URI")), crawl, place
        self._record, self._answer = record, answer
        self._behind = b""

    def follow(self, content: bytes) -> None:
        """Take what the crawl recorded of the page in the record behind it."""
        self._behind = content

    @property
    def fetched(self) -> int | None:
        """When: milliseconds since 1970, UTC; None where the record does not tell."""
        return milliseconds(self._record.headers.get("WARC-Date"))

    @cached_property
    def languages(self) -> tuple[str, ...] | None:
        """ISO 639-3 codes by CLD2, the commonest first; None where the crawl recorded none."""
        found = _LANGUAGES.search(self._behind)
        return tuple(code.decode() for code in _CODE.findall(found[1])) or None if found else None

    def may_have_chinese(self) -> bool:
        """True: nothing is known before the page is parsed."""
        return True

    def images(self) -> Sequence[ImageEntry]:
        """The pictures, in the order of the page, MOST at most."""
        return self._images

    def facts(self) -> PageFacts:
        """What the page says of itself."""
        tree, headers = self._tree, self._answer.headers
        metas = []
        for node in tree.css("meta"):
            values = node.attributes
            name = values.get("name") or values.get("http-equiv") or values.get("property")
            if name:
                metas.append((name.lower(), values.get("content") or ""))
        base, title, root = tree.css_first("base[href]"), tree.css_first("title"), tree.css_first("html")
        links = [node.attributes for node in tree.css(_LICENCES)[:MOST]]
        return PageFacts(
            base=base.attributes.get("href") if base else None,
            html_lang=(root.attributes.get("lang") or root.attributes.get("xml:lang")) if root else None,
            charset=self._decoded[1],
            title=title.text() if title else None,
            headers=headers,
            metas=metas,
            licenses=[url for one in links if (url := license_link(one.get("rel"), one.get("href")))],
        )

    @cached_property
    def _decoded(self) -> tuple[str, str | None]:
        detected = _DETECTED.search(self._behind)
        return decoded(
            self._answer.body,
            self._answer.charset,
            detected[1].decode("ascii", "replace") if detected else None,
        )

    @cached_property
    def _tree(self) -> LexborHTMLParser:
        return LexborHTMLParser(self._decoded[0])

    @cached_property
    def _images(self) -> list[ImageEntry]:
        captions, sources = _captions(self._tree), _sources(self._tree)
        return [_image(node, captions, sources) for node in self._tree.css("img")[:MOST]]


class _HtmlAnswer:
    """An HTTP answer: its headers by name in lower case, and its body as it is to be decoded."""

    def __init__(self, headers: Mapping[str, Sequence[str]], body: bytes) -> None:
        self.headers, self.body = headers, body

    @property
    def charset(self) -> str | None:
        """The charset of its Content-Type."""
        found = _CHARSET.search(next(iter(self.headers.get("content-type", ())), ""))
        return label_of(found[1]) if found else None


def pages(path: str | Path, damage: Counter[str]) -> Iterator[HtmlPage]:
    """The pages of a WARC file, in order: HTML that was answered with 200; `damage` counts what cannot be read."""
    held: HtmlPage | None = None
    crawl, name = "", Path(path).name
    for record in records(path, damage):
        kind = record.headers.get("WARC-Type")
        if held is not None:
            if kind == "metadata" and record.headers.get("WARC-Target-URI") == held.url:
                held.follow(record.content)
            yield held
            held = None
        if kind == "warcinfo":
            named = _CRAWL.search(record.content)
            crawl = named[1].decode() if named else crawl
            name = record.headers.get("WARC-Filename") or name
        elif (
            kind == "response"
            and record.headers.get("WARC-Target-URI")
            and (answer := _answer(record, damage))
        ):
            held = HtmlPage(record, answer, (name, record.offset), crawl)
    if held is not None:
        yield held


def _answer(record: Record, damage: Counter[str]) -> _HtmlAnswer | None:
    """The answer of a record; None where it is not 200 or no HTML, or cannot be read, which is counted."""
    blank = _BLANK.search(record.content, 0, _HEADERS)
    if blank is None:
        return None
    body = record.content[blank.end() :]
    first, *lines = record.content[: blank.start()].decode("utf-8", "replace").splitlines() or [""]
    if first.split(" ")[1:2] != ["200"]:
        return None
    headers: dict[str, list[str]] = {}
    for line in lines:
        field, colon, value = line.partition(":")
        if colon:
            headers.setdefault(field.strip().lower(), []).append(value.strip())
    kinds = {value.partition(";")[0].strip().lower() for value in headers.get("content-type", ())}
    told = record.headers.get("WARC-Identified-Payload-Type") or ""
    if not (kinds & {*_HTML} or (not kinds and told in _HTML)):
        return None
    try:
        page = _inflated(_joined(body, headers), headers)[:LONGEST]
        if _is_tangled(page):
            raise ValueError("tangled")
        return _HtmlAnswer(headers, page)
    except (ValueError, zlib.error):
        damage[UNREADABLE] += 1
    except _Large:
        damage[TOO_LARGE] += 1
    return None


def _is_tangled(page: bytes) -> bool:
    """Whether elements are nested as no author nests them, or a tag has attributes as none has: to parse such a page
    takes a time that grows with the square of either, so that one of some megabytes would hold a worker for an hour."""
    if len(page) < SHORT:
        return False
    if any(len(tag[0].split()) > MOST for tag in _LONG_TAG.finditer(page)):
        return True
    depth = 0
    for tag in _TAG.finditer(page):
        if tag[2].lower() not in _FLAT:
            depth = max(0, depth - 1) if tag[1] else depth + 1
            if depth > DEEPEST:
                return True
    return False


class _Large(Exception):
    """A body that is larger, decompressed, than a page may be."""


def _joined(body: bytes, headers: Mapping[str, Sequence[str]]) -> bytes:
    """A body without the lengths of its chunks. Common Crawl stores bodies without them, under the names X-Crawl-…."""
    if "chunked" not in ",".join(headers.get("transfer-encoding", ())).lower():
        return body
    if _CHUNK.match(body) is None:
        return body  # joined already, whatever the header says
    parts, at = [], 0
    while (found := _CHUNK.match(body, at)) and (length := int(found[1], 16)):
        parts.append(body[found.end() : found.end() + length])
        at = found.end() + length + 2
    return b"".join(parts)


def _inflated(body: bytes, headers: Mapping[str, Sequence[str]]) -> bytes:
    """A body without its gzip or deflate; one that is none, whatever the header says, as it is."""
    coding = ",".join(headers.get("content-encoding", ())).strip().lower()
    if coding in ("gzip", "x-gzip") and body.startswith(b"\x1f\x8b"):
        inflater = zlib.decompressobj(wbits=31)
    elif coding == "deflate" and body[:1] == b"\x78":
        inflater = zlib.decompressobj()
    else:
        return body
    data = inflater.decompress(body, LARGEST)
    if inflater.unconsumed_tail:
        raise _Large
    return data


def _image(node: LexborNode, captions: Mapping[int, str], sources: Mapping[int, str]) -> ImageEntry:
    values = node.attributes
    url = next((found for name in _LAZY if (found := (values.get(name) or "").strip())), None)
    if url is None and _is_lazy(values):
        parent = node.parent
        url = (sources.get(parent.mem_id) if parent else None) or next(
            (largest for name in _SETS if (largest := _largest(values.get(name)))), None
        )
    alt, title = values.get("alt"), values.get("title")
    return ImageEntry(url or values.get("src"), alt, title, captions.get(_figure(node)) or None)


def _is_lazy(values: Mapping[str, str | None]) -> bool:
    """Whether the src is not that of the picture: it has none, or only data."""
    src = (values.get("src") or "").strip().lower()
    return not src or src.startswith("data:") or any(values.get(name) for name in _SETS[:-1])


def _sources(tree: LexborHTMLParser) -> dict[int, str]:
    """The largest candidate of the first <source> that has one, by the <picture> that holds it.

    Found once for a page, as captions are: a <picture> may hold ten thousand of both pictures and sources.
    """
    found: dict[int, str] = {}
    for source in tree.css("picture > source"):
        parent, values = source.parent, source.attributes
        if parent is not None and parent.mem_id not in found:
            url = _largest(values.get("srcset") or values.get("data-srcset"))
            if url:
                found[parent.mem_id] = url
    return found


def _largest(text: str | None) -> str | None:
    """The URL of the largest candidate of a srcset, `a.jpg 1x, b.jpg 2x`; the first of equals."""
    best, most, at, text = None, -1.0, 0, (text or "")[: 1 << 16]
    while found := _URL.match(text, at):
        url, at, told = found[1], found.end(), ""
        if not url.endswith(","):  # a comma inside belongs to the URL
            end = text.find(",", at)
            told, at = text[at : end if end >= 0 else None].strip(), end if end >= 0 else len(text)
        size = _SIZE.fullmatch(told)
        if (wide := float(size[1]) if size else 1.0) > most:
            best, most = url.rstrip(","), wide
    return best


def _captions(tree: LexborHTMLParser) -> dict[int, str]:
    """The first caption of each <figure>, as far as a text may be told, by the node of the figure."""
    found: dict[int, str] = {}
    for caption in tree.css("figcaption")[:MOST]:
        figure = _figure(caption)
        if figure and figure not in found:
            found[figure] = " ".join(caption.text()[:CAPTION].split())
    return found


def _figure(node: LexborNode) -> int:
    """The nearest <figure> that a node is in, 0 where there is none."""
    parent = node.parent
    for _ in range(8):  # a figure is near its picture
        if parent is None or parent.tag == "figure":
            break
        parent = parent.parent
    return parent.mem_id if parent is not None and parent.tag == "figure" else 0
