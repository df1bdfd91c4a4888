"""One file of a manifest: what it holds, how it is opened, and how its errors become one line.

A `Source` is all that a reader needs. Formats are Parquet, CSV, TSV and JSON Lines, the text ones also inside
gzip or zstd. Compression is told by the bytes; the format by the file's name and, where that says nothing, by
the bytes too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from ..disk.reading import opened
from .text import UTF8

Codec = Literal["gzip", "zstd"]


class Format(StrEnum):
    """The formats a manifest comes in."""

    PARQUET = "Parquet"
    CSV = "CSV"
    TSV = "TSV"
    JSON_LINES = "JSON Lines"


EXTENSIONS = {
    ".parquet": Format.PARQUET,
    ".pq": Format.PARQUET,
    ".csv": Format.CSV,
    ".tsv": Format.TSV,
    ".tab": Format.TSV,
    ".jsonl": Format.JSON_LINES,
    ".ndjson": Format.JSON_LINES,
}
COMPRESSED = (".gz", ".gzip", ".zst", ".zstd")
MAGIC: dict[bytes, Codec] = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}


@dataclass(frozen=True, slots=True)
class Source:
    """One file, ready to be read.

    path: inside `fs`; url: what to call it; size: bytes; fingerprint: of its size and its two ends;
    schema: of the file as it stands; rows: in it, or of it where a limit ends the reading (`cut`). Of text both are
    known when it was read through once. quoting: as the user said; encoding: of the text.
    """

    fs: fsspec.AbstractFileSystem
    path: str
    url: str
    size: int
    fingerprint: str
    kind: Format
    compression: Codec | None
    schema: pa.Schema
    rows: int | None
    quoting: str = "auto"
    encoding: str = UTF8
    cut: bool = False

    @property
    def delimiter(self) -> str:
        """What lies between two values of a line."""
        return "\t" if self.kind is Format.TSV else ","

    @property
    def quoted(self) -> bool:
        """Whether a value may stand in quotes: by itself that of CSV may, and that of TSV may not."""
        return self.quoting == "double" or (self.quoting == "auto" and self.kind is Format.CSV)

    @property
    def stop(self) -> int | None:
        """The row at which a limit ends the reading; None where the file is read to its end."""
        return self.rows if self.cut else None

    @property
    def local(self) -> bool:
        """Whether Arrow can read the file by itself."""
        return type(self.fs) is LocalFileSystem


def kind_of(name: str) -> Format | None:
    """The format that a file name promises, or None where it promises nothing."""
    name = name.lower()
    for suffix in COMPRESSED:
        name = name.removesuffix(suffix)
    return EXTENSIONS.get(name[name.rfind(".") :]) if "." in name else None


def compression_of(head: bytes) -> Codec | None:
    """`gzip`, `zstd` or None, by the first bytes."""
    return next((codec for magic, codec in MAGIC.items() if head.startswith(magic)), None)


@contextlib.contextmanager
def decoded(source: Source) -> Iterator[pa.NativeFile]:
    """The file as a stream of uncompressed bytes; a truncated gzip or zstd one raises OSError at its end."""
    with contextlib.ExitStack() as stack:
        if source.local:
            file: pa.NativeFile = stack.enter_context(pa.OSFile(source.path, "rb"))
        else:
            raw = stack.enter_context(opened(source.fs, source.path, ahead=True))
            file = stack.enter_context(pa.PythonFile(raw, mode="r"))
        if source.compression:
            file = stack.enter_context(pa.CompressedInputStream(file, source.compression))
        yield file
