"""Opt-out: the headers of an answer in, whether it asks to be left out.

Counted as a no: `noai`, `noimageai`, `noindex`, `noimageindex`, `none` and `noml` in `X-Robots-Tag`, alone,
in a list, beside directives with values, and also when scoped to some user agent (`googlebot: noindex`): who
keeps a picture out of search did not mean it for a training set. And `TDM-Reservation: 1`
(https://www.w3.org/community/reports/tdmrep/). `nofollow`, `noarchive`, `nosnippet` and the like speak of
other things.
"""

from __future__ import annotations

import re
from itertools import takewhile

from multidict import CIMultiDict, CIMultiDictProxy, istr

ROBOTS = istr("X-Robots-Tag")
RESERVATION = istr("TDM-Reservation")

REFUSALS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none", "noml"})
# Directives whose value is not a directive: `max-image-preview: none` asks for no preview, not for no use.
VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})

_WORDS = re.compile(r"[^\s:=\"']+")


def opted_out(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> bool:
    """Whether the headers of an answer ask that it be not used for machine learning."""
    reserved = any(map(reserves, headers.getall(RESERVATION, ())))
    return reserved or any(map(refusals, headers.getall(ROBOTS, ())))


def refusals(value: str) -> set[str]:
    """Words of REFUSALS in a value of X-Robots-Tag, or in the content of a robots meta, which reads alike."""
    directives = (_WORDS.findall(one) for one in re.split("[,;]", value.lower()))
    return {word for words in directives for word in takewhile(_plain, words) if word in REFUSALS}


def reserves(value: str) -> bool:
    """Whether a value of TDM-Reservation reserves the rights to text and data mining."""
    return value.strip() == "1"


def _plain(word: str) -> bool:
    """Whether what follows a word in its directive may be directives too: `bot: noindex nofollow`."""
    return word not in VALUED
