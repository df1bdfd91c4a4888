"""The embeddings of a sample, and what they say: cosines of picture and caption, clusters, what each is about.

    embeddings/<slug>/, the sample ─▶ Vectors ─▶ cosines (n,), clusters (n,), words of each cluster, balance

Nothing is decided by these: they are for reading, so that products in float32 do, where curate needs exact ones.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.digests import keys_of
from ..disk.files import join, listdir, tables_in
from ..disk.parquet import parquet
from ..errors import InputError
from ..stage.embeddings import FOLDER, read_parts
from .columns import AGAIN
from .pairs import RootPairs, rows_of
from .samples import DAMAGED

CLUSTERS, LEAST, PAPER = (
    100,
    10,
    1000,
)  # clusters at most; rows of each at least; rows of each of the paper's 10,000
ROUNDS = 20
BLOCK = 8192  # rows of float32 at once
WORDS = 8  # of a cluster that are shown

Floats = npt.NDArray[np.float32]
Homes = npt.NDArray[np.int64]


@dataclass(slots=True)
class Vectors:
    """The embeddings of a sample of n pairs. image, caption: (n, d) float16; embedded, captioned (n,): which are there.

    has_captions: whether the embedder has seen captions too.
    """

    image: npt.NDArray[np.float16]
    embedded: npt.NDArray[np.bool_]
    caption: npt.NDArray[np.float16]
    captioned: npt.NDArray[np.bool_]
    has_captions: bool

    def cosines(self) -> Floats:
        """The cosine of picture and caption of those that have both, (m,)."""
        both = np.flatnonzero(self.embedded & self.captioned) if self.has_captions else np.empty(0, np.intp)
        parts = [_directions(self.image[some]) * _directions(self.caption[some]) for some in _blocks(both)]
        return np.concatenate([np.empty(0, np.float32), *(part.sum(1) for part in parts)])


def slugs_of(root: str) -> list[str]:
    """The checkpoints whose embeddings a root has, by the names of their folders."""
    names = listdir(join(root, FOLDER))
    return [name for name in names if not name.endswith(".parquet") and tables_in(root, f"{FOLDER}/{name}")]


def read_vectors(pairs: RootPairs, slug: str) -> Vectors:
    """The embeddings of the sample. InputError where a file of them is damaged, or of other pairs than images/."""
    keys, valid = keys_of(pairs.sample["key"].cast(pa.string()))
    folder, size = f"{FOLDER}/{slug}", len(keys)
    there, found = {*tables_in(pairs.root, folder)}, _none(size, 1, captions=False)
    for shard, places, rows in pairs.shards():
        if shard not in there:
            continue
        url = join(pairs.root, folder, shard)
        with parquet(url, DAMAGED) as file:
            captions = "alt_text" in file.schema_arrow.names
        done = 0
        for part in read_parts(url, rows_of(pairs.root, shard), "alt_text" if captions else None):
            first, last = np.searchsorted(rows, (done, done + len(part.keys)))
            at, inside = places[first:last], rows[first:last] - done
            if not found.embedded.any():
                found = _none(size, part.image.shape[1], captions=captions)
            alike = part.image.shape[1] == found.image.shape[1] and captions == found.has_captions
            if not (alike and (valid[at] & (keys[at] == part.keys[inside])).all()):
                raise InputError(f"{url}: its rows are not those of images/; {AGAIN}")
            found.image[at], found.embedded[at] = part.image[inside], part.embedded[inside]
            found.caption[at], found.captioned[at] = part.caption[inside], part.captioned[inside]
            done += len(part.keys)
    return found


def _none(size: int, dim: int, *, captions: bool) -> Vectors:
    """The embeddings of so many pairs, of which none is there."""
    halves, masks = np.zeros((2, size, dim), np.float16), np.zeros((2, size), np.bool_)
    return Vectors(halves[0], masks[0], halves[1], masks[1], captions)


def cluster_count(rows: int) -> int:
    """How many clusters for so many rows: as large as the paper's where there are many."""
    return max(1, min(rows // LEAST, max(CLUSTERS, rows // PAPER)))


def clusters(vectors: npt.NDArray[np.float16], count: int) -> Homes:
    """The cluster of each row by spherical k-means, (n, d) -> (n,): ties to the first, the first rows begin.

    A cluster that is left empty begins anew at the row that is served worst. The order of the rows decides, so it
    must say nothing, as that of keys.
    """
    centroids = _directions(vectors[:count])
    homes = np.full(len(vectors), -1, np.int64)
    for _ in range(ROUNDS):
        near, cosine = np.empty(len(vectors), np.int64), np.empty(len(vectors), np.float32)
        for some in _blocks(np.arange(len(vectors))):
            products = _directions(vectors[some]) @ centroids.T
            near[some], cosine[some] = products.argmax(1), products.max(1)
        if np.array_equal(near, homes):
            break
        homes = near
        by_home = np.split(np.argsort(homes, kind="stable"), np.cumsum(np.bincount(homes, minlength=count)))
        worst = iter(np.argsort(cosine, kind="stable").tolist())
        for number, rows in enumerate(by_home[:count]):
            chosen = rows if len(rows) else np.array([next(worst, 0)])
            sums = sum(_directions(vectors[some]).sum(0) for some in _blocks(chosen))
            centroids[number] = _directions(np.atleast_2d(sums))[0]
    return homes


def _blocks(rows: npt.NDArray[np.intp]) -> list[npt.NDArray[np.intp]]:
    return [rows[start : start + BLOCK] for start in range(0, len(rows), BLOCK)]


def _directions(vectors: npt.NDArray[Any]) -> Floats:
    """Rows in float32, of length one; zero stays."""
    wide = vectors.astype(np.float32)
    found: Floats = wide / np.maximum(np.linalg.norm(wide, axis=1, keepdims=True), np.float32(1e-12))
    return found


def keywords(words: Sequence[Sequence[str]], homes: Homes, count: int) -> list[list[str]]:
    """The words that tell each cluster from the others, by class-based TF-IDF, the most telling first.

    W(t, c) = tf(t, c) log(1 + A / f(t)): tf is the times that t comes in c, f those in all, A the mean number of words
    of a cluster (Grootendorst 2022, BERTopic: neural topic modeling with a class-based TF-IDF procedure).
    words: of each row; homes: its cluster, of `count`. Of equal words the first by the alphabet.
    """
    inside: list[Counter[str]] = [Counter() for _ in range(count)]
    for some, home in zip(words, homes.tolist(), strict=True):
        inside[home].update(some)
    overall = sum(inside, Counter[str]())
    mean = overall.total() / max(1, sum(1 for one in inside if one))
    weights = [{t: n * math.log(1 + mean / overall[t]) for t, n in one.items()} for one in inside]
    return [sorted(one, key=lambda t, of=one: (-of[t], t))[:WORDS] for one in weights]  # type: ignore[misc]


@dataclass(frozen=True, slots=True)
class Balance:
    """How evenly things are spread over n places. entropy: bits; effective: 2^entropy, places that even ones would be.

    gini: 0 where all places have as much, towards 1 where one has all.
    """

    places: int
    entropy: float
    effective: float
    gini: float


def balance(sizes: npt.NDArray[Any]) -> Balance:
    """The balance of counts (n,), some of them positive: Shannon's entropy, and Gini's coefficient over the same n."""
    parts = np.sort(sizes[sizes > 0]) / sizes.sum()
    entropy = float(-(parts * np.log2(parts)).sum()) + 0.0
    rank, ascending = np.arange(1, len(sizes) + 1), np.sort(sizes)
    gini = float(((2 * rank - len(sizes) - 1) * ascending).sum() / (len(sizes) * ascending.sum()))
    return Balance(len(sizes), entropy, 2**entropy, gini)
