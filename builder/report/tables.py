"""Reads the Parquet files of a root batch by batch, whatever stands in them.

    root, folder, columns ─▶ (file name, number of its first row, Arrow table) ...

Text comes out as bytes: a caption need not be UTF-8 to be looked at, and comparing bytes is all that counting needs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.files import filesystem, is_local, join, listdir, local_path
from ..errors import InputError

ROWS = 65_536  # of one batch: some ten megabytes of columns without pictures


def names(root: str, folder: str) -> list[str]:
    """The Parquet files of a folder of `root`, sorted; empty where there is none."""
    return [name for name in listdir(join(root, folder)) if name.endswith(".parquet") and name[0] != "."]


@contextlib.contextmanager
def opened(url: str) -> Iterator[pq.ParquetFile]:
    """An open Parquet file; InputError where it is missing, or broken wherever it is read."""
    fs, path = filesystem(url)
    try:
        with fs.open(path, "rb") if not is_local(url) else local_path(url).open("rb") as file:
            yield pq.ParquetFile(file)
    except FileNotFoundError as error:
        raise InputError(f"{url}: no such file, though another file of the root speaks of it") from error
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # the disk's, not Arrow's
        raise InputError(f"{url}: no whole Parquet file ({error}); make it anew or restore it") from error


def rows(root: str, folder: str) -> int:
    """How many rows the files of a folder have together, by their footers."""
    total = 0
    for name in names(root, folder):
        with opened(join(root, folder, name)) as file:
            total += file.metadata.num_rows
    return total


def batches(url: str, file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """The number of the first row and the columns of each batch of an open file, text as bytes.

    Raises InputError where a column is missing.
    """
    missing = sorted(set(columns) - set(file.schema_arrow.names))
    if missing:
        raise InputError(f"{url}: lacks the columns {', '.join(missing)}; make it anew or restore it")
    first = 0
    for batch in file.iter_batches(ROWS, columns=list(columns)):
        table = as_bytes(pa.Table.from_batches([batch]))
        yield first, table
        first += table.num_rows


def as_bytes(table: pa.Table) -> pa.Table:
    """The table with text as bytes; nothing is copied."""
    fields = [
        field.with_type(pa.binary()) if pa.types.is_string(field.type) else field for field in table.schema
    ]
    return table.cast(pa.schema(fields))
