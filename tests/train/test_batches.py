"""Batches for the loop: the same bits whatever threads and ranks there are, and every pair accounted for."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch

from builder.errors import InputError
from builder.towers.pixels import Patches, Squash
from builder.towers.text import Captions
from builder.train.batches import Feed, TrainBatch
from builder.train.config import TrainConfig
from builder.train.data import ReadUnits, open_source
from builder.train.looked import Looked
from builder.train.order import Order
from tests.roots import jpeg, make_root, pair, write_shard

SQUASH, PATCHES = Squash(16, 2, fast=True), Patches(8, 6, 2, fast=True)


class Letters:
    """A tokenizer of one token a letter."""

    def __call__(self, captions: list[str], max_length: int, **_: Any) -> dict[str, list[list[int]]]:
        return {"input_ids": [[*map(ord, one.ljust(max_length, "\0")[:max_length])] for one in captions]}


def feed(root: Path, preparation: Any = SQUASH, **options: Any) -> Feed:
    config = TrainConfig(
        str(root), "run", **({"batch_size": 8, "streams": 4, "validation": 0.1, "workers": 2} | options)
    )
    source = open_source(config)
    order = Order(source.train.sizes, config.batch_size, config.parts, config.seed, window=16)
    return Feed(source, order, config, preparation, Captions(Letters(), 12))


def kept(batch: TrainBatch) -> dict[str, Any]:
    """A batch that stays, as the next one is written over it."""
    tensors = {name: getattr(batch, name).clone() for name in ("pixels", "grid", "ids", "valid")}
    return {"step": batch.step, "keys": batch.keys, "epoch": batch.epoch, "lost": batch.lost, **tensors}


def run(one: Feed, first: int, last: int, world: int = 1) -> list[list[dict[str, Any]]]:
    """The batches of each rank."""
    return [[kept(batch) for batch in one.batches(first, last, rank, world)] for rank in range(world)]


def whole(ranks: list[list[dict[str, Any]]]) -> list[tuple[Any, ...]]:
    """Batches put together from those of the ranks, as values that compare."""
    found = []
    for parts in zip(*ranks, strict=True):
        keys = [key for part in parts for key in part["keys"]]
        tensors = [
            torch.cat([part[name] for part in parts]).numpy().tobytes()
            for name in ("pixels", "grid", "ids", "valid")
        ]
        found.append((parts[0]["step"], parts[0]["epoch"], keys, *tensors))
    return found


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "root", shards=3, rows=40)
    return tmp_path / "root"


def test_a_batch_holds_pixels_ids_and_keys_of_its_pairs(root: Path) -> None:
    one = feed(root)
    (batch,) = run(one, 0, 1)[0]
    known = {pair(number)["key"]: pair(number) for number in range(120)}
    for at, key in enumerate(batch["keys"]):
        row, grid = np.zeros(SQUASH.shape, np.uint8), np.zeros(2, np.int32)
        assert SQUASH.fill(known[key]["image"]["bytes"], row, grid)
        assert (batch["pixels"][at].numpy() == row).all()
        assert "".join(map(chr, batch["ids"][at])).rstrip("\0") == known[key]["alt_text"]
    assert batch["valid"].all()
    assert not batch["lost"]
    assert batch["grid"].tolist() == [[1, 1]] * 8
    assert [batch[name].dtype for name in ("pixels", "grid", "ids", "valid")] == [
        *(torch.uint8, torch.int32, torch.int32, torch.bool)
    ]


@pytest.mark.parametrize("preparation", [SQUASH, PATCHES], ids=["fixed", "naflex"])
def test_bits_are_the_same_whatever_threads_ranks_and_interruptions_there_are(
    root: Path, preparation: Any
) -> None:
    last = feed(root).order.steps(2) + 2
    first = whole(run(feed(root, preparation, workers=1), 0, last))
    assert whole(run(feed(root, preparation, workers=3), 0, last, world=2)) == first
    one = feed(root, preparation)
    assert whole(run(one, 0, 7)) + whole(run(one, 7, last, world=4)) == first


def test_an_epoch_sees_every_pair_once(root: Path) -> None:
    one = feed(root, validation=0)
    seen = Counter(key for batch in run(one, 0, 15)[0] for key in batch["keys"])
    assert len(seen) == 120
    assert {*seen.values()} == {1}


def test_lost_pairs_keep_their_place_and_are_counted_by_reason(tmp_path: Path) -> None:
    rows = [pair(number) for number in range(40)]
    for number in range(0, 40, 5):
        rows[number]["image"]["bytes"] = b"\xff\xd8 no picture" if number % 2 else None
        rows[number + 1] |= {"alt_text": " ", "recaption": None}
    rows[0]["alt_text"] = ""  # neither of the two: counted once
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, 7)
    batches = run(feed(tmp_path, PATCHES, validation=0), 0, 5)[0]
    lost: Counter[str] = sum((batch["lost"] for batch in batches), Counter())
    assert lost == {"corrupt": 7, "no_text": 9}
    broken = {row["key"] for number, row in enumerate(rows) if number % 5 < 2}
    for batch in batches:
        for at, key in enumerate(batch["keys"]):
            assert batch["valid"][at] == (key not in broken)
            if key in broken:
                assert not batch["pixels"][at].any()
                assert batch["grid"][at].tolist() == [1, 1]


def test_captions_are_dealt_anew_in_every_epoch(root: Path) -> None:
    one = feed(root, text="alt_text:0.5,recaption:0.5", validation=0)
    (batches,) = run(one, 0, 30)
    ids = [
        {key: bytes(batch["ids"][at].numpy()) for batch in part for at, key in enumerate(batch["keys"])}
        for part in (batches[:15], batches[15:])
    ]
    same = sum(ids[0][key] == ids[1][key] for key in ids[0])
    assert 40 < same < 100  # half of 96 with two captions, and 24 that have but one


def test_an_error_of_a_thread_reaches_whoever_iterates(root: Path) -> None:
    one = feed(root, validation=0)
    (root / "images" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(InputError, match=r"train-00001-of-00003\.parquet: no such file"):
        for _ in one.batches(0, 15, 0, 1):
            pass
    assert not ours()


def test_a_unit_that_streams_share_is_read_once(root: Path) -> None:
    one, reads = feed(root, validation=0), Counter[int]()

    class Counting:
        names = one.source.place.names

        def read(self, shard: int, group: int) -> pa.Table:
            reads[4 * shard + group] += 1
            return one.source.place.read(shard, group)

    source = replace(one.source, place=Counting())  # type: ignore[arg-type]
    run(Feed(source, one.order, one.config, one.preparation, one.captions), 0, 15)
    assert len(reads) == 12
    assert reads.total() <= 15  # each of 4 streams begins within a unit


def test_what_is_read_ahead_is_bounded_whatever_there_is_to_read(root: Path) -> None:
    """Of 40 units of 1,000 pairs each stream has one at hand, and four are read besides."""
    one, reads = feed(root), Counter[int]()
    rows = pa.table({"key": ["0" * 32], "image": [jpeg(1)], "alt_text": ["图"]}).take([0] * 1000)
    table = rows.append_column("recaption", pa.nulls(1000, pa.string()))

    class Endless:
        names = ("one",)

        def read(self, shard: int, group: int) -> pa.Table:
            reads[group] += 1
            return table

    looked = Looked(np.arange(0, 41_000, 1000), np.arange(40_000), np.zeros(40_000, "S16"))
    units = ReadUnits([(0, looked, np.ones(40_000, np.bool_))])
    source = replace(one.source, train=units, place=Endless())  # type: ignore[arg-type]
    order = Order(units.sizes, 8, 4, 0)
    batches = Feed(source, order, one.config, one.preparation, one.captions).batches(0, 5000, 0, 1)
    for _ in range(3):
        next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert 4 <= reads.total() <= 4 + 5 + 4


def test_whoever_stops_iterating_ends_the_threads(root: Path) -> None:
    batches = feed(root).batches(0, 1000, 0, 1)
    next(batches)
    assert ours()
    batches.close()  # type: ignore[attr-defined]
    assert not ours()


def test_what_is_waited_for_is_counted(root: Path) -> None:
    one = feed(root)
    assert one.stall == 0
    run(one, 0, 1)
    assert one.stall > 0


def test_validation_is_the_same_size_on_every_rank(root: Path) -> None:
    one = feed(root)
    alone = one.validation(0, 1)
    assert alone is not None
    parts = [one.validation(rank, 4) for rank in range(4)]
    sizes = {len(part.keys) for part in parts if part}
    assert len(sizes) == 1
    assert [key for part in parts if part for key in part.keys if key] == alone.keys
    assert sum(int(part.valid.sum()) for part in parts if part) == len(alone.keys)
    assert not any(part.lost for part in parts if part)
    assert feed(root, validation=0).validation(0, 1) is None


def ours() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("danqing-")]
