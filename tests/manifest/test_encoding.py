"""Text is decoded strictly: in the encoding of its byte order mark, in the one that was named, or refused by row."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.errors import InputError, UsageError
from builder.manifest import ManifestOptions, known_encoding, open_manifest

CAPTIONS = ["蓝色的天空", "一条河", "联通"]
URLS = ["http://h/1", "http://h/2", "http://h/3"]


def lines(kind: str) -> str:
    if kind == "jsonl":
        return "".join(f'{{"url":"{u}","text":"{t}"}}\n' for u, t in zip(URLS, CAPTIONS, strict=True))
    separator = "\t" if kind == "tsv" else ","
    quote = '"' if kind == "csv" else ""
    rows = [f"{u}{separator}{quote}{t}{quote}\n" for u, t in zip(URLS, CAPTIONS, strict=True)]
    return "".join([f"url{separator}text\n", *rows])


def captions(path: Path, encoding: str = "utf-8") -> list[Any]:
    manifest = open_manifest(str(path), ManifestOptions(encoding=encoding))
    (table,) = manifest.tables("train", [(0, manifest.rows["train"])])
    read: list[Any] = table["alt_text"].to_pylist()
    return read


def parquet(path: Path, texts: pa.Array) -> Path:
    pq.write_table(pa.table({"url": URLS, "text": texts}), path)
    return path


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
def test_text_in_another_encoding_is_refused_until_it_is_named(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"m.{kind}"
    path.write_bytes(lines(kind).encode("gb18030"))
    with pytest.raises(InputError, match=r"row 1 .*is not UTF-8: b'.*; .* name it, as --encoding gb18030"):
        captions(path)
    assert captions(path, "gb18030") == CAPTIONS


@pytest.mark.parametrize("kind", ["csv", "tsv", "jsonl"])
@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_a_byte_order_mark_goes_before_the_option(tmp_path: Path, kind: str, encoding: str) -> None:
    path = tmp_path / f"m.{kind}"
    path.write_bytes(lines(kind).encode(encoding))
    assert captions(path) == captions(path, "gb18030") == CAPTIONS
    if encoding == "utf-16":
        path.write_bytes(b"\xfe\xff" + lines(kind).encode("utf-16-be"))
        assert captions(path) == CAPTIONS


@pytest.mark.parametrize(
    ("kind", "row"),
    [("csv", r"row 9,003 \(line 9,004\)"), ("tsv", r"row 9,003 \(line 9,004\)"), ("jsonl", "row 9,003")],
)
@pytest.mark.parametrize("encoding", ["utf-8", "gb18030", "utf-16-le"])
def test_the_row_is_named_wherever_it_lies(tmp_path: Path, kind: str, row: str, encoding: str) -> None:
    head, *rows = ["", *lines(kind).splitlines(keepends=True)][kind != "jsonl" :]
    good = (head + "".join(rows) * 3000 + rows[0] * 2).encode(encoding)
    bad = b"\x00\xdc" if encoding == "utf-16-le" else b"\xff"
    line = rows[0].encode(encoding)
    (tmp_path / f"m.{kind}").write_bytes(good + line[:8] + bad + line[8:] + line)
    with pytest.raises(InputError, match=rf"{row} is not {encoding.upper()}: "):
        captions(tmp_path / f"m.{kind}", encoding)


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary(), pa.string(), pa.large_string()])
def test_texts_of_parquet_are_held_to_it_too(tmp_path: Path, kind: pa.DataType) -> None:
    raw = pa.array([text.encode("gb18030") for text in CAPTIONS]).cast(
        pa.large_binary() if "large" in str(kind) else pa.binary()
    )
    path = parquet(tmp_path / "m.parquet", raw.view(kind))
    with pytest.raises(InputError, match=r"row 1: column 'alt_text' is not UTF-8: .* --encoding gb18030"):
        captions(path)
    assert captions(path, "gb18030") == CAPTIONS


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.string_view()])
def test_texts_of_parquet_that_are_utf_8_stay_so_whatever_is_named(tmp_path: Path, kind: pa.DataType) -> None:
    path = parquet(tmp_path / "m.parquet", pa.array(CAPTIONS, kind))
    assert captions(path, "gb18030") == CAPTIONS


@pytest.mark.parametrize("name", ["utf-16", "utf-32"])
def test_an_encoding_that_leaves_the_order_of_bytes_open_needs_its_mark(tmp_path: Path, name: str) -> None:
    path = tmp_path / "m.csv"
    path.write_bytes(lines("csv").encode(f"{name}-le"))
    with pytest.raises(
        InputError, match=rf"no byte order mark of {name.upper()}; .* as --encoding {name}-le or"
    ):
        captions(path, name)
    assert captions(path, f"{name}-le") == CAPTIONS


def test_the_row_of_parquet_is_named(tmp_path: Path) -> None:
    texts = pa.array([b"a", b"b", b"\xe5\x9b\xbe\xe5"])
    with pytest.raises(InputError, match=r"row 3: column 'alt_text' is not UTF-8"):
        captions(parquet(tmp_path / "m.parquet", texts))


@pytest.mark.parametrize("name", ["klingon", "base64", "", "a\0b"])
def test_a_word_that_is_no_encoding_is_a_mistake(name: str) -> None:
    with pytest.raises(UsageError, match="no such encoding; write utf-8"):
        known_encoding(name)
    assert known_encoding("GBK") == "gbk"
