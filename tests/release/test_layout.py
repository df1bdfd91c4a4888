"""How many shards a release has, how even they are, and which row goes where."""

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest

from builder.console import Console
from builder.release.layout import OUT, PlannedShard, ShardSize, lay_out, planned, weigh
from builder.release.plan import make
from builder.release.source import open_root
from tests.release.roots import NONE, opened, staging_of
from tests.roots import jpeg, make_root, pair, write_shard

MB = 1 << 20


def counts(shards: Iterable[PlannedShard]) -> dict[str, int]:
    """How many shards each split has."""
    return dict(Counter(shard.split for shard in shards))


FOOTER = 20_000  # and heads of pages, of a shard of few rows


@pytest.mark.parametrize(
    ("rows", "size", "multiple", "count"),
    [
        pytest.param(100_000, 100 * MB, 16, 16, id="the multiple"),
        pytest.param(1_000_000, 2000 * MB, 16, 32, id="a further one, where shards would be too large"),
        pytest.param(1_000_000, 2000 * MB, 10, 30, id="of another multiple"),
        pytest.param(1_000, 1 * MB, 16, 8, id="a divisor that leaves 64 rows a shard"),
        pytest.param(64 * 16, 1 * MB, 16, 16, id="64 rows a shard are enough"),
        pytest.param(100, 1 * MB, 16, 1, id="one of a tiny split"),
        pytest.param(3, 1 * MB, 16, 1, id="one of three rows"),
        pytest.param(1_000, 1 * MB, 7, 7, id="of a multiple that is prime"),
        pytest.param(1_000, 10_000 * MB, 16, 112, id="as many as the size takes, though they have few rows"),
        pytest.param(40, 400 * MB, 16, 8, id="as few as the size takes, of few rows"),
        pytest.param(3, 3000 * MB, 16, 3, id="one a row, where each is too large"),
        pytest.param(0, 0, 16, 0, id="none of no rows"),
    ],
)
def test_the_number_of_shards(rows: int, size: int, multiple: int, count: int) -> None:
    assert ShardSize(100 * MB, multiple).count(rows, size) == count


def test_shards_have_even_bytes_though_pictures_differ(tmp_path: Path) -> None:
    rows = [pair(n, bytes(1000 if n < 500 else 5000)) for n in range(1000)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, 50)
    root = open_root(str(tmp_path))
    weights = weigh(root, "images", "parquet", 1 << 30)
    place = lay_out(root, np.ones(1000, np.bool_), ShardSize(1 << 30, 4), weights)
    shards = planned(root, place, weights, "images", "parquet")
    assert len(shards) == 4
    assert max(s.bytes for s in shards) < 1.05 * min(s.bytes for s in shards)
    assert shards[0].rows > 2.5 * shards[-1].rows


def test_every_wanted_row_has_a_place_in_its_split_and_in_order(tmp_path: Path) -> None:
    make_root(tmp_path, shards=3, rows=70)
    make_root(tmp_path, shards=1, rows=70, split="validation")
    root = open_root(str(tmp_path))
    wanted = np.random.default_rng(0).random(280) < 0.8
    weights = weigh(root, "manifest", "parquet", 1 << 30)
    place = lay_out(root, wanted, ShardSize(1 << 30, 2), weights)
    assert ((place != OUT) == wanted).all()
    assert (np.diff(place[wanted]) >= 0).all()
    shards = planned(root, place, weights, "manifest", "parquet")
    assert counts(shards) == {"train": 2, "validation": 1}
    assert [s.path for s in shards] == [
        "manifest/train-00000-of-00002.parquet",
        "manifest/train-00001-of-00002.parquet",
        "manifest/validation-00000-of-00001.parquet",
    ]
    assert sum(s.rows for s in shards) == wanted.sum()
    for shard in shards:
        rows = np.flatnonzero(place == shard.number)
        assert (rows.size, rows[0], rows[-1] + 1) == (shard.rows, shard.start, shard.stop)


def test_a_shard_without_rows_takes_no_other_s_weights(tmp_path: Path) -> None:
    for index, rows in enumerate((0, 70, 0)):
        name = f"train-{index:05d}-of-00003.parquet"
        write_shard(tmp_path / "images" / name, [pair(100 * index + n) for n in range(rows)], 10)
    root = open_root(str(tmp_path))
    weights = weigh(root, "images", "parquet", 1 << 30)
    place = lay_out(root, np.ones(70, np.bool_), ShardSize(1 << 30, 2), weights)
    (shard,) = planned(root, place, weights, "images", "parquet")
    assert (shard.rows, shard.start, shard.stop) == (70, 0, 70)


def test_a_split_without_rows_makes_no_shard(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=70)
    write_shard(tmp_path / "images" / "validation-00000-of-00001.parquet", [], 10)
    root = open_root(str(tmp_path))
    weights = weigh(root, "images", "parquet", 1 << 30)
    place = lay_out(root, np.ones(70, np.bool_), ShardSize(1 << 30, 2), weights)
    assert (place == 0).all()
    assert counts(planned(root, place, weights, "images", "parquet")) == {"train": 1}


def test_shards_without_rows_are_left_out_and_the_rest_numbered_anew(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=9)
    root = open_root(str(tmp_path))
    place = np.array([0, 0, OUT, 3, 3, 3, 7, 7, OUT], np.int32)
    shards = planned(root, place, weigh(root, "images", "tar", MB), "images", "tar")
    assert [(s.path, s.rows) for s in shards] == [
        ("images/train-00000-of-00003.tar", 2),
        ("images/train-00001-of-00003.tar", 3),
        ("images/train-00002-of-00003.tar", 2),
    ]
    assert place.tolist() == [0, 0, OUT, 1, 1, 1, 2, 2, OUT]


def sized(path: Path, sizes: list[int], row_group: int = 1000) -> Path:
    """A root of pictures of so many bytes."""
    rows = [pair(number, jpeg(number).ljust(size, b"\0")) for number, size in enumerate(sizes)]
    write_shard(path / "images" / "train-00000-of-00001.parquet", rows, row_group)
    return path


def made(root: Path, work: Path, form: str = "parquet") -> list[int]:
    """The sizes of the shards of its images, of 100 kB."""
    staging = staging_of(root, work, what="images", shard_size=100_000, format=form)
    staging.make(0, 1, Console(quiet=True))
    return [file["bytes"] for file in staging.entries().values()]


@pytest.mark.parametrize(
    ("sizes", "largest", "form"),
    [
        ([23_000] * 128, 23_000, "parquet"),
        ([1_000] * 300 + [40_000] * 50 + [700] * 300, 40_000, "parquet"),
        ([3_000, 45_000] * 80, 45_000, "parquet"),
        ([3_000, 45_000] * 80, 45_000, "webdataset"),
    ],
    ids=["few rows a shard", "sizes by place", "sizes in turn", "tars"],
)
def test_a_shard_is_as_large_as_asked_for_and_a_picture(
    tmp_path: Path, sizes: list[int], largest: int, form: str
) -> None:
    shards = made(sized(tmp_path / "root", sizes), tmp_path / "work", form)
    assert len(shards) % 16 == 0
    assert max(shards) < 100_000 + largest + FOOTER
    assert sum(shards) / len(shards) > 40_000


def test_a_larger_picture_makes_one_shard(tmp_path: Path) -> None:
    shards = sorted(
        made(sized(tmp_path / "root", [2_000] * 400 + [900_000] + [2_000] * 400), tmp_path / "work")
    )
    assert len(shards) == 32
    assert shards[-1] > 900_000
    assert shards[-2] < 100_000 + 2_000 + FOOTER


def test_larger_pictures_are_said_once(tmp_path: Path) -> None:
    config, root = opened(sized(tmp_path, [200_000, 300, 200_000]), what="images", shard_size=100_000)
    said: list[str] = []
    plan = make(config, root, NONE, None, said.append)
    assert said == ["larger than --shard-size 100.0 kB, and so are their shards: 2 pairs"]
    assert [shard.rows for shard in plan.shards] == [1, 1, 1]


def test_by_default_no_picture_is_read_to_lay_out_shards(tmp_path: Path) -> None:
    root = open_root(str(sized(tmp_path, [9_000] * 50, 10)))
    stem = root.parts[0].shard.stem
    assert all(isinstance(each, float) for each in weigh(root, "images", "parquet", 512 * MB)[stem])
    fine = weigh(root, "images", "parquet", 100_000)[stem]
    assert [len(each) for each in fine if not isinstance(each, float)] == [10] * 5
