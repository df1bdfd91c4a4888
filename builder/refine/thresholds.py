"""The second pass, once: how much of a text may be function words and how much its words must tell, over all texts.

words of all units ─▶ words.parquet; shares of function words, entropies ─▶ histograms ─▶ thresholds.json

The thresholds are those beyond which as many pairs lie as the paper lost, of those that came to the step.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.buckets import DAMAGED, gather
from ..disk.digests import Bools
from ..disk.files import join
from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import parquet
from .config import RefineConfig
from .entropy import UNIT, Histogram, Surprise, summed
from .entropy import Values as Bits
from .recipe import SHARES
from .spool import (
    STOP,
    TOLD,
    WEIGHED,
    WORDS,
    RefineSetup,
    ThresholdsDocument,
    Values,
    words_of,
    write_thresholds,
)
from .words import SCALE

NAME = "thresholds-00000-of-00001"


class Judge:
    """The thresholds, at work on pairs on their way."""

    def __init__(self, used: Values, surprise: Surprise) -> None:
        self._used, self._surprise = used, surprise
        self._least = round(used.get("entropy", 0) / UNIT)

    def empty(self, pairs: pa.Table) -> Bools:
        """Which have too many function words, (n,)."""
        stop: npt.NDArray[Any] = pairs[STOP].to_numpy()
        return stop > round(self._used.get("stop_words", 1.0) * SCALE)

    def dull(self, pairs: pa.Table) -> Bools:
        """Which tell too little, (n,)."""
        return entropies(pairs, self._surprise) < self._least


class Calibrated(NamedTuple):
    """The thresholds, written down and at work."""

    document: ThresholdsDocument
    judge: Judge


def entropies(pairs: pa.Table, surprise: Surprise) -> Bits:
    """The entropies of pairs on their way in `entropy.UNIT`, (n,)."""
    told: Any = pairs[TOLD].combine_chunks()
    lists = told.flatten().to_numpy()
    return surprise.of(lists, np.diff(told.offsets.to_numpy()).astype(np.int64))


def calibrated(
    config: RefineConfig, words: pa.Table, pairs: Callable[[Sequence[str]], Iterable[pa.Table]]
) -> Calibrated:
    """The thresholds of a run, and what words tell. words: counted, of all texts; pairs: gives columns of all."""
    surprise, used, paper = Surprise(words), Values(), Values()
    empty, bits = Histogram(), Histogram()
    for some in pairs([STOP]):
        empty.add(SCALE - some[STOP].to_numpy().astype(np.int64))
    paper["stop_words"] = 1 - empty.below(SHARES[6]) / SCALE
    if "stop-words" not in config.skipped:
        used["stop_words"] = _first(config.stop_share, paper["stop_words"])
    judge = Judge(used, surprise)
    for some in pairs([STOP, TOLD]):
        bits.add(entropies(some.filter(pa.array(~judge.empty(some))), surprise))
    paper["entropy"] = bits.below(SHARES[9]) * UNIT
    if "entropy" not in config.skipped:
        used["entropy"] = _first(config.least_entropy, paper["entropy"])
    total = int(words["count"].to_numpy().sum())
    document = ThresholdsDocument(used=used, calibrated=paper, words=total, different=len(words))
    return Calibrated(document, Judge(used, surprise))


def decide(setup: RefineSetup) -> ShardLedger:
    """Write words.parquet, thresholds.json and the marker."""
    began = time.monotonic()
    words = summed(_table(setup, words_of(setup.input_stem(number))) for number in range(setup.inputs))
    document, _ = calibrated(setup.config, words, partial(gather, setup.rows, 0, 1))
    outputs = {WORDS: setup.write(WORDS, words)}
    write_thresholds(setup.root, document)
    return setup.mark(WEIGHED, NAME, Tally(), outputs, time.monotonic() - began)


def judge_of(setup: RefineSetup, document: ThresholdsDocument) -> Judge:
    """The thresholds that were decided."""
    return Judge(document["used"], Surprise(_table(setup, WORDS)))


def _table(setup: RefineSetup, path: str) -> pa.Table:
    with parquet(join(setup.root, path), DAMAGED) as file:
        return file.read()


def _first(asked: float | None, calibrated: float) -> float:
    return calibrated if asked is None else asked
