"""Captions as SigLIP was trained on them: lower case, always the full length, closed by the end token, no mask.

captions -> token ids. Each of these changes scores where it is forgotten: the text tower reads the last position,
attends to padding, and never saw a capital letter. A tokenizer that cannot do it is refused.
"""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem, InputError, first_line
from .checkpoint import PIP

if TYPE_CHECKING:
    from .checkpoint import Checkpoint

Ids = npt.NDArray[np.int32]


class Captions:
    """The tokenizer of a checkpoint; length: positions of its text tower. Safe to call from many threads."""

    def __init__(self, tokenizer: Any, length: int) -> None:
        self.length = length
        self._tokenizer = tokenizer
        self._lock = threading.Lock()  # tokenizers keep how to pad as a state

    @classmethod
    def load(cls, checkpoint: Checkpoint, length: int) -> Captions:
        """Read and try the tokenizer. Raises InputError for one that would not do what the tower was trained on."""
        from transformers import AutoTokenizer

        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True)
        except ImportError as error:
            raise lacking(error, checkpoint.model) from error
        except Exception as error:  # a broken file raises nearly every class there is
            raise InputError(
                f"{checkpoint.model}: the tokenizer cannot be read: {first_line(error)}; download the checkpoint again"
            ) from error
        fault = wrong(tokenizer, length)
        if fault:
            raise InputError(f"{checkpoint.model}: {fault}; take the tokenizer that was published with it")
        return cls(tokenizer, length)

    def ids(self, captions: Sequence[str]) -> Ids:
        """Token ids of shape (captions, length)."""
        lower = [caption.lower() for caption in captions]
        with self._lock:
            found = _encode(self._tokenizer, lower, self.length)
        return np.asarray(found, np.int32)


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
