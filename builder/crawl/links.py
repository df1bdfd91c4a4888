"""The address of a picture from what stands in its page, and which entries only stand in for a picture.

src as written, <base>, URL of the page ─▶ absolute URL to send, or Dropped: no URL, placeholder, other scheme, no host
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

from ..reasons import Dropped, Reason
from ..web.hostname import EDGES
from ..web.url import join, normalise
from .page import ImageEntry

# A file stands in for a picture where its name says so and nothing else: /loading-dock.png is a picture.
_STANDS_IN = re.compile("load(?:ing|er)|lazy(?:load(?:ing)?)?|blank|spacer|1x1|1px|transparent|placeholder")
_BETWEEN = re.compile("[-_. ]|%20")
_BESIDE = re.compile(
    "|load|img|images?|pic|ajax|icon|bg|gif|png|white|gr[ae]y|small|big|default|pixel|[0-9]{1,3}|[0-9]{1,4}x[0-9]{1,4}"
)


def stands_in(raw: str | None) -> bool:
    """Whether a URL, as a page has it, is none, or that of what stands there until the picture is loaded."""
    text = (raw or "").strip(EDGES)
    if not text or text[0] == "#" or text[:5].lower() == "data:":
        return True
    path = text.partition("?")[0].partition("#")[0].lower()
    if not path.endswith((".gif", ".png", ".svg")):
        return False
    stem = path[max(path.rfind("/"), path.rfind("\\")) + 1 : -4]
    words = _BETWEEN.split(stem)
    others = [word for word in words if _STANDS_IN.fullmatch(word) is None]
    return stem == "pixel" or (len(others) < len(words) and all(map(_BESIDE.fullmatch, others)))


def picture_url(raw: str | None, base: str | None, page_url: str) -> str:
    """The URL to send for the picture `raw` of a page with this <base>.

    Commands and signatures of image hosts go out byte for byte: see `web.url`. Raises Dropped: NO_URL for none, a
    fragment and the page itself; PLACEHOLDER_URL; BLOCKED_SCHEME; INVALID_URL.
    """
    text = (raw or "").strip(EDGES)
    if not text.partition("#")[0]:
        raise Dropped(Reason.NO_URL)
    if stands_in(text):
        raise Dropped(Reason.PLACEHOLDER_URL)
    page, seen_from = _bases(base, page_url)
    url = join(seen_from, text)
    if url == page:
        raise Dropped(Reason.NO_URL)
    return url


@lru_cache(maxsize=8)  # a page names many pictures
def _bases(base: str | None, page_url: str) -> tuple[str, str]:
    """The URL of the page, and the one that its links are seen from. Raises Dropped where the page has none."""
    page = normalise(page_url)
    if base is None:
        return page, page
    try:
        return page, join(page, base)
    except Dropped:
        return page, page


def lazy_twins(entries: Sequence[ImageEntry]) -> set[int]:
    """The indexes of entries that stand in for the one right behind, which a <noscript> holds.

    Both have the same alt, and other URLs; what stands in does so for many: its URL has several alts on the page.
    """
    alts: defaultdict[str | None, set[str]] = defaultdict(set)
    for entry in entries:
        if entry.alt:
            alts[entry.url].add(entry.alt)
    return {
        place
        for place, (entry, behind) in enumerate(pairwise(entries))
        if entry.alt and entry.alt == behind.alt and len(alts[entry.url]) > 1 and len(alts[behind.url]) == 1
    }
