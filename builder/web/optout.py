"""Opt-out: the headers of an answer in, whether it asks to be left out.

Counted as a no: `noai`, `noimageai`, `noindex`, `noimageindex`, `none` and `noml` in `X-Robots-Tag`, alone,
in a list, beside directives with values, and also when scoped to some user agent (`googlebot: noindex`): who
keeps a picture out of search did not mean it for a training set. And `TDM-Reservation: 1`
(https://www.w3.org/community/reports/tdmrep/). `nofollow`, `noarchive`, `nosnippet` and the like speak of
other things.
"""

from __future__ import annotations

import re

from multidict import CIMultiDict, CIMultiDictProxy, istr

ROBOTS = istr("X-Robots-Tag")
RESERVATION = istr("TDM-Reservation")

REFUSALS = frozenset({"noai", "noimageai", "noindex", "noimageindex", "none", "noml"})
# Directives whose value is not a directive: `max-image-preview: none` asks for no preview, not for no use.
VALUED = frozenset({"max-snippet", "max-image-preview", "max-video-preview", "unavailable_after"})

_WORDS = re.compile(r"[^\s:=\"']+")


def opted_out(headers: CIMultiDict[str] | CIMultiDictProxy[str]) -> bool:
    """Whether the headers of an answer ask that it be not used for machine learning."""
    directives = (one for value in headers.getall(ROBOTS, ()) for one in re.split("[,;]", value.lower()))
    reserved = any(value.strip() == "1" for value in headers.getall(RESERVATION, ()))
    return reserved or any(map(_refuses, directives))


def _refuses(directive: str) -> bool:
    """One element of the list: `noai`, `danqing: noai`, `max-snippet: -1`, `bot: noindex nofollow`."""
    for word in _WORDS.findall(directive):
        if word in VALUED:
            return False
        if word in REFUSALS:
            return True
    return False
