"""What a file of a manifest is, from its two ends: kind, encoding, columns and row count (Parquet), fingerprint.

Costs the first and last 64 KiB and the rest of a Parquet footer that is larger; whatever the file is not is said
here, before any run begins.
"""

from __future__ import annotations

import dataclasses
import hashlib
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.files import is_local
from ..disk.parquet import refuse_encrypted
from ..disk.reading import opened, reading
from ..errors import InputError
from .source import Format, Source, compression_of, decoded, kind_of
from .text import UTF8, encoding_of

EDGE = 64 << 10  # bytes at each end that go into a fingerprint
PARQUET_MAGIC = b"PAR1"
ENCRYPTED_MAGIC = b"PARE"  # of Parquet whose footer is encrypted
WIDE = ((1, "utf-16-le"), (0, "utf-16-be"))  # which of two bytes is zero in a Latin text
ORDERLESS = ("utf-16", "utf-32")  # say nothing of the order of their bytes


def probe(fs: fsspec.AbstractFileSystem, path: str, quoting: str = "auto", encoding: str = UTF8) -> Source:
    """Look at one file; quoting and encoding: of text, as the user said.

    Raises InputError when it is empty, truncated, encrypted or not what its name says, EnvironmentProblem when it
    cannot be read. Columns and rows of text come from `readers.surveyed`.
    """
    full = str(fs.unstrip_protocol(path))
    url = path if is_local(full) else full
    with reading(url), opened(fs, path) as file:
        size = file.seek(0, 2)
        if not size:
            raise InputError(f"{url}: the file is empty (0 bytes)")
        head, tail = _at(file, 0, min(EDGE, size)), _at(file, max(0, size - EDGE), size)
        print_ = hashlib.blake2b(str(size).encode() + b"\0" + head + tail, digest_size=16).hexdigest()
        kind = kind_of(path)
        bare = Source(fs, path, url, size, print_, kind or Format.CSV, None, pa.schema([]), None)
        bare = dataclasses.replace(bare, quoting=quoting, encoding=encoding)
        if kind is Format.PARQUET or head.startswith((PARQUET_MAGIC, ENCRYPTED_MAGIC)):
            if kind not in (None, Format.PARQUET):
                raise InputError(f"{url}: Parquet by its bytes, {kind} by its name; rename it")
            footer = _footer(file, head, tail, size, url)
            return dataclasses.replace(
                bare, kind=Format.PARQUET, schema=footer.schema_arrow, rows=footer.metadata.num_rows
            )
    with reading(url, size):
        return _text(dataclasses.replace(bare, compression=compression_of(head)), head, kind)


def _at(file: Any, start: int, stop: int) -> bytes:
    file.seek(start)
    return bytes(file.read(stop - start))


def _begin(head: bytes) -> str:
    return repr(head[:24].decode("utf-8", "backslashreplace"))


def _footer(file: Any, head: bytes, tail: bytes, size: int, url: str) -> pq.ParquetFile:
    """The footer of a Parquet file, from its tail alone where it lies in it."""
    if head.startswith(ENCRYPTED_MAGIC):
        raise InputError(f"{url}: encrypted Parquet; write it again without encryption")
    if not head.startswith(PARQUET_MAGIC):
        raise InputError(f"{url}: not Parquet: it begins with {_begin(head)}")
    length = int.from_bytes(tail[-8:-4], "little") + 8
    if not tail.endswith(PARQUET_MAGIC) or length + 4 > size:
        raise InputError(
            f"{url}: truncated: it ends after {size:,} bytes without a Parquet footer; fetch the file again"
        )
    if length > len(tail):
        tail = _at(file, size - length, size)
    footer = pq.ParquetFile(pa.BufferReader(tail[-length:]))
    refuse_encrypted(footer, tail, url)
    return footer


def _text(source: Source, head: bytes, kind: Format | None) -> Source:
    """`source` as its first bytes, decompressed, tell it: its encoding, and its kind where `kind` is None."""
    if source.compression:
        with decoded(source) as file:
            head = bytes(file.read(EDGE))
    encoding = encoding_of(head, source.encoding)
    if encoding in ORDERLESS:
        order = f"name the order of its bytes, as --encoding {encoding}-le or {encoding}-be"
        raise InputError(f"{source.url}: no byte order mark of {encoding.upper()}; {order}")
    text = head.decode(encoding, "replace").removeprefix("\ufeff")
    kind = kind or _sniffed(head, text, source)
    if wide := next((name for at, name in WIDE if _is_wide(head, at)), None) if "\0" in text else None:
        raise InputError(
            f"{source.url}: not {kind} in {encoding.upper()}: it begins with {_begin(head)}; "
            f"if it is UTF-16 without a byte order mark: --encoding {wide}"
        )
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise InputError(
            f"{source.url}: line {line:,} holds a NUL byte: no text; mend the line, or write {kind} anew"
        )
    return dataclasses.replace(source, kind=kind, encoding=encoding)


def _is_wide(head: bytes, at: int) -> bool:
    """Whether every second byte, from `at` on, is zero as often as in UTF-16 of URLs, and the others are not."""
    these, others = head[at::2], head[1 - at :: 2]
    return 4 * these.count(0) > len(these) and 4 * others.count(0) < these.count(0)


def _sniffed(head: bytes, text: str, source: Source) -> Format:
    """The format of a file whose name says nothing."""
    if head.startswith(PARQUET_MAGIC):
        raise InputError(f"{source.url}: Parquet inside {source.compression}; decompress it")
    text = text.lstrip()
    if text.startswith(("{", "[")):
        return Format.JSON_LINES
    if text.startswith("<") or "\0" in text:
        raise InputError(f"{source.url}: not a manifest: it begins with {_begin(head)}")
    return Format.TSV if "\t" in text.partition("\n")[0] else Format.CSV
