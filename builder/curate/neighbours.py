"""Near pictures: the embeddings of a cell and of its guests in, every pair of a cosine of at least so much out.

A product in float32, block by block, finds the candidates, and the exact product (`cosine.py`) decides. Pairs come as
a stream: a cell of n pictures that all look alike has n^2 / 2 of them, whatever is done. Memory is bounded by PANEL
rows in float32 (50 MB at 768 numbers) and a block of 4 MB of products, however large the cell is.

A cell of more than MOST rows is cut again in the same way, and its pictures are guests in three of the smaller cells.
Where that leaves more than half of them together, they are compared all the same.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .cells import SAMPLED, centroids_of, visits
from .cosine import RUN, Cosines, Floats, Rows, Vectors, any_from, compiled, doubt, floats, product

Pairs = tuple[Rows, Rows, Cosines]
Hashes = npt.NDArray[np.uint64]

MOST = 32_768  # rows of a cell that is compared whole: with itself 0.5 G products, four seconds
PIECE = 2048  # rows of the cells that a larger one is cut into
PANEL = 16_384  # rows of a cell that are in float32 at once
BLOCK = 1024  # rows, of them and of others, in one product


def pairs_within(home: Vectors, guests: Vectors, least: float, most: int = MOST) -> Iterator[Pairs]:
    """Pairs of a cell whose cosine is at least `least`, (h, d) and (g, d) -> (i, j, cosine), array by array.

    Pairs of home i < j < h, and of home i and guest j - h. The vectors are distinct (`collapse`). Each pair comes once;
    from a cell that was cut, perhaps twice, and a few may be missing, by the rule of the cells. The pairs do not depend
    on the order of the rows. most: rows of a cell that is not cut.
    """
    if len(home) <= most:
        return _compared(home, guests, least)
    return _cut(home, guests, least, most)


def against_sample(vectors: Vectors, sample: Vectors, least: float) -> Iterator[Pairs]:
    """All pairs of a row, (n, d), and one of the sample, (s, d), whose cosine is at least `least`: (i, j, cosine)."""
    return _between(vectors, sample, False, least)


def collapse(vectors: Vectors, order: Rows) -> Rows:
    """The row that stands for each, (n, d) -> (n,): of all that have its bytes the one whose `order`, (n,), is least.

    Rows of equal hashes come next to each other and are compared with the first of them, byte by byte; those that
    differ from it all the same are gone through again.
    """
    stands, bits, hashes = np.arange(len(vectors)), vectors.view(np.uint16), hashed(vectors)
    rest = np.lexsort((order, hashes))
    while rest.size:
        begins = np.flatnonzero(np.diff(hashes[rest], prepend=~hashes[rest[:1]]))
        heads = np.repeat(rest[begins], np.diff(begins, append=len(rest)))
        same = heads == rest
        others = np.flatnonzero(~same)
        for some in np.array_split(others, len(others) // PANEL + 1):
            same[some] = (bits[rest[some]] == bits[heads[some]]).all(axis=1)
        stands[rest[same]] = heads[same]
        rest = rest[~same]
    return stands


def hashed(vectors: Vectors) -> Hashes:
    """A 64-bit hash of the bytes of each row, (n, d) -> (n,): their products with fixed odd numbers, summed, mixed."""
    bits = vectors.view(np.uint16)
    odd = np.random.PCG64(0).random_raw(bits.shape[1]) | np.uint64(1)
    found = np.empty(len(bits), np.uint64)
    for start in range(0, len(bits), BLOCK):
        found[start : start + BLOCK] = (bits[start : start + BLOCK] * odd).sum(axis=1, dtype=np.uint64)
    found ^= found >> np.uint64(32)
    return found * np.uint64(0x9E3779B97F4A7C15)


def _compared(home: Vectors, guests: Vectors, least: float) -> Iterator[Pairs]:
    """All pairs of a cell that is not cut."""
    yield from _between(home, home, True, least)
    for one, other, cosine in _between(home, guests, False, least):
        yield one, other + len(home), cosine


def _cut(home: Vectors, guests: Vectors, least: float, most: int) -> Iterator[Pairs]:
    """The pairs of a cell that is cut into smaller ones, of which those that visit one are the guests."""
    count, h = len(home) // PIECE, len(home)
    centroids = centroids_of(home[np.argsort(hashed(home))[: count * SAMPLED]], count)
    inside, row, other = visits(home, centroids)
    near, guest, further = visits(guests, centroids)
    visitors = np.concatenate([row, h + np.arange(len(guests)), h + guest])  # those of home first
    visited = np.concatenate([other, near, further])
    for cell in range(len(centroids)):
        own, others = np.flatnonzero(inside == cell), visitors[visited == cell]
        split = np.searchsorted(others, h)
        vectors = np.concatenate([home[others[:split]], guests[others[split:] - h]])
        members = np.concatenate([own, others])
        larger = most if len(own) <= h // 2 else len(own)
        for one, two, cosine in pairs_within(home[own], vectors, least, larger):
            yield np.minimum(members[one], members[two]), np.maximum(members[one], members[two]), cosine


def _between(rows: Vectors, others: Vectors, same: bool, least: float) -> Iterator[Pairs]:
    """Pairs of a row and one of the others, of all or, where both are the `same`, i < j alone."""
    near = np.float32(least - doubt(rows.shape[1]))
    for panel in range(0, len(rows), PANEL):
        left = floats(rows[panel : panel + PANEL])
        for start in range(panel if same else 0, len(others), BLOCK):
            ahead = start - panel if same else len(left)  # rows of the panel before the first of the block
            inside = ahead < len(
                left
            )  # then BLAS sees one matrix, not two, and computes but half of the product
            right = left[ahead : ahead + BLOCK] if inside else floats(others[start : start + BLOCK])
            for low in range(0, min(len(left), ahead + 1), BLOCK):
                some = left[low : low + BLOCK]
                i, j, cosine = _sift(some @ right.T, some, right, ahead - low, near, least)
                if len(i):
                    yield i + (panel + low), j + start, cosine


@compiled
def _sift(products: Floats, left: Floats, right: Floats, ahead: int, near: np.float32, least: float) -> Pairs:
    """Pairs j + ahead > i whose cosine is at least `least`, of those whose product in float32 is at least `near`."""
    found, width = 0, products.shape[1]
    for i in range(len(left)):
        for j in range(width):
            found += products[i, j] >= near
    one, two, cosine = np.empty(found, np.int64), np.empty(found, np.int64), np.empty(found, np.float64)
    if found == 0:
        return one, two, cosine
    found = 0
    for i in range(len(left)):
        for start in range(0, width, RUN):
            stop = min(start + RUN, width)
            if any_from(products[i], start, stop, near):
                for j in range(max(start, i + 1 - ahead), stop):
                    if products[i, j] >= near:
                        exact = product(left[i], right[j])
                        if exact >= least:
                            one[found], two[found], cosine[found] = i, j, exact
                            found += 1
    return one[:found], two[:found], cosine[:found]
