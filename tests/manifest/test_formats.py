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
from builder.manifest import Manifest, ManifestOptions, open_manifest

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


def signed(parquet: bytes) -> bytes:
    """A file whose footer is followed by as many bytes as where columns are encrypted; none is here."""
    length = int.from_bytes(parquet[-8:-4], "little") + 28
    return parquet[:-8] + bytes(28) + length.to_bytes(4, "little") + b"PAR1"


def packed(data: bytes, suffix: str) -> bytes:
    return {"": bytes, ".gz": gzip.compress, ".zst": zstandard.compress}[suffix](data)


def opened(tmp_path: Path, name: str, data: bytes, quoting: str = "auto") -> Manifest:
    (tmp_path / name).write_bytes(data)
    return open_manifest(str(tmp_path / name), ManifestOptions(quoting=quoting))


def rows_of(manifest: Manifest, split: str = "train") -> list[dict[str, Any]]:
    (table,) = manifest.tables(split, [(0, manifest.rows[split])])
    assert table.schema == manifest.schema
    return table.to_pylist()


@pytest.mark.parametrize("suffix", ["", ".gz", ".zst"])
@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_text_formats_give_the_rows_of_the_table(tmp_path: Path, kind: str, suffix: str) -> None:
    quoting = "double" if kind == "tsv" else "auto"
    manifest = opened(tmp_path, f"m.{kind}{suffix}", packed(as_bytes(kind), suffix), quoting)
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
        assert opened(tmp_path, "m", packed(as_bytes(kind), suffix), "double").rows == {"train": 1000}


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
        (
            "m.csv",
            "url,text\n".encode("utf-16-le"),
            r"not CSV in UTF-8: it begins with 'u.*; if it is UTF-16 without a byte order mark: --encoding utf-16-le",
        ),
        (
            "m.csv",
            "url,text\nhttp://h/1.jpg,天空\n".encode("utf-16-be"),
            r"not CSV in UTF-8: .*: --encoding utf-16-be",
        ),
        ("m.csv", b"url,text\na,b\nc,\0\n", "line 3 holds a NUL byte: no text; mend the line"),
        (
            "m.csv",
            b"url,text\n" + b"a,b\n" * 20_000 + b"c,\0\n",
            r"row 20,001 \(line 20,002\) holds a NUL byte",
        ),
        ("m.jsonl", b"{}\n" * 30_000 + b"\0\n", r"row 30,001 holds a NUL byte"),
        ("m.jsonl", b"{}\n", "no URL column of any known manifest; it has no columns"),
        ("m.csv", b"\n\r\n", "no header: the first line of a CSV manifest names its columns"),
        ("m.parquet", b"PARE" + bytes(50) + b"PARE", "encrypted Parquet; write it again without encryption"),
        ("m.parquet", signed(as_bytes("parquet")), "encrypted Parquet; write it again without encryption"),
        ("m.csv", b"url,text\n", r"the manifest has no rows \(1 CSV file"),
        (
            "m.csv",
            b"url,text\na,b\nc",
            "line 3: 1 fields, but the header names 2; if a value of it should be quoted, quote it",
        ),
        (
            "m.csv",
            b'url,text\na,b\nc,"d' + b"x\n" * (5 << 20),
            "line 3: a record begins that is longer than 1 MiB .a quote that is never closed?",
        ),
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
        open_manifest(str(tmp_path), ManifestOptions())


def test_mixed_kinds_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(as_bytes("csv"))
    with pytest.raises(InputError, match="1 CSV and 1 Parquet files; a manifest is of one kind"):
        opened(tmp_path, "b.parquet", as_bytes("parquet")) and open_manifest(str(tmp_path), ManifestOptions())


def test_damaged_row_group_is_told_when_it_is_read(tmp_path: Path) -> None:
    data = bytearray(as_bytes("parquet"))
    data[300:3000] = b"\xff" * 2700
    manifest = opened(tmp_path, "m.parquet", bytes(data))
    with pytest.raises(InputError, match=r"m\.parquet: "):
        rows_of(manifest)


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


def test_json_line_without_end_is_refused_in_bounded_memory(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="row 1 is longer than 32 MiB"):
        opened(tmp_path, "m.jsonl", b'{"url":"' + b"x" * (40 << 20))
