"""Pieces of a text that a tokenizer does not know: [UNK], and the bytes that it falls back to.

tokenizer.json ─▶ Pieces ─▶ how many unknown pieces each text has

SigLIP2's tokenizer writes what it does not know as bytes, <0xE4> and such, so of [UNK] itself it has none.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ..disk.files import file_digest
from ..errors import InputError, first_line, need
from ..towers.checkpoint import tokenizer_file
from .alphabet import points_of

_BYTE = re.compile(r"<0x[0-9A-Fa-f]{2}>")
_UNKNOWN = ("<unk>", "[UNK]", "<UNK>")
_KNOWN, _SUSPECT = 1, 2  # of a character, as far as it was looked at


class Pieces:
    """The tokenizer that `--tokenizer` names. fingerprint: of its file.

    Raises InputError where it is none or knows everything, EnvironmentProblem where what runs it is missing.
    """

    def __init__(self, name: str) -> None:
        need("siglip2", ("tokenizers",))
        path = tokenizer_file(name)
        self.fingerprint = file_digest(path)
        self._tokenizer = _loaded(path, name)
        self._tokenizer.no_truncation()
        self._tokenizer.no_padding()
        vocabulary = self._tokenizer.get_vocab()
        unknown = {getattr(self._tokenizer.model, "unk_token", None), *_UNKNOWN}
        self._unknown = {
            number for word, number in vocabulary.items() if _BYTE.fullmatch(word) or word in unknown
        }
        if not self._unknown:
            raise InputError(
                f"{name}: has neither [UNK] nor pieces of bytes, so nothing is unknown to it; leave --tokenizer out"
            )
        self._states = np.zeros(0x110000, np.uint8)

    def unknown(self, texts: Sequence[str]) -> npt.NDArray[np.int64]:
        """The unknown pieces of each text, (n,). Only texts with a character that is unknown by itself are cut."""
        found = np.zeros(len(texts), np.int64)
        points, starts = points_of(texts)
        self._look(points)
        if len(starts):
            (some,) = np.nonzero(np.bitwise_or.reduceat(self._states[points], starts) & _SUSPECT)
            found[some] = self._counted([texts[int(place)] for place in some])
        return found

    def _look(self, points: npt.NDArray[np.uint32]) -> None:
        """Look at characters that are met first, each by itself and behind a letter."""
        new = np.unique(points[self._states[points] == 0])
        alone, behind = (self._counted([f"{before}{chr(point)}" for point in new]) for before in ("", "a"))
        self._states[new] = np.where((alone > 0) | (behind > 0), _SUSPECT, _KNOWN)

    def _counted(self, texts: list[str]) -> npt.NDArray[np.int64]:
        encoded = self._tokenizer.encode_batch(texts, add_special_tokens=False)
        return np.array([sum(one in self._unknown for one in text.ids) for text in encoded], np.int64)


def _loaded(path: Path, name: str):  # type: ignore[no-untyped-def]  # tokenizers has no types
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_file(str(path))
    except Exception as error:  # it raises nothing else
        raise InputError(
            f"{name}: no tokenizer that can be read: {first_line(error)}; download it again"
        ) from error
