"""What a page says of its use: opt-outs and licences, recorded with each of its pairs, and what `--consent` obeys.

facts of a page ─▶ consent: noai, noimageai, noindex, train_ai, tdm_reserved ─▶ refusal: why its pairs are dropped

Read from the page and the headers of its answer, of the day it was crawled: robots metas and X-Robots-Tag with the
words that DeviantArt brought up, noai and noimageai; Content-Usage, which the IETF's aipref drafts; TDMRep
(https://www.w3.org/community/reports/tdmrep/). What robots.txt and terms of use say is not there to be read.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from ..reasons import Reason
from ..web.optout import RESERVATION, ROBOTS, refusals, reserves
from .page import PageFacts

# The words of a page in the order that they are recorded in. noindex asks for no search: recorded, and not obeyed.
REASONS = {
    "noai": Reason.NOAI,
    "noimageai": Reason.NOIMAGEAI,
    "noindex": None,
    "train_ai": Reason.TRAIN_AI,
    "tdm_reserved": Reason.TDM_RESERVED,
}
_RECORDED = {"noml": "noai", "none": "noindex", "noimageindex": "noindex"}
_AGENTS = frozenset(
    {"robots", "ccbot", "danqing"}
)  # the crawl's own robot, and ours, which fetches the pictures
_RESERVATION = RESERVATION.lower()
_MOST, _LONGEST = 64, 4096  # values of a name, and characters of one, that are read

_QUOTED = re.compile(r'"(?:\\.|[^"\\])*+"')
_NO_TRAINING = re.compile(r"(?:^|,)\s*train-ai\s*=\s*n\s*(?=[,;]|$)", re.IGNORECASE)
_URL = re.compile(r"https?://[^\s/\x00-\x20\x7f-\x9f]+[^\s\x00-\x20\x7f-\x9f]*", re.IGNORECASE)
_LONGEST_URL = 1024  # characters
_COMMONS = re.compile(r"https?://(?:www\.)?creativecommons\.org(?![^/?#])([^?#]*)", re.IGNORECASE)
_LICENCE = re.compile(r"/((?:licenses|publicdomain)/[a-z+-]+/\d\.\d(?:/[a-z]{2,3}(?=/|$))?)", re.IGNORECASE)


def consent(facts: PageFacts) -> list[str]:
    """What a page says against a use of it, of the words in REASONS, in their order."""
    robots = [*_header(facts, ROBOTS.lower()), *_metas(facts, _AGENTS)]
    found = {_RECORDED.get(word, word) for value in robots for word in refusals(value)}
    usage = ",".join(_header(facts, "content-usage"))
    if _NO_TRAINING.search(_QUOTED.sub("", usage)):  # of several values the most restrictive
        found.add("train_ai")
    reserved = [*_header(facts, _RESERVATION), *_metas(facts, {_RESERVATION})]
    if any(map(reserves, reserved)):
        found.add("tdm_reserved")
    return [word for word in REASONS if word in found]


def refusal(words: Iterable[str]) -> Reason | None:
    """Why the pairs of a page that says so are dropped; None where nothing it says is a reason."""
    said = set(words)
    return next((reason for word, reason in REASONS.items() if reason and word in said), None)


def license_url(facts: PageFacts) -> str | None:
    """The licence that a page links to: of Creative Commons, in its canonical form, before any other."""
    links = [url for url in map(str.strip, islice(facts.licenses, _MOST)) if len(url) <= _LONGEST_URL]
    links = [url for url in links if _URL.fullmatch(url)]
    commons = {url: found[1] for url in links if (found := _COMMONS.match(url))}
    for path in commons.values():
        if found := _LICENCE.match(path):
            return f"https://creativecommons.org/{found[1].lower()}/"
    return next((url for url in links if url not in commons), None)


def _header(facts: PageFacts, name: str) -> Iterator[str]:
    """The values of a header, cut to what is read."""
    return (value[:_LONGEST] for value in islice(facts.headers.get(name, ()), _MOST))


def _metas(facts: PageFacts, names: Iterable[str]) -> Iterator[str]:
    """The contents of the metas of these names, cut to what is read."""
    return islice((content[:_LONGEST] for name, content in facts.metas if name in names), _MOST)
