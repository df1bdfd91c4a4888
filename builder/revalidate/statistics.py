"""The mathematics of the verdicts, apart from models and files: arrays of p-values in, floats and arrays out."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .rules import LAMBDA

Floats = npt.NDArray[np.floating]
Bools = npt.NDArray[np.bool_]


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
