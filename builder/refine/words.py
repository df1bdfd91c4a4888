"""The words of texts: segmented and tagged by rjieba's dictionary, for all texts of a batch at once.

texts ─▶ Dictionary.words ─▶ Words: for each text its words as numbers, what share of it is function words, whether one
names a thing; and where words begin, for the lists

A word is tagged and looked at once, and known from then on: to do so for each of 11 words of a text takes
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
from ..stage.chinese import is_unlisted, tag_of
from .lexicon import NO_THINGS, PICTURES

FUNCTION = frozenset("upcyeordmqx")  # first letters of tags of function words, by the paper's silence ours
SCALE = 10_000  # steps of the share of function words
HASHES = 1 << 24  # words are counted by this many hashes
CAPACITY = 1 << 20  # words that are known at once, some 150 MB
# Where a number has what is known of a word, behind the 24 bits of its hash: its length, and whether it is no blank, a
# function word, a name of a thing, no punctuation, a line break.
_LENGTH, _SPOKEN, _FUNCTION, _THING, _TOLD, _BREAK = 24, 40, 41, 42, 43, 44

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
    """What is known of words that were met, each packed in one number; emptied when it holds CAPACITY of them."""

    def __missing__(self, word: str) -> int:
        """A word that is met first: its hash, its length, and what holds of it, a bit each."""
        tag = tag_of(word)
        strange = is_unlisted(word, tag)
        packed = (
            xxhash.xxh3_64_intdigest(word.encode()) % HASHES
            | len(word) << _LENGTH
            | (not word.isspace()) << _SPOKEN
            | (tag != "eng" and tag[0] in FUNCTION and not strange) << _FUNCTION
            | is_thing(word, tag) << _THING
            | (tag[0] != "x" or strange) << _TOLD
            | (word == "\n") << _BREAK
        )
        self[word] = packed
        return packed

    def words(self, texts: Sequence[str]) -> Words:
        """The words of texts, which hold no line break."""
        if len(self) > CAPACITY:
            self.clear()
        met: Any = pa.array(rjieba.cut("\n".join([*texts, ""]))).dictionary_encode()  # a break behind each
        different = met.dictionary.to_pylist()
        words = np.fromiter(map(self.__getitem__, different), np.int64, len(different))[
            met.indices.to_numpy()
        ]
        breaks = np.flatnonzero(words >> _BREAK)
        assert len(breaks) == len(texts)
        counts = np.diff(breaks, prepend=-1) - 1
        words = np.delete(words, breaks)
        lengths = words >> _LENGTH & 0xFFFF
        weights = lengths * _bit(words, _SPOKEN)  # blanks do not count
        spoken = np.maximum(sums(weights, counts), 1)
        stop = SCALE * sums(weights * _bit(words, _FUNCTION), counts) // spoken
        return Words(
            (words % HASHES).astype(np.uint32),
            _bit(words, _TOLD) > 0,
            lengths.astype(np.uint16),
            counts,
            stop.astype(np.uint16),
            sums(_bit(words, _THING), counts) > 0,
        )


def _bit(words: npt.NDArray[np.int64], place: int) -> npt.NDArray[np.int64]:
    return words >> place & 1


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
