"""The words of captions, and how many of them have content: captions ─▶ rjieba ─▶ Spoken.

Words are cut and tagged by jieba's dictionary, as the paper does. A word is tagged by itself, as refine does it, and a
name of Han that the dictionary lacks counts as a noun.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ..stage.chinese import is_unlisted, tag_of

CONTENT = frozenset("nva")  # first letters of the tags of nouns, verbs and adjectives
TELLING = 2  # characters of a content word that can tell what a cluster is about, at least
_MARK, _WORD, _CONTENT = range(3)


class Spoken(NamedTuple):
    """The words of n captions. words, content: how many each has (n,), punctuation left out; telling: of each, those
    with content that are no single character."""

    words: npt.NDArray[np.int64]
    content: npt.NDArray[np.int64]
    telling: list[list[str]]

    @property
    def density(self) -> npt.NDArray[np.float64]:
        """The share of content words of the captions that have a word, (m,)."""
        there = self.words > 0
        return self.content[there] / self.words[there]


def spoken(captions: Sequence[str]) -> Spoken:
    """The words of captions."""
    import rjieba  # of the extra report

    kinds: dict[str, int] = {}
    counts = np.zeros((2, len(captions)), np.int64)
    telling: list[list[str]] = []
    for row, caption in enumerate(captions):
        found = []
        for word in rjieba.cut(caption):
            if word not in kinds:
                kinds[word] = _kind(word)
            counts[:, row] += kinds[word] >= _WORD, kinds[word] == _CONTENT
            if kinds[word] == _CONTENT and len(word) >= TELLING:
                found.append(word)
        telling.append(found)
    return Spoken(counts[0], counts[1], telling)


def _kind(word: str) -> int:
    tag = tag_of(word)
    if is_unlisted(word, tag) or tag[0] in CONTENT:
        return _CONTENT
    return _MARK if tag[0] == "x" else _WORD
