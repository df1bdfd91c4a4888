"""The verdicts of all pairs of a root at once: numbers of the scores in, one verdict and cause a pair out.

numbers, as PAIR ─▶ Judged ─▶ Decision, what --keep and --min-score make of it ─▶ columns and counts

Nothing here knows of files. What is changed is tested together, whatever the shard or split, for the level holds
for the whole and a placeholder is known by its company.
"""

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
from ..errors import VerificationError
from ..reasons import Cause, Verdict
from . import rules
from .clusters import NONE, placeholders
from .config import RevalidateConfig
from .rules import LAMBDA, SUSPECT_DISTANCE, SUSPECT_PAIRS, SUSPECT_QUANTILE

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]
Pairs = npt.NDArray[np.void]  # of dtype PAIR

VERDICTS = tuple(Verdict)  # a verdict is kept as its place in here, one byte a pair
CAUSES = tuple(Cause)
_LOW, _VOID = CAUSES.index(Cause.MIN_SCORE), CAUSES.index(Cause.NO_SCORE)
# The share of pairs without numbers up to which they are odd pairs, each dropped on its own; beyond, the checkpoint or
# its precision is broken, and the pairs that did get a number are not to be believed either.
UNSCORED = 0.003
PAIR = np.dtype(
    [
        ("decoded", "?"),  # there is a code, be it all zero: the picture could be decoded
        ("same", "?"),  # the bytes hash as recorded
        ("p_code", "<f4"),  # NaN: null, here and below
        ("p_caption", "<f4"),
        ("phash", "<u8"),  # 0: null, here and below
        ("code", "<u8"),  # a hash of it; 0 of a decoded picture: the pair came to no numbers
        ("caption_hash", "<u8"),
        ("code_distance", "<i2"),  # -1: null
        ("score_change", "<f4"),
        ("score", "<f4"),
    ]
)


@dataclass(frozen=True, slots=True)
class Judged:
    """What was decided of n pairs, arrays of shape (n,).

    verdict, cause: places in VERDICTS and CAUSES; p: NaN where not tested; suspect: by its score, whether kept or
    not; tested: how many were; pi0: Storey's share of junk among those; threshold: the p up to which is kept;
    least_level: the smallest alpha that keeps any of them.
    """

    verdict: npt.NDArray[np.uint8]
    cause: npt.NDArray[np.uint8]
    p: npt.NDArray[np.float32]
    suspect: npt.NDArray[np.bool_]
    tested: int
    pi0: float
    threshold: float
    least_level: float

    @classmethod
    def of(cls, pairs: Pairs, alpha: float) -> Self:
        """Decide; pairs: of dtype PAIR."""
        verdict = np.full(pairs.shape, VERDICTS.index(Verdict.DEAD), np.uint8)
        cause = np.full(pairs.shape, CAUSES.index(Cause.NO_PICTURE), np.uint8)

        def settle(rows: npt.NDArray[np.intp], what: Verdict, why: Cause) -> None:
            verdict[rows], cause[rows] = VERDICTS.index(what), CAUSES.index(why)

        settle(np.flatnonzero(pairs["same"]), Verdict.SAME, Cause.HASH)
        seen, scored = pairs["decoded"] & ~pairs["same"], pairs["code"] != NONE
        settle(np.flatnonzero(seen & ~scored), Verdict.DRIFTED, Cause.NO_SCORE)
        changed = np.flatnonzero(seen & scored)
        kinds = (("code", Cause.CODE_CLUSTER), ("phash", Cause.PHASH_CLUSTER))
        rest = np.ones(changed.shape, np.bool_)
        for column, why in kinds:
            found = placeholders(*(pairs[name][changed] for name in (column, "caption_hash", "p_caption")))
            settle(changed[found], Verdict.PLACEHOLDER, why)
            rest &= ~found
        tested = changed[rest]
        p = np.full(pairs.shape, np.nan, np.float32)
        p[tested] = values = combine(pairs["p_code"][tested], pairs["p_caption"][tested])
        rejected, threshold = benjamini_hochberg(values, alpha)
        settle(tested[~rejected], Verdict.DRIFTED, Cause.UNRELATED)
        settle(tested[rejected], Verdict.MATCHING, Cause.CAPTION)
        p_code, doubled = pairs["p_code"][tested], 2 - np.isnan(pairs["p_caption"][tested])
        settle(tested[p_code * doubled <= threshold], Verdict.MOVED, Cause.CODE)
        suspect = suspects(pairs["code_distance"], pairs["score_change"], changed)
        return cls(verdict, cause, p, suspect, tested.size, storey(values), threshold, least_level(values))


class Asked(TypedDict):
    """The options that a decision follows from. keep: verdicts."""

    alpha: float
    min_score: float | None
    keep: list[str]


@dataclass(frozen=True, slots=True)
class Decision:
    """What was decided of n pairs; judged: with min_score for a cause, and suspects of kept pairs only; kept: (n,).

    name: a hash of the options, the rules and the numbers judged by: the same decision has the same name; unknown: how
    many min_score drops as they have none.
    """

    name: str
    asked: Asked
    judged: Judged
    kept: Bools
    unknown: int

    @classmethod
    def of(cls, pairs: Pairs, config: RevalidateConfig) -> Self:
        """Judge the pairs; a pair without a score does not reach --min-score."""
        asked: Asked = {"alpha": config.alpha, "min_score": config.min_score, "keep": list(config.kept)}
        judged = Judged.of(pairs, config.alpha)
        kept = np.isin(judged.verdict, [VERDICTS.index(verdict) for verdict in config.kept])
        kept &= judged.cause != _VOID
        low = kept & (config.min_score is not None) & ~(pairs["score"] >= (config.min_score or 0))
        kept &= ~low
        constants = {name: value for name, value in vars(rules).items() if name.isupper()}
        hasher = xxhash.xxh3_128(json.dumps([asked, constants], sort_keys=True).encode())
        hasher.update(pairs.view(np.uint8).data)
        if unknown := int(np.count_nonzero(np.isnan(pairs["score"][low]))):
            hasher.update(b"null is low")  # up to 0.1.0 it was not: not the same decision
        judged.cause[low] = _LOW
        judged.suspect[~kept] = False
        return cls(hasher.hexdigest(), asked, judged, kept, unknown)

    @property
    def void(self) -> int:
        """How many pairs came to no numbers."""
        return int(np.count_nonzero(self.judged.cause == _VOID))

    def table(self, span: slice) -> pa.Table:
        """The columns DECIDED of some of the pairs."""
        p = self.judged.p[span]
        columns = [
            pa.array(p, mask=np.isnan(p)),
            _words(self.judged.verdict[span], VERDICTS),
            _words(self.judged.cause[span], CAUSES),
            pa.array(self.judged.suspect[span]),
            pa.array(self.kept[span]),
        ]
        return pa.Table.from_arrays(columns, schema=DECIDED)

    def reasons(self, span: slice) -> dict[str, int]:
        """How many of some pairs are left out, by verdict, or by min_score where that alone leaves them out."""
        out, low = ~self.kept[span], self.judged.cause[span] == _LOW
        return _count(self.judged.verdict[span][out & ~low], VERDICTS) | _count(
            self.judged.cause[span][low], CAUSES
        )

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
            "causes": _count(self.judged.cause, CAUSES),
            "kept": int(self.kept.sum()),
            "suspects": int(self.judged.suspect.sum()),
            "tested": judged.tested,
            "pi0": judged.pi0,
            "threshold": judged.threshold,
            "least_level": judged.least_level,
            "bound": self.asked["alpha"] * judged.pi0,
        }


def suspects(
    distance: npt.NDArray[np.int16], change: npt.NDArray[np.float32], changed: npt.NDArray[np.intp]
) -> npt.NDArray[np.bool_]:
    """Which pairs' score fell by more than re-encoding explains, shape (n,); none where too few tell how far that is.

    distance: bits between recorded and new code, -1 where unknown; change: of the score, NaN where unknown;
    changed: the rows to look at. The limit is the SUSPECT_QUANTILE of the changes of pairs within SUSPECT_DISTANCE.
    """
    found = np.zeros(distance.shape, np.bool_)
    near = (distance[changed] >= 0) & (distance[changed] <= SUSPECT_DISTANCE) & ~np.isnan(change[changed])
    if np.count_nonzero(near) >= SUSPECT_PAIRS:
        limit = np.quantile(change[changed][near], SUSPECT_QUANTILE)
        found[changed] = change[changed] < limit
    return found


def check_numbers(what: str, void: int, pairs: int) -> None:
    """VerificationError where more than UNSCORED of so many pairs came to no numbers."""
    if void > UNSCORED * pairs:
        raise VerificationError(
            f"{what}: {void:,} of {pairs:,} pairs have embeddings that are no finite numbers, so there are no "
            "verdicts: take --dtype float32 or bfloat16, with --overwrite where shards are scored; if it is so in "
            "those too, the checkpoint is damaged"
        )


def combine(p_code: Floats, p_caption: Floats) -> npt.NDArray[np.float32]:
    """One p-value of "neither the recorded picture nor the caption's": min(1, 2 min of the two), shape (n,).

    Bonferroni's bound, so it holds however the two depend on each other. NaN stands for a test that could not be
    made, for which the other counts alone, undoubled, and 1 where neither could.
    """
    both = ~np.isnan(p_code) & ~np.isnan(p_caption)
    smaller = np.fmin(p_code, p_caption)
    return np.nan_to_num(np.minimum(1, np.where(both, 2 * smaller, smaller)), nan=1.0).astype(np.float32)


def benjamini_hochberg(p: Floats, alpha: float) -> tuple[Bools, float]:
    """Which hypotheses are rejected, shape (n,), and the p-value up to which they are; 0.0 where none is.

    With p sorted upwards and k the last rank at which p(k) <= alpha k / n, all of p <= alpha k / n are rejected:
    the expected share of true hypotheses among them is at most alpha times their share among all.
    Benjamini & Hochberg, J. R. Stat. Soc. B 57 (1995) 289, theorem 1; under positive dependence as of ranks among
    one panel: Bates et al., arXiv:2104.08279, theorem 2.
    """
    line = alpha * np.arange(1, p.size + 1) / max(p.size, 1)
    below = np.flatnonzero(np.sort(p) <= line)
    threshold = float(line[below[-1]]) if below.size else 0.0
    return p <= threshold, threshold


def least_level(p: Floats) -> float:
    """The smallest alpha at which benjamini_hochberg rejects anything: the minimum of n p(k) / k; 1.0 of no p."""
    if not p.size:
        return 1.0
    return float(np.min(p.size * np.sort(p).astype(np.float64) / np.arange(1, p.size + 1)))


def storey(p: Floats, at: float = LAMBDA) -> float:
    """The share of true hypotheses, 0 to 1, estimated from above: (1 + #{p > at}) / (n (1 - at)); 0.0 of no p.

    True hypotheses have p spread evenly or further up, so what lies above `at` is theirs. Storey, J. R. Stat. Soc.
    B 64 (2002) 479, with the 1 of Storey, Taylor & Siegmund (2004), which keeps it an upper estimate in small n.
    """
    return min(1.0, (1 + int(np.count_nonzero(p > at))) / (p.size * (1 - at))) if p.size else 0.0


def _count(places: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, int]:
    counts = np.bincount(places, minlength=len(names)).tolist()
    return {str(name): count for name, count in zip(names, counts, strict=True) if count}


def _words(places: npt.NDArray[np.uint8], names: Sequence[str]) -> Any:
    words: Any = pa.array([str(name) for name in names])
    return pa.DictionaryArray.from_arrays(places, words).cast(pa.string())
