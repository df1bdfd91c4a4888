"""Synthetic embeddings with planted near duplicates: unit vectors in float16 of which one in ten has a partner.

    world(name, rows, width, seed, apart="own") -> (rows, width) float16

| world | what it is like |
|---|---|
| clusters | a direction for every 150 rows, of some many more, and noise about it: pictures of many kinds |
| spectrum | a mean that all share, and variances that fall as 1 / k: what embeddings of photographs look like |
| rank32 | 32 dimensions of 512: no clusters, and borders of cells on every side |

The partner of a row lies at a cosine between .85 and 1 to it, drawn evenly. What separates the two is a direction of
the same world (`own`: where the rows are of few dimensions, so is that, which is the hardest for cells) or one of all
dimensions (`any`: noise, as another encoding makes it).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]
Random = np.random.Generator
PLANTED = 10  # one row of so many is the partner of another
BLOCK = 50_000


def clusters(random: Random, rows: int, width: int) -> Callable[[int], Floats]:
    """Draws rows about rows / 150 directions, the nth as often as 1 / n^.5; the cosine of two of one near .4."""
    centres = random.standard_normal((max(rows // 150, 2), width), np.float32)
    often = np.cumsum(1 / np.sqrt(np.arange(1, len(centres) + 1)))

    def draw(count: int) -> Floats:
        noise = random.standard_normal((count, width), np.float32)
        return centres[np.searchsorted(often, random.uniform(0, often[-1], count))] + 1.2 * noise

    return draw


def spectrum(random: Random, rows: int, width: int) -> Callable[[int], Floats]:
    """Draws rows of a mean cosine near .3, of variances 1 / k."""
    scale = (1 / np.sqrt(np.arange(1, width + 1))).astype(np.float32)
    mean = random.standard_normal(width, np.float32)
    mean *= np.float32(0.65) * np.linalg.norm(scale) / np.linalg.norm(mean)
    return lambda count: random.standard_normal((count, width), np.float32) * scale + mean


def rank32(random: Random, rows: int, width: int) -> Callable[[int], Floats]:
    """Draws rows of 32 dimensions, turned at random."""
    turn = random.standard_normal((32, width), np.float32)
    return lambda count: random.standard_normal((count, 32), np.float32) @ turn


WORLDS = {one.__name__: one for one in (clusters, spectrum, rank32)}


def world(name: str, rows: int, width: int, seed: int, apart: str = "own") -> npt.NDArray[np.float16]:
    """The embeddings, in an order that says nothing."""
    random = np.random.default_rng(seed)
    draw = WORLDS[name](random, rows, width)
    out = np.empty((rows, width), np.float16)
    order = random.permutation(rows)
    singles = rows - rows // PLANTED
    for start in range(0, singles, BLOCK):
        some = order[start : min(start + BLOCK, singles)]
        out[some] = unit(draw(len(some)))
    for start in range(singles, rows, BLOCK):
        some = order[start : start + BLOCK]
        base = out[order[start - singles : start - singles + len(some)]].astype(np.float32)
        aside = draw(len(some)) - draw(len(some))
        if apart == "any":
            aside = random.standard_normal(aside.shape, np.float32)
        aside = unit(aside - (aside * base).sum(1, keepdims=True) * base)
        cosine = random.uniform(0.85, 1, (len(some), 1)).astype(np.float32)
        out[some] = unit(cosine * base + np.sqrt(1 - cosine**2) * aside)
    return out


def unit(values: Floats) -> Floats:
    """Rows of length one."""
    return np.asarray(values / np.linalg.norm(values, axis=1, keepdims=True), np.float32)
