"""A Parquet file opened where it lies: mapped on a local disk, read by ranges in a store.

    URL ─▶ pyarrow.parquet.ParquetFile, with errors of one line

Files of strangers are weighed before they are read: a kilobyte can say that it holds a billion rows, or, in a
dictionary, one text of a megabyte for each of them.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from .files import filesystem, is_local, local_path
from .manifest.probe import refuse_encrypted
from .manifest.source import reading

HELD = 256 << 20  # bytes of one column of a table that a dictionary may make
KEY = 16  # bytes of a key, or of a digest

pc: Any = compute  # its stubs know no mix of column and constant


@contextmanager
def parquet(url: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file at `url`, open; whatever is wrong with it while it is read is one line that names it.

    Raises InputError for a missing, damaged or truncated file, EnvironmentProblem for one that cannot be read.
    """
    with reading(url):
        if is_local(url):
            with local_path(url).open("rb") as raw, pq.ParquetFile(local_path(url), memory_map=True) as file:
                yield checked(file, raw, url)
            return
        fs, path = filesystem(url)
        with fs.open(path, "rb", cache_type="none") as raw, pq.ParquetFile(raw, pre_buffer=True) as file:
            yield checked(file, raw, url)


def checked(file: pq.ParquetFile, raw: IO[bytes], url: str) -> pq.ParquetFile:
    """The open file, where none of its columns is encrypted; InputError elsewhere. raw: its bytes."""
    raw.seek(-min(8, raw.seek(0, os.SEEK_END)), os.SEEK_END)
    refuse_encrypted(file, raw.read(8), url)
    return file


def check_rows(metadata: pq.FileMetaData, size: int) -> None:
    """ArrowInvalid where a file of `size` bytes cannot have as many rows as it says, each with a key of its own."""
    if metadata.num_rows * KEY > size:
        raise pa.ArrowInvalid(f"{metadata.num_rows:,} rows with a key each cannot be in {size:,} bytes")


def dictionaries(metadata: pq.FileMetaData) -> list[str]:
    """The columns of text, and of bytes, that have a dictionary."""
    found = set()
    for number in range(metadata.num_row_groups):
        for place in range(metadata.num_columns):
            column = metadata.row_group(number).column(place)
            if column.physical_type == "BYTE_ARRAY" and column.has_dictionary_page:
                found.add(column.path_in_schema)
    return sorted(found)


def plain(table: pa.Table) -> pa.Table:
    """A table that was read with its dictionaries, without them; ArrowInvalid where that is more than HELD."""
    for place, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            column: Any = table.column(place)
            lengths = [pc.binary_length(chunk.dictionary).take(chunk.indices) for chunk in column.chunks]
            if (size := sum(pc.sum(one).as_py() or 0 for one in lengths)) > HELD:
                raise pa.ArrowInvalid(f"{len(column):,} rows hold {size:,} bytes of {field.name}")
            table = table.set_column(place, field.name, column.cast(field.type.value_type))
    return table
