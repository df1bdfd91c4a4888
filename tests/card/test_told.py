"""Numbers of a card are written by Told; those typed by hand, in a template or beside it, fail the build."""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources
from pathlib import Path
from typing import Any

import pytest

from builder.card import told as tolds
from builder.card.told import Told, check_source, fill, plain, said, typed
from builder.errors import VerificationError

TOLD = Told("x.md")


def clean(text: str) -> str:
    return plain("x.md", text, [])


@pytest.mark.parametrize(
    ("written", "wanted"),
    [
        (TOLD.number(1234567), "1,234,567"),
        (TOLD.share(1, 3), "33.3 %"),
        (TOLD.share(0, 3), "0 %"),
        (TOLD.share(3, 3), "100 %"),
        (TOLD.share(1, 10_000), "<0.1 %"),
        (TOLD.share(9_999, 10_000), ">99.9 %"),
        (TOLD.share(0, 0), "0 %"),
        (TOLD.percent(0.00734), "0.73 %"),
        (TOLD.decimal(-0.1234), "−0.123"),
        (TOLD.significant(0.05), "0.05"),
        (TOLD.bytes(512), "512 bytes"),
        (TOLD.bytes(1_234_567_890), "1.23 GB"),
        (TOLD.bytes(999_600), "1 MB"),
        (TOLD.bytes(5 * 10**15), "5e+03 TB"),
        (TOLD.cell("a|b\nc"), "a\\|b c"),
    ],
)
def test_values_as_people_read_them(written: str, wanted: str) -> None:
    assert clean(written) == wanted


@pytest.mark.parametrize("value", [None, float("nan"), float("inf"), "7", True], ids=str)
def test_what_is_no_number_fails(value: Any) -> None:
    writers: list[Callable[[Any], str]] = [
        TOLD.number,
        TOLD.percent,
        TOLD.decimal,
        TOLD.bytes,
        TOLD.significant,
    ]
    for write in writers:
        with pytest.raises(VerificationError, match=r"cards/x\.md: .* should have a number"):
            write(value)


def test_a_number_beside_the_marks_fails() -> None:
    with pytest.raises(VerificationError, match=r"a number that was not counted: 'about 100 of'"):
        clean(f"fine {TOLD.number(5)}\nabout 100 of {TOLD.number(5)}")


def test_marks_in_a_value_do_not_hide_numbers() -> None:
    assert clean(TOLD.text("a\ue001 7 \ue000b")) == "a 7 b"


def test_phrases_stand_alone() -> None:
    assert typed("CC-BY 4.0 and 14.0 and CC-BY 4.05", ["CC-BY 4.0"]) == [(1, "and 14.0 and CC-BY 4.05")]
    assert typed("99,256-bit", ["256-bit"]) == [(1, "99,256-bit")]


def test_a_template_lists_its_phrases() -> None:
    source = "{# of a card\nsaid: CC-BY 4.0 | SigLIP2 |\n sha256 #}\nSigLIP2 and sha256 under CC-BY 4.0\n"
    assert said(source) == ["CC-BY 4.0", "SigLIP2", "sha256"]
    check_source("x.md", source)


HAND_TYPED = {
    "text": "All 99,892,381 pairs.",
    "branch": "{% if never %}about 100 million{% endif %}",
    "expression": "{{ 99892381 }}",
    "argument": "{{ told.text('99 million') }}",
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
    monkeypatch.setattr(tolds, "CARDS", package.name)
    return package


VALUES = {
    **dict.fromkeys(
        ("title", "chinese", "summary", "use", "measured", "notes", "limits", "licence"), "words"
    ),
    "made": ["a line"],
    "figures": [{"name": "recall", "value": TOLD.decimal(0.5)}],
}


def test_a_template_is_filled() -> None:
    text = fill("checkpoint.md", VALUES)
    assert text.startswith("# words\n\n> **中文摘要**　words\n\nwords\n\n## Use\n")
    assert "| recall | 0.500 |\n" in text


def test_a_field_that_is_not_filled_fails() -> None:
    with pytest.raises(VerificationError, match=r"cards/checkpoint\.md: a field was not filled: 'limits'"):
        fill("checkpoint.md", {name: value for name, value in VALUES.items() if name != "limits"})
    with pytest.raises(VerificationError, match="not filled"):
        fill("checkpoint.md", VALUES | {"figures": [{"name": "recall"}]})


def test_a_number_that_code_passes_by_itself_fails() -> None:
    with pytest.raises(VerificationError, match="not counted: 'words of 100'"):
        fill("checkpoint.md", VALUES | {"summary": "words of 100"})
    with pytest.raises(VerificationError, match="not counted"):
        fill("checkpoint.md", VALUES | {"figures": [{"name": "recall", "value": 0.5}]})


@pytest.mark.parametrize("name", ["release.md", "manifest.md", "images.md", "checkpoint.md"])
def test_a_number_typed_into_a_shipped_card_fails(name: str, cards: Path) -> None:
    path = cards / name
    path.write_text(path.read_text(encoding="utf-8") + "\nIt has 100 million pairs.\n", encoding="utf-8")
    with pytest.raises(VerificationError, match=rf"cards/{name}:\d+: a number typed by hand"):
        fill("manifest.md" if name == "release.md" else name, {})
