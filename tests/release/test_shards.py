"""One shard of a release: what is in the file, and that it appears whole or not at all."""

import hashlib
import io
import json
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.card.counts import Counts
from builder.disk.parquet import image_schema
from builder.errors import InputError
from builder.release import columns, staging
from builder.release.columns import columns_of
from builder.release.layout import PlannedShard
from tests.release.roots import planned, scored_root
from tests.roots import make_root, pair

KB = 1000


def pairs(count: int, size: int = 0) -> pa.Table:
    """Pairs with pictures of some bytes."""
    made = [pair(n, hashlib.shake_128(b"%d" % n).digest(size + n % 7)) for n in range(count)]
    return pa.Table.from_pylist(made, image_schema())


def shard(count: int, path: str = "images/train-00000-of-00001.parquet") -> PlannedShard:
    return PlannedShard(0, "train", path, count, 0, count, 0)


def write(
    tables: Any, one: PlannedShard, folder: Path, group_bytes: int = staging.GROUP_BYTES
) -> staging.MadeShard:
    return staging.write(one, tables, image_schema(), folder, lambda pairs, size: None, group_bytes)


def batches(table: pa.Table, size: int) -> Iterator[pa.Table]:
    for start in range(0, table.num_rows, size):
        yield table.slice(start, size)


@pytest.mark.parametrize("size", [1, 7, 100, 1000])
def test_the_bytes_do_not_depend_on_how_rows_were_read(tmp_path: Path, size: int) -> None:
    table = pairs(400, 2 * KB)
    whole = write([table], shard(400), tmp_path / "a", 300 * KB)
    parts = write(batches(table, size), shard(400), tmp_path / "b", 300 * KB)
    assert whole.sha256 == parts.sha256
    assert pq.read_metadata(tmp_path / "b" / whole.path).num_row_groups == 3


def test_row_groups_of_pictures_are_cut_by_bytes_and_of_a_manifest_by_rows() -> None:
    table = pairs(200, 2 * KB)
    by_bytes = [group.num_rows for group in staging.groups([table], 100 * KB, 60)]
    by_rows = [group.num_rows for group in staging.groups([table.drop_columns(["image"])], 100 * KB, 60)]
    assert set(by_bytes[:-1]) == {50}
    assert by_rows == [60, 60, 60, 20]


def test_pictures_that_are_missing_have_no_bytes() -> None:
    table = pa.Table.from_pylist([pair(1) | {"image": None}, pair(2)], image_schema())
    assert [group.num_rows for group in staging.groups([table])] == [2]


def test_a_shard_says_what_it_is(tmp_path: Path) -> None:
    made = write([pairs(100)], shard(100), tmp_path)
    path = tmp_path / made.path
    assert (made.rows, made.bytes) == (100, path.stat().st_size)
    assert made.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    counts = Counts.of_dict(made.counts)
    assert (counts.rows, counts.kept) == (100, 100)
    made.write(tmp_path / "marker.json")
    assert staging.read_made(tmp_path / "marker.json") == made


def test_a_marker_that_is_cut_counts_as_none(tmp_path: Path) -> None:
    write([pairs(3)], shard(3), tmp_path).write(tmp_path / "marker.json")
    whole = (tmp_path / "marker.json").read_bytes()
    (tmp_path / "marker.json").write_bytes(whole[:-9])
    assert staging.read_made(tmp_path / "marker.json") is None
    assert staging.read_made(tmp_path / "none.json") is None


def test_the_file_has_a_page_index_and_pictures_for_datasets(tmp_path: Path) -> None:
    file = pq.ParquetFile(tmp_path / write([pairs(50)], shard(50), tmp_path).path)
    column = file.metadata.row_group(0).column(0)
    assert column.has_offset_index
    assert column.has_column_index
    features = json.loads(file.schema_arrow.metadata[b"huggingface"])["info"]["features"]
    assert features == {"image": {"_type": "Image"}}


def test_a_shard_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[pa.Table]:
        yield pairs(3)
        raise InputError("gone")

    with pytest.raises(InputError, match="gone"):
        write(broken(), shard(6), tmp_path)
    assert not list((tmp_path / "images").iterdir())


def test_a_shard_of_too_few_rows_is_none(tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match="3 rows, 4 planned"):
        write([pairs(3)], shard(4), tmp_path)
    assert not list((tmp_path / "images").iterdir())


def test_a_tar_names_its_pairs_by_key_and_is_the_same_each_time(tmp_path: Path) -> None:
    one = shard(3, "images/train-00000-of-00001.tar")
    first, second = write([pairs(3)], one, tmp_path / "a"), write(batches(pairs(3), 1), one, tmp_path / "b")
    assert first.sha256 == second.sha256
    with tarfile.open(tmp_path / "a" / first.path) as tar:
        key = pair(0)["key"]
        assert tar.getnames()[:3] == [f"{key}.jpg", f"{key}.txt", f"{key}.json"]
        text, told = (tar.extractfile(f"{key}.{end}") for end in ("txt", "json"))
        assert text.read().decode() == pair(0)["alt_text"]  # type: ignore[union-attr]
        assert json.load(io.BytesIO(told.read()))["sha256"] == pair(0)["sha256"]  # type: ignore[union-attr]
        assert {(one.mtime, one.uid, one.uname, one.mode) for one in tar} == {(0, 0, "", 0o644)}


def test_scores_of_other_pairs_are_refused_by_row(tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    found, plan = planned(root, what="images")
    path = root / "scores" / "train-00001-of-00002.parquet"
    table = pq.read_table(path)
    keys = table["key"].to_pylist()
    keys[20] = "0" * 32
    pq.write_table(table.set_column(0, table.schema.field("key"), pa.array(keys)), path)
    with pytest.raises(InputError, match=r"scores/train-00001-of-00002.parquet: row 20 is of another pair"):
        [list(columns.read(found, columns_of(found, "images"), plan.place, one)) for one in plan.shards]


def test_rows_that_lie_together_are_not_copied(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=60, row_group=16)
    found, plan = planned(tmp_path, what="images")
    tables = list(columns.read(found, columns_of(found, "images"), plan.place, plan.shards[0]))
    assert [table.num_rows for table in tables] == [16, 16, 16, 12]
    assert pa.concat_tables(tables)["key"].equals(pq.read_table(tmp_path / "images")["key"])


PEAK = """
import sys
from pathlib import Path
import pyarrow as pa
from tests.release.test_shards import KB, pairs, shard, write
one, count = pairs(50, 5 * KB), int(sys.argv[2])
write((one for _ in range(count)), shard(50 * count), Path(sys.argv[1]), 500 * KB)
print(pa.default_memory_pool().max_memory())
"""


@pytest.mark.parametrize("count", [20, 200])
def test_memory_does_not_grow_with_the_shard(tmp_path: Path, count: int) -> None:
    """The peak of Arrow's pool in a process of its own: the pool cannot be changed while threads hold memory of it."""
    command = [sys.executable, "-c", PEAK, str(tmp_path), str(count)]
    done = subprocess.run(command, capture_output=True, check=True, text=True)
    assert int(done.stdout) < 12 * 500 * KB


def test_a_pair_without_a_picture_is_no_member_of_a_tar(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([pair(1) | {"image": None}], image_schema())
    with pytest.raises(InputError, match=f"pair {pair(1)['key']}: has no picture"):
        write([table], shard(1, "images/train-00000-of-00001.tar"), tmp_path)
