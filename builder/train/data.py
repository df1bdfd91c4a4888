"""What is trained on: a root, or tars, in; its pairs out, cut into units of which each can be read alone.

    root ─▶ the pairs that danqing.load(root, split="train") serves ─▶ less the validation split ─▶ --subset ─▶ units

To open it costs the keys of its pairs, and no picture. A bit a pair is kept of what is found.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, overload

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.batches import in_validation
from ..disk.digests import Bools, halves_of, hex_of
from ..errors import InputError, UsageError
from ..options import words_of
from ..reasons import Verdict
from .config import TrainConfig
from .looked import Looked
from .shards import Shards
from .tars import SUFFIX, Tars


@dataclass(frozen=True, slots=True)
class ReadUnit:
    """Pairs that are read at once: those wanted of a group of a shard. rows: of the pairs in it, ascending (n,)."""

    shard: int
    group: int
    rows: npt.NDArray[np.uint32]


class ReadUnits(Sequence[ReadUnit]):
    """The units of some shards, each made when it is asked for: a bit a pair is held. sizes: pairs of each (n,)."""

    def __init__(self, looked: Sequence[tuple[int, Looked, Bools]]) -> None:
        """looked: by number, shards and which of their rows are wanted."""
        self._bits: list[npt.NDArray[np.uint8]] = []
        places, sizes = [(0, 0)][:0], [0][:0]
        for shard, found, wanted in looked:
            rows = found.rows[wanted]
            edges = np.searchsorted(rows, found.starts)
            for group, (first, last) in enumerate(pairwise(edges.tolist())):
                if first < last:
                    start, stop = found.starts[group : group + 2]
                    mask = np.zeros(stop - start, np.bool_)
                    mask[rows[first:last] - start] = True
                    self._bits.append(np.packbits(mask))
                    places.append((shard, group))
                    sizes.append(last - first)
        self._places = np.array(places, np.int64).reshape(-1, 2)
        self.sizes = np.array(sizes, np.int64)

    def __len__(self) -> int:
        return len(self._bits)

    @overload
    def __getitem__(self, number: int) -> ReadUnit: ...
    @overload
    def __getitem__(self, number: slice) -> Sequence[ReadUnit]: ...
    def __getitem__(self, number: int | slice) -> ReadUnit | Sequence[ReadUnit]:
        if isinstance(number, slice):
            return [self[one] for one in range(*number.indices(len(self)))]
        shard, group = self._places[number].tolist()
        rows = np.flatnonzero(np.unpackbits(self._bits[number])).astype(np.uint32)
        return ReadUnit(shard, group, rows)


@dataclass(frozen=True, slots=True)
class PairSource:
    """An open root, or tars. train, validation: what to read; pairs: of train.

    identity: what a run says of it, and a later one must find again: root, hash (of all pairs that are served, and of
    the decisions about them), decisions by stage, and the numbers of pairs: served, those trained on, of validation.
    """

    train: ReadUnits
    validation: ReadUnits
    identity: Mapping[str, Any]
    place: Shards | Tars

    @property
    def pairs(self) -> int:
        """The pairs of an epoch."""
        return int(self.train.sizes.sum())

    def read(self, unit: ReadUnit) -> pa.Table:
        """The pairs of a unit: key, image (bytes), alt_text and recaption. Safe to call from many threads.

        Raises InputError, naming file and row group, where what was there is damaged or gone.
        """
        table = self.place.read(unit.shard, unit.group)
        if len(unit.rows) == table.num_rows:
            return table
        if unit.rows[-1] >= table.num_rows:
            raise InputError(
                f"{self.place.names[unit.shard]}: part {unit.group} has {table.num_rows} pairs, and had more when the "
                "run began; restore the file, then run the same command again"
            )
        return table.take(unit.rows)


def open_source(config: TrainConfig, tell: Callable[[str], None] = lambda _: None) -> PairSource:
    """Find what the options ask for; `tell` is told how an ambiguous address was read.

    Raises InputError for what is no root, or one without pairs that are kept, with fewer than --subset or a batch;
    UsageError for --verdicts that are none.
    """
    shards = _place(config, tell)
    looked = shards.looked()
    served = sum(len(one.rows) for one in looked)
    if not served:
        raise InputError(_nothing(config.input, shards, sum(int(one.starts[-1]) for one in looked)))
    train, held = _carved(config, shards, looked)
    units = ReadUnits(train), ReadUnits(held)
    trained, left = (int(one.sizes.sum()) for one in units)
    if trained < config.batch_size:
        raise InputError(
            f"{config.input}: {trained:,} pairs to train on are fewer than a batch; "
            f"lower --batch-size {config.batch_size} to at most that"
        )
    identity = {
        "root": config.input,
        "hash": _hash(shards, looked),
        "decisions": shards.decisions,
        "served": served,
        "pairs": trained,
        "validation": left,
    }
    return PairSource(*units, identity, shards)


Wanted = list[tuple[int, Looked, Bools]]


def _carved(config: TrainConfig, shards: Shards | Tars, looked: Sequence[Looked]) -> tuple[Wanted, Wanted]:
    """What is trained on, and what is held back: the validation split that there is, or a share of the keys."""
    own = "validation" in shards.splits
    inside = [
        np.full(len(one.keys), split == "validation")
        if own
        else in_validation(hex_of(one.keys), config.validation).to_numpy(False)
        for one, split in zip(looked, shards.splits, strict=True)
    ]
    halves = [halves_of(one.keys) for one in looked]
    train = [~held for held in inside]
    if config.pairs is not None:
        offered = sum(int(mask.sum()) for mask in train)
        if config.pairs > offered:
            raise InputError(
                f"{config.input}: --subset {config.subset} asks for {config.pairs:,} pairs, and there are {offered:,}"
            )
        train = _smallest(halves, train, config.pairs)
    held = _smallest(halves, inside, config.validation_pairs)
    numbers = range(len(looked))
    return (
        [*zip(numbers, looked, train, strict=True)],
        [*zip(numbers, looked, held, strict=True)],
    )


def _smallest(halves: Sequence[npt.NDArray[np.uint64]], among: Sequence[Bools], count: int) -> list[Bools]:
    """Which of some pairs are the `count` with the smallest keys, by their first 64 bits; all where there are no more.

    So a smaller choice lies in every larger one. Of pairs with equal keys, the first are taken.
    """
    every = np.concatenate([one[mask] for one, mask in zip(halves, among, strict=True)])
    if len(every) <= count:
        return [*among]
    if not count:
        return [np.zeros_like(mask) for mask in among]
    border = np.partition(every, count - 1)[count - 1]
    taken = every < border
    taken[np.flatnonzero(every == border)[: count - int(taken.sum())]] = True
    chosen = []
    for mask, part in zip(
        among, np.split(taken, np.cumsum([mask.sum() for mask in among])[:-1]), strict=True
    ):
        chosen.append(mask.copy())
        chosen[-1][mask] = part
    return chosen


def _place(config: TrainConfig, tell: Callable[[str], None]) -> Shards | Tars:
    """Where the pairs lie."""
    verdicts = _verdicts(config.verdicts)
    if not config.input.endswith(SUFFIX):
        return Shards(config.input, verdicts, [name for name, share in config.mix.items() if share], tell)
    if verdicts:
        raise UsageError("--verdicts: tars have none; rebuild them as a root of Parquet to have them judged")
    return Tars(config.input, tell)


def _verdicts(text: str) -> list[str]:
    words = words_of(text)
    if words != ["all"] and (wrong := [word for word in words if word not in {*Verdict}]):
        raise UsageError(f"--verdicts {wrong[0]}: give some of {', '.join(Verdict)}, or all")
    return words


def _nothing(root: str, shards: Shards | Tars, rows: int) -> str:
    """Why no pair is left, for people."""
    if not rows:
        named = "; a pair is members NAME.jpg and NAME.txt, or NAME.json, with no other dot in NAME"
        return f"{root}: there is no pair in it{named if isinstance(shards, Tars) else ''}"
    if not shards.judged:
        return f"{root}: none of its {rows:,} pairs is kept by the columns of its shards; give --verdicts all for any"
    return (
        f"{root}: none of its {rows:,} pairs is kept: it was {shards.judged} so; judge it again with other levels "
        f"({', '.join(f'danqing {stage} {root} --decide' for stage in shards.decisions)}), or give --verdicts all"
    )


def _hash(shards: Shards | Tars, looked: Sequence[Looked]) -> str:
    """32 hex characters for what is served: files, row groups, rows and keys, decisions, and what a ledger recorded."""
    digest, recorded = hashlib.blake2b(digest_size=16), shards.checksums()
    for name, found in zip(shards.names, looked, strict=True):
        path = "/".join(name.split("/")[-2:])
        digest.update(f"{path} {recorded.get(path, '')} {len(found.rows)}\n".encode())
        for array in (found.starts, found.rows, found.keys):
            digest.update(np.ascontiguousarray(array).tobytes())
    digest.update(repr(sorted(shards.decisions.items())).encode())
    return digest.hexdigest()
