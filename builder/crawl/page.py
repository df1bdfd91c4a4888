"""A page as both readers of Common Crawl give it, WAT (`wat`) and WARC (`html`): its pictures and what it says.

records ─▶ Page: url, fetched, place in the WARC, languages ─▶ images() ─▶ ImageEntry ...; facts() ─▶ PageFacts
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple, Protocol

_COMMONS = re.compile(
    r"(?:https?:)?//(?:www\.)?creativecommons\.org/(?:licenses|publicdomain)/", re.IGNORECASE
)


class ImageEntry(NamedTuple):
    """A picture that a page names, as the page has it: attributes unescaped, URLs neither joined nor encoded.

    url: may be empty, relative, or hold spaces; None: the page names none; caption: of its figure.
    """

    url: str | None
    alt: str | None = None
    title: str | None = None
    caption: str | None = None


@dataclass(frozen=True, slots=True)
class PageFacts:
    """What a page says of itself, from its bytes alone.

    base: the href of its <base>; html_lang: of <html lang>; charset: as declared, lower case; headers: of the HTTP
    answer, by name in lower case, every value; metas: (name or http-equiv or property in lower case, content);
    licenses: the URLs of its links of rel=license, and of those to Creative Commons.
    """

    base: str | None = None
    html_lang: str | None = None
    charset: str | None = None
    title: str | None = None
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    metas: Sequence[tuple[str, str]] = ()
    licenses: Sequence[str] = ()


def milliseconds(date: str | None) -> int | None:
    """A WARC-Date as milliseconds since 1970, UTC; None where it is none."""
    try:
        moment = datetime.fromisoformat(date or "")
    except ValueError:
        return None
    return int(moment.timestamp() * 1000) if moment.tzinfo else None


def license_link(rel: str | None, url: str | None) -> str | None:
    """The URL of a link, as far as it is one to a licence: of rel=license, or to those of Creative Commons."""
    if not url or not ("license" in (rel or "").lower().split() or _COMMONS.match(url.strip())):
        return None
    return f"https:{url.strip()}" if url.strip().startswith("//") else url.strip()


class Page(Protocol):
    """A page that was answered with 200 and HTML, of which nothing is parsed before it is asked for."""

    @property
    def url(self) -> str:
        """The URL that it was fetched from."""

    @property
    def fetched(self) -> int | None:
        """When: milliseconds since 1970, UTC; None where that cannot be read."""

    @property
    def warc(self) -> tuple[str, int]:
        """The WARC file that holds it, and the offset of its record there."""

    @property
    def crawl(self) -> str:
        """The crawl, such as CC-MAIN-2025-30, by the warcinfo record of the file; empty where that names none."""

    @property
    def languages(self) -> tuple[str, ...] | None:
        """ISO 639-3 codes by CLD2, the commonest first; None where the crawl recorded none."""

    def may_have_chinese(self) -> bool:
        """Whether a text of `images` may hold a Han character, told without parsing; True where that is not known."""

    def images(self) -> Sequence[ImageEntry]:
        """The pictures, in the order of the page."""

    def facts(self) -> PageFacts | None:
        """What the page says of itself; None where its record cannot be read."""
