"""Words of lists in texts, from border to border of the texts' own words; and a list of one's own, read from a file.

words by reason ─▶ Blocked; texts joined by line breaks, and where their words begin ─▶ where hits begin, by reason

A word inside a longer one is no hit: 色情 is in 黑色情侣装, and no part of it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import ahocorasick
import numpy as np
import numpy.typing as npt

from ..disk.files import filesystem
from ..disk.reading import opened, reading, type_of
from ..errors import InputError
from ..reasons import Reason

LARGEST, LONGEST = 64 << 20, 100  # bytes of a list, characters of a word


class Blocked:
    """Lists of words, each with the reason it is for; letters without regard to case."""

    def __init__(self, words: Mapping[Reason, Iterable[str]]) -> None:
        reasons: defaultdict[str, set[Reason]] = defaultdict(set)
        for reason, listed in words.items():
            for word in listed:
                if word:
                    reasons[_lower(word)].add(reason)
        self._reasons = tuple(words)
        self._automaton = ahocorasick.Automaton() if reasons else None
        if self._automaton is not None:  # an empty one raises when it is asked
            for word, told in reasons.items():
                self._automaton.add_word(
                    word, (len(word), sum(1 << self._reasons.index(one) for one in told))
                )
            self._automaton.make_automaton()

    def found(self, joined: str, borders: npt.NDArray[np.intp]) -> dict[Reason, npt.NDArray[np.intp]]:
        """Where hits begin in `joined`, ascending, each place once.

        borders: where words begin in it, ascending, and its end: a hit begins and ends at one.
        """
        if self._automaton is None:
            return {reason: np.zeros(0, np.intp) for reason in self._reasons}
        border = bytearray(len(joined) + 1)
        np.frombuffer(border, np.uint8)[borders] = 1
        hits = [
            (end + 1 - length, told)
            for end, (length, told) in self._automaton.iter(_lower(joined))
            if border[end + 1] and border[end + 1 - length]
        ]
        starts, masks = np.array(hits, np.intp).reshape(-1, 2).T
        return {
            reason: np.unique(starts[masks & 1 << place != 0]) for place, reason in enumerate(self._reasons)
        }


def read_blocklist(path: str) -> list[str]:
    """The words of a text file, one a line; empty lines and those that begin with # are passed over.

    path: or an fsspec URL. Raises InputError where it is no such file, too large, not UTF-8 or without a word, or where
    a word is too long.
    """
    fs, inside = filesystem(path)
    with reading(path):
        if type_of(fs, inside) not in ("file", None):
            raise InputError(f"{path}: is no file, but a folder, a pipe or a device; name a text file")
        with opened(fs, inside) as file:
            data: bytes = file.read(LARGEST + 1)
    if len(data) > LARGEST:
        raise InputError(f"{path}: larger than {LARGEST >> 20} MB; leave out words that others contain")
    words = []
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        try:
            word = line.decode().strip()
        except UnicodeDecodeError:
            raise InputError(f"{path}, line {number}: not UTF-8; save the list as UTF-8") from None
        if len(word) > LONGEST:
            raise InputError(
                f"{path}, line {number}: {len(word):,} characters, {LONGEST} at most; write one word a line"
            )
        if word and not word.startswith("#"):
            words.append(word)
    if not words:
        raise InputError(f"{path}: no word in it; write one a line, or leave --blocklist out")
    return words


def _lower(text: str) -> str:
    """The text in lower case, of the same length: İ alone becomes two characters."""
    return text.replace("İ", "I").lower()
