"""The pages of a WAT file: what Common Crawl's extractor found in the HTML of each, as JSON.

file ─▶ records ─▶ Page of each answer 200 that has HTML links, with the languages of the record behind it

Nine pages of ten hold no Chinese, so nothing is parsed before it is asked for: whether a record is a page, how many
pictures it names and whether a Han character stands at one of them is read off the bytes. Those are trusted where the
links have the layout in which the extractor writes them since 2020: objects of strings, the path first. Anything else
(the keys of 2018 and 2019 come in another order) is parsed whole, with the same result.
Attributes are unescaped already, and never again here.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from .page import ImageEntry, PageFacts
from .records import records

LARGEST = (
    16 << 20
)  # bytes of a record: a page of 5 MiB gives less, and what is parsed takes ten times the memory
UNREADABLE = "records unreadable"

_HTML, _SUCCESS = b'"HTML-Metadata":{', b'"Response-Message":{"Status":"200"'
_LINKS, _HEADERS = b'"Links":[', b'"WARC-Header-Metadata":{'
_IMG, _SRC, _OPEN, _ENTRY = b'"IMG@/', b'src"', b',{"path":', b'{"path":"IMG@/'
_CUT = (b'\\"}', b'":{')  # where the first "} of an object is not its end
_CRAWL = re.compile(rb'isPartOf(?:: |":")(CC-MAIN-[0-9]{4}-[0-9]{2})\b')
_LANGUAGES = b'"Name":"languages-cld2","Value":"'
_CODE = re.compile(rb'\\"code-iso-639-3\\":\\"([a-z]{3})\\"')
_HAN = re.compile(rb"[\xe3-\xe9\xef\xf0]|\\u[3-9dDfF]")
_CHARSET = re.compile(r"""charset\s*=\s*["']?\s*([^\s"';,]+)""", re.IGNORECASE)
_COMMONS = re.compile(r"https?://(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/", re.IGNORECASE)


class WatPage:
    """A page by its record of a WAT."""

    def __init__(self, url: str, crawl: str, content: bytes, damage: Counter[str]) -> None:
        self.url, self.crawl = url, crawl
        self._content = content
        self._damage = damage
        self._behind = b""

    def follow(self, content: bytes) -> None:
        """Take what the crawl recorded of the page in the record behind it."""
        self._behind = content

    @cached_property
    def languages(self) -> tuple[str, ...] | None:
        """ISO 639-3 codes by CLD2, the commonest first; None where the crawl recorded none."""
        at = self._behind.find(_LANGUAGES)
        if at < 0:
            return None
        codes = _CODE.findall(self._behind, at, self._behind.find(b'}"', at))
        return tuple(code.decode() for code in codes) or None

    @property
    def count(self) -> int:
        """The number of entries that `images` gives."""
        return len(self._pictures) if self._slices is None else len(self._slices)

    def may_have_chinese(self) -> bool:
        """Whether a Han character may stand in the alt or title of a picture, told without parsing."""
        if self._slices is None:
            return True
        joined = b"".join(self._slices)
        if joined.isascii() and b"\\u" not in joined:
            return False
        return any(cut in joined for cut in _CUT) or _HAN.search(joined) is not None

    def images(self) -> Sequence[ImageEntry]:
        """The pictures, in the order of the page; none where the record cannot be read, which is counted."""
        slices = self._slices
        if slices is not None and not self.may_have_chinese():  # or else the facts are parsed too
            with suppress(orjson.JSONDecodeError):
                found = orjson.loads(b"[" + b",".join(slices) + b"]")
                if len(found) == len(slices):
                    return [_image(entry) for entry in found]
        return self._pictures

    @property
    def fetched(self) -> int:
        """When: milliseconds since 1970, UTC; 0 where the record cannot be read."""
        return 0 if self._parsed is None else self._parsed.fetched

    @property
    def warc(self) -> tuple[str, int]:
        """The WARC file that holds it, and the offset of its record there."""
        return ("", 0) if self._parsed is None else self._parsed.warc

    def facts(self) -> PageFacts:
        """What the page says of itself; nothing where the record cannot be read."""
        return PageFacts() if self._parsed is None else self._parsed.facts

    @cached_property
    def _slices(self) -> list[bytes] | None:
        """The objects of the pictures as JSON, each as far as the first end of one; None where bytes do not tell."""
        links = self._content.find(_LINKS)
        end = self._content.rfind(_HEADERS)
        if not 0 <= links < end:
            return None
        region = b"," + self._content[links + len(_LINKS) : end]
        return _slices(region) if _is_flat(region) else None

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
    crawl = ""
    for record in records(path, damage, LARGEST):
        content = record.content
        if held is not None:
            if _LANGUAGES in content and record.headers.get("WARC-Target-URI") == held.url:
                held.follow(content)
            yield held
            held = None
        if _is_page(content, damage) and (url := record.headers.get("WARC-Target-URI")):
            held = WatPage(url, crawl, content, damage)
        elif not crawl and (named := _CRAWL.search(content)):
            crawl = named[1].decode()
    if held is not None:
        yield held


def _is_page(content: bytes, damage: Counter[str]) -> bool:
    html = content.find(_HTML)
    if html < 0:
        return False
    if content.find(_SUCCESS, 0, html) >= 0:
        return content.find(_LINKS, html) >= 0
    try:
        answer = orjson.loads(content)["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]
        return bool(answer["Response-Message"]["Status"] == "200" and answer["HTML-Metadata"].get("Links"))
    except (ValueError, KeyError, TypeError, AttributeError):
        damage[UNREADABLE] += 1
        return False


def _is_flat(links: bytes) -> bool:
    """Whether no list but the links themselves begins here, and no name is spelt with escapes."""
    at = links.find(b"[")
    while at >= 0:
        if links[at - 1] in b":,[":
            return False
        at = links.find(b"[", at + 1)
    return links.find(b"\\") < 0 or (links.find(b"\\u00") < 0 and links.find(b"@\\/") < 0)


def _slices(links: bytes) -> list[bytes] | None:
    """The objects of the pictures among the links, before which stands a comma; None where others belong to them."""
    before, *pieces = links.split(_IMG)
    slices = []
    for piece in pieces:
        if not piece.startswith(_SRC) or not before.endswith(_OPEN):
            return None
        slices.append(_ENTRY + piece[: piece.find(b'"}') + 2])
        before = piece
    return None if b',"path":' in b"".join(slices) else slices


class _Parsed(NamedTuple):
    """A record, parsed whole."""

    links: Sequence[Mapping[str, Any]]
    fetched: int
    warc: tuple[str, int]
    facts: PageFacts


def _parse(content: bytes) -> _Parsed:
    """Raises ValueError, KeyError, TypeError, AttributeError or OverflowError where it is no record of a page."""
    root = orjson.loads(content)
    envelope = root["Envelope"]
    answer = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]
    html = answer["HTML-Metadata"]
    links = _dicts(html.get("Links"))
    moment = datetime.fromisoformat(envelope["WARC-Header-Metadata"]["WARC-Date"])
    return _Parsed(
        links,
        int(moment.timestamp() * 1000),
        (str(root["Container"]["Filename"]), int(root["Container"]["Offset"])),
        _facts(answer.get("Headers"), html.get("Head"), links),
    )


def _image(entry: Mapping[str, Any]) -> ImageEntry:
    return ImageEntry(_text(entry, "url"), _text(entry, "alt"), _text(entry, "title"))


def _pictures(links: Sequence[Mapping[str, Any]]) -> list[ImageEntry]:
    found, lazy = [], None
    for link in links:
        path = link.get("path")
        if path == "IMG@/src":
            entry = _image(link)
            found.append(entry._replace(url=lazy) if lazy and not entry.url else entry)
        lazy = _text(link, "url") if path == "IMG@/data-uri" else None
    return found


def _facts(headers: Any, head: Any, links: Sequence[Mapping[str, Any]]) -> PageFacts:
    head = head if isinstance(head, dict) else {}
    answer: dict[str, list[str]] = {}
    for name, value in headers.items() if isinstance(headers, dict) else ():
        values = value if isinstance(value, list) else [value]
        answer.setdefault(name.lower(), []).extend(text for text in values if isinstance(text, str))
    named = [
        (name, _text(meta, "content") or "")
        for meta in _dicts(head.get("Metas"))
        if (name := _text(meta, "name") or _text(meta, "http-equiv") or _text(meta, "property"))
    ]
    metas = [(name.lower(), content) for name, content in named if name != "HTML@/lang"]
    declared = [*answer.get("content-type", ()), *(value for name, value in metas if name == "content-type")]
    charsets = [match[1].lower() for value in declared if (match := _CHARSET.search(value))]
    licenses = [
        url
        for link in [*_dicts(head.get("Link")), *links]
        if (url := _text(link, "url"))
        and ("license" in (_text(link, "rel") or "").lower().split() or _COMMONS.match(url))
    ]
    return PageFacts(
        base=_text(head, "Base"),
        html_lang=next((content for name, content in named if name == "HTML@/lang"), None),
        charset=charsets[0] if charsets else None,
        title=_text(head, "Title"),
        headers=answer,
        metas=metas,
        licenses=licenses,
    )


def _dicts(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _text(values: Mapping[str, Any], name: str) -> str | None:
    value = values.get(name)
    return value if isinstance(value, str) else None
