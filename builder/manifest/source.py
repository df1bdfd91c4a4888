"""One file of a manifest: what it holds, how it is opened, and how its errors become one line.

A `Source` is all that a reader needs. Formats are Parquet, CSV, TSV and JSON Lines, the text ones also inside
gzip or zstd. Compression is told by the bytes; the format by the file's name and, where that says nothing, by
the bytes too.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

import fsspec
import pyarrow as pa
from fsspec.implementations.local import LocalFileSystem

from ..disk.ledger import ManifestFileRecord
from ..disk.reading import opened
from .shapes import as_json
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
    """One file of a manifest, ready to be read.

    at: its path inside `fs`; url: what to call it, of a local file its path; size: bytes; fingerprint: of its size and
    its first and last 64 KiB, 32 hex characters; schema: of the file as it stands; rows: in it, or of it where a limit
    ends the reading (`cut`). Of text both are known when it was read through once. quoting: as the user said;
    encoding: of the text; counted: rows that are of the manifest, under a limit.
    """

    fs: fsspec.AbstractFileSystem
    at: str
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
    split: str = "train"
    counted: int = 0

    @property
    def read(self) -> Mapping[str, Any] | None:
        """How the rows of a text file come about, for plan.json; None of Parquet, which says so itself."""
        if self.kind is Format.PARQUET:
            return None
        quoting = "double" if self.quoted else "none"
        return {
            "quoting": None if self.kind is Format.JSON_LINES else quoting,
            "encoding": self.encoding,
            "types": as_json(pa.struct(list(self.schema))),
        }

    def as_json(self) -> ManifestFileRecord:
        """The record of the file in plan.json, which `open_manifest` takes back."""
        record = ManifestFileRecord(rows=self.counted, fingerprint=self.fingerprint)
        if self.read is not None:
            record["read"] = self.read
        return record

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
def stored(source: Source, *, ahead: bool = False) -> Iterator[pa.NativeFile]:
    """The file as it lies; ahead: it is read through, in large blocks."""
    if source.local:
        with pa.OSFile(source.at, "rb") as file:
            yield file
    else:
        with opened(source.fs, source.at, ahead=ahead) as raw, pa.PythonFile(raw, mode="r") as file:
            yield file


@contextlib.contextmanager
def decoded(source: Source) -> Iterator[pa.NativeFile]:
    """The file as a stream of uncompressed bytes; a truncated gzip or zstd one raises OSError at its end."""
    with stored(source, ahead=True) as file:
        if source.compression is None:
            yield file
        else:
            with pa.CompressedInputStream(file, source.compression) as plain:
                yield plain
