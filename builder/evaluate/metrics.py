"""Figures of a benchmark: where the first right answer stands, and a number for each draw of what became of all items.

    queries (q, d), items (m, d), pairs of what belongs together ─▶ Ranks: rank (q,), tied (q,)
    rank, right, scores of n items, weights (b, n) ─▶ (b,): weights of ones give the figure, those of draws its spread

A rank is one more than the number of wrong items whose cosine is no less than that of the best right one: ties count
against us. Tools break them otherwise: of a matrix of equal numbers CLIP_benchmark says R@1 = 1, and mteb 0. A product
of matrices gives equal rows last bits that differ with their place in it, so it says only what is near; what is near
is decided by a cosine of its own, the sum of the products of one row with the other in float64, rounded to float32.
Equal rows therefore tie, and no rank depends on the order of rows, the size of blocks, threads or the BLAS.

A figure with weights is the figure of a set in which every item is there so many times (Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, 13.3). Where nothing is left to divide by, it is NaN. All are between 0 and 1. The
draws of a benchmark are the same for every checkpoint, so that a difference of two has an interval of its own.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Vectors = npt.NDArray[np.float32]  # (n, d), each of length one, or NaN of what could not be read
Pairs = npt.NDArray[np.int64]  # (p, 2): row of the queries, row of the items
Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
UNFOUND = int(np.iinfo(np.int32).max)
BLOCK = 1 << 22  # cosines, or weights, at once: 16 or 32 MB, and as much again for what is compared


class Ranks(NamedTuple):
    """Ranks of q queries. rank: 1 is first, UNFOUND where there is nothing right to find; tied: with a wrong item."""

    rank: npt.NDArray[np.int32]
    tied: npt.NDArray[np.bool_]


def ranks(queries: Vectors, items: Vectors, pairs: Pairs, block: int = BLOCK) -> Ranks:
    """Rank the best of each query's right items among all wrong ones; block: cosines that are held at once.

    An item of NaN is never found and stands before none; a query of NaN, or all of whose right items are, finds none.
    """
    pairs = pairs[np.argsort(pairs[:, 0], kind="stable")]
    best = np.full(len(queries), np.nan, np.float32)
    np.fmax.at(best, pairs[:, 0], cosines(queries, items, pairs))
    found = Ranks(np.where(np.isnan(best), UNFOUND, 1).astype(np.int32), np.zeros(len(queries), np.bool_))
    # The bound of any order of the sum, d * 2^-24 (Higham, Accuracy and Stability, 3.1), and some for its own rounding.
    margin = np.float32((items.shape[1] + 4) * 2.0**-24)
    step = max(1, block // max(1, len(items)))
    for start in range(0, len(queries), step):
        rows = slice(start, start + step)
        with np.errstate(invalid="ignore"):
            near = queries[rows] @ items.T
        first, last = np.searchsorted(pairs[:, 0], (start, start + step))
        near[pairs[first:last, 0] - start, pairs[first:last, 1]] = -np.inf
        before = near > (best[rows] + margin)[:, None]
        close = near >= (best[rows] - margin)[:, None]
        close ^= before
        doubtful = np.argwhere(close)
        doubtful[:, 0] += start
        exact, least = cosines(queries, items, doubtful), best[doubtful[:, 0]]
        found.rank[rows] += np.count_nonzero(before, axis=1).astype(np.int32)
        np.add.at(found.rank, doubtful[exact >= least, 0], 1)
        found.tied[doubtful[exact == least, 0]] = True
    return found


def cosines(queries: Vectors, items: Vectors, pairs: Pairs) -> npt.NDArray[np.float32]:
    """The cosine of each pair (p,), the same wherever its rows stand."""
    found = np.empty(len(pairs), np.float32)
    for start in range(0, len(pairs), 4096):
        query, item = pairs[start : start + 4096].T
        products = np.multiply(queries[query], items[item], dtype=np.float64)
        found[start : start + 4096] = products.sum(axis=1)
    return found


def recall(rank: npt.NDArray[np.int32], weights: Floats, most: int) -> Floats:
    """The share of queries (n,) that find a right item among the first `most`: R@1, R@5, R@10 of the paper."""
    return top1(rank <= most, weights)


def top1(right: Bools, weights: Floats) -> Floats:
    """The share of items (n,) that are right."""
    return _share(weights @ right, weights.sum(axis=1))


def mean_per_class(right: Bools, label: npt.NDArray[np.int64], weights: Floats) -> Floats:
    """The mean, over the classes that are there, of the share of a class that is right: ELEVATER's mean per class.

    label: the class of each item (n,). scikit-learn calls it balanced accuracy.
    """
    order = np.argsort(label, kind="stable")
    _, starts = np.unique(label[order], return_index=True)
    sizes = np.add.reduceat(weights[:, order], starts, axis=1)
    hits = np.add.reduceat(weights[:, order] * right[order], starts, axis=1)
    shares = _share(hits, sizes)
    return _share(np.nansum(shares, axis=1), (sizes > 0).sum(axis=1))


def mean_average_precision(
    scores: npt.NDArray[np.float32], truth: Bools, weights: Floats, points: int = 11
) -> Floats:
    """The 11-point mean average precision of PASCAL VOC 2007, of items with scores and truth (n, c).

    For each class the mean, over recalls of 0, 0.1, ... 1, of the highest precision at that recall or a higher one
    (Everingham et al., IJCV 88, 2010, 4.2); then the mean over the classes that are there. Recalls are compared as
    whole numbers: 3 of 10 is a recall of 0.3, which it is not in floats. Of equal scores the wrong come first. An item
    of NaN is never found, nor in the way of another.
    """
    found = [
        _average_precision(scores[:, one], truth[:, one], weights, points) for one in range(scores.shape[1])
    ]
    every = np.stack(found, axis=1)
    return _share(np.nansum(every, axis=1), (~np.isnan(every)).sum(axis=1))


def _average_precision(scores: npt.NDArray[np.float32], truth: Bools, weights: Floats, points: int) -> Floats:
    """The average precision of one class, (n,) and (n,) -> (b,); NaN where nothing is of it."""
    positives = weights @ truth
    seen = np.flatnonzero(~np.isnan(scores))
    order = seen[np.lexsort((truth[seen], -scores[seen]))]
    hits = np.flatnonzero(truth[order])  # precision is highest at these
    taken = np.cumsum(weights[:, order], axis=1)[:, hits]
    right = np.cumsum(weights[:, order[hits]], axis=1)
    precision = np.nan_to_num(_share(right, taken))
    best = [
        np.where((points - 1) * right >= at * positives[:, None], precision, 0).max(axis=1, initial=0)
        for at in range(points)
    ]
    return np.where(positives > 0, np.mean(best, axis=0), np.nan)


def auc(scores: npt.NDArray[np.float32], truth: Bools, weights: Floats) -> Floats:
    """The area under the ROC curve: how often a true item has the higher score than another, half of that where equal.

    scores, truth: (n,). An item of NaN is on the wrong side of every other: a true one below all, another above all.
    """
    scores = np.where(np.isnan(scores), np.where(truth, -np.inf, np.inf), scores)
    order = np.argsort(scores, kind="stable")
    _, starts = np.unique(scores[order], return_index=True)
    true = np.add.reduceat((weights * truth)[:, order], starts, axis=1)
    others = np.add.reduceat((weights * ~truth)[:, order], starts, axis=1)
    below = np.cumsum(others, axis=1) - others / 2
    return _share((true * below).sum(axis=1), true.sum(axis=1) * others.sum(axis=1))


def _share(part: Floats, whole: Floats | npt.NDArray[np.int64]) -> Floats:
    """Quotients; NaN where there is nothing to divide by."""
    out = np.full(np.shape(part), np.nan)
    np.divide(part, whole, out=out, where=whole > 0)
    return out


def draws_of(n: int, draws: int, seed: int, name: str, block: int = BLOCK) -> Iterator[Floats]:
    """Weights of bootstrap draws of n items with replacement, (b, n) at a time; block: weights that are held at once.

    name: of what is drawn from; the draws follow from it, n and the seed alone, and are the same in every version of
    NumPy: what PCG64 gives raw is promised, what is made of it is not.
    """
    start = hashlib.sha256(f"{seed} {n} {name}".encode()).digest()
    random = np.random.PCG64(int.from_bytes(start))
    step = max(1, block // max(1, n))
    for first in range(0, draws, step):
        weights = np.empty((min(step, draws - first), n))
        for row in weights:
            drawn = (random.random_raw(n) >> np.uint64(32)) * np.uint64(n) >> np.uint64(32)
            row[:] = np.bincount(drawn.astype(np.int64), minlength=n)
        yield weights


def interval(values: Floats) -> tuple[float, float]:
    """Bounds of 95 % of the values of draws (b,), those of NaN left out (the percentile method); NaN of none."""
    known = values[~np.isnan(values)]
    low, high = np.quantile(known, (0.025, 0.975)) if len(known) else (np.nan, np.nan)
    return float(low), float(high)
