"""What of a root is trained on: exactly the pairs that the loader serves, in units that can be read alone."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import danqing
from builder.disk.schema import IMAGE
from builder.errors import InputError, UsageError
from builder.train.config import TrainConfig
from builder.train.data import PairSource, ReadUnits, open_source
from tests.curated import Curating, make_curated
from tests.roots import make_root, pair, write_shard
from tests.scored import make_scored


def config(root: Path | str, **options: Any) -> TrainConfig:
    return TrainConfig(str(root), "run", **({"batch_size": 4, "validation": 0.1} | options))


def keys(source: PairSource, units: ReadUnits) -> list[str]:
    return [key for unit in units for key in source.read(unit)["key"].to_pylist()]


def served(root: Path | str, split: str, **options: Any) -> list[str]:
    options = {"validation": 0.1, **options}
    return [row["key"] for row in danqing.load(root, split=split, streaming=True, columns=["key"], **options)]


def check(root: Path | str, verdicts: str = "") -> PairSource:
    """Open a root, and hold it against what the loader serves of it."""
    source = open_source(config(root, verdicts=verdicts))
    asked = {"verdicts": verdicts.split(",")} if verdicts else {}
    assert keys(source, source.train) == served(root, "train", **asked)
    assert keys(source, source.validation) == served(root, "validation", **asked)
    return source


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_root(tmp_path / "root", shards=3, rows=60)
    return tmp_path / "root"


def test_pairs_are_those_that_the_loader_serves(root: Path) -> None:
    source = check(root)
    assert source.pairs == sum(len(unit.rows) for unit in source.train) == source.identity["pairs"]
    assert {(unit.shard, unit.group) for unit in source.train} == {(s, g) for s in range(3) for g in range(6)}


@pytest.mark.parametrize("verdicts", ["", "all", "same,moved", "drifted"])
def test_pairs_of_a_judged_root_are_those_that_the_loader_serves(root: Path, verdicts: str) -> None:
    make_scored(root)
    scored = check(root, verdicts)
    make_curated(root)
    curated = check(root, verdicts)
    assert (curated.pairs < scored.pairs) == (verdicts not in ("all", "drifted"))
    assert curated.identity["hash"] != scored.identity["hash"]


def test_a_validation_split_of_the_root_is_taken_rather_than_carved(root: Path) -> None:
    rows = [pair(number) for number in range(1000, 1012)]
    write_shard(root / "images" / "validation-00000-of-00001.parquet", rows, 5)
    source = check(root)
    assert keys(source, source.validation) == [row["key"] for row in rows]
    assert source.pairs == 180


def test_a_root_in_a_store_gives_the_same_pairs(root: Path) -> None:
    make_scored(root)
    fsspec.filesystem("memory").put(str(root), "/trained", recursive=True)
    here, there = check(root), open_source(config("memory://trained"))
    assert keys(there, there.train) == keys(here, here.train)
    assert {**there.identity, "root": ""} == {**here.identity, "root": ""}


def test_a_unit_is_read_alone_with_its_pictures(root: Path) -> None:
    make_scored(root)
    source = open_source(config(root, validation=0))
    unit = source.train[3]
    table = source.read(unit)
    there = pq.ParquetFile(root / "images" / "train-00000-of-00003.parquet").read_row_group(unit.group)
    wanted = there.take(pa.array(unit.rows)).to_pylist()
    assert table.to_pylist() == [
        {**{name: row[name] for name in ("key", "alt_text", "recaption")}, "image": row["image"]["bytes"]}
        for row in wanted
    ]
    assert 0 < table.num_rows < there.num_rows
    assert not source.validation


def test_a_subset_is_of_the_smallest_keys_and_lies_in_a_larger_one(root: Path) -> None:
    every = sorted(served(root, "train"))
    for count in (4, 50, len(every)):
        source = open_source(config(root, subset=str(count)))
        assert sorted(keys(source, source.train)) == every[:count]
    with pytest.raises(InputError, match=f"--subset 1k asks for 1,000 pairs, and there are {len(every)}"):
        open_source(config(root, subset="1k"))


def test_of_equal_keys_a_subset_has_as_many_as_asked_for(tmp_path: Path) -> None:
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", [pair(1)] * 30, 7)
    assert open_source(config(tmp_path, subset="11", validation=0)).pairs == 11


def test_validation_pairs_are_no_more_than_asked_for(root: Path) -> None:
    every = sorted(served(root, "validation"))
    source = open_source(config(root, validation_pairs=5))
    assert sorted(keys(source, source.validation)) == every[:5]
    assert source.pairs == 180 - len(every)  # the others are held back all the same
    assert not open_source(config(root, validation_pairs=0)).validation


def test_a_root_without_kept_pairs_says_why(root: Path) -> None:
    make_curated(root, Curating(mix=["blurred"]))
    with pytest.raises(InputError, match=r"none of its 180 pairs is kept: it was curated so; .*--decide"):
        open_source(config(root))


def test_too_few_pairs_for_a_batch_name_the_flag(root: Path) -> None:
    with pytest.raises(InputError, match=r"180 pairs to train on .* lower --batch-size 12288"):
        open_source(config(root, batch_size=12_288, validation=0))


def test_what_is_no_root_or_half_judged_is_refused_as_by_the_loader(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no shards for pairs at .*: make it with `danqing rebuild"):
        open_source(config(tmp_path / "nowhere"))
    make_scored(root)
    (root / "scores" / "train-00001-of-00003.parquet").unlink()
    with pytest.raises(
        InputError, match=r"train-00001-of-00003\.parquet: not there, though the root was scored"
    ):
        open_source(config(root))
    with pytest.raises(UsageError, match="--verdicts good: give some of dead, same"):
        open_source(config(root, verdicts="good"))


def test_a_caption_that_no_pair_can_have_is_refused(root: Path, tmp_path: Path) -> None:
    shard = tmp_path / "images" / "train-00000-of-00001.parquet"
    shard.parent.mkdir()
    pq.write_table(pq.read_table(root / "images").drop_columns(["recaption"]), shard)
    with pytest.raises(InputError, match="no column recaption, which --text names"):
        open_source(config(tmp_path, text="alt_text:0.7,recaption:0.3"))
    assert open_source(config(tmp_path)).read(open_source(config(tmp_path)).train[0])["recaption"].null_count


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda table: table.drop_columns(["key", "url"]), "no column key, and no url"),
        (lambda table: _with(table, "recaption", pa.array([["a"]] * len(table))), "column recaption is list.*no text"),
        (lambda table: _with(table, "alt_text", pa.array(range(len(table)))), "column alt_text is int64, and no text"),
    ],
)  # fmt: skip
def test_columns_of_another_kind_are_told_before_anything_is_trained(
    root: Path, tmp_path: Path, change: Callable[[pa.Table], pa.Table], said: str
) -> None:
    shard = tmp_path / "images" / "train-00000-of-00001.parquet"
    shard.parent.mkdir()
    pq.write_table(change(pq.read_table(root / "images")), shard)
    with pytest.raises(InputError, match=said):
        open_source(config(tmp_path))


@pytest.mark.parametrize("kind", [pa.large_string(), pa.dictionary(pa.int32(), pa.string())])
def test_texts_of_any_encoding_are_texts(root: Path, tmp_path: Path, kind: pa.DataType) -> None:
    table, shard = pq.read_table(root / "images"), tmp_path / "images" / "train-00000-of-00001.parquet"
    shard.parent.mkdir()
    pq.write_table(_with(table, "alt_text", table["alt_text"].cast(kind)), shard)
    assert open_source(config(tmp_path)).pairs


def _with(table: pa.Table, name: str, column: Any) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, column)


def test_a_shard_that_cannot_have_the_rows_it_says_is_refused_unread(tmp_path: Path) -> None:
    shard = tmp_path / "images" / "train-00000-of-00001.parquet"
    shard.parent.mkdir()
    one = pair(1)
    same = {
        name: pa.DictionaryArray.from_arrays(pa.array([0] * 10**6, pa.int32()), [one[name]])
        for name in ("key", "alt_text")
    }
    pq.write_table(pa.table({**same, "image": pa.nulls(10**6, IMAGE)}), shard)
    with pytest.raises(InputError, match=r"1,000,000 rows with a key each cannot be in \d+,\d+ bytes"):
        open_source(config(tmp_path))


def test_a_root_that_changed_has_another_hash(root: Path) -> None:
    first = open_source(config(root)).identity
    assert open_source(config(root)).identity == first
    assert open_source(config(root, subset="9")).identity["hash"] == first["hash"]
    shard = root / "images" / "train-00001-of-00003.parquet"
    rows = pq.read_table(shard).to_pylist()
    write_shard(shard, [*rows[:-1], {**rows[-1], "key": "0" * 32}], 10)
    assert open_source(config(root)).identity["hash"] != first["hash"]


def test_damage_is_told_by_file_and_row_group(root: Path) -> None:
    source = open_source(config(root, validation=0))
    shard = root / "images" / "train-00000-of-00003.parquet"
    whole = shard.read_bytes()
    group = pq.ParquetFile(shard).metadata.row_group(2)
    place = next(i for i in range(group.num_columns) if group.column(i).path_in_schema == "image.bytes")
    at = group.column(place).data_page_offset
    shard.write_bytes(whole[:at] + bytes(40) + whole[at + 40 :])
    with pytest.raises(InputError, match=r"train-00000-of-00003\.parquet: row group 2 is damaged"):
        source.read(source.train[2])
    assert source.read(source.train[1]).num_rows == 10
