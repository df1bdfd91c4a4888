"""The words of texts: segmented and tagged by rjieba's dictionary, for all texts of a batch at once.

texts ─▶ Dictionary.words ─▶ Words: for each text its words as numbers, what share of it is function words, whether one
names a thing; and where words begin, for the lists

A word is tagged and looked at once, and told by its number from then on: to do so for each of 11 words of a text takes
as long as to cut it. So the tag of a word does not depend on the text; of 1.3 M words 851 have another by that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import rjieba
import xxhash

from ..disk.digests import Bools
from ..stage.chinese import HAN
from .lexicon import NO_THINGS, PICTURES

FUNCTION = frozenset("upcyeordmqx")  # first letters of tags of function words, by the paper's silence ours
SCALE = 10_000  # steps of the share of function words
HASHES = 1 << 24  # words are counted by this many hashes
CAPACITY = 1 << 21  # words that are known at once, some 200 MB
_BREAK = "\n"

Hashes = npt.NDArray[np.uint32]


@dataclass(frozen=True, slots=True)
class Words:
    """The words of n texts. hashes, told, lengths (m,): of all words, one text after the other; counts (n,): of each.

    told: whether it is a word and no punctuation; stop: share of function words in SCALE steps, (n,); things: whether
    a word names one, (n,).
    """

    hashes: Hashes
    told: Bools
    lengths: npt.NDArray[np.uint16]
    counts: npt.NDArray[np.intp]
    stop: npt.NDArray[np.uint16]
    things: Bools

    def filter(self, mask: Bools) -> Words:
        """The words of some of the texts."""
        inside = np.repeat(mask, self.counts)
        return Words(
            self.hashes[inside], self.told[inside], self.lengths[inside],
            self.counts[mask], self.stop[mask], self.things[mask],
        )  # fmt: skip

    @property
    def borders(self) -> npt.NDArray[np.intp]:
        """Where words and line breaks begin in the texts joined by these, ascending, and their end."""
        lengths = np.ones(len(self.lengths) + len(self.counts), np.intp)
        lengths[np.arange(len(self.lengths)) + np.repeat(np.arange(len(self.counts)), self.counts)] = (
            self.lengths
        )
        return np.cumsum(lengths) - lengths  # the last line break is the end

    @property
    def spoken(self) -> tuple[Hashes, npt.NDArray[np.int64]]:
        """The hashes of what is no punctuation (m,), and how many each text has (n,)."""
        return self.hashes[self.told], sums(self.told, self.counts)


class Dictionary(dict[str, int]):
    """The numbers of words that were met, and what is known of each; CAPACITY of them at most.

    It is emptied when it is half full: a number is of one batch alone.
    """

    def __init__(self) -> None:
        super().__init__()
        self._lengths = np.zeros(CAPACITY, np.uint16)
        self._weights = np.zeros(CAPACITY, np.uint16)  # characters that are not blank
        self._function = np.zeros(CAPACITY, np.bool_)
        self._things = np.zeros(CAPACITY, np.bool_)
        self._hashes = np.zeros(CAPACITY, np.uint32)
        self._told = np.zeros(CAPACITY, np.bool_)  # whether it is a word and no punctuation

    def __missing__(self, word: str) -> int:
        """A number for a word that is met first."""
        number, tag = len(self), tag_of(word)
        self[word] = number
        strange = tag[0] == "x" and HAN.search(word) is not None  # a name that the dictionary lacks
        self._lengths[number] = len(word)
        self._weights[number] = 0 if word.isspace() else len(word)
        self._function[number] = tag != "eng" and tag[0] in FUNCTION and not strange
        self._things[number] = is_thing(word, tag)
        self._hashes[number] = xxhash.xxh3_64_intdigest(word.encode()) % HASHES
        self._told[number] = tag[0] != "x" or strange
        return number

    def words(self, texts: Sequence[str]) -> Words:
        """The words of texts, which hold no line break, and no more than CAPACITY / 2 characters in all."""
        if len(self) > CAPACITY // 2:
            self.clear()
        end = self[_BREAK]
        met: Any = pa.array(rjieba.cut("\n".join([*texts, ""]))).dictionary_encode()  # a break behind each
        known = np.array([self[word] for word in met.dictionary.to_pylist()], np.intp)
        numbers = known[met.indices.to_numpy()]
        stops = np.flatnonzero(numbers == end)
        assert len(stops) == len(texts)
        counts = np.diff(stops, prepend=-1) - 1
        numbers = np.delete(numbers, stops)
        weights = self._weights[numbers]
        spoken = np.maximum(sums(weights, counts), 1)
        stop = SCALE * sums(weights * self._function[numbers], counts) // spoken
        things = sums(self._things[numbers], counts) > 0
        return Words(
            self._hashes[numbers],
            self._told[numbers],
            self._lengths[numbers],
            counts,
            stop.astype(np.uint16),
            things,
        )


def tag_of(word: str) -> str:
    """The part of speech of a word, whatever stands beside it; of one that is cut in two by itself, that of its end."""
    tag: str = rjieba.tag(word)[-1][1]
    return tag


def is_thing(word: str, tag: str) -> bool:
    """Whether a word names what a picture can show, by its tag and the lists of what tags get wrong."""
    if word in NO_THINGS:
        return False
    return tag[0] == "n" or tag in ("vn", "an") or (tag == "eng" and len(word) > 1) or word in PICTURES


def sums(values: npt.NDArray[Any], counts: npt.NDArray[np.intp]) -> npt.NDArray[np.int64]:
    """The sums of runs of values (m,), which are `counts` long (n,)."""
    ends = np.cumsum(counts)
    total = np.concatenate([[0], np.cumsum(values, dtype=np.int64)])
    found: npt.NDArray[np.int64] = total[ends] - total[ends - counts]
    return found
