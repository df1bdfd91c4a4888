"""Which headers ask that a picture be left out, and which only look so."""

from __future__ import annotations

import pytest
from multidict import CIMultiDict

from builder.web.optout import opted_out

NO = [
    "noai", "noimageai", "noindex", "noimageindex", "none", "noml", "NoAI", " noai ", "noai,noimageai",
    "noai, max-image-preview:large", "max-image-preview:large, noai", "noindex, max-snippet:-1",
    "max-snippet: -1, max-image-preview: none, noai", "index, follow, noai", "nofollow; noindex", "noindex nofollow",
    "googlebot: noindex", "danqing: noai", "danqing:noai", "DanQing : NoAI", "otherbot: none, googlebot: all",
    "googlebot: max-snippet:-1, noimageindex", "unavailable_after: Saturday, 25 Jun 2050 15:00:00 GMT, noai",
    "otherbot: unavailable_after: 25 Jun 2050 15:00:00 GMT, noml", '"noai"', ",,noai", "all, danqing: nofollow, noai",
]  # fmt: skip
YES = [
    "", "all", "index, follow", "nofollow", "noarchive, nosnippet", "max-image-preview:none", "max-snippet: none",
    "max-image-preview: none, max-snippet: -1", "googlebot: max-image-preview: none", "notranslate",
    "unavailable_after: 25 Jun 2050 15:00:00 GMT", "noaim", "xnoai", "noindexed: all", "ai",
]  # fmt: skip


@pytest.mark.parametrize("value", NO)
def test_asked_to_be_left_out(value: str) -> None:
    assert opted_out(CIMultiDict({"x-robots-tag": value}))


@pytest.mark.parametrize("value", YES)
def test_not_asked(value: str) -> None:
    assert not opted_out(CIMultiDict({"X-Robots-Tag": value}))


def test_any_of_several_headers_counts() -> None:
    headers = CIMultiDict([("X-Robots-Tag", "googlebot: nofollow"), ("X-ROBOTS-TAG", "noai")])
    assert opted_out(headers)
    headers["X-Robots-Tag"] = "all"
    assert not opted_out(headers)


@pytest.mark.parametrize(
    ("value", "asked"), [("1", True), (" 1 ", True), ("0", False), ("", False), ("10", False)]
)
def test_the_reservation_of_text_and_data_mining(value: str, asked: bool) -> None:
    assert opted_out(CIMultiDict({"TDM-Reservation": value, "X-Robots-Tag": "all"})) is asked


def test_no_such_header() -> None:
    assert not opted_out(CIMultiDict({"Content-Type": "image/png"}))
