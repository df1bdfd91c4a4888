"""The Parquet options that loading and uploading lean on."""

from __future__ import annotations

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.parquet import image_schema
from builder.disk.schema import IMAGES, said_by

from ..roots import CARRIED, pair, write_shard


@pytest.fixture
def shard(tmp_path):
    write_shard(tmp_path / "shard.parquet", [pair(number) for number in range(6)], row_group=4)
    return pq.ParquetFile(tmp_path / "shard.parquet")


def test_order_of_the_columns():
    names = image_schema(CARRIED).names
    assert names == [*IMAGES.names[:4], "similarity", "tags", *IMAGES.names[4:]]
    assert image_schema().names == IMAGES.names


def test_schema_survives_the_file(shard):
    assert shard.schema_arrow.equals(image_schema(CARRIED), check_metadata=False)
    features = datasets.Features.from_arrow_schema(shard.schema_arrow)
    assert features["image"] == datasets.Image()


def test_text_is_compressed_and_pictures_are_not(shard):
    group = shard.metadata.row_group(0)
    columns = {group.column(index).path_in_schema: group.column(index) for index in range(group.num_columns)}
    assert columns["image.bytes"].compression == "UNCOMPRESSED"
    assert {column.compression for name, column in columns.items() if name != "image.bytes"} == {"ZSTD"}
    assert columns["key"].statistics.has_min_max
    assert not columns["image.bytes"].is_stats_set
    assert columns["key"].has_offset_index


def test_row_groups_are_those_written(shard):
    assert [shard.metadata.row_group(index).num_rows for index in range(2)] == [4, 2]


@pytest.mark.parametrize("text", [b"{", b"[1]", b"[" * 100_000])
def test_metadata_that_are_not_ours_say_nothing(text):
    assert said_by(pa.schema([]).with_metadata({b"danqing": text})) == {}
