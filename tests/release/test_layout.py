"""How many shards a release has, how even they are, and which row goes where."""

from pathlib import Path

import numpy as np
import pytest

from builder.release.layout import OUT, Size, lay_out, planned
from builder.release.source import open_root
from tests.roots import make_root, pair, write_shard

MB = 1 << 20


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
        pytest.param(0, 0, 16, 0, id="none of no rows"),
    ],
)
def test_the_number_of_shards(rows: int, size: int, multiple: int, count: int) -> None:
    assert Size(100 * MB, multiple).count(rows, size) == count


def test_shards_have_even_bytes_though_pictures_differ(tmp_path: Path) -> None:
    rows = [pair(n, bytes(1000 if n < 500 else 5000)) for n in range(1000)]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, 50)
    root = open_root(str(tmp_path))
    place, _ = lay_out(root, np.ones(1000, np.bool_), Size(1 << 30, 4), "images")
    shards = planned(root, place, "images", "parquet")
    assert len(shards) == 4
    assert max(s.bytes for s in shards) < 1.05 * min(s.bytes for s in shards)
    assert shards[0].rows > 2.5 * shards[-1].rows


def test_every_wanted_row_has_a_place_in_its_split_and_in_order(tmp_path: Path) -> None:
    make_root(tmp_path, shards=3, rows=70)
    make_root(tmp_path, shards=1, rows=70, split="validation")
    root = open_root(str(tmp_path))
    wanted = np.random.default_rng(0).random(280) < 0.8
    place, counts = lay_out(root, wanted, Size(1 << 30, 2), "manifest")
    assert counts == {"train": 2, "validation": 1}
    assert ((place != OUT) == wanted).all()
    assert (np.diff(place[wanted]) >= 0).all()
    shards = planned(root, place, "manifest", "parquet")
    assert [s.path for s in shards] == [
        "manifest/train-00000-of-00002.parquet",
        "manifest/train-00001-of-00002.parquet",
        "manifest/validation-00000-of-00001.parquet",
    ]
    assert sum(s.rows for s in shards) == wanted.sum()
    for shard in shards:
        rows = np.flatnonzero(place == shard.number)
        assert (rows.size, rows[0], rows[-1] + 1) == (shard.rows, shard.start, shard.stop)


def test_shards_without_rows_are_left_out_and_the_rest_numbered_anew(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=9)
    root = open_root(str(tmp_path))
    place = np.array([0, 0, OUT, 3, 3, 3, 7, 7, OUT], np.int32)
    shards = planned(root, place, "images", "tar")
    assert [(s.path, s.rows) for s in shards] == [
        ("images/train-00000-of-00003.tar", 2),
        ("images/train-00001-of-00003.tar", 3),
        ("images/train-00002-of-00003.tar", 2),
    ]
    assert place.tolist() == [0, 0, OUT, 1, 1, 1, 2, 2, OUT]
