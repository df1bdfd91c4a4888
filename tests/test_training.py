"""What docs/load.md says of training where stock `datasets` surprises: each behaviour, and the way that works."""

from __future__ import annotations

import itertools
from pathlib import Path

import datasets
import pyarrow.parquet as pq
import pytest
from datasets.distributed import split_dataset_by_node
from torch.utils.data import DataLoader

import danqing

from .roots import make_root, pair

PAIRS = 40
ALL = [*range(PAIRS)]


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / ".cache")


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("root")
    make_root(folder, shards=4, rows=10)
    return folder


def stream(root, **options):
    return danqing.load(root, split="train", streaming=True, **{"columns": ["sha256"]} | options)


def numbers(rows):
    return [int(row["sha256"], 16) for row in rows]


@pytest.mark.parametrize(("before", "after"), [(2, 4), (4, 2), (2, 3), (4, 3)])
@pytest.mark.parametrize("shuffled", [False, True])
def test_another_world_size_goes_on_by_the_count_of_pairs(root, before, after, shuffled):
    read = 3

    def pairs():
        return stream(root).shuffle(seed=1, buffer_size=8) if shuffled else stream(root)

    def split(rows, rank, world):
        return split_dataset_by_node(rows, rank, world, strategy="examples")

    seen = [
        n for rank in range(before) for n in numbers(itertools.islice(split(pairs(), rank, before), read))
    ]
    rest = [n for rank in range(after) for n in numbers(split(pairs().skip(read * before), rank, after))]
    assert sorted(seen + rest) == ALL


def test_a_state_of_another_world_size_does_not_go_on(root):
    """If this fails, `datasets` has learnt it, and docs/load.md should say so."""
    states = []
    for rank in range(2):
        part = split_dataset_by_node(stream(root), rank, 2)
        seen = numbers(itertools.islice(part, 3))
        states.append(part.state_dict())
    assert len(seen) == 3
    uneven = split_dataset_by_node(stream(root), 0, 3)
    uneven.load_state_dict(states[0])
    with pytest.raises(KeyError):
        list(uneven)
    rest = []
    for rank in range(4):
        part = split_dataset_by_node(stream(root), rank, 4)
        part.load_state_dict(states[rank % 2])
        rest += numbers(part)
    assert len(rest) < PAIRS - 6


def test_after_the_state_of_an_epochs_end_the_next_epoch_is_set(root):
    pairs = stream(root)
    assert numbers(pairs) == ALL
    again = stream(root)
    again.load_state_dict(pairs.state_dict())
    assert numbers(again) == numbers(again) == []
    again.set_epoch(1)
    assert numbers(again) == numbers(again) == ALL


def test_what_is_split_by_node_is_not_split_again(root):
    """accelerate's `prepare` is a second split: of a loader it takes every second batch."""
    loaders = [
        DataLoader(split_dataset_by_node(stream(root), rank, 2), 5, collate_fn=list) for rank in range(2)
    ]
    assert sorted(n for loader in loaders for batch in loader for n in numbers(batch)) == ALL
    twice = [
        split_dataset_by_node(split_dataset_by_node(stream(root), rank, 2), rank, 2) for rank in range(2)
    ]
    assert len([n for part in twice for n in numbers(part)]) < PAIRS


@pytest.mark.parametrize(("decode", "untouched"), [(True, 0), (False, PAIRS)])
@pytest.mark.parametrize("step", ["map", "filter"])
def test_bytes_pass_a_stream_into_parquet_untouched_without_decoding(root, tmp_path, decode, untouched, step):
    pairs = stream(root, columns=["alt_text", "image"], decode=decode)
    steps = {"map": lambda row: {"length": len(row["alt_text"])}, "filter": lambda row: bool(row["alt_text"])}
    file = Path(tmp_path / "made.parquet")
    getattr(pairs, step)(steps[step]).to_parquet(file)
    found = [row["bytes"] for row in pq.read_table(file)["image"].to_pylist()]
    assert sum(data == pair(number)["image"]["bytes"] for number, data in enumerate(found)) == untouched
    made = datasets.load_dataset("parquet", data_files=str(file), split="train")
    assert made.cast_column("image", datasets.Image())[0]["image"].size == (16, 16)
