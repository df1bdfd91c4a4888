"""Captions as a checkpoint was trained on them: captions -> token ids of one length.

    SigLIP        lower case, closed by the end token, padding that is attended to: the tower reads the last position
    Chinese-CLIP  lower case, straight quotes, 52 word pieces from [CLS] to [SEP], padding that is not attended to

Each of these changes scores where it is forgotten: neither tower ever saw a capital letter. For Chinese-CLIP nothing in
a caption is a special token: whoever writes [MASK] means the letters. A tokenizer that cannot do it is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem, InputError, first_line
from .checkpoint import CHINESE_CLIP, PIP

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

Ids = npt.NDArray[np.int32]
WORD_PIECES = (
    52  # context of every published Chinese-CLIP (cn_clip.clip.tokenize); its configuration says 512
)
PADDING = -1  # stands for a position of Chinese-CLIP that no word is at
_QUOTES = str.maketrans("“”", '""')  # which are not in its vocabulary (cn_clip.training.data)


class Captions:
    """The tokenizer of a SigLIP; length: positions of its text tower. Safe to call from many threads."""

    OPTIONS: ClassVar[dict[str, Any]] = {}  # that it is read with

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.length = length
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # tokenizers keep how to pad as a state

    @classmethod
    def load(cls, checkpoint: Checkpoint, length: int) -> Captions:
        """Read and try the tokenizer. Raises InputError for one that would not do what the tower was trained on."""
        from transformers import AutoTokenizer

        kind = WordPieces if checkpoint.kind == CHINESE_CLIP else Captions
        try:
            tokenizer = AutoTokenizer.from_pretrained(
                checkpoint.folder, local_files_only=True, **kind.OPTIONS
            )
        except ImportError as error:
            raise lacking(error, checkpoint.model) from error
        except Exception as error:  # a broken file raises nearly every class there is
            raise InputError(
                f"{checkpoint.model}: the tokenizer cannot be read: {first_line(error)}; download the checkpoint again"
            ) from error
        if fault := kind.fault(tokenizer, length):
            raise InputError(f"{checkpoint.model}: {fault}; take the tokenizer that was published with it")
        return kind(tokenizer, length)

    @staticmethod
    def fault(tokenizer: Any, length: int) -> str | None:
        """Why a tokenizer will not do, or None."""
        return wrong(tokenizer, length)

    def ids(self, captions: Sequence[str]) -> Ids:
        """Token ids of shape (captions, length)."""
        lower = [caption.lower() for caption in captions]
        with self._lock:
            found = _encode(self._tokenizer, lower, self.length)
        return np.asarray(found, np.int32)


class WordPieces(Captions):
    """The tokenizer of a Chinese-CLIP."""

    OPTIONS: ClassVar[dict[str, Any]] = {"split_special_tokens": True}

    @staticmethod
    def fault(tokenizer: Any, length: int) -> str | None:
        """Why a tokenizer will not do, or None."""
        first, last, none = tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id
        if tokenizer.padding_side != "right" or None in (first, last, none):
            return "the tokenizer has no [CLS], [SEP] and [PAD], or pads on the left"
        short, long = _encode(tokenizer, ["a", "a b " * length], length)
        if (short[0], short[-1], long[0], long[-1]) != (first, none, first, last) or last not in short:
            return "the tokenizer does not put a caption between [CLS] and [SEP] and pad it"
        special = [str(tokenizer.convert_ids_to_tokens(one)) for one in (first, last, none)]
        (read,) = _encode(tokenizer, [" ".join(special)], length)
        if read.count(first) + read.count(last) > 2 or none in read[: read.index(last)]:
            return f"the tokenizer takes the word {special[0]} in a caption for a special token"
        return None

    def ids(self, captions: Sequence[str]) -> Ids:
        """Token ids of shape (captions, length), PADDING behind each caption."""
        found = super().ids([caption.translate(_QUOTES) for caption in captions])
        return np.where(found == self._tokenizer.pad_token_id, np.int32(PADDING), found)


def _encode(tokenizer: Any, captions: list[str], length: int) -> list[list[int]]:
    encoded = tokenizer(
        captions,
        padding="max_length",
        max_length=length,
        truncation=True,
        return_attention_mask=False,
        return_token_type_ids=False,
    )
    found: list[list[int]] = encoded["input_ids"]
    return found


def lacking(error: ImportError, model: str) -> EnvironmentProblem:
    """The error where a tokenizer needs a package that is not there: of SigLIP, sentencepiece and protobuf."""
    needed = first_line(error).partition(" but ")[0]
    ours = any(name in needed.lower() for name in ("sentencepiece", "protobuf"))
    return EnvironmentProblem(f"{model}: {needed}: {PIP if ours else 'install it'}")


def wrong(tokenizer: Any, length: int) -> str | None:
    """Why the tokenizer will not do, or None."""
    if tokenizer.padding_side != "right":
        return f"the tokenizer pads on the {tokenizer.padding_side}, and SigLIP reads the last position"
    if tokenizer.pad_token_id is None or tokenizer.eos_token_id is None:
        return "the tokenizer has no token for padding or for the end"
    short, long = _encode(tokenizer, ["a", "a b " * length], length)
    if tokenizer.eos_token_id not in short[:-1] or short[-1] != tokenizer.pad_token_id:
        return "the tokenizer does not close a caption with the end token and pad it"
    if long[-1] != tokenizer.eos_token_id:
        return "the tokenizer cuts the end token off a long caption"
    return None
