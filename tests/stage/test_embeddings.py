"""Files of embeddings: the same vectors give the same bytes in whatever pieces they come, and no numbers are null."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.schema import said_by
from builder.stage import embeddings
from builder.stage.embeddings import EmbeddingFile, embeddings_of, lists_of
from builder.towers.checkpoint import slug_of


def test_what_is_zero_or_no_number_is_null() -> None:
    vectors = np.array([[0.6, 0.8], [0, 0], [np.nan, 1], [np.inf, 0], [1e-9, 0]], np.float32)
    assert lists_of(vectors).to_pylist() == [[np.float16(0.6), np.float16(0.8)], None, None, None, None]
    assert lists_of(np.empty((0, 3))).type == pa.list_(pa.float16(), 3)


@pytest.mark.parametrize("piece", [1, 7, 100, 5000])
def test_pieces_make_no_difference(tmp_path: Path, piece: int) -> None:
    rng = np.random.default_rng(1)
    count = 2 * embeddings.ROWS + 17
    vectors = rng.normal(size=(count, 4)).astype(np.float32)
    keys = pa.array([f"{number:032x}" for number in range(count)])

    def made(path: Path, step: int) -> bytes:
        with EmbeddingFile(path, ["alt_text"], 4, {"name": "m", "fingerprint": "f"}) as file:
            for at in range(0, count, step):
                some = slice(at, at + step)
                file.add(keys[some], lists_of(vectors[some]), [lists_of(vectors[some] * -1)])
        assert file.rows == count
        return path.read_bytes()

    assert made(tmp_path / "a", piece * 13) == made(tmp_path / "b", count)
    table = pq.read_table(tmp_path / "a")
    assert table.column_names == ["key", "image", "alt_text"]
    assert table["key"].combine_chunks().equals(keys)
    assert np.array_equal(np.array(table["image"].to_pylist(), np.float16), vectors.astype(np.float16))
    assert said_by(table.schema) == {"name": "m", "fingerprint": "f"}
    assert pq.ParquetFile(tmp_path / "a").metadata.row_group(0).num_rows == embeddings.ROWS


def test_numbers_are_stored_plain(tmp_path: Path) -> None:
    with EmbeddingFile(tmp_path / "a", ["alt_text"], 2, {}) as file:
        vectors = lists_of(np.array([[0.6, 0.8], [0, 0]] * 100))
        file.add(pa.array(["x"] * 200), vectors, [vectors])
    group = pq.ParquetFile(tmp_path / "a").metadata.row_group(0)
    for number in (1, 2):
        column = group.column(number)
        assert (column.compression, column.has_dictionary_page, column.is_stats_set) == (
            "UNCOMPRESSED",
            False,
            False,
        )
    assert group.column(0).compression == "ZSTD"
    assert pq.read_table(tmp_path / "a")["image"].combine_chunks().equals(vectors)


def test_a_file_of_no_rows_has_its_columns(tmp_path: Path) -> None:
    with EmbeddingFile(tmp_path / "a", ["alt_text"], 4, {}) as file:
        file.add(pa.array([], pa.string()), lists_of(np.empty((0, 4))), [lists_of(np.empty((0, 4)))])
    table = pq.read_table(tmp_path / "a")
    assert (len(table), table.schema.field("alt_text").type) == (0, pa.list_(pa.float16(), 4))


@pytest.mark.parametrize(
    ("name", "slug"),
    [
        ("chinese-clip-vit-large-patch14", "chinese-clip-vit-large-patch14-0123abcd"),
        ("我的 model/../x", "model-..-x-0123abcd"),
        ("..", "model-0123abcd"),
        ("a" * 300, "a" * 64 + "-0123abcd"),
    ],
)
def test_a_slug_is_a_name_of_one_folder(name: str, slug: str) -> None:
    assert slug_of(name, "0123abcdef") == slug
    assert embeddings_of(slug, "train-00000-of-00001").split("/") == [
        "embeddings", slug, "train-00000-of-00001.parquet",
    ]  # fmt: skip
