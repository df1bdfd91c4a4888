"""Numbers of a card are printed by the filters of values.py; those typed by hand into a template fail the build."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from builder.card import values
from builder.card.template import FILTERS, check_source, fill
from builder.errors import VerificationError


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (values.number(1234567), "1,234,567"),
        (values.share(1, 3), "33.3 %"),
        (values.share(0, 3), "0 %"),
        (values.share(3, 3), "100 %"),
        (values.share(1, 10_000), "<0.1 %"),
        (values.share(9_999, 10_000), ">99.9 %"),
        (values.share(0, 0), "0 %"),
        (values.share(1, 3, ""), "33.3%"),
        (values.counted(1, "host", "hosts"), "1 host"),
        (values.counted(1234, "host", "hosts"), "1,234 hosts"),
        (values.percent(0.00734), "0.73 %"),
        (values.decimal(-0.1234), "−0.123"),
        (values.tenths(21.27), "21.3"),
        (values.significant(0.05), "0.05"),
        (values.size(512), "512 bytes"),
        (values.size(1_234_567_890), "1.23 GB"),
        (values.size(999_600), "1 MB"),
        (values.size(5 * 10**15), "5e+03 TB"),
        (values.day("2026-11-02T03:04:05Z"), "2026-11-02"),
        (values.cell("a|b"), "a\\|b"),
        (values.code("a`b"), "`` a`b ``"),
    ],
)
def test_values_as_people_read_them(written: str, wanted: str) -> None:
    assert written == wanted


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "7", True], ids=str)
def test_what_is_no_number_fails(value: Any) -> None:
    writers: list[Callable[[Any], str]] = [
        values.number,
        values.percent,
        values.decimal,
        values.size,
        values.significant,
    ]
    for write in writers:
        with pytest.raises(VerificationError, match="should have a number"):
            write(value)


@pytest.mark.parametrize("wrong", ["CC-BY 4.0 and 14.0", "CC-BY 4.05", "99,256-bit", "SigLIP23"])
def test_phrases_stand_alone(wrong: str) -> None:
    source = "{# of a card\nsaid: CC-BY 4.0 | SigLIP2 |\n 256-bit #}\nSigLIP2 of 256-bit under CC-BY 4.0\n"
    check_source("x.md", source)
    with pytest.raises(VerificationError, match=r"cards/x\.md:5: a number typed by hand"):
        check_source("x.md", source + wrong)


HAND_TYPED = {
    "text": "All 99,892,381 pairs.",
    "branch": "{% if never %}about 100 million{% endif %}",
    "expression": "{{ 99892381 }}",
    "argument": "{{ name | default('99 million') }}",
    "comment": "{# 5 #}",
    "part of a phrase": "SigLIP23",
}


@pytest.mark.parametrize("text", HAND_TYPED.values(), ids=list(HAND_TYPED))
def test_a_number_typed_into_a_template_fails(text: str) -> None:
    with pytest.raises(VerificationError, match=r"cards/x\.md:3: a number typed by hand"):
        check_source("x.md", f"{{# said: SigLIP2 #}}\nfine\n{text}\n")


@pytest.fixture
def cards(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A package of cards with the shipped templates, to be changed."""
    package = tmp_path / tmp_path.name  # modules are cached by name
    package.mkdir()
    for path in resources.files("cards").iterdir():
        if path.name.endswith(".md") or path.name == "__init__.py":
            (package / path.name).write_text(path.read_text(encoding="utf-8"), encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return package


FACTS = {
    **dict.fromkeys(
        ("title", "chinese", "summary", "use", "measured", "notes", "limits", "licence"), "words"
    ),
    "made": ["a line"],
    "figures": [{"name": "recall", "value": values.decimal(0.5)}],
}


def test_a_template_is_filled() -> None:
    text = fill("checkpoint.md", FACTS)
    assert text.startswith("# words\n\n> **中文摘要**　words\n\nwords\n\n## Use\n")
    assert "| recall | 0.500 |\n" in text


def test_a_field_that_is_not_filled_fails() -> None:
    with pytest.raises(VerificationError, match=r"cards/checkpoint\.md: a field was not filled: 'limits'"):
        fill("checkpoint.md", {name: value for name, value in FACTS.items() if name != "limits"})
    with pytest.raises(VerificationError, match="not filled"):
        fill("checkpoint.md", FACTS | {"figures": [{"name": "recall"}]})


def test_a_number_that_no_filter_wrote_fails() -> None:
    with pytest.raises(VerificationError, match=r"cards/checkpoint\.md: '0\.5' was written by no filter"):
        fill("checkpoint.md", FACTS | {"figures": [{"name": "recall", "value": 0.5}]})


@pytest.mark.parametrize("empty", [None, ""])
def test_an_empty_field_fails(empty: Any) -> None:
    with pytest.raises(VerificationError, match=r"cards/checkpoint\.md: a field of the release is empty"):
        fill("checkpoint.md", FACTS | {"title": empty})


def test_words_of_anybody_stay_on_one_line() -> None:
    assert fill("checkpoint.md", FACTS | {"title": "a\n# b\x1b[31m\u202e"}).startswith("# a # b?[31m?\n")


def test_a_filter_says_which_value_is_no_number(cards: Path) -> None:
    (cards / "x.md").write_text("{{ pairs | number }}", encoding="utf-8")
    assert fill("x.md", {"pairs": 1234}, cards.name) == "1,234\n"
    with pytest.raises(VerificationError, match=r"cards/x\.md: None where the release should have a number"):
        fill("x.md", {"pairs": None}, cards.name)


def test_the_filters_are_those_that_the_templates_use() -> None:
    text = "".join(
        path.read_text(encoding="utf-8")
        for path in resources.files("cards").iterdir()
        if path.name.endswith(".md")
    )
    assert [one.__name__ for one in FILTERS if f"| {one.__name__}" not in text] == []


@pytest.mark.parametrize("name", ["release.md", "manifest.md", "images.md", "checkpoint.md"])
def test_a_number_typed_into_a_shipped_card_fails(name: str, cards: Path) -> None:
    path = cards / name
    path.write_text(path.read_text(encoding="utf-8") + "\nIt has 100 million pairs.\n", encoding="utf-8")
    with pytest.raises(VerificationError, match=rf"cards/{name}:\d+: a number typed by hand"):
        fill("manifest.md" if name == "release.md" else name, {}, cards.name)
