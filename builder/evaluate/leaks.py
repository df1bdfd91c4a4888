"""Leaks: which pictures of a benchmark lie in the root that a checkpoint was trained on.

pictures of the benchmarks ─▶ SHA-256, perceptual hash, embedding ─▶ candidates among the pairs that the root serves for
training ─▶ both pictures are looked at (alike.py) ─▶ hits, kept in <folder>/leaks-<slug of the root>.parquet

Hashes and cosines only say which pictures are worth a look: a hash of four bits less or a cosine of .9 is that of many
another photograph of the same thing. Equal bytes need none. The root is streamed, shard by shard; of it, the MOST
nearest pairs of each picture are held, in an order of their own, so that no order of shards changes what is found.
Cosines of a million pairs of 768 numbers with 10,000 pictures take 144 s of one core: 100 M with 100,000 take 40 core
hours, and their hashes a quarter of one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..console import Console
from ..disk import ledger
from ..disk.digests import KEY, Bools, Digests, hex_of, keys_of, unhex, within
from ..disk.files import join, listdir, local_path, publish, resolved, tables_in
from ..disk.location import read_from
from ..disk.parquet import parquet, pc, rows_by_number, writer
from ..disk.schema import JUDGES, said_by, saying, unlike
from ..errors import DanqingError, InputError, first_line
from ..picture.measure import measure
from ..picture.measures import RICH
from ..picture.phash import phash
from ..picture.stored import scaled
from ..stage.embeddings import ANEW, FOLDER, embeddings_of, read_parts
from ..stage.shards import Shard, find_shards, served, sizes_in
from ..towers.alike import Seen, alike, see
from ..towers.checkpoint import find, slug_of
from ..towers.cosine import of_length_one
from ..towers.neighbours import against_sample
from .tasks import Task

if TYPE_CHECKING:
    from ..towers import Checkpoint, Embedded, ToEmbed

FORMAT = 1  # of the file, and of the rules by which pictures are found and looked at
HOW = ("sha256", "phash", "embedding")
MOST = 16  # pairs of the root that are looked at for one picture: the nearest
BITS = 4  # of 64 that two hashes of one picture differ in at most; equal parts of BITS + 1 find them
READ = 64  # pictures that are read at once
HELD = 4096  # pictures of benchmarks that wait for the root with what was seen of them: 130 KB each
PENDING = 1 << 20  # candidates, beside the best, that are held at once
_HITS: list[Any] = [
    pa.field("benchmark", pa.string(), False), pa.field("picture", pa.string(), False),
    pa.field("row", pa.int32(), False), pa.field("key", pa.string(), False), pa.field("how", pa.string(), False),
    pa.field("cosine", pa.float64()),
]  # fmt: skip
HITS = pa.schema(_HITS)
CANDIDATE = np.dtype(
    [("picture", "<i4"), ("how", "i1"), ("cosine", "<f8"), ("key", KEY), ("shard", "<i4"), ("row", "<i4")]
)
Candidates = npt.NDArray[np.void]


@dataclass(frozen=True, slots=True)
class Leaks:
    """What of some benchmarks lies in a root. hits: as HITS, by benchmark and picture; sizes: pictures of each.

    root: as people call it; told: how it was looked for, a line each.
    """

    root: str
    hits: pa.Table
    sizes: Mapping[str, int]
    told: Sequence[str]

    def kept(self, benchmark: str) -> Bools | None:
        """Which of its pictures do not lie in the root (n,); None of a benchmark that was not looked for."""
        if benchmark not in self.sizes:
            return None
        mask = np.ones(self.sizes[benchmark], np.bool_)
        mask[self._of(benchmark)["row"].to_numpy()] = False
        return mask

    def lines(self) -> list[str]:
        """How many pictures of each benchmark lie in the root, and by what they were found first."""
        lines = []
        for name, size in self.sizes.items():
            best: dict[int, str] = {}
            for row, how in zip(*(self._of(name)[one].to_pylist() for one in ("row", "how")), strict=True):
                best[row] = min(best.get(row, how), how, key=HOW.index)
            by = Counter(best.values())
            told = ", ".join(f"{by[how]:,} by {how}" for how in HOW if by[how])
            lines.append(
                f"{name}: {len(best):,} of {size:,} pictures lie in {self.root}" + f" ({told})" * bool(told)
            )
        return [*lines, *self.told]

    def _of(self, benchmark: str) -> pa.Table:
        return self.hits.filter(pc.equal(self.hits["benchmark"], benchmark))


class Known(NamedTuple):
    """What is known of the n pictures of all tasks.

    sha256: the last half of it (n,); phash: (n,), rich: for which it says something; vectors: (n, d) float16,
    embedded: which have one.
    """

    sha256: Digests
    phash: npt.NDArray[np.uint64]
    rich: Bools
    vectors: npt.NDArray[np.float16]
    embedded: Bools


def look(tasks: Sequence[Task], root: str, near: float, folder: str, console: Console) -> Leaks:
    """Find the pictures of benchmarks among the pairs that a root serves for training.

    near: cosine from which two pictures are looked at; folder: of results, where the answer is kept. InputError where
    there is no such root, or its judges have not decided.
    """
    url = read_from(root, console.info)
    shards = [one for one in find_shards(url, "held against benchmarks") if one.split == "train"]
    if not shards:
        raise InputError(f"{root}: has no shard of the split train, so nothing to train on")
    slug, checkpoint, told = _embedder(url, shards)
    sizes = {one.benchmark.name: len(one.names) for one in tasks}
    identity = _identity(tasks, url, shards, [near, slug, checkpoint and checkpoint.fingerprint])
    file = join(
        folder, f"leaks-{slug_of(Path(url).name, hashlib.sha256(resolved(url).encode()).hexdigest())}.parquet"
    )
    if (found := _again(file, identity, sizes)) is not None:
        return Leaks(root, found[0], sizes, found[1])
    for line in told:
        console.warn(line)
    known = _known(tasks, checkpoint, console)
    held, lost = np.empty(0, CANDIDATE), []
    with console.progress(len(shards), unit="shards") as bar:
        for number, shard in enumerate(shards):
            held, wrong = _searched(held, shard, number, known, slug if checkpoint else "", near)
            lost += wrong
            bar.update(1)
    if lost and checkpoint:
        console.warn(lost[0])
        told.append(
            f"{len(lost):,} of {len(shards):,} shards were held against them by hashes alone: {lost[0]}"
        )
    if checkpoint:
        told.append(f"looked at pictures from cosine {near:g} on, by {checkpoint.name}")
    hits = _table(tasks, held[_looked(tasks, shards, held)])
    _keep(file, hits, {"identity": identity, "told": told})
    return Leaks(root, hits, sizes, told)


def _embedder(root: str, shards: Sequence[Shard]) -> tuple[str, Checkpoint | None, list[str]]:
    """The folder that has embeddings of most shards, the checkpoint that made them, and why there is none."""
    stems = {f"{one.stem}.parquet" for one in shards}
    slugs = [name for name in listdir(join(root, FOLDER)) if not name.endswith(".parquet")]
    there = {name: sorted(stems & {*tables_in(root, f"{FOLDER}/{name}")}) for name in slugs}
    slug = max(slugs, key=lambda name: len(there[name]), default="")
    why = f"{root} has no embeddings; danqing curate makes them"
    for name in there.get(slug, ()):
        try:
            with parquet(join(root, FOLDER, slug, name)) as file:
                said = said_by(file.schema_arrow)
            revision = said.get("revision")
            found = find(str(said.get("model")), None if revision is None else str(revision))
            if found.fingerprint == said.get("fingerprint"):
                return slug, found, []
            why = f"{found.model} is another now than embedded {root}"
        except DanqingError as error:
            why = first_line(error)
    return slug, None, [f"pictures are found by their hashes alone, crops hardly: {why}"]


def _identity(tasks: Sequence[Task], root: str, shards: Sequence[Shard], more: Sequence[object]) -> str:
    """SHA-256 of all that the hits follow from."""
    decided = [ledger.decision_name(root, judge.stage) for judge in JUDGES]
    embedded = sorted(sizes_in(join(root, FOLDER, str(more[1]))).items()) if more[1] else []
    of = [[one.benchmark.name, one.identity] for one in tasks]
    sums = [[one.stem, one.checksum] for one in shards]
    return hashlib.sha256(json.dumps([FORMAT, of, sums, decided, embedded, *more]).encode()).hexdigest()


def _again(file: str, identity: str, sizes: Mapping[str, int]) -> tuple[pa.Table, list[str]] | None:
    """The hits that an earlier call kept, and what it told; None where it looked for others, or they are damaged."""
    try:
        with parquet(file) as kept:
            said = said_by(kept.schema_arrow)
            told = said.get("told")
            if said.get("identity") != identity or unlike(kept.schema_arrow, HITS, HITS.names):
                return None
            hits = kept.read()
    except InputError:
        return None
    rows = [(one["row"], sizes.get(one["benchmark"], 0)) for one in hits.to_pylist()]
    if not isinstance(told, list) or not all(0 <= row < size for row, size in rows):
        return None
    return hits, [str(one) for one in told]


def _keep(file: str, hits: pa.Table, said: Mapping[str, object]) -> None:
    """Write the hits, whole or not at all."""
    target = local_path(file)
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    with writer(temporary, saying(HITS, said)) as made:
        made.write_table(hits)
    publish(temporary, file)


def _bodies(tasks: Sequence[Task]) -> Iterator[bytes]:
    for task in tasks:
        yield from task.pictures()


def _known(tasks: Sequence[Task], checkpoint: Checkpoint | None, console: Console) -> Known:
    """Hash the pictures, and embed them where a checkpoint is there."""
    from ..towers import DualEncoder, Options, ToEmbed

    digests: list[bytes] = []
    hashes: list[tuple[int, bool]] = []

    def works() -> Iterator[ToEmbed]:
        some: list[bytes] = []
        for body in _bodies(tasks):
            digests.append(hashlib.sha256(body).digest()[16:])
            hashes.append(_hashed(body))
            some.append(body)
            if len(some) == READ:
                yield ToEmbed(None, some)
                some = []
        yield ToEmbed(None, some)

    parts: list[npt.NDArray[np.float16]] = []
    if checkpoint is None:
        parts = [np.zeros((len(one.pictures), 1), np.float16) for one in works()]
    else:
        found: Iterator[Embedded] = DualEncoder.load(checkpoint, Options(), console).embed(works())
        parts = [one.image.half().cpu().numpy() for one in found]
    vectors = np.concatenate(parts)
    embedded: Bools = np.isfinite(vectors).all(axis=1) & (vectors != 0).any(axis=1)
    values, rich = zip(*hashes, strict=True) if hashes else ((), ())
    return Known(
        np.array(digests, KEY), np.array(values, np.uint64), np.array(rich, np.bool_), vectors, embedded
    )


def _hashed(body: bytes) -> tuple[int, bool]:
    """The perceptual hash of a picture, and whether it says something: of a plain or a broken one it does not."""
    rgb = scaled(body, lambda size: size, 0, fast=False)
    if rgb is None:
        return 0, False
    measures = measure(rgb)
    return int(phash(rgb), 16), all(getattr(measures, name) >= least for name, least in RICH.items())


def _searched(
    held: Candidates, shard: Shard, number: int, known: Known, slug: str, near: float
) -> tuple[Candidates, list[str]]:
    """The best candidates after another shard, and why its embeddings were not used, if so."""
    with parquet(shard.url) as file:
        names = ("key", "sha256", "phash")
        if missing := [name for name in names if name not in file.schema_arrow.names]:
            raise InputError(f"{shard.url}: no column {missing[0]}; make the root by danqing rebuild")
        table = file.read(columns=[*names], use_threads=False)
    keys, mask = keys_of(table["key"])
    mask &= served(shard.root, shard.stem, shard.rows)
    pending = [held]

    def add(how: int, pictures: Any, rows: Any, cosine: Any = 0.0) -> None:
        wanted = mask[rows]
        made = np.empty(int(wanted.sum()), CANDIDATE)
        made["picture"], made["row"], made["how"], made["shard"] = pictures[wanted], rows[wanted], how, number
        made["key"] = keys[made["row"]]
        made["cosine"] = cosine if how < 2 else cosine[wanted]
        pending.append(made)
        if sum(map(len, pending)) > len(pending[0]) + PENDING:
            pending[:] = [_best(pending)]

    digests, valid = unhex(table["sha256"], 32)
    there = np.flatnonzero(valid)
    heads = np.ascontiguousarray(digests[there, 16:]).view(KEY).reshape(-1)
    rows, pictures = _equal(heads, known.sha256)
    add(0, pictures, there[rows])
    hashes, valid = unhex(table["phash"], 8)
    rich, there = np.flatnonzero(known.rich), np.flatnonzero(valid)
    for rows, pictures in near_hashes(
        hashes[there].view(">u8").reshape(-1).astype(np.uint64), known.phash[rich]
    ):
        add(1, rich[pictures], there[rows])
    wrong = []
    try:
        for rows, pictures, cosine in _near(shard, slug, keys, known, near) if slug else ():
            add(2, pictures, rows, cosine)
    except InputError as error:
        wrong.append(first_line(error))
    return _best(pending), wrong


def _near(
    shard: Shard, slug: str, keys: Digests, known: Known, near: float
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float64]]]:
    """Pairs of a row of a shard and a picture whose cosine is at least `near`: rows, pictures, cosines, each (p,)."""
    url, start = join(shard.root, embeddings_of(slug, shard.stem)), 0
    pictures = np.flatnonzero(known.embedded)
    sample = known.vectors[pictures]
    for part in read_parts(url, shard.rows, None):
        if not np.array_equal(part.keys, keys[start : start + len(part.keys)]):
            raise InputError(f"{url}: is of other pairs than images/; {ANEW}")
        rows = np.flatnonzero(part.embedded)
        image = part.image[rows]
        if image.shape[1] != sample.shape[1] or not of_length_one(image):
            raise InputError(f"{url}: no embeddings of length one and {sample.shape[1]} dimensions; {ANEW}")
        for one, other, cosine in against_sample(image, sample, near):
            yield start + rows[one], pictures[other], cosine
        start += len(part.keys)


def near_hashes(
    hashes: npt.NDArray[np.uint64], wanted: npt.NDArray[np.uint64], bits: int = BITS
) -> Iterator[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]:
    """Pairs of one of some hashes and a wanted one that differ in `bits` of 64 at most: places in both, each (p,).

    Cut into bits + 1 parts, two such hashes have an equal one: those are found in order, and their bits counted. A pair
    comes as often as it has equal parts.
    """
    edges = np.linspace(0, 64, bits + 2).astype(int).tolist()
    for low, high in pairwise(edges):
        parts = [one >> np.uint64(low) & np.uint64((1 << high - low) - 1) for one in (hashes, wanted)]
        order = np.argsort(parts[1], kind="stable")
        for start in range(0, len(hashes), 1024):
            one, other = _equal(parts[0][start : start + 1024], parts[1], order)
            one += start
            few = np.bitwise_count(hashes[one] ^ wanted[other]) <= bits
            yield one[few], other[few]


def _equal(
    values: npt.NDArray[Any], wanted: npt.NDArray[Any], order: npt.NDArray[np.int64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """All pairs of equal values: places in `values` and in `wanted`, each (p,). order: of `wanted`, ascending."""
    order = np.argsort(wanted, kind="stable") if order is None else order
    low, high = (np.searchsorted(wanted, values, side, sorter=order) for side in ("left", "right"))
    place, of = within(low, high)
    return of.astype(np.int64), order[place].astype(np.int64)


def _best(parts: Sequence[Candidates]) -> Candidates:
    """The MOST best candidates of each picture, each pair once, by the surest way that it was found."""
    found = np.concatenate(parts)
    found = found[np.lexsort((-found["cosine"], found["how"], found["key"], found["picture"]))]
    new = np.ones(len(found), np.bool_)
    new[1:] = (found["picture"][1:] != found["picture"][:-1]) | (found["key"][1:] != found["key"][:-1])
    found = found[new]
    found = found[np.lexsort((found["key"], -found["cosine"], found["how"], found["picture"]))]
    first = np.searchsorted(found["picture"], found["picture"])
    best: Candidates = found[np.arange(len(found)) - first < MOST]
    return best


def _looked(tasks: Sequence[Task], shards: Sequence[Shard], held: Candidates) -> Bools:
    """Which candidates show what the picture shows: of equal bytes all, else those that look so (n,)."""
    same: Bools = held["how"] == 0
    wanted = {*held["picture"][~same].tolist()}
    seen: dict[int, Seen | None] = {}
    for number, body in enumerate(_bodies(tasks)):
        if number in wanted:
            seen[number] = see(body)
        if len(seen) == HELD:
            _decide(shards, held, seen, same)
            seen.clear()
    _decide(shards, held, seen, same)
    return same


def _decide(shards: Sequence[Shard], held: Candidates, seen: Mapping[int, Seen | None], same: Bools) -> None:
    """Look at the candidates of some pictures, a row group of the root at a time; note in `same` which are alike."""
    waiting = np.flatnonzero(np.isin(held["picture"], [*seen]) & (held["how"] > 0))
    for number in np.unique(held["shard"][waiting]).tolist():
        some = waiting[held["shard"][waiting] == number]
        rows, of = np.unique(held["row"][some], return_inverse=True)
        with parquet(shards[number].url) as file:
            for inside, table in rows_by_number(file, rows, ["image.bytes"]):
                bodies = pc.struct_field(table["image"], "bytes").to_pylist()
                for place, body in zip(inside.tolist(), bodies, strict=True):
                    there = see(body)
                    for at in some[of == place].tolist():
                        same[at] = alike(seen[int(held["picture"][at])], there)


def _table(tasks: Sequence[Task], hits: Candidates) -> pa.Table:
    """The hits as HITS."""
    names = [name for task in tasks for name in task.names]
    firsts = np.cumsum([0, *(len(task.names) for task in tasks)])
    of = np.searchsorted(firsts, hits["picture"], "right") - 1
    return pa.table(
        {
            "benchmark": [tasks[one].benchmark.name for one in of.tolist()],
            "picture": [names[one] for one in hits["picture"].tolist()],
            "row": (hits["picture"] - firsts[of]).astype(np.int32),
            "key": hex_of(hits["key"]),
            "how": [HOW[one] for one in hits["how"].tolist()],
            "cosine": pa.array(hits["cosine"], mask=hits["how"] < 2),
        },
        HITS,
    )
