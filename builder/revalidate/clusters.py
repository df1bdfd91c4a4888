"""Placeholders: one picture under many pairs whose captions disagree. Arrays of all changed pairs in, a mask out.

A group-by over the whole data set, because a banner sits under URLs of every shard. Numbers are sorted, never
looped over, and only what repeats is looked at twice.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .rules import CLUSTER, DISTINCT, MISFIT

Hashes = npt.NDArray[np.uint64]
NONE = np.uint64(0)  # of a hash: there is none

_ODD = tuple(np.uint64(k) for k in (0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9))


def hash_codes(codes: npt.NDArray[np.uint8]) -> Hashes:
    """A 64-bit hash of each code, (n, 32) bytes -> (n,), never NONE: equal codes, equal hashes.

    Of 100 M different codes hardly two collide (2 in 10,000 runs), and a cluster takes four.
    """
    words = np.ascontiguousarray(codes).view("<u8")
    mixed = words[:, 0].astype(np.uint64)
    for column, factor in zip(range(1, words.shape[1]), _ODD, strict=True):
        mixed *= factor  # odd, so nothing is lost; it wraps around
        mixed ^= mixed >> np.uint64(29)
        mixed += words[:, column]
    return np.maximum(mixed, np.uint64(1))


def placeholders(
    picture: Hashes, caption: Hashes, p_caption: npt.NDArray[np.float32]
) -> npt.NDArray[np.bool_]:
    """Which pairs, all shape (n,), show a picture that at least CLUSTER show under captions that disagree.

    picture: a hash of what the pair shows, caption: of its caption, NONE where there is none; p_caption: NaN where
    there is none. A cluster is one of placeholders when at least DISTINCT of its captions are distinct and the
    median p_caption is above MISFIT; a cluster without captions is left to the other tests.
    """
    found = np.zeros(picture.shape, np.bool_)
    members = np.flatnonzero(_repeated(picture))
    if not members.size:
        return found
    _, group = np.unique(picture[members], return_inverse=True)
    groups = int(group.max()) + 1
    distinct = _distinct_share(group, caption[members], groups)
    misfit = _median(group, p_caption[members], groups)
    found[members] = ((distinct >= DISTINCT) & (misfit > MISFIT))[group]
    return found


def _repeated(picture: Hashes) -> npt.NDArray[np.bool_]:
    """Which pairs show a picture that at least CLUSTER pairs show."""
    ordered = np.sort(picture[picture != NONE])
    common = np.unique(ordered[CLUSTER - 1 :][ordered[CLUSTER - 1 :] == ordered[: -(CLUSTER - 1)]])
    if not common.size:
        return np.zeros(picture.shape, np.bool_)
    place = np.minimum(np.searchsorted(common, picture), common.size - 1)
    return np.asarray(common[place] == picture)


def _distinct_share(group: npt.NDArray[np.intp], caption: Hashes, groups: int) -> npt.NDArray[np.float64]:
    """Distinct captions over captions, of each group; 0 where it has none."""
    group, caption = group[caption != NONE], caption[caption != NONE]
    order = np.lexsort((caption, group))
    group, caption = group[order], caption[order]
    first = np.ones(group.size, np.bool_)
    first[1:] = (group[1:] != group[:-1]) | (caption[1:] != caption[:-1])
    counts = np.bincount(group, minlength=groups)
    return np.bincount(group[first], minlength=groups) / np.maximum(counts, 1)


def _median(
    group: npt.NDArray[np.intp], values: npt.NDArray[np.float32], groups: int
) -> npt.NDArray[np.float64]:
    """The median of each group's values that are not NaN; NaN, which is above nothing, where it has none."""
    group, values = group[~np.isnan(values)], values[~np.isnan(values)]
    values = values[np.lexsort((values, group))].astype(np.float64)
    counts = np.bincount(group, minlength=groups)
    medians = np.full(groups, np.nan)
    some = counts > 0
    start = (np.cumsum(counts) - counts)[some]
    low, high = start + (counts[some] - 1) // 2, start + counts[some] // 2
    medians[some] = (values[low] + values[high]) / 2
    return medians
