"""Texts that a classifier finds unsafe: what `--text-classifier` names, run over captions.

MODEL or MODEL:LABEL ─▶ Classifier: the labels that mean unsafe, their probabilities ─▶ a mask over texts

Any text classifier of transformers with weights in safetensors will do, and no code of its repository is run. Which of
its labels mean unsafe is told by their names; where it cannot be told, it is asked for, never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ..errors import InputError, UsageError
from .checkpoint import FILES, checked, fingerprint, located
from .device import Options, place
from .siglip2 import explained, quiet, unfit

if TYPE_CHECKING:
    from torch import Tensor

UNSAFE = 0.5  # probability from which a text is unsafe: more likely so than not
# Tokens that are read of a text: 60 characters are 180 of a tokenizer that knows bytes alone.
MOST_TOKENS = 256
# A forward has one of few shapes, chosen by the text's own length and never by its neighbours, so that what a text
# comes to is the same in any batch. Across devices and versions of torch last digits differ, and a verdict may with
# them where a probability is within 1e-5 of UNSAFE.
ROWS, STEP = 32, 32

VOCABULARIES = ("tokenizer.json", "vocab.txt", "vocab.json", "spiece.model", "sentencepiece.bpe.model")
TEXT_FILES = (*FILES, *VOCABULARIES, "merges.txt")  # of a model of texts alone
_WORD = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|[^\W\d_a-zA-Z]+")
_BAD = frozenset(
    re.findall(
        r"\S+",
        "porn pornographic pornography nsfw sex sexual explicit adult obscene obscenity vulgar unsafe toxic toxicity "
        "hate hateful offensive abuse abusive insult insulting threat threatening harassment violence violent harmful "
        "illegal profanity spam ad ads advert advertisement advertising 色情 低俗 辱骂 仇恨 违规 有害 暴力 垃圾 广告",
    )
)
_NEGATIONS = frozenset({"not", "non", "no", "none", "neither", "without", "非", "无", "不"})
# Of Freepik/nsfw_image_detector: how explicit a picture is. Of the paper's rule only the share is known that it drops.
_DEGREES = ("neutral", "low", "medium", "high")
_PLAIN = (
    "LABEL_0",
    "LABEL_1",
)  # of a classifier of two whose maker named neither; 1 is what it was made to find


class Classifier:
    """A text classifier in memory. model: what `--text-classifier` says; fingerprint: of all that decides its verdicts.

    Raises InputError where it is no such classifier or cannot be read, UsageError where it has no such label or where
    none of its labels says that it means unsafe, EnvironmentProblem where what runs it is missing.
    """

    def __init__(self, model: str) -> None:
        name, label = parted(model)
        folder, _, config = located(name, files=TEXT_FILES)
        weights = checked(folder, config, name, (VOCABULARIES,))
        self.fingerprint = fingerprint(folder, weights, TEXT_FILES)
        self._name = name
        with explained(name), quiet():
            self._tokenizer, self._model = text_model(
                folder, name, "AutoModelForSequenceClassification", "text classifier"
            )
        settings = self._model.config
        labels = [str(settings.id2label.get(number, number)) for number in range(settings.num_labels)]
        self._each = len(labels) == 1 or settings.problem_type == "multi_label_classification"
        self._labels = chosen(labels, label, self._each, name, "--text-classifier")
        longest = getattr(settings, "max_position_embeddings", None) or MOST_TOKENS
        self._length = min(self._tokenizer.model_max_length, longest, MOST_TOKENS)

    def unsafe(self, texts: Sequence[str]) -> npt.NDArray[np.bool_]:
        """Whether each text is unsafe. Raises InputError where the classifier gives no number for one."""
        lengths = [len(ids) for ids in self._ids(texts)["input_ids"]] if texts else []
        shapes = np.array([min(STEP * max(1, -(-one // STEP)), self._length) for one in lengths], np.int64)
        found = np.full(len(texts), np.nan)
        for shape in np.unique(shapes).tolist():
            (rows,) = np.nonzero(shapes == shape)
            for start in range(0, len(rows), ROWS):
                part = rows[start : start + ROWS]
                found[part] = self._probabilities([texts[row] for row in part], shape)
        if not np.isfinite(found).all():
            text = texts[int(np.isfinite(found).argmin())]
            raise InputError(
                f"{self._name}: gives no number for {text[:60]!r}; its weights are broken, take another"
            )
        return found >= UNSAFE

    def _ids(self, texts: Sequence[str], **options: Any) -> Any:
        """The tokens of texts, no more of each than are read."""
        return self._tokenizer(list(texts), truncation=True, **{"max_length": self._length, **options})

    def _probabilities(self, texts: list[str], length: int) -> npt.NDArray[np.float64]:
        """The probability of unsafe for up to ROWS texts, in a batch of that many that the first of them fills."""
        import torch

        full = texts + texts[:1] * (ROWS - len(texts))
        batch = self._ids(full, padding="max_length", max_length=length, return_tensors="pt")
        with torch.inference_mode():
            logits: Tensor = self._model(**batch.to(self._model.device)).logits.float()
        odds = (logits.sigmoid() if self._each else logits.softmax(-1))[: len(texts), self._labels]
        return (odds.amax(-1) if self._each else odds.sum(-1)).cpu().double().numpy()


def parted(model: str) -> tuple[str, str | None]:
    """MODEL and LABEL of MODEL:LABEL; a folder may have a colon in its name."""
    name, colon, label = model.rpartition(":")
    return (name, label) if colon and not Path(model).expanduser().is_dir() else (model, None)


def text_model(folder: Path, name: str, auto: str, what: str) -> tuple[Any, Any]:
    """The tokenizer and the model of a folder, in float32 on its device.

    auto: the class of transformers that reads it; what: it is, for messages. InputError where it is none, or not whole.
    """
    import torch
    import transformers

    alone = {"local_files_only": True, "trust_remote_code": False}
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **alone)
    model, report = getattr(transformers, auto).from_pretrained(
        folder,
        **alone,
        use_safetensors=True,
        dtype=torch.float32,
        output_loading_info=True,
        ignore_mismatched_sizes=True,  # they are in the report
    )
    if fault := unfit({**report, "unexpected_keys": ()}):  # what else many a model was trained with
        raise InputError(f"{name}: {fault}; it is no {what}, or not whole")
    if tokenizer.pad_token_id is None:
        raise InputError(
            f"{name}: its tokenizer has no padding, so texts cannot be read together; take another"
        )
    placed = place(Options(dtype="float32"), sum(weight.numel() for weight in model.parameters()))
    return tokenizer, model.to(placed.device).eval()


def chosen(labels: Sequence[str], label: str | None, each: bool, name: str, flag: str) -> list[int]:
    """The numbers of the labels that mean unsafe. each: whether every label has a probability of its own.

    flag: by which the classifier was named. Raises UsageError where there is no such label, or it cannot be told.
    """
    said = ", ".join(labels[:20])
    if label is not None:
        if label not in labels:
            raise UsageError(f"{name}: has no label {label}; its labels are {said}")
        return [labels.index(label)]
    if tuple(labels) == _PLAIN:
        return [1]
    if tuple(label.lower() for label in labels) == _DEGREES:
        return [2, 3]
    found = [number for number, one in enumerate(labels) if _means_unsafe(one)]
    if not found or (len(found) == len(labels) and not each):
        raise UsageError(
            f"{name}: which of its labels means unsafe cannot be told: {said}; say {flag} {name}:LABEL"
        )
    return found


def _means_unsafe(label: str) -> bool:
    """Whether a label says so: `NSFW`, `spam`, `is_toxic`; not `not_toxic`, `safe`, `neutral`."""
    words = {word.lower() for word in _WORD.findall(label)}
    return bool(words & _BAD) and not words & _NEGATIONS
