"""Columns of every Arrow type that a Parquet file can hold end in shards that `datasets` loads, values unchanged."""

from __future__ import annotations

import datetime
import decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from builder.disk.card import root_card
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import carried
from builder.errors import InputError
from builder.manifest import ManifestOptions, open_manifest

NOW, DAY = datetime.datetime(2024, 1, 2, 3, 4, 5), datetime.date(2024, 1, 2)
TENTH = decimal.Decimal("0.10")
MAP = [("a", 1), ("b", None)]
PAIRS = [{"key": "a", "value": 1}, {"key": "b", "value": None}]
HELD: dict[str, tuple[pa.DataType, Any]] = {
    str(kind): (kind, value)
    for kind, value in [
        (pa.bool_(), True),
        (pa.int8(), -1),
        (pa.uint64(), (1 << 64) - 1),
        (pa.float16(), 0.5),
        (pa.float32(), 0.5),
        (pa.date32(), DAY),
        (pa.time32("ms"), datetime.time(1, 2, 3)),
        (pa.time64("us"), datetime.time(1, 2, 3, 4)),
        (pa.timestamp("ms"), NOW),
        (pa.timestamp("us", "UTC"), NOW.replace(tzinfo=datetime.UTC)),
        (pa.duration("s"), datetime.timedelta(seconds=5)),
        (pa.decimal32(5, 2), TENTH),
        (pa.decimal64(10, 2), TENTH),
        (pa.decimal128(30, 2), TENTH),
        (pa.decimal256(60, 2), TENTH),
        (pa.binary(), b"ab"),
        (pa.binary(2), b"ab"),
        (pa.large_binary(), b"ab"),
        (pa.binary_view(), b"ab"),
        (pa.string(), "图"),
        (pa.large_string(), "图"),
        (pa.string_view(), "图"),
        (pa.list_(pa.large_string()), ["a", None]),
        (pa.large_list(pa.int8()), [1, None]),
        (pa.list_(pa.int8(), 2), [1, 2]),
        (pa.list_view(pa.int8()), [1, None]),
        (pa.struct([("a", pa.string_view()), ("b", pa.list_(pa.int8()))]), {"a": "x", "b": [1]}),
        (pa.list_(pa.struct([("a", pa.int8())])), [{"a": 1}, None]),
        (pa.dictionary(pa.int8(), pa.string()), "图"),
        (pa.map_(pa.string(), pa.int32()), MAP),
        (pa.list_(pa.map_(pa.string(), pa.int32())), [MAP, None]),
        (pa.struct([("m", pa.map_(pa.string(), pa.int32()))]), {"m": MAP}),
        (pa.map_(pa.string(), pa.map_(pa.string(), pa.int32())), [("x", MAP)]),
    ]
}


def plainly(value: Any) -> Any:
    """A map, which Arrow gives as pairs, as the list of objects that it becomes."""
    if isinstance(value, list):
        pairs = value and all(isinstance(one, tuple) for one in value)
        return (
            [{"key": k, "value": plainly(v)} for k, v in value] if pairs else [plainly(one) for one in value]
        )
    return {k: plainly(v) for k, v in value.items()} if isinstance(value, dict) else value


def carry(folder: Path, columns: dict[str, pa.Array[Any]]) -> tuple[pa.Table, tuple[str, ...]]:
    """The rows of a manifest with these columns, and the notes on it."""
    rows = len(next(iter(columns.values())))
    pq.write_table(pa.table({"url": ["u"] * rows, "text": ["t"] * rows, **columns}), folder / "m.parquet")
    manifest = open_manifest(str(folder / "m.parquet"), ManifestOptions())
    return pa.concat_tables(manifest.tables("train", [(0, 1), (1, rows)])), manifest.notes


def shard(folder: Path, rows: pa.Table) -> Path:
    """A root with a card and one shard without pictures."""
    kept = carried(rows.schema)
    schema = image_schema(kept)
    made = {"key": [f"{i:032x}" for i in range(len(rows))]}
    arrays = [
        rows[field.name]
        if field.name in rows.column_names
        else pa.array(made.get(field.name, [None] * len(rows)), field.type)
        for field in schema
    ]
    (folder / "images").mkdir(parents=True)
    with writer(folder / "images" / "train-00000-of-00001.parquet", schema) as out:
        out.write_table(pa.Table.from_arrays(arrays, schema=schema))
    (folder / "README.md").write_text(root_card(["train"], "parquet", kept))
    return folder


def test_every_type_is_carried_to_what_datasets_loads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    columns = {}
    for number, (kind, value) in enumerate(HELD.values()):
        columns[f"c{number}"] = pa.array([value, None, value], kind)
    columns["null"] = pa.nulls(3)
    rows, notes = carry(tmp_path, columns)
    wanted = [plainly(value) for _, value in HELD.values()]
    assert len(notes) == 4  # the maps
    for end in (0, 2):
        assert [rows[f"c{number}"][end].as_py() for number in range(len(HELD))] == wanted
    assert not any(rows[name][1].is_valid for name in columns)
    root = shard(tmp_path / "root", rows)
    for streaming in (True, False):
        options: dict[str, Any] = {} if streaming else {"cache_dir": str(tmp_path / "cache")}
        loaded = list(load_dataset(str(root), "pairs", split="train", streaming=streaming, **options))
        assert [loaded[2][f"c{number}"] for number in range(len(HELD))] == wanted


def test_extension_types_are_what_they_hold(tmp_path: Path) -> None:
    numbers = pa.array([1, None, 1], pa.int8())
    columns = {
        "bool8": pa.bool8().wrap_array(numbers),
        "uuid": pa.uuid().wrap_array(pa.array([b"a" * 16] * 3, pa.binary(16))),
    }
    rows, notes = carry(tmp_path, columns)
    assert rows["bool8"].to_pylist() == [1, None, 1]
    assert rows["uuid"].to_pylist() == [b"a" * 16] * 3
    assert [note.split(":")[0] for note in notes] == [
        "column bool8 is extension<arrow.bool8>",
        "column uuid is extension<arrow.uuid>",
    ]
    assert list(load_dataset(str(shard(tmp_path / "root", rows)), "pairs", split="train", streaming=True))


def test_decimals_meet_doubles_only_where_nothing_is_rounded(tmp_path: Path) -> None:
    def files(first: str) -> list[Any]:
        numbers = pa.array([decimal.Decimal(first), decimal.Decimal("0.10")], pa.decimal128(30, 2))
        for name, column in (("a", numbers), ("b", pa.array([0.5]))):
            rows = len(column)
            pq.write_table(
                pa.table({"url": ["u"] * rows, "text": ["t"] * rows, "n": column}),
                tmp_path / f"{name}.parquet",
            )
        read: list[Any] = pa.concat_tables(
            open_manifest(str(tmp_path), ManifestOptions()).tables("train", [(0, 3)])
        )["n"].to_pylist()
        return read

    assert files("2.50") == [2.5, 0.1, 0.5]
    with pytest.raises(
        InputError, match=r"a\.parquet: row 1: column 'n' is decimal128\(30, 2\) and holds what double"
    ):
        files("12345678901234567890.12")


def test_text_that_is_not_utf8_is_found_in_nested_columns_too(tmp_path: Path) -> None:
    bad = pa.ListArray.from_arrays(
        pa.array([0, 1, 2], pa.int32()), pa.array([b"a", b"\xff"]).view(pa.string())
    )
    with pytest.raises(InputError, match=r"row 2: column 'tags' is not UTF-8"):
        carry(tmp_path, {"tags": bad})
