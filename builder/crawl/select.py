"""Which pictures of a page become candidates, and why the others do not: the first half of the recipe, page by page.

    Page ─▶ Selection.closed ─▶ why it is passed over whole, or None ─▶ of ─▶ Link, Link ...: a Candidate, or the Reason

Nine pages of ten are of another language, or no text of theirs holds a Han character: they are told by their bytes
alone, nothing of them is parsed, and they are counted as pages.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import NamedTuple

from ..reasons import Dropped, Reason
from ..stage.chinese import LONGEST, SHORTEST, UNTOLD, has_han, is_chinese, told_by
from ..web.hostname import host_of
from .config import CrawlConfig
from .consent import consent, license_url, refusal
from .hosts import DeniedHosts
from .language import garbled, page_language, passes
from .links import lazy_twins, picture_url
from .page import ImageEntry, Page, PageFacts

NOTHING = PageFacts()  # what is known of a page that is not parsed, or cannot be
OTHER, NONE_CHINESE = "of another language", "without a Chinese text"  # of pages that are passed over
BROKEN = "\ufffd"  # what a decoder writes for what it cannot read


class Candidate(NamedTuple):
    """A pair that goes on, as the columns of `buckets.CANDIDATES` have it; warc: file and offset."""

    url: str
    alt_text: str
    text_source: str
    page_url: str
    host: str
    page_lang: str | None
    crawl: str
    fetched: int | None
    warc: tuple[str, int]
    consent: Sequence[str]
    license_url: str | None


class Link(NamedTuple):
    """An image link, and either its candidate or the reason why there is none."""

    entry: ImageEntry
    reason: Reason | None
    candidate: Candidate | None = None


class Selection:
    """The rules of a run."""

    def __init__(self, config: CrawlConfig, denied: DeniedHosts) -> None:
        self._config, self._denied = config, denied

    def closed(self, page: Page) -> str | None:
        """Why a page is passed over whole, OTHER or NONE_CHINESE; None where its links are to be judged."""
        if not self._passes(page):
            return OTHER
        return None if page.may_have_chinese() else NONE_CHINESE

    def of(self, page: Page, crawl: str) -> Iterator[Link]:
        """Every link of a page that is not closed, judged, in their order. crawl: that the page is of."""
        told = _Told(page, self._config.consent != "ignore")
        for number, entry in enumerate(told.entries):
            try:
                yield Link(entry, None, self._candidate(entry, number, told, crawl))
            except Dropped as dropped:
                yield Link(entry, dropped.reason)

    def _passes(self, page: Page) -> bool:
        """Whether the page is looked at; it is parsed only where its languages do not tell."""
        gate = self._config.gate
        told = gate == "none" or (gate == "cld2" and page.languages is not None)
        return passes(gate, page.languages, NOTHING if told else page.facts() or NOTHING)

    def _candidate(self, entry: ImageEntry, number: int, told: _Told, crawl: str) -> Candidate:
        """The candidate of a link; raises Dropped."""
        source, text = text_of(entry)
        _check_text(text)
        if told.garbled:
            raise Dropped(Reason.BROKEN_TEXT)
        if number in told.twins:
            raise Dropped(Reason.PLACEHOLDER_URL)
        page = told.page
        url = picture_url(entry.url, told.facts.base, page.url)
        if not is_chinese(text, told.language):
            raise Dropped(Reason.NOT_CHINESE)
        if self._denied and (self._denied.holds(told.host) or self._denied.holds(host_of(url) or "")):
            raise Dropped(Reason.DENIED_HOST)
        if told.refusal and self._config.consent == "drop":
            raise Dropped(told.refusal)
        return Candidate(
            url, text, source, page.url, told.host, told.language, crawl, page.fetched, page.warc, told.consent,
            told.license_url,
        )  # fmt: skip


class _Told:
    """What a page says that its links share, each found out when the first of them needs it."""

    def __init__(self, page: Page, asked: bool) -> None:
        self.page, self._asked = page, asked
        self.entries = page.images()

    @cached_property
    def twins(self) -> set[int]:
        """The numbers of the links that only stand in for the next one."""
        return lazy_twins(self.entries)

    @cached_property
    def host(self) -> str:
        """The host of the page."""
        return host_of(self.page.url) or ""

    @cached_property
    def facts(self) -> PageFacts:
        """What the page says of itself; raises Dropped where its record is broken."""
        found = self.page.facts()
        if found is None:
            raise Dropped(Reason.BROKEN_TEXT)
        return found

    @cached_property
    def texts(self) -> list[str]:
        """The texts of the pictures of the page."""
        return [text for entry in self.entries for text in (entry.alt, entry.title, entry.caption) if text]

    @cached_property
    def garbled(self) -> bool:
        """Whether the page was decoded wrongly."""
        return garbled(self.facts, self.texts)

    @cached_property
    def language(self) -> str | None:
        """The language of the page."""
        return page_language(self.page.languages, self.facts, self.texts)

    @cached_property
    def consent(self) -> list[str]:
        """What the page says of its use; nothing where that is not asked."""
        return consent(self.facts) if self._asked else []

    @cached_property
    def refusal(self) -> Reason | None:
        """Why the page may not be used."""
        return refusal(self.consent)

    @cached_property
    def license_url(self) -> str | None:
        """The licence that the page names."""
        return license_url(self.facts)


def text_of(entry: ImageEntry) -> tuple[str, str]:
    """Where the text of a picture comes from, and the text with its blanks made one; both empty where it has none."""
    if entry.alt and (text := " ".join(entry.alt.split())):
        return "alt", text
    for source, raw in (("title", entry.title), ("figcaption", entry.caption)):
        if raw and (text := " ".join(raw.split())):
            return source, text
    return "", ""


def _check_text(text: str) -> None:
    """Raise Dropped for a text that cannot be a caption, whatever page it is on."""
    reason = None
    if not text:
        reason = Reason.NO_TEXT
    elif text.isascii() or not has_han(text):
        reason = Reason.NOT_CHINESE
    elif BROKEN in text:
        reason = Reason.BROKEN_TEXT
    elif len(text) < SHORTEST:
        reason = Reason.SHORT_TEXT
    elif len(text) > LONGEST:
        reason = Reason.LONG_TEXT
    elif told_by(text) not in ("zho", UNTOLD):
        reason = Reason.NOT_CHINESE
    if reason is not None:
        raise Dropped(reason)
