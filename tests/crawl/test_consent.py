"""What a page says of its use is read as the conventions write it, and hostile values cost nothing."""

from __future__ import annotations

import re
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.crawl.consent import consent, license_url, refusal
from builder.crawl.page import PageFacts
from builder.reasons import Reason


def answered(name: str, *values: str) -> PageFacts:
    return PageFacts(headers={name: values})


ROBOTS = [
    ("noai", ["noai"]),
    ("noai, noimageai", ["noai", "noimageai"]),
    (" NoImageAI ,NOAI ", ["noai", "noimageai"]),
    ("index, follow", []),
    ("noindex, nofollow", ["noindex"]),
    ("none", ["noindex"]),
    ("noimageindex", ["noindex"]),
    ("noml", ["noai"]),
    ("max-image-preview: none, max-snippet:-1", []),
    ("unavailable_after: 25 Jun 2050 15:00:00 PST", []),
    ("unavailable_after: Wednesday, 25 Jun 2050 15:00:00 PST, noai", ["noai"]),
    ("noaim", []),
    ("", []),
]


@pytest.mark.parametrize(("value", "words"), ROBOTS)
def test_robots_of_the_page_and_of_the_answer_say_the_same(value: str, words: list[str]) -> None:
    assert consent(PageFacts(metas=[("robots", value)])) == words
    assert consent(answered("x-robots-tag", value)) == words
    assert consent(answered("x-robots-tag", f"googlebot: {value}")) == words  # whomever it was written for


def test_a_meta_counts_by_whom_it_names() -> None:
    assert consent(PageFacts(metas=[("ccbot", "noai")])) == ["noai"]
    assert consent(PageFacts(metas=[("danqing", "noimageai")])) == ["noimageai"]
    assert consent(PageFacts(metas=[("description", "noai"), ("keywords", "noindex, noai")])) == []


def test_any_of_several_headers_counts() -> None:
    assert consent(answered("x-robots-tag", "googlebot: nofollow", "otherbot: noindex", "noai")) == [
        "noai",
        "noindex",
    ]


USAGES = [
    (["train-ai=n"], True),
    (["train-ai=n, search=y"], True),
    (["search=y,train-ai=n;exceptions=none"], True),
    (["search=y", "train-ai=n"], True),
    (["train-ai=y", "train-ai=n"], True),
    (["train-ai=n, train-ai=y"], True),
    (["Train-AI = N"], True),
    (["train-ai=y"], False),
    (["search=n"], False),
    (["train-ai"], False),
    (["train-ai=no"], False),
    (["no-train-ai=n"], False),
    (['note="a, train-ai=n", train-ai=y'], False),
    (['note="a \\", train-ai=n", train-ai=y'], False),
    ([""], False),
]


@pytest.mark.parametrize(("values", "refused"), USAGES)
def test_content_usage(values: Sequence[str], refused: bool) -> None:
    assert consent(answered("content-usage", *values)) == (["train_ai"] if refused else [])


@pytest.mark.parametrize(
    ("value", "reserved"), [("1", True), (" 1 ", True), ("0", False), ("", False), ("11", False)]
)
def test_the_reservation_of_text_and_data_mining(value: str, reserved: bool) -> None:
    words = ["tdm_reserved"] if reserved else []
    assert consent(answered("tdm-reservation", value)) == words
    assert consent(PageFacts(metas=[("tdm-reservation", value)])) == words
    policy = PageFacts(metas=[("tdm-policy", "https://example.com/policy.json"), ("tdm-reservation", value)])
    assert consent(policy) == words


REFUSALS: list[tuple[list[str], Reason | None]] = [
    ([], None),
    (["noindex"], None),
    (["noai"], Reason.NOAI),
    (["noindex", "noimageai"], Reason.NOIMAGEAI),
    (["noai", "noimageai", "train_ai"], Reason.NOAI),
    (["train_ai", "tdm_reserved"], Reason.TRAIN_AI),
    (["tdm_reserved"], Reason.TDM_RESERVED),
]


@pytest.mark.parametrize(("words", "reason"), REFUSALS)
def test_each_word_has_its_reason_and_noindex_none(words: list[str], reason: Reason | None) -> None:
    assert refusal(words) is reason


LICENCES = [
    (["https://creativecommons.org/licenses/by/4.0/"], "https://creativecommons.org/licenses/by/4.0/"),
    (["http://creativecommons.org/licenses/by-nc-sa/3.0/cn/deed.zh"], "https://creativecommons.org/licenses/by-nc-sa/3.0/cn/"),
    (["//creativecommons.org/licenses/by/4.0/"], None),
    (["HTTPS://www.CreativeCommons.org/Licenses/BY-SA/4.0/deed.zh-hans?x=1#y"], "https://creativecommons.org/licenses/by-sa/4.0/"),
    (["http://creativecommons.org/publicdomain/zero/1.0"], "https://creativecommons.org/publicdomain/zero/1.0/"),
    (["https://creativecommons.org/licenses/by/4.0/legalcode.txt"], "https://creativecommons.org/licenses/by/4.0/"),
    (["https://creativecommons.org/"], None),
    (["https://creativecommons.org.example.com/licenses/by/4.0/"], "https://creativecommons.org.example.com/licenses/by/4.0/"),
    (["https://example.com/terms", "https://creativecommons.org/licenses/by-nd/4.0/"], "https://creativecommons.org/licenses/by-nd/4.0/"),
    (["https://creativecommons.org/", " https://example.com/terms "], "https://example.com/terms"),
    (["/terms", "javascript:alert(1)", "data:text/plain,x", "ftp://example.com/", "https://"], None),
    (["https://example.com/a b", "https://example.com/a\x00b", "https://example.com/\nb", "https://e\x1bx/"], None),
    (["https://example.com/" + "a" * 5000, "https://example.com/b"], "https://example.com/b"),
    ([], None),
]  # fmt: skip


@pytest.mark.parametrize(("links", "licence"), LICENCES)
def test_licences(links: list[str], licence: str | None) -> None:
    assert license_url(PageFacts(licenses=links)) == licence


def test_what_is_read_is_bounded() -> None:
    thousands = [("robots", "noindex")] * 5000 + [("robots", "noai")]
    assert consent(PageFacts(metas=thousands)) == ["noindex"]
    assert consent(answered("x-robots-tag", "a " * 5000 + ", noai")) == []
    assert consent(answered("content-usage", *[", " * 2000 + '"'] * 5000)) == []
    assert license_url(PageFacts(licenses=["x"] * 5000 + ["https://example.com/"])) is None


@given(st.text(), st.lists(st.text()))
def test_nothing_that_is_written_there_raises(value: str, links: list[str]) -> None:
    headers = {name: [value] for name in ("x-robots-tag", "content-usage", "tdm-reservation")}
    facts = PageFacts(headers=headers, metas=[("robots", value)], licenses=[value, *links])
    assert set(consent(facts)) <= {"noai", "noimageai", "noindex", "train_ai", "tdm_reserved"}
    found = license_url(facts)
    assert found is None or found.lower().startswith(("http://", "https://"))
    assert not re.search(r"[\s\x00-\x1f\x7f-\x9f]", found or "")
