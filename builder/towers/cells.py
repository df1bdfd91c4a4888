"""Cells: which pictures are compared with which. Embeddings in, the cells of each out: its own, and those it visits.

Spherical k-means over a sample cuts the embeddings into cells. A pair of near pictures may lie on both sides of a
border, so that each picture is a guest in the second and the third nearest cell too: a pair is missed only where the
two visit no cell in common. How many are missed is a question of the embeddings (`benchmarks/neighbours.py recall`):
of partners that lie apart in any direction less than .5 %, where one cell alone misses up to a fifth; of those that lie
apart as pictures do, in few dimensions, a tenth and more, and then more cells have to be probed.

What is nearest is decided by the exact product (`cosine.py`), ties by the lower number: the cells of a picture never
depend on the other rows of a batch.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from .cosine import RUN, Cosines, Floats, Rows, Vectors, any_from, compiled, doubt, floats, product

Cells = npt.NDArray[np.int32]

PROBES = 3  # cells that a picture is looked for in, its own the first
MOST_PROBES = 16
NEAR = 1e-5  # what lies this near to the third is probed too
SPARE = 5  # so many at most, where very many are as near
SINGLE = 8192  # rows that are one cell: 34 M products, a quarter of a second
SAMPLED = 32  # rows of the sample for each cell
ROUNDS = 6  # of k-means; more move less than a hundredth of the sample
BLOCK = 256  # rows in one product with all centroids


def cell_count(rows: int, probes: int = PROBES) -> int:
    """How many cells for so many rows: those that cost least.

    A row is compared with all centroids, and in each of the `probes` cells with half of what is there: count +
    probes^2 / 2 * rows / count products, least at probes * (rows / 2)^.5.
    """
    return 1 if rows <= SINGLE else round(probes * math.sqrt(rows / 2))


def centroids_of(sample: Vectors, count: int) -> Vectors:
    """Centroids of spherical k-means, (s, d) -> (count, d), of length one; fewer where the sample has fewer rows.

    The first rows are the first centroids, so that the order of the sample must say nothing (by hash of the key).
    Sums are exact, as are the products that decide. A cell that is left empty begins anew at the row that is served
    worst.
    """
    count = min(count, len(sample))
    centroids, homes = sample[:count].copy(), np.full(len(sample), -1, np.int32)
    for _ in range(ROUNDS if count > 1 else 1):
        near, cosine = _nearest(sample, centroids)
        if np.array_equal(near, homes):
            break
        homes = near
        sums = np.zeros((count, sample.shape[1]))
        for start in range(0, len(sample), BLOCK):
            _add(sums, floats(sample[start : start + BLOCK]), homes[start : start + BLOCK])
        # One sum after the other, which is the same on every machine; numpy's own depends on its vector instructions.
        lengths = np.sqrt(np.cumsum(sums * sums, axis=1)[:, -1:])
        empty = lengths[:, 0] < 1e-3  # no row, or rows that cancel out
        worst = np.argsort(cosine, kind="stable")[: int(empty.sum())]
        centroids = (sums / np.maximum(lengths, 1e-3)).astype(np.float16)
        centroids[empty] = sample[worst]
    return centroids


def visits(vectors: Vectors, centroids: Vectors, probes: int = PROBES) -> tuple[Cells, Rows, Cells]:
    """The cells of each row: its own (n,), and as pairs (m,) and (m,) which row visits which other cell.

    The nearest of `probes` cells is its own; it visits the others, and whatever else is within NEAR of the last of
    them, up to SPARE. The visits of a row come nearest first.
    """
    cells = np.empty((len(vectors), probes + SPARE), np.int32)
    for start, found, _ in _probed(vectors, centroids, probes):
        cells[start : start + len(found)] = found
    row, place = np.nonzero(cells[:, 1:] >= 0)
    return cells[:, 0].copy(), row.astype(np.int64), cells[row, place + 1]


def meeting(left: Vectors, right: Vectors, centroids: Vectors) -> Rows:
    """How many cells the two of a pair must probe to meet, (n, d) and (n, d) -> (n,); MOST_PROBES + 1: or more."""
    needed = np.empty(len(left), np.int64)
    later = np.maximum.outer(np.arange(1, MOST_PROBES + 1), np.arange(1, MOST_PROBES + 1))
    for (start, one, _), (_, other, _) in zip(
        _probed(left, centroids, MOST_PROBES), _probed(right, centroids, MOST_PROBES), strict=True
    ):
        one, other = one[:, :MOST_PROBES, None], other[:, None, :MOST_PROBES]
        needed[start : start + len(one)] = np.where((one == other) & (one >= 0), later, MOST_PROBES + 1).min(
            axis=(1, 2)
        )
    return needed


def _nearest(vectors: Vectors, centroids: Vectors) -> tuple[Cells, Cosines]:
    """The nearest cell of each row and the cosine to its centroid."""
    home, cosine = np.empty(len(vectors), np.int32), np.empty(len(vectors), np.float64)
    for start, cells, best in _probed(vectors, centroids, 1):
        home[start : start + len(cells)], cosine[start : start + len(cells)] = cells[:, 0], best
    return home, cosine


def _probed(vectors: Vectors, centroids: Vectors, probes: int) -> Iterator[tuple[int, Cells, Cosines]]:
    """Block by block: where it starts, the cells of each row from the nearest on, -1 for none, and the best cosine."""
    wide = floats(centroids)
    reach = NEAR + 2 * doubt(vectors.shape[1])
    for start in range(0, len(vectors), BLOCK):
        rows = floats(vectors[start : start + BLOCK])
        cells = np.full((len(rows), probes + SPARE), -1, np.int32)
        yield start, cells, _choose(rows @ wide.T, rows, wide, min(probes, len(wide)), reach, cells)


@compiled
def _add(sums: Cosines, rows: Floats, homes: Cells) -> None:
    for row in range(len(rows)):
        for k in range(rows.shape[1]):
            sums[homes[row], k] += rows[row, k]


@compiled
def _insert(ranked: npt.NDArray[Any], value: float) -> int:
    """Put a value among those that descend, after its equals, and drop the last: where, past the end if nowhere."""
    place = len(ranked)
    while place > 0 and value > ranked[place - 1]:
        if place < len(ranked):
            ranked[place] = ranked[place - 1]
        place -= 1
    if place < len(ranked):
        ranked[place] = value
    return place


@compiled
def _put(cells: Cells, place: int, cell: int) -> None:
    """Put a cell where its cosine was put."""
    if place < len(cells):
        for further in range(len(cells) - 1, place, -1):
            cells[further] = cells[further - 1]
        cells[place] = cell


@compiled
def _best(near: Floats, best: Floats) -> None:
    """Fill `best` with the largest products of a row, from the largest on."""
    best[:] = -np.inf
    for start in range(0, len(near), RUN):
        some = near[start : start + RUN]
        if any_from(some, best[-1]):
            for k in range(some.size):
                if some[k] > best[-1]:
                    _insert(best, some[k])


@compiled
def _choose(
    near: Floats, rows: Floats, centroids: Floats, probes: int, reach: float, cells: Cells
) -> Cosines:
    """Fill in the cells of each row, nearest first; the exact cosine to the first.

    near: products in float32. A cell that belongs there by the exact product is within `reach` of the last of the
    `probes` best by these, so that only such are multiplied again.
    """
    first = np.empty(len(near), np.float64)
    best, exact = np.empty(probes, np.float32), np.empty(cells.shape[1], np.float64)
    for row in range(len(near)):
        _best(near[row], best)
        bound = np.float32(best[-1] - reach)
        exact[:] = -np.inf
        for start in range(0, near.shape[1], RUN):
            some = near[row, start : start + RUN]
            if any_from(some, bound):
                for k in range(some.size):
                    if some[k] >= bound:
                        place = _insert(exact, product(rows[row], centroids[start + k]))
                        _put(cells[row], place, start + k)
        first[row] = exact[0]
        for place in range(probes, len(exact)):
            if exact[place] < exact[probes - 1] - NEAR:
                cells[row, place] = -1
    return first
