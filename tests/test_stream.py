"""Streaming as training scripts use it: every pair exactly once, whatever shuffles, splits or interrupts it."""

from __future__ import annotations

import pickle
import time
from collections import Counter

import datasets
import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

import danqing

from .roots import make_root, pair, write_shard


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    make_root(folder, shards=4, rows=25, row_group=10)
    return folder


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


def stream(root, **options):
    return danqing.load(root, split="train", streaming=True, **{"columns": ["key", "sha256"], **options})


def numbers(rows):
    return [int(row["sha256"], 16) for row in rows]


ALL = list(range(100))


def test_in_order(root):
    assert numbers(stream(root)) == ALL


def test_shuffled_pass_and_its_epochs(root):
    pairs = stream(root).shuffle(seed=0, buffer_size=20)
    first = numbers(pairs)
    pairs.set_epoch(1)
    second = numbers(pairs)
    assert sorted(first) == sorted(second) == ALL
    assert first != second
    assert first == numbers(stream(root).shuffle(seed=0, buffer_size=20))


def test_shuffled_pass_does_not_sleep(root, monkeypatch):
    slept = []
    monkeypatch.setattr(time, "sleep", slept.append)
    numbers(stream(root).shuffle(seed=0, buffer_size=20))
    next(iter(stream(root).shuffle(seed=0, buffer_size=20)))
    assert slept == []


@pytest.mark.parametrize(("world", "reshard"), [(2, False), (4, False), (3, True)])
def test_nodes_share_the_pairs(root, world, reshard):
    pairs = stream(root).reshard() if reshard else stream(root)
    parts = [numbers(split_dataset_by_node(pairs.shuffle(seed=1), rank, world)) for rank in range(world)]
    assert sorted(number for part in parts for number in part) == ALL
    assert all(parts)


@pytest.mark.parametrize(("context", "workers"), [("fork", 1), ("fork", 2), ("spawn", 2)])
def test_workers_yield_every_pair_once(root, context, workers):
    loader = DataLoader(
        stream(root), batch_size=8, num_workers=workers, collate_fn=list, multiprocessing_context=context
    )
    assert sorted(numbers(row for batch in loader for row in batch)) == ALL


def test_nodes_times_workers(root):
    pairs = stream(root).reshard().shuffle(seed=3)
    seen = Counter()
    for rank in range(2):
        part = split_dataset_by_node(pairs, rank, 2)
        for batch in DataLoader(part, batch_size=None, num_workers=2, multiprocessing_context="fork"):
            seen[int(batch["sha256"], 16)] += 1
    assert seen == Counter(ALL)


@pytest.mark.parametrize("stop", [1, 10, 37, 50, 99])
def test_resume_is_exact_within_a_shard(root, stop):
    pairs = stream(root)
    rows = iter(pairs)
    head = numbers(next(rows) for _ in range(stop))
    state = pickle.loads(pickle.dumps(pairs.state_dict()))
    again = stream(root)
    again.load_state_dict(state)
    assert head + numbers(again) == ALL


def test_resume_counts_broken_pictures_alike(tmp_path):
    rows = [pair(number, b"" if number % 3 == 0 else None) for number in range(30)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, row_group=7)
    pairs = stream(tmp_path, columns=["sha256", "image"])
    iterator = iter(pairs)
    head = numbers(next(iterator) for _ in range(11))
    again = stream(tmp_path, columns=["sha256", "image"])
    again.load_state_dict(pairs.state_dict())
    assert head + numbers(again) == [number for number in range(30) if number % 3]


def test_reshard_gives_a_shard_per_row_group(root):
    pairs = stream(root)
    assert pairs.num_shards == 4
    assert pairs.reshard().num_shards == pairs.reshard().reshard().num_shards == 12
    assert numbers(pairs.reshard()) == ALL


def test_reshard_of_a_carved_split(root):
    pairs = danqing.load(root, streaming=True, validation=0.3, columns=["sha256"])
    parts = {split: numbers(rows.reshard()) for split, rows in pairs.items()}
    assert sorted(parts["train"] + parts["validation"]) == ALL
    assert parts == {split: numbers(rows) for split, rows in pairs.items()}


def test_interleaved_with_another_set(root, tmp_path):
    make_root(tmp_path, shards=2, rows=25, split="train")
    mixed = datasets.interleave_datasets(
        [stream(root), stream(tmp_path)], probabilities=[0.7, 0.3], seed=0, stopping_strategy="all_exhausted"
    ).shuffle(seed=0, buffer_size=10)
    orders = []
    for epoch in range(2):
        mixed.set_epoch(epoch)
        orders.append(numbers(mixed))
    assert set(orders[0]) == set(orders[1]) == set(ALL)
    assert orders[0] != orders[1]


def test_pickled_stream_yields_the_same(root):
    pairs = stream(root, filters=[("similarity", "<", 0.0095)])
    assert numbers(pickle.loads(pickle.dumps(pairs))) == ALL[:10]


def test_arrow_batches_follow_the_row_groups(root):
    tables = list(stream(root).with_format("arrow").iter(batch_size=100))
    assert sum(table.num_rows for table in tables) == 100
    assert tables[0].column_names == ["key", "sha256"]


def test_batch_size(root):
    pairs = stream(root, batch_size=4)
    sizes = [table.num_rows for _, table in pairs._ex_iterable.iter_arrow()]
    assert max(sizes) == 4
    assert sum(sizes) == 100


def test_a_stream_closed_early_leaves_the_next_whole(root):
    for _ in zip(range(3), stream(root), strict=False):
        pass
    assert numbers(stream(root)) == ALL


def test_pixels_reach_a_worker(root):
    pairs = stream(root, columns=["sha256", "image"])
    loader = DataLoader(pairs, batch_size=16, num_workers=2, collate_fn=list, multiprocessing_context="fork")
    colours = {int(row["sha256"], 16): row["image"].getpixel((8, 8))[0] for batch in loader for row in batch}
    assert all(abs(colours[number] - number) < 8 for number in ALL)
