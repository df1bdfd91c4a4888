"""Every format gives the same rows; what is not a manifest is told in one line."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest
import zstandard

from builder.errors import InputError
from builder.manifest import Columns, Manifest, open_manifest

ROWS = [
    {
        "url": f"http://h/{i}",
        "alt_text": f'图 {i}, "a"\nb\t',
        "recaption": "",
        "n": i,
        "at": "2024-01-01T00:00:00",
    }
    for i in range(1000)
]
TABLE = pa.Table.from_pylist(ROWS)


def as_bytes(kind: str) -> bytes:
    if kind == "jsonl":
        return "\n\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS).encode()
    sink = pa.BufferOutputStream()
    if kind == "parquet":
        pq.write_table(TABLE, sink, row_group_size=100)
    else:
        pa_csv.write_csv(TABLE, sink, pa_csv.WriteOptions(delimiter="\t" if kind == "tsv" else ","))
    return sink.getvalue().to_pybytes()


def packed(data: bytes, suffix: str) -> bytes:
    return {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](data)


def opened(tmp_path: Path, name: str, data: bytes, **options: Any) -> Manifest:
    (tmp_path / name).write_bytes(data)
    return open_manifest(str(tmp_path / name), Columns(), **options)


def rows_of(manifest: Manifest, split: str = "train") -> list[dict[str, Any]]:
    (table,) = manifest.tables(split, [(0, manifest.rows[split])])
    assert table.schema == manifest.schema
    return table.to_pylist()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_text_formats_give_the_rows_of_the_table(tmp_path: Path, kind: str, suffix: str) -> None:
    manifest = opened(tmp_path, f"m.{kind}{suffix}", packed(as_bytes(kind), suffix))
    number = int if kind == "jsonl" else str  # CSV is all strings
    assert manifest.rows == {"train": 1000}
    assert rows_of(manifest) == [{**row, "n": number(row["n"])} for row in ROWS]


def test_parquet_gives_the_rows_of_the_table(tmp_path: Path) -> None:
    assert rows_of(opened(tmp_path, "m.parquet", as_bytes("parquet"))) == ROWS


@pytest.mark.parametrize("suffix", ["", ".gz"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl", "parquet"])
def test_bytes_tell_the_kind_where_the_name_does_not(tmp_path: Path, kind: str, suffix: str) -> None:
    if kind == "parquet" and suffix:
        with pytest.raises(InputError, match="Parquet inside gzip; decompress it"):
            opened(tmp_path, "m", packed(as_bytes(kind), suffix))
    else:
        assert opened(tmp_path, "m", packed(as_bytes(kind), suffix)).rows == {"train": 1000}


@pytest.mark.parametrize(
    ("name", "data", "said"),
    [
        ("m.csv", b"", r"the file is empty \(0 bytes\)"),
        ("m.parquet", b"", r"the file is empty \(0 bytes\)"),
        ("m.parquet", b"url,text\na,b\n", "not Parquet: it begins with 'url,text"),
        (
            "m.parquet",
            as_bytes("parquet")[:-50],
            r"truncated: it ends after [\d,]+ bytes without a Parquet footer",
        ),
        ("m.parquet", b"PAR1PAR1", "truncated: it ends after 8 bytes"),
        ("m.csv", as_bytes("parquet"), "Parquet by its bytes, CSV by its name"),
        ("m", b"<!doctype html><html>", "not a manifest: it begins with '<!doctype html>"),
        ("m", b"\x89PNG\0\0", "not a manifest: it begins with"),
        ("m.csv", "url,text\n".encode("utf-16"), "not CSV in UTF-8"),
        ("m.csv", b"url,text\n", r"the manifest has no rows \(1 CSV file"),
        ("m.csv", b"url,text\na,b\nc", "past row 0: Row #3: Expected 2 columns, got 1: c"),
        ("m.csv", b'url,text\na,b\nc,"d' + b"x\n" * (5 << 20), "a row is longer than 1 MiB"),
        (
            "m.csv.gz",
            gzip.compress(as_bytes("csv"), mtime=0)[:-20],
            r"Truncated compressed stream \(the file ends after [\d,]+",
        ),
        ("m.jsonl.zst", zstandard.compress(as_bytes("jsonl"))[:-20], "Truncated compressed stream"),
        ("m.jsonl", as_bytes("jsonl")[:-5], "row 1,000 is not JSON .* ends early: truncated?"),
        ("m.json", b'[{"url": "a"}]', "row 1 is list, not a JSON object"),
        ("m.jsonl", b'{"url":"a","text":"b"}{"url":"c"}\n', "row 1 is not JSON"),
    ],
)
def test_what_is_no_manifest_is_one_line(tmp_path: Path, name: str, data: bytes, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        opened(tmp_path, name, data)
    assert str(caught.value).startswith(str(tmp_path))
    assert "\n" not in str(caught.value)


def test_empty_parquet_is_no_manifest(tmp_path: Path) -> None:
    pq.write_table(TABLE.slice(0, 0), tmp_path / "m.parquet")
    with pytest.raises(InputError, match="the manifest has no rows"):
        open_manifest(str(tmp_path), Columns())


def test_mixed_kinds_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_bytes("csv"))
    with pytest.raises(InputError, match="1 CSV and 1 Parquet files; a manifest is of one kind"):
        opened(tmp_path, "b.parquet", as_bytes("parquet")) and open_manifest(str(tmp_path), Columns())


def test_damaged_row_group_is_told_when_it_is_read(tmp_path: Path) -> None:
    data = bytearray(as_bytes("parquet"))
    data[300:3000] = b"\xff" * 2700
    manifest = opened(tmp_path, "m.parquet", bytes(data))
    with pytest.raises(InputError, match=r"m\.parquet: "):
        rows_of(manifest)


def test_bytes_that_are_not_utf8_are_replaced_in_every_format(tmp_path: Path) -> None:
    url, text = pa.array([b"u\xff"]).view(pa.string()), pa.array([b"\xe5\x9b\xbe\xe5"]).view(pa.string())
    pq.write_table(pa.table({"url": url, "text": text}), tmp_path / "p.parquet")
    files = {
        "c.csv": b"url,text\nu\xff,\xe5\x9b\xbe\xe5\n",
        "j.jsonl": b'{"url":"u\xff","text":"\xe5\x9b\xbe\xe5"}\n',
        "p.parquet": (tmp_path / "p.parquet").read_bytes(),
    }
    for name, data in files.items():
        (row,) = rows_of(opened(tmp_path, name, data))
        assert (row["url"], row["alt_text"]) == ("u\ufffd", "图\ufffd")


def test_json_oddities_are_read_not_refused(tmp_path: Path) -> None:
    lines = [
        b'\xef\xbb\xbf{"url":"a","text":"b","box":[1.5],"none":null}',
        b'  {"url":"\\ud83d","text":7,"url2":1}\r',  # a lone surrogate, a number for a caption
        b'{"text":"x","text":"y","box":[]}',  # a key twice, no url
    ]
    first, second, third = rows_of(opened(tmp_path, "m.jsonl", b"\n \n".join(lines)))
    assert first == {"url": "a", "alt_text": "b", "recaption": None, "box": [1.5], "none": None, "url2": None}
    assert (second["url"], second["alt_text"], second["url2"]) == ("\ufffd", "7", 1)
    assert (third["url"], third["alt_text"], third["box"]) == (None, "y", [])


def test_json_value_of_another_type_is_found_before_the_run(tmp_path: Path) -> None:
    data = b'{"url":"a","text":"b","n":1}\n' * 50_000 + b'{"url":"a","text":"b","n":"many"}\n'
    with pytest.raises(InputError, match=r"row 50,001: column 'n' holds 'many', but int64 in the first rows"):
        opened(tmp_path, "m.jsonl", data)


def test_json_line_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a line is longer than 32 MiB"):
        opened(tmp_path, "m.jsonl", b'{"url":"' + b"x" * (40 << 20))
