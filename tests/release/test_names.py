"""Whatever values and names a manifest brings along, they are released, or refused before any shard is made."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

from builder.card.croissant import identifiers
from builder.card.readme import check_columns
from builder.disk.card import dump
from builder.disk.schema import pair_key
from builder.errors import InputError
from tests.release.roots import release
from tests.roots import pair, write_shard

LONG = "图" * 1400  # 4,200 bytes: Parquet writes no bounds of it
ODD = (
    "aesthetic score",
    "Unnamed: 0",
    "a/b",
    "a.b",
    "分数",
    "a b",
    "a_b",
    "split",
    "..",
    "",
    "TODO",
    "p|q`r",
    "x\ny",
)
HIDDEN = "ab\u202ecd\x1b[31m\u2066"
VALUES: dict[str, tuple[pa.DataType, Any]] = {
    **dict.fromkeys((*ODD, HIDDEN), (pa.string(), "v")),
    "nothing": (pa.null(), None),
    "nan": (pa.float64(), float("nan")),
    "huge": (pa.uint64(), 2**64 - 1),
    "bytes": (pa.binary(), b"\xff" * 5000),
    "boxes": (pa.list_(pa.struct([("the x", pa.int32())])), [{"the x": 1}]),
    "day": (pa.date32(), None),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    rows = [pair(number) | {name: value for name, (_, value) in VALUES.items()} for number in range(70)]
    for row in rows:
        row["alt_text"] = LONG
        row["key"] = pair_key(row["url"], LONG)
    rows[3]["recaption"] = LONG
    carried = pa.schema([pa.field(name, kind) for name, (kind, _) in VALUES.items()])
    write_shard(tmp_path / "root" / "images" / "train-00000-of-00001.parquet", rows, 16, carried)
    return tmp_path / "root"


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_odd_names_and_values_are_released(root: Path, tmp_path: Path, what: str) -> None:
    out = tmp_path / "out"
    assert release(root, out, "--what", what) == 0
    table = pq.read_table(out / what)
    assert {*VALUES} <= {*table.column_names}
    fields = json.loads((out / "croissant.json").read_text())["recordSet"][0]["field"]
    told = {field["source"]["extract"].get("column"): field["@id"] for field in fields}
    assert {*ODD, HIDDEN} - {""} <= {*told}
    assert len({*told.values()}) == len(fields)
    assert told["a_b"] == f"{what}/a_b" != told["a b"]
    card = (out / "README.md").read_text()
    assert not {"\u202e", "\x1b", "\u2066"} & {*card}
    assert "| `aesthetic score` | string |" in card
    assert "| `` p\\|q`r `` | string |" in card
    stock = load_dataset(str(out), split="train", streaming=True)
    assert {*VALUES} <= {*stock.column_names}


def test_identifiers_are_clean_and_no_two_alike() -> None:
    assert identifiers(["split", "a b", "a_b", "a-b", "split", "", "..", "分数"]) == [
        "split", "a_b-2", "a_b", "a-b", "split-2", "_", "_-2", "分数",
    ]  # fmt: skip


@pytest.mark.parametrize("kind", [pa.map_(pa.string(), pa.int32()), pa.month_day_nano_interval()], ids=str)
def test_a_column_that_no_reader_could_take_is_named_first(kind: pa.DataType) -> None:
    columns = [pa.field("url", pa.string()), pa.field("recaption", pa.string()), pa.field("odd", kind)]
    with pytest.raises(InputError, match=r"column odd: .* has no place in a release"):
        check_columns("manifest", pa.schema([*columns, pa.field("key", pa.string())]))


def test_front_matter_escapes_only_what_nobody_sees() -> None:
    assert dump({"name": "图"}) == "name: 图"
    assert dump({"name": "图\u202e"}) == 'name: "\\u56FE\\u202E"'
