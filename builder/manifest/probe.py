"""What a file of a manifest is, from its two ends: kind, columns, row count (Parquet) and fingerprint.

Costs the first and last 64 KiB, the rest of a Parquet footer that is larger, and the first megabyte of a text
file; whatever the file is not is said here, before any run begins.
"""

from __future__ import annotations

import csv
import hashlib
import io
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..errors import InputError
from ..files import is_local
from .find import Entry
from .json_lines import blocks, infer
from .source import Kind, Source, compression_of, decoded, kind_of, opened, reading

EDGE = 64 << 10  # bytes at each end that go into a fingerprint
SAMPLE = 1 << 20  # bytes of a text file from which its columns are read
PARQUET_MAGIC = b"PAR1"


def probe(fs: fsspec.AbstractFileSystem, entry: Entry) -> Source:
    """Look at one file.

    Raises InputError when it is empty, truncated or not what its name says, EnvironmentProblem when it cannot
    be read.
    """
    full = str(fs.unstrip_protocol(entry.path))
    url = entry.path if is_local(full) else full
    with reading(url), opened(fs, entry.path) as file:
        size = file.seek(0, 2)
        if not size:
            raise InputError(f"{url}: the file is empty (0 bytes)")
        head, tail = _at(file, 0, min(EDGE, size)), _at(file, max(0, size - EDGE), size)
        print_ = hashlib.blake2b(str(size).encode() + b"\0" + head + tail, digest_size=16).hexdigest()
        compression = compression_of(head)
        kind = kind_of(entry.name) or (None if compression else _sniffed(head, url))
        if head.startswith(PARQUET_MAGIC) and kind is not Kind.PARQUET:
            raise InputError(f"{url}: Parquet by its bytes, {kind} by its name; rename it")
        if kind is Kind.PARQUET:
            footer = _footer(file, head, tail, size, url)
            return Source(
                fs, entry.path, url, size, print_, kind, None, footer.schema_arrow, footer.metadata.num_rows
            )
    with reading(url, size):
        bare = Source(fs, entry.path, url, size, print_, kind or Kind.CSV, compression, pa.schema([]), None)
        return _text(bare, guess=kind is None)


def _at(file: Any, start: int, stop: int) -> bytes:
    file.seek(start)
    return bytes(file.read(stop - start))


def _sniffed(head: bytes, url: str) -> Kind:
    """The format of bytes whose name says nothing."""
    if head.startswith(PARQUET_MAGIC):
        return Kind.PARQUET
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith((b"{", b"[")):
        return Kind.JSON_LINES
    if text.startswith(b"<") or b"\0" in head:
        raise InputError(f"{url}: not a manifest: it begins with {_begin(head)}")
    return Kind.TSV if b"\t" in text.partition(b"\n")[0] else Kind.CSV


def _begin(head: bytes) -> str:
    return repr(head[:24].decode("utf-8", "backslashreplace"))


def _footer(file: Any, head: bytes, tail: bytes, size: int, url: str) -> pq.ParquetFile:
    """The footer of a Parquet file, from its tail alone where it lies in it."""
    if not head.startswith(PARQUET_MAGIC):
        raise InputError(f"{url}: not Parquet: it begins with {_begin(head)}")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if not tail.endswith(PARQUET_MAGIC) or length + 4 > size:
        raise InputError(
            f"{url}: truncated: it ends after {size:,} bytes without a Parquet footer; fetch the file again"
        )
    if length > len(tail):
        tail = _at(file, size - length, size)
    return pq.ParquetFile(pa.BufferReader(tail[-length:]))


def _text(source: Source, *, guess: bool) -> Source:
    """`source` with the kind and the columns read from its first megabyte."""
    with decoded(source) as file:
        sample = file.read(SAMPLE)
    kind = _sniffed(sample, source.url) if guess else source.kind
    if kind is Kind.PARQUET:
        raise InputError(f"{source.url}: Parquet inside {source.compression}; decompress it")
    if b"\0" in sample[:EDGE]:
        raise InputError(f"{source.url}: not {kind} in UTF-8: it begins with {_begin(sample)}")
    schema = _json_schema(source) if kind is Kind.JSON_LINES else _header(sample, kind, source.url)
    return Source(
        source.fs,
        source.path,
        source.url,
        source.size,
        source.fingerprint,
        kind,
        source.compression,
        schema,
        None,
    )


def _json_schema(source: Source) -> pa.Schema:
    with decoded(source) as file:
        return infer(next(blocks(file, source.url, SAMPLE), []), source.url)


def _header(sample: bytes, kind: Kind, url: str) -> pa.Schema:
    text = sample.decode("utf-8-sig", "replace").lstrip("\r\n")
    names = next(csv.reader(io.StringIO(text, newline=""), delimiter="\t" if kind is Kind.TSV else ","), [])
    if not names:
        raise InputError(f"{url}: no header: the first line of a {kind} manifest names its columns")
    return pa.schema([(name, pa.string()) for name in names])
