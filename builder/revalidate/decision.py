"""A decision: what was judged of all pairs and what --keep and --min-score make of it, as columns and counts."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import xxhash

from ..disk.ledger import DecisionDocument
from ..disk.schema import DECIDED
from ..reasons import Cause
from . import rules
from .config import RevalidateConfig
from .judge import CAUSES, VERDICTS, Judged
from .scores import Pairs

_LOW = CAUSES.index(Cause.MIN_SCORE)
_VOID = CAUSES.index(Cause.NO_SCORE)


class Asked(TypedDict):
    """The options that a decision follows from. keep: verdicts."""

    alpha: float
    min_score: float | None
    keep: list[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of n pairs; arrays of shape (n,).

    name: a hash of the options, the rules and the numbers judged by: the same decision has the same name.
    cause: as judged, or min_score; suspect: of kept pairs only; unknown: how many min_score drops as they have none.
    """

    name: str
    asked: Asked
    judged: Judged
    cause: npt.NDArray[np.uint8]
    suspect: npt.NDArray[np.bool_]
    kept: npt.NDArray[np.bool_]
    unknown: int

    @classmethod
    def of(cls, pairs: Pairs, config: RevalidateConfig) -> Self:
        """Judge the pairs, of dtype PAIR; a pair without a score does not reach --min-score."""
        asked: Asked = {"alpha": config.alpha, "min_score": config.min_score, "keep": list(config.kept)}
        judged = Judged.of(pairs, config.alpha)
        kept = np.isin(judged.verdict, [VERDICTS.index(verdict) for verdict in config.kept])
        kept &= judged.cause != _VOID
        low = kept & (config.min_score is not None) & ~(pairs["score"] >= (config.min_score or 0))
        cause = np.where(low, np.uint8(_LOW), judged.cause)
        kept &= ~low
        constants = {name: value for name, value in vars(rules).items() if name.isupper()}
        hasher = xxhash.xxh3_128(json.dumps([asked, constants], sort_keys=True).encode())
        hasher.update(pairs.view(np.uint8).data)
        if unknown := int(np.count_nonzero(np.isnan(pairs["score"][low]))):
            hasher.update(b"null is low")  # up to 0.1.0 it was not: not the same decision
        name, suspect = hasher.hexdigest(), judged.suspect & kept
        return cls(name, asked, judged, cause, suspect, kept, unknown)

    @property
    def void(self) -> int:
        """How many pairs came to no numbers."""
        return int(np.count_nonzero(self.cause == _VOID))

    def table(self, span: slice) -> pa.Table:
        """The columns DECIDED of some of the pairs."""
        p = self.judged.p[span]
        columns = [
            pa.array(p, mask=np.isnan(p)),
            _words(self.judged.verdict[span], VERDICTS),
            _words(self.cause[span], CAUSES),
            pa.array(self.suspect[span]),
            pa.array(self.kept[span]),
        ]
        return pa.Table.from_arrays(columns, schema=DECIDED)

    def reasons(self, span: slice) -> dict[str, int]:
        """How many of some pairs are left out, by verdict, or by min_score where that alone leaves them out."""
        out, low = ~self.kept[span], self.cause[span] == _LOW
        return _count(self.judged.verdict[span][out & ~low], VERDICTS) | _count(self.cause[span][low], CAUSES)

    def document(self) -> DecisionDocument:
        """What decision.json says of the pairs of images/; bound: of the share of junk among those tested and kept."""
        judged = self.judged
        verdicts = _count(judged.verdict, VERDICTS)
        rows = len(judged.verdict)
        assert sum(verdicts.values()) == rows
        return {
            "decision": self.name,
            "alpha": self.asked["alpha"],
            "min_score": self.asked["min_score"],
            "keep": self.asked["keep"],
            "rows": rows,
            "verdicts": verdicts,
            "causes": _count(self.cause, CAUSES),
            "kept": int(self.kept.sum()),
            "suspects": int(self.suspect.sum()),
            "tested": judged.tested,
            "pi0": judged.pi0,
            "threshold": judged.threshold,
            "least_level": judged.least_level,
            "bound": self.asked["alpha"] * judged.pi0,
        }


def _count(places: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return {str(name): count for name, count in zip(names, counts, strict=True) if count}


def _words(places: npt.NDArray[np.uint8], names: Sequence[str]) -> Any:
    words: Any = pa.array([str(name) for name in names])
    return pa.DictionaryArray.from_arrays(places, words).cast(pa.string())
