"""Arrays that our figures, mteb's and CLIP_benchmark's are made of, from a formula, and what ours come to.

Number k of array s is h(k, s) mod 2001 - 1000, with h in 64 bits, x = k + s * 2^32 + 1:
x *= 0x9E3779B97F4A7C15, x ^= x >> 29, x *= 0xBF58476D1CE4E5B9, x ^= x >> 32. Rows are made of length one in float64, of
whole numbers, so they are the same on every machine. `make parity` writes what the others give into parity.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from builder.evaluate import metrics
from builder.evaluate.metrics import Pairs, Vectors, ranks

KEPT = Path(__file__).with_name("parity.json")
CLOSE = 6e-6  # mteb rounds to five places
MOST = (1, 5, 10)
WAYS = ("text to image", "image to text")
CAPTIONS, PICTURES, CLASSES = 300, 100, 7


def numbers(n: int, d: int, array: int) -> npt.NDArray[np.int64]:
    x = np.arange(n * d, dtype=np.uint64) + np.uint64((array << 32) + 1)
    x *= np.uint64(0x9E3779B97F4A7C15)
    x ^= x >> np.uint64(29)
    x *= np.uint64(0xBF58476D1CE4E5B9)
    x ^= x >> np.uint64(32)
    return (x % np.uint64(2001)).astype(np.int64).reshape(n, d) - 1000


def unit(rows: npt.NDArray[np.int64]) -> Vectors:
    lengths = np.sqrt((rows**2).sum(axis=1, keepdims=True).astype(np.float64))
    return (rows / lengths).astype(np.float32)


class Retrieval(NamedTuple):
    """Texts, pictures, and the one picture of each text; some pictures have several texts, and some none."""

    texts: Vectors
    pictures: Vectors
    picture_of: npt.NDArray[np.int64]

    def way(self, name: str) -> tuple[Vectors, Vectors, Pairs]:
        pairs = np.stack([np.arange(len(self.texts)), self.picture_of], axis=1)
        if name == WAYS[0]:
            return self.texts, self.pictures, pairs
        there = np.unique(self.picture_of)  # mteb asks nothing of a picture without texts
        return (
            self.pictures[there],
            self.texts,
            np.stack([np.searchsorted(there, pairs[:, 1]), pairs[:, 0]], axis=1),
        )


def plain() -> Retrieval:
    """No two cosines of a text or picture are the same."""
    picture_of = np.abs(numbers(CAPTIONS, 1, 1)[:, 0]) % PICTURES
    pictures = numbers(PICTURES, 64, 2)
    return Retrieval(unit(pictures[picture_of] + 4 * numbers(CAPTIONS, 64, 3)), unit(pictures), picture_of)


def tied() -> Retrieval:
    """16 signs: cosines are multiples of 1/8, exact in any order, and most of them are there several times."""
    texts, pictures, picture_of = plain()
    return Retrieval(
        *(np.where(one[:, :16] < 0, -0.25, 0.25).astype(np.float32) for one in (texts, pictures)), picture_of
    )


RETRIEVAL = {"plain": plain, "tied": tied}


class Classified(NamedTuple):
    """Pictures, class vectors, and the class of each picture."""

    pictures: Vectors
    classes: Vectors
    label: npt.NDArray[np.int64]


def classified() -> Classified:
    label = np.abs(numbers(CAPTIONS, 1, 4)[:, 0] // 3) % CLASSES
    classes = numbers(CLASSES, 64, 5)
    return Classified(unit(classes[label] + 4 * numbers(CAPTIONS, 64, 6)), unit(classes), label)


def scored() -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Scores of 51 values, and truth that goes with them somewhat."""
    scores = numbers(CAPTIONS, 1, 7)[:, 0] // 40
    return scores.astype(np.float32), scores + numbers(CAPTIONS, 1, 8)[:, 0] // 20 > 10


def ours() -> dict[str, float]:
    """Every figure by its name."""
    ones, told = np.ones((1, CAPTIONS)), {}
    for case, made in RETRIEVAL.items():
        for way in WAYS:
            rank = ranks(*made().way(way)).rank
            for most in MOST:
                told[f"{case}, {way}, R@{most}"] = metrics.recall(rank, ones[:, : len(rank)], most)
    pictures, classes, label = classified()
    right = ranks(pictures, classes, np.stack([np.arange(CAPTIONS), label], axis=1)).rank == 1
    told["top-1"] = metrics.top1(right, ones)
    told["mean per class"] = metrics.mean_per_class(right, label, ones)
    told["AUC"] = metrics.auc(*scored(), ones)
    return {name: float(one[0]) for name, one in told.items()}
