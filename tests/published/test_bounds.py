"""What a stranger wrote is looked at in little memory, whatever it says of its own size."""

from __future__ import annotations

import json
import tarfile
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.disk.schema import pair_key
from builder.hub.store import open_store
from builder.published.check import check
from builder.published.shards import batches

from . import made
from .broken import IMAGE_SHARD, KEY7, TAR, TARS, pair7, tar_of

MB = 1_000_000


@contextmanager
def at_most(size: int) -> Iterator[None]:
    """Python's own memory grows by no more than this meanwhile."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < size
    finally:
        tracemalloc.stop()


def differences(folder: Path) -> list[str]:
    return check(str(folder), "full", Console(quiet=True), workers=1).differences


def header(name: str, kind: bytes, size: int, real: int = 0) -> bytes:
    """The header of a member; of a sparse one, which holds nothing, `real` is what it is when read."""
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, size
    raw = bytearray(info.tobuf(tarfile.GNU_FORMAT))
    raw[483:495] = b"%011o\0" % real
    raw[148:156] = b" " * 8
    raw[148:156] = b"%06o\0 " % sum(raw)
    return bytes(raw)


@pytest.fixture
def tars(tmp_path: Path) -> Path:
    made.make(tmp_path, TARS)
    return tmp_path


def test_sparse_members_are_not_blown_up(tars: Path) -> None:
    """24 of 8 MB in 12 kB, all of one pair: they were held together."""
    members = [header(f"{KEY7}.{number}", tarfile.GNUTYPE_SPARSE, 0, 8 * MB) for number in range(24)]
    (tars / TAR).write_bytes(b"".join(members) + bytes(1024))
    with at_most(32 * MB):
        told = differences(tars)
    assert f"{TAR}: '{KEY7}.0' is no member of a pair" in told


@pytest.mark.parametrize(
    "kind", [tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK, tarfile.XHDTYPE, tarfile.XGLTYPE]
)
def test_names_and_headers_of_any_length_are_passed_over(tars: Path, kind: bytes) -> None:
    with (tars / TAR).open("wb") as file:
        file.write(header("name", kind, 100 * MB))
        file.truncate(512 + 100 * MB + 1024)
    with at_most(60 * MB):
        told = differences(tars)
    assert f"{TAR}: 'name' is no member of a pair" in told


def test_pictures_are_passed_over_and_read_one_at_a_time(tars: Path) -> None:
    """32 of 4 MB: all of them could be in the sample."""
    with (tars / TAR).open("wb") as file:
        for number in range(32):
            text = json.dumps({"key": f"{number:032x}", "alt_text": "x"}).encode()
            for ending, size, data in (("jpg", 4 * MB, b""), ("txt", 1, b"x"), ("json", len(text), text)):
                file.write(header(f"{number:032x}.{ending}", tarfile.REGTYPE, size))
                file.write(data)
                file.truncate(-(-(file.tell() + size - len(data)) // 512) * 512)
                file.seek(0, 2)
        file.truncate(file.tell() + 1024)
    with at_most(60 * MB):
        told = differences(tars)
    assert any("picture of pair 0" in line for line in told)


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (
            lambda data: data[:-1024],
            "damaged or truncated: it ends within a member, or without the end of a tar",
        ),
        (lambda data: data[:700], "damaged or truncated: it ends within a member"),
        (lambda data: data + b"more", "damaged: something lies behind the end of the tar"),
        (lambda data: b"no tar" + bytes(506), "damaged or truncated: "),
        (
            lambda data: header("x.jpg", tarfile.REGTYPE, 1 << 40),
            "damaged or truncated: it ends within a member",
        ),
    ],
)
def test_a_tar_that_is_none(tars: Path, spoil: Callable[[bytes], bytes], expected: str) -> None:
    tar_of(*pair7())(tars)
    data = (tars / TAR).read_bytes().rstrip(b"\0")
    (tars / TAR).write_bytes(spoil(data + bytes(-len(data) % 512) + bytes(1024)))
    assert any(line.startswith(f"{TAR}: {expected}") for line in differences(tars))


def test_numbers_that_are_no_json_are_columns_of_a_tar(tars: Path) -> None:
    """A column of NaN is written as such, and Python reads it; danqing wrote it."""
    tar_of(*pair7(similarity=float("nan")))(tars)
    assert not any("similarity" in line or f"{KEY7}.json" in line for line in differences(tars))


def bomb(path: Path, columns: dict[str, Any], **options: Any) -> None:
    pq.write_table(pa.table(columns), path, compression="zstd", **options)


def test_more_rows_than_there_can_be_keys(tmp_path: Path) -> None:
    made.make(tmp_path)
    bomb(tmp_path / IMAGE_SHARD, {"key": pa.array(["0" * 32] * 1_000_000)})
    told = differences(tmp_path)
    assert any(
        line.startswith(f"{IMAGE_SHARD}: damaged or truncated: 1,000,000 rows with a key each cannot be in")
        for line in told
    )
    bomb(
        tmp_path / "changes/v2026.11.parquet",
        {name: pa.array(["x"] * 100_000) for name in ("key", "reason", "since")},
    )
    told = differences(tmp_path)
    assert any(
        "changes/v2026.11.parquet: damaged or truncated: 100,000 rows with a key each cannot be in" in line
        for line in told
    )
    bomb(
        tmp_path / "removals/removals.parquet",
        {name: pa.array(["x"] * 100_000) for name in ("kind", "digest", "since")},
    )
    told = differences(tmp_path)
    assert any(
        "removals/removals.parquet: 100,000 rows with a key each cannot be in" in line for line in told
    )


def test_one_text_for_all_rows_is_weighed_before_it_is_multiplied(tmp_path: Path) -> None:
    """2,000 rows of 200 kB are a file of 70 kB: what they would take is known without them."""
    path = tmp_path / "x.parquet"
    keys = [pair_key(str(number), None) for number in range(2000)]
    once = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 200_000]))
    bomb(path, {"key": keys, "format": once}, use_dictionary=["format"], store_schema=False)
    assert path.stat().st_size < MB
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match="2,000 rows hold 400,000,000 bytes of format"):
        list(batches(open_store(str(tmp_path)), "x.parquet", ["key", "format"]))
    assert pa.total_allocated_bytes() - before < 10 * MB
    bomb(path, {"key": keys, "format": ["jpeg"] * 2000}, use_dictionary=["format"])
    (table,) = batches(open_store(str(tmp_path)), "x.parquet", ["key", "format"])
    assert table["format"].to_pylist() == ["jpeg"] * 2000


def test_a_row_group_that_would_be_too_large(tmp_path: Path) -> None:
    """Half a gigabyte of text in 60 kB: the footer tells, and nothing is read."""
    path = tmp_path / "x.parquet"
    part = pa.table({"text": pa.array(["x" * 4 * MB])})
    with pq.ParquetWriter(path, part.schema, compression="zstd", use_dictionary=False) as file:
        file.write_table(pa.concat_tables([part] * 135))
    with pytest.raises(ValueError, match=r"row group 0 has 540,[\d,]+ bytes without pictures"):
        list(batches(open_store(str(tmp_path)), "x.parquet", ["text"]))
