"""The verdicts of all pairs of a root at once: columns of the scores in, one verdict and cause a pair out.

Nothing here knows of files. What is changed is tested together, whatever the shard or split, for the level holds
for the whole and a placeholder is known by its company.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import numpy.typing as npt

from ..errors import VerificationError
from ..reasons import Cause, Verdict
from .clusters import NONE, placeholders
from .rules import LAMBDA, SUSPECT_DISTANCE, SUSPECT_PAIRS, SUSPECT_QUANTILE

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]

VERDICTS = tuple(Verdict)  # a verdict is kept as its place in here, one byte a pair
CAUSES = tuple(Cause)
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
        ("caption", "<u8"),
        ("distance", "<i2"),  # -1: null
        ("change", "<f4"),
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
    def of(cls, pairs: npt.NDArray[np.void], alpha: float) -> Self:
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
            found = placeholders(*(pairs[name][changed] for name in (column, "caption", "p_caption")))
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
        suspect = suspects(pairs["distance"], pairs["change"], changed)
        return cls(verdict, cause, p, suspect, tested.size, storey(values), threshold, least_level(values))


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
    made: then the other counts alone, undoubled, and 1 where neither could.
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
