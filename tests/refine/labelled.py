"""The captions of `captions.tsv`, as the tests of each rule read them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple


class Labelled(NamedTuple):
    """A caption, and what is wanted of it. refined: the text that is kept, or the text as it was found."""

    text: str
    page_lang: str | None
    wanted: str
    refined: str


def _labelled(text: str, page_lang: str, wanted: str, refined: str = "") -> Labelled:
    return Labelled(text, None if page_lang == "-" else page_lang, wanted, refined or text)


_LINES = Path(__file__).with_name("captions.tsv").read_text("utf-8").rstrip("\n").split("\n")
CAPTIONS = [_labelled(*line.split("\t")) for line in _LINES if not line.startswith("#")]


def wanted(*labels: str) -> list[str]:
    """The texts with one of these labels, those that are kept as they are refined."""
    return [caption.refined for caption in CAPTIONS if caption.wanted in labels]
