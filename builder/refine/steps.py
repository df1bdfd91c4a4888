"""The steps that a text goes through by itself, in the order of the recipe: a batch in, what is left of it out.

texts, languages of their pages ─▶ Steps.refine ─▶ Refined: texts, reasons, words

A step is a function that looks at a batch, may change its texts, and gives masks with reasons: the texts to be dropped,
for the first reason of each.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import compress

import numpy as np
import numpy.typing as npt
import xxhash

from ..disk.digests import Bools
from ..reasons import Reason
from ..stage.chinese import is_chinese
from ..towers.classifier import Classifier
from . import boilerplate, pii
from .alphabet import Class, classes_in, cleaned, rows_at, simplified
from .blocked import Blocked, read_blocklist
from .config import RefineConfig
from .lexicon import ADVERTS, UNSAFE
from .recipe import LONGEST_READ, STEPS
from .tokens import Pieces
from .words import Dictionary, Words

Dropping = Iterator[tuple[Bools, Reason]]
ZHO = ("zh", "cmn", "yue", "chi", "chinese", "cn")  # how a column page_lang may begin that says Chinese
_UNTOLD = ("", "und", "unknown", "none")


class TextBatch:
    """Texts that are left of some, and the languages of their pages; rows: which of all they are."""

    def __init__(
        self, texts: Sequence[str | None], langs: Sequence[str | None], dictionary: Dictionary
    ) -> None:
        self.texts = [text or "" for text in texts]
        self.langs, self.rows = [*langs], np.arange(len(texts))
        self._dictionary = dictionary
        self._words: Words | None = None

    @property
    def words(self) -> Words:
        """The words of the texts, which no step changes once they are asked for."""
        if self._words is None:
            self._words = self._dictionary.words(self.texts)
        return self._words

    def drop(self, mask: Bools) -> None:
        """Leave texts out."""
        stays = ~mask
        left = stays.tolist()
        self.texts = [*compress(self.texts, left)]
        self.langs = [*compress(self.langs, left)]
        self.rows = self.rows[stays]
        self._words = self._words and self._words.filter(stays)

    def masked(self, places: Sequence[int] | npt.NDArray[np.intp]) -> Bools:
        """The mask that is true at some places."""
        mask = np.zeros(len(self.texts), np.bool_)
        mask[np.asarray(places, np.intp)] = True
        return mask


@dataclass(slots=True)
class Cost:
    """What a step cost and did. seconds: of CPU."""

    pairs: int = 0
    dropped: int = 0
    seconds: float = 0.0

    @property
    def each(self) -> float:
        """Microseconds of CPU a pair."""
        return 1e6 * self.seconds / self.pairs if self.pairs else 0.0


@dataclass(frozen=True, slots=True)
class Refined:
    """What became of n texts. reasons (n,): of those dropped, else None; rows (m,): those that are left.

    texts: of those, refined; words: theirs.
    """

    reasons: list[Reason | None]
    rows: npt.NDArray[np.intp]
    texts: list[str]
    words: Words


class Steps:
    """The steps of a run. costs: of each so far; counters: what else is counted: personal data and unknown pieces."""

    def __init__(self, config: RefineConfig) -> None:
        self._config = config
        self._dictionary = Dictionary()
        self._pieces = Pieces(config.tokenizer) if config.tokenizer else None
        self._classifier = Classifier(config.text_classifier) if config.text_classifier else None
        own = cleaned(read_blocklist(config.blocklist)) if config.blocklist else []
        lists = {Reason.UNSAFE_TEXT: UNSAFE, Reason.BLOCKED_TEXT: simplified(own) if own else []}
        self._unsafe, self._adverts = Blocked(lists), Blocked({Reason.ADVERT: ADVERTS})
        self.costs = {name: Cost() for name in STEPS}
        self.counters: Counter[str] = Counter()
        self._steps: dict[str, Callable[[TextBatch], Dropping]] = {
            "text": _text, "cleaning": self._cleaning, "length": self._length, "chinese": _chinese, "pii": self._pii,
            "simplified": _simplified, "boilerplate": _boilerplate, "safety": self._safety,
            "adverts": self._advertising, "nouns": _nouns, "unknown": self._unknown,
        }  # fmt: skip

    def refine(self, texts: Sequence[str | None], langs: Sequence[str | None]) -> Refined:
        """Take texts through the steps. langs: of their pages, None where that is not known."""
        batch = TextBatch(texts, langs, self._dictionary)
        reasons: list[Reason | None] = [None] * len(texts)
        for name, one in self._steps.items():
            if name in self._config.skipped - {"cleaning"}:
                continue
            cost, began = self.costs[name], time.process_time()
            cost.pairs += len(batch.texts)
            dropped = np.zeros(len(batch.texts), np.bool_)
            for mask, reason in one(batch):
                for row in batch.rows[mask & ~dropped]:
                    reasons[row] = reason
                dropped |= mask
            if dropped.any():
                cost.dropped += int(dropped.sum())
                batch.drop(dropped)
            cost.seconds += time.process_time() - began
        return Refined(reasons, batch.rows, batch.texts, batch.words)

    def _cleaning(self, batch: TextBatch) -> Dropping:
        """Make blanks one, also where the step is skipped; ornaments and what is invisible go."""
        batch.texts = cleaned(batch.texts, whole="cleaning" not in self._config.skipped)
        yield from ()

    def _length(self, batch: TextBatch) -> Dropping:
        lengths = np.array([*map(len, batch.texts)], np.int64)
        yield lengths < self._config.min_length, Reason.SHORT_TEXT
        yield lengths > self._config.max_length, Reason.LONG_TEXT

    def _pii(self, batch: TextBatch) -> Dropping:
        found = pii.find(batch.texts)
        self.counters.update(f"pii/{kind}" for _, kind in found)
        yield batch.masked([row for row, _ in found]), Reason.PII

    def _safety(self, batch: TextBatch) -> Dropping:
        yield from _listed(self._unsafe, batch)
        if self._classifier is not None:
            yield np.asarray(self._classifier.unsafe(batch.texts), np.bool_), Reason.UNSAFE_TEXT

    def _advertising(self, batch: TextBatch) -> Dropping:
        yield from _listed(self._adverts, batch)

    def _unknown(self, batch: TextBatch) -> Dropping:
        if self._pieces is not None:
            pieces = self._pieces.unknown(batch.texts)
            counts = Counter(pieces[pieces > 0].tolist())
            self.counters.update({f"unknown/{number}": count for number, count in counts.items()})
            yield pieces > self._config.max_unknown, Reason.UNKNOWN_TOKENS


def made_with(config: RefineConfig) -> dict[str, str]:
    """Fingerprints of the files and models that options name, by option."""
    listed = "\n".join(read_blocklist(config.blocklist)) if config.blocklist else ""
    return {
        "blocklist": xxhash.xxh3_128_hexdigest(listed.encode()) if listed else "",
        "tokenizer": Pieces(config.tokenizer).fingerprint if config.tokenizer else "",
        "text-classifier": Classifier(config.text_classifier).fingerprint if config.text_classifier else "",
    }


def _text(batch: TextBatch) -> Dropping:
    """What is null, broken or a whole page is no text."""
    yield np.array([not text or text.isspace() for text in batch.texts], np.bool_), Reason.NO_TEXT
    long = np.array([len(text) > LONGEST_READ for text in batch.texts], np.bool_)
    yield long, Reason.LONG_TEXT
    for place in np.flatnonzero(long):
        batch.texts[place] = ""
    yield classes_in(batch.texts) & Class.BROKEN != 0, Reason.BROKEN_TEXT


def _chinese(batch: TextBatch) -> Dropping:
    """The characters tell, as in `stage.chinese.told_by`; where they do not, the page, and then CLD2."""
    held = classes_in(batch.texts)
    other = held & (Class.KANA | Class.HANGUL) != 0
    chinese = ~other & (held & Class.CHINESE != 0)
    untold = ~other & ~chinese & (held & Class.HAN != 0) & (held & Class.JAPANESE == 0)
    for place in np.flatnonzero(untold):
        chinese[place] = is_chinese(batch.texts[place], _page_lang(batch.langs[place]))
    yield ~chinese, Reason.NOT_CHINESE


def _page_lang(told: str | None) -> str | None:
    """The language of a page as `is_chinese` takes it, whatever form a manifest writes it in."""
    told = (told or "").strip().lower()
    if told in _UNTOLD:
        return None
    return "zho" if told.startswith(ZHO) else told


def _simplified(batch: TextBatch) -> Dropping:
    (some,) = np.nonzero(classes_in(batch.texts) & Class.TRADITIONAL)
    for place, text in zip(some, simplified([batch.texts[place] for place in some]), strict=True):
        batch.texts[place] = text
    yield from ()


def _boilerplate(batch: TextBatch) -> Dropping:
    yield boilerplate.find(batch.texts), Reason.BOILERPLATE


def _nouns(batch: TextBatch) -> Dropping:
    yield ~batch.words.things, Reason.NO_NOUN


def _listed(blocked: Blocked, batch: TextBatch) -> Dropping:
    """The texts that hold a word of a list, from border to border of their own words."""
    found = blocked.found("\n".join(batch.texts), batch.words.borders)
    for reason, places in found.items():
        yield batch.masked(rows_at(batch.texts, places)), reason
