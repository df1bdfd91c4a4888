"""The pages of a WAT file: what Common Crawl's extractor found in the HTML of each, as JSON.

file ─▶ records ─▶ Page of each answer 200 that has HTML links, with the languages of the record behind it

Nine pages of ten hold no Chinese, so nothing is parsed before it is asked for: whether a record is a page, and whether
a Han character stands at one of its pictures, is read off the bytes. Those are trusted where the links have the layout
in which the extractor writes them since 2020: objects of strings, the path first. Anything else (the keys of 2018 and
2019 come in another order) is parsed whole, with the same result.
Attributes are unescaped already, and never again here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson
from fastwarc.warc import WarcHeader

from ..disk.documents import is_count
from .links import stands_in
from .page import ImageEntry, PageFacts, license_link, milliseconds
from .records import records

LARGEST = 6 << 20  # bytes of a record: a page of 5 MiB gives less, and parsed it takes forty times the memory
UNREADABLE = "records unreadable"
LONGEST = 1024  # characters of the name of a WARC; every pair of a page has it

_HTML, _SUCCESS = b'"HTML-Metadata":{', b'"Response-Message":{"Status":"200"'
_LINKS, _HEADERS = b'"Links":[', b'"WARC-Header-Metadata":{'
_IMG, _SRC, _OPEN, _ENTRY = b'"IMG@/', b'src"', b',{"path":', b'{"path":"IMG@/'
_SRCS, _OPENS = {_SRC}, {_OPEN, b"[" + _OPEN[1:]}
_CUT = (b'\\"}', b'":{')  # where the first "} of an object is not its end
_CRAWL = re.compile(rb'isPartOf(?:: |":")(CC-MAIN-[0-9]{4}-[0-9]{2})\b')
_LANGUAGES = b'"languages-cld2"'
_CODE = re.compile(rb'\\"code-iso-639-3\\":\\"([a-z]{3})\\"')
_LEADS = [bytes([lead]) for lead in (*range(0xE3, 0xEA), 0xEF, 0xF0)]  # first bytes of Han in UTF-8
_HAN = re.compile(rb"[\xe3-\xe9\xef\xf0]|\\u[3-9dDfF]")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)


class WatPage:
    """A page by its record of a WAT."""

    def __init__(self, url: str, crawl: str, content: bytes, damage: Counter[str]) -> None:
        self.url, self.crawl = url, crawl
        self._content, self._damage = content, damage
        self.languages: tuple[str, ...] | None = None  # ISO 639-3 codes by CLD2, the commonest first

    def follow(self, content: bytes) -> None:
        """Take what the crawl recorded of the page in the record behind it."""
        self.languages = tuple([code.decode() for code in _CODE.findall(content)]) or None

    def may_have_chinese(self) -> bool:
        """Whether a Han character may stand in the alt or title of a picture, told without parsing."""
        latin = self._content.isascii() or not any(byte in self._content for byte in _LEADS)
        if latin and b"\\u" not in self._content:
            return False  # pages of other scripts, in 4 µs: to look for a single byte is what a machine does fastest
        if self._pieces is None:
            return True
        texts = b"".join(self._slices(self._pieces))
        if any(cut in texts for cut in _CUT):
            return True
        return (not texts.isascii() or b"\\u" in texts) and _HAN.search(texts) is not None

    def images(self) -> Sequence[ImageEntry]:
        """The pictures, in the order of the page; none where the record cannot be read, which is counted."""
        parsed = "zho" in (self.languages or ())  # of a Chinese page the facts are wanted too
        if self._pieces is not None and not parsed:
            slices = self._slices(self._pieces)
            with suppress(orjson.JSONDecodeError):
                found = orjson.loads(b"[" + b",".join(slices) + b"]")
                if len(found) == len(slices):
                    return [_image(entry) for entry in found]
        return self._pictures

    @property
    def fetched(self) -> int | None:
        """When: milliseconds since 1970, UTC; None where that cannot be read."""
        return None if self._parsed is None else self._parsed.fetched

    @property
    def warc(self) -> tuple[str, int]:
        """The WARC file that holds it, and the offset of its record there."""
        return ("", 0) if self._parsed is None else self._parsed.warc

    def facts(self) -> PageFacts | None:
        """What the page says of itself; None where the record cannot be read, which is counted."""
        return None if self._parsed is None else self._parsed.facts

    @cached_property
    def _pieces(self) -> list[bytes] | None:
        """The links, cut where the name of a picture begins; None where bytes do not tell which these are.

        A picture is an object that an array holds; where no other array begins, that is the one of the links.
        """
        links, end = self._content.find(_LINKS), self._content.rfind(_HEADERS)
        region = self._content[links + len(_LINKS) - 1 : end]
        if links < 0 or end < 0 or not _is_flat(region):
            return None
        pieces = region.split(_IMG)
        before, behind = (
            {piece[-len(_OPEN) :] for piece in pieces[:-1]},
            {piece[: len(_SRC)] for piece in pieces[1:]},
        )
        return pieces if before <= _OPENS and behind <= _SRCS else None

    @staticmethod
    def _slices(pieces: list[bytes]) -> list[bytes]:
        """The objects of the pictures as JSON, each as far as the first end of one."""
        return [_ENTRY + piece[: piece.find(b'"}') + 2] for piece in pieces[1:]]

    @cached_property
    def _pictures(self) -> Sequence[ImageEntry]:
        return [] if self._parsed is None else _pictures(self._parsed.links)

    @cached_property
    def _parsed(self) -> _Parsed | None:
        try:
            return _parse(self._content)
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            self._damage[UNREADABLE] += 1
            return None


def pages(path: str | Path, damage: Counter[str]) -> Iterator[WatPage]:
    """The pages of a WAT file, in order: HTML that was answered with 200; `damage` counts what cannot be read."""
    held: WatPage | None = None
    crawl, begun = "", False
    for record in records(path, damage, LARGEST):
        content = record.content
        if held is not None:
            behind = _LANGUAGES in content and record.headers.get(WarcHeader.WARC_TARGET_URI) == held.url
            if behind:
                held.follow(content)
            yield held
            held = None
            if behind:
                continue
        if _is_page(content, damage) and (url := record.headers.get(WarcHeader.WARC_TARGET_URI)):
            held, begun = WatPage(url, crawl, content, damage), True
        elif not begun and (named := _CRAWL.search(content)):  # the file says so before its first page
            crawl = named[1].decode()
    if held is not None:
        yield held


def _is_page(content: bytes, damage: Counter[str]) -> bool:
    html = content.find(_HTML)
    if html < 0:
        return False
    if content.find(_SUCCESS, 0, html) >= 0:
        return True
    try:
        answer = orjson.loads(content)["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]
        return bool(answer["Response-Message"]["Status"] == "200" and answer["HTML-Metadata"])
    except (ValueError, KeyError, TypeError):
        damage[UNREADABLE] += 1
        return False


def _is_flat(links: bytes) -> bool:
    """Whether no array but that of the links begins here, and no name is spelt with escapes.

    Both bytes are rare: to look at each costs less than to search for what must not be there.
    """
    at = links.find(b"[", 1)
    while at >= 0:
        if links[at - 1] in b":,[":
            return False
        at = links.find(b"[", at + 1)
    at = links.find(b"\\")
    while at >= 0:
        if links.startswith(b"u00", at + 1) or links.startswith(b"@\\/", at - 1):
            return False
        at = links.find(b"\\", at + 2)
    return True


class _Parsed(NamedTuple):
    """A record, parsed whole."""

    links: Sequence[Mapping[str, Any]]
    fetched: int | None
    warc: tuple[str, int]
    facts: PageFacts


def _parse(content: bytes) -> _Parsed:
    """Raises ValueError, KeyError, TypeError, AttributeError or OverflowError where it is no record of a page."""
    root = orjson.loads(content)
    envelope = root["Envelope"]
    answer = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]
    html = answer["HTML-Metadata"]
    head, links = html.get("Head", {}), html.get("Links", [])
    if not isinstance(links, list) or not {*map(type, links)} <= {dict}:
        raise TypeError("links that are none")
    licensed = [link for link in [*head.get("Link", []), *links] if "rel" in link]
    if b"creativecommons.org/" in content:
        licensed = [*head.get("Link", []), *links]
    metas = _metas(head)
    headers = _headers(answer.get("Headers", {}))
    fetched = milliseconds(_text(envelope["WARC-Header-Metadata"].get("WARC-Date")))
    facts = PageFacts(
        base=_text(head.get("Base")),
        html_lang=next((content for name, content in metas if name == "html@/lang"), None),
        charset=_charset(
            [*headers.get("content-type", ()), *(told for name, told in metas if name == "content-type")]
        ),
        title=_text(head.get("Title")),
        headers=headers,
        metas=[meta for meta in metas if not meta[0].startswith("html@/")],
        licenses=[
            url for link in licensed if (url := license_link(_text(link.get("rel")), _text(link.get("url"))))
        ],
    )
    warc, offset = root["Container"]["Filename"], int(root["Container"]["Offset"])
    if not isinstance(warc, str) or len(warc) > LONGEST or not is_count(offset):
        raise ValueError("no place in a WARC")
    return _Parsed(links, fetched, (warc, offset), facts)


def _metas(head: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The name of each, or its http-equiv, or its property, in lower case, and its content."""
    found = []
    for meta in head.get("Metas", []):
        name = meta.get("name") or meta.get("http-equiv") or meta.get("property")
        if name:
            found.append((name.lower(), _text(meta.get("content")) or ""))
    return found


def _headers(headers: Mapping[str, Any]) -> dict[str, list[str]]:
    """The values of each, by its name in lower case; one that is repeated is a list of strings since 2024-51."""
    found: dict[str, list[str]] = {}
    for name, value in headers.items():
        values = value if isinstance(value, list) else [value]
        found.setdefault(name.lower(), []).extend(text for text in values if isinstance(text, str))
    return found


def _charset(declared: Sequence[str]) -> str | None:
    return next((match[1].lower() for value in declared if (match := _CHARSET.search(value))), None)


def _pictures(links: Sequence[Mapping[str, Any]]) -> list[ImageEntry]:
    """The pictures among the links; the data-uri of a lazy one, which stands before it, is its URL."""
    found, lazy = [], None
    for link in links:
        path = link.get("path")
        if path == "IMG@/src":
            entry = _image(link)
            found.append(entry._replace(url=lazy) if lazy and stands_in(entry.url) else entry)
        lazy = _text(link.get("url")) if path == "IMG@/data-uri" else None
    return found


def _image(link: Mapping[str, Any]) -> ImageEntry:
    url, alt, title = link.get("url"), link.get("alt"), link.get("title")
    if url.__class__ is str and (alt is None or alt.__class__ is str) and title is None:  # nearly all
        return ImageEntry(url, alt)
    return ImageEntry(_text(url), _text(alt), _text(title))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None
