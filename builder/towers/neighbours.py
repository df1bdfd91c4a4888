"""Near pictures: the embeddings of a cell in, every pair of a cosine of at least so much out.

A product in float32, block by block, finds the candidates, and the exact product (`cosine.py`) decides. Pairs come as
a stream: a cell of n pictures that all look alike has n^2 / 2 of them, whatever is done. Memory is bounded by PANEL
rows in float32 (50 MB at 768 numbers), a block of 4 MB of products and its pairs, at most 24 MB, however large the
cell is.

A cell of more than MOST rows is cut again as all were, three of the smaller cells probed. Where that leaves more than
half of them together, as in a ball of noise about one picture, they are compared all the same.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from .cells import MOST_PROBES, PROBES, SAMPLED, centroids_of, meeting, visits
from .cosine import RUN, Cosines, Floats, Rows, Vectors, any_from, compiled, doubt, floats, product

Pairs = tuple[Rows, Rows, Cosines]
Hashes = npt.NDArray[np.uint64]

MOST = 65_536  # rows of a cell that is compared whole: 2 G products, 20 seconds
PIECE = 2048  # rows that live in each of the cells that a larger one is cut into; with guests thrice as many
PANEL = 16_384  # rows of a cell that are in float32 at once
BLOCK = 1024  # rows, of them and of others, in one product
TRIED = 32_768  # rows of a sample whose pairs say how many cells to probe
SURE = 100  # pairs that say it: of fewer than 200 all must meet
ENOUGH = 50_000  # of them: a sample that is dense has no end of them


def pairs_within(vectors: Vectors, least: float, most: int = MOST) -> Iterator[Pairs]:
    """Pairs i < j of a cell and its guests, (n, d), whose cosine is at least `least`: (i, j, cosine), array by array.

    The vectors are distinct (`collapse`). Each pair comes once; of a cell of more than `most` rows, which is cut,
    perhaps more often, and a few may be missing, by the rule of the cells. Which pairs does not depend on the order.
    """
    pieces = _pieces(vectors) if len(vectors) > most else []
    if not pieces:
        yield from _between(vectors, vectors, True, least)
    for rows in pieces:
        for one, other, cosine in pairs_within(vectors[rows], least, most):
            yield rows[one], rows[other], cosine


def against_sample(vectors: Vectors, sample: Vectors, least: float) -> Iterator[Pairs]:
    """All pairs of a row, (n, d), and one of the sample, (s, d), whose cosine is at least `least`: (i, j, cosine)."""
    return _between(vectors, sample, False, least)


def probes_for(sample: Vectors, centroids: Vectors, least: float, wanted: float = 0.995) -> int:
    """How many cells to probe so that the wanted share of pairs of at least `least` meet, as those of a sample do.

    PROBES at least, also where the sample has hardly a pair, and at most MOST_PROBES. The sample is that which the
    centroids are of, so that nothing of it depends on shards.
    """
    rows, needed, known = sample[:TRIED], [np.empty(0, np.int64)], 0
    for one, other, _ in _between(rows, rows, True, least):
        one, other = one[: ENOUGH - known], other[: ENOUGH - known]
        needed.append(meeting(rows[one], rows[other], centroids))
        known += len(one)
        if known == ENOUGH:
            break
    if known < SURE:
        return PROBES
    enough = np.sort(np.concatenate(needed))[math.ceil(known * wanted) - 1]
    return int(min(max(enough, PROBES), MOST_PROBES))


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


def _pieces(vectors: Vectors) -> list[Rows]:
    """The rows of each of the cells that a large one is cut into, ascending; none where it cannot be cut."""
    count = max(1, len(vectors) // PIECE)
    centroids = centroids_of(vectors[np.argsort(hashed(vectors))[: count * SAMPLED]], count)
    home, row, cell = visits(vectors, centroids)
    rows, cells = np.concatenate([np.arange(len(vectors)), row]), np.concatenate([home, cell])
    sizes = np.bincount(cells)
    if sizes.max() > len(vectors) // 2:
        return []
    return np.split(rows[np.lexsort((rows, cells))], np.cumsum(sizes)[:-1])


def _between(rows: Vectors, others: Vectors, same: bool, least: float) -> Iterator[Pairs]:
    """Pairs of a row and one of the others, of all or, where both are the `same`, i < j alone."""
    near = np.float32(least - doubt(rows.shape[1]))
    for panel in range(0, len(rows), PANEL):
        left = floats(rows[panel : panel + PANEL])
        for start in range(panel if same else 0, len(others), BLOCK):
            ahead = start - panel if same else len(left)  # rows of the panel before the first of the block
            # Where a block meets itself BLAS must see one matrix, not two: then it computes half of the product.
            inside = ahead < len(left)
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
            some = products[i, start : start + RUN]
            if any_from(some, near):
                for k in range(max(0, i + 1 - ahead - start), some.size):
                    if some[k] >= near:
                        exact = product(left[i], right[start + k])
                        if exact >= least:
                            one[found], two[found], cosine[found] = i, start + k, exact
                            found += 1
    return one[:found], two[:found], cosine[:found]
