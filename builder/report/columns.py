"""The columns of a root as the page reads them: batch by batch, of the types that they should have, never a picture.

a file, or several whose rows are of the same pairs ─▶ the number of the first row and a table, text as bytes
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.files import join, tables_in
from ..disk.parquet import parquet
from ..disk.schema import unlike
from ..errors import InputError
from .samples import DAMAGED, as_bytes, decoded

ROWS = 65_536  # of one batch: some ten megabytes of columns without pictures

AGAIN = "run danqing curate again, or restore them"

pc: Any = compute  # its stubs know no mix of column and constant


def batches(url: str, wanted: pa.Schema) -> Iterator[tuple[int, pa.Table]]:
    """The number of the first row and the `wanted` columns of each batch of a file.

    Raises InputError where a column is missing, or of another type.
    """
    with parquet(url, DAMAGED) as file:
        if wrong := unlike(file.schema_arrow, wanted, wanted.names):
            raise InputError(f"{url}: {wrong}; make it anew or restore it")
        first = 0
        for batch in file.iter_batches(ROWS, columns=wanted.names):
            yield first, as_bytes(pa.Table.from_batches([batch]))
            first += len(batch)


def abreast(
    root: str, name: str, wanted: Mapping[str, pa.Schema]
) -> Iterator[tuple[int, dict[str, pa.Table]]]:
    """The number of the first row and a table of each folder, of the files of one shard, batch by batch.

    wanted: columns by folder, a key first. Raises InputError as above, and where two files are not of the same pairs.
    """
    (leader, *others) = (join(root, folder, name) for folder in wanted)
    streams = [batches(url, schema) for url, schema in zip((leader, *others), wanted.values(), strict=True)]
    while any(found := [next(stream, None) for stream in streams]):
        tables = [one[1] if one else None for one in found]
        for url, table in zip(others, tables[1:], strict=True):
            if tables[0] is None or table is None or not table["key"].equals(tables[0]["key"]):
                raise InputError(
                    f"{url}: its rows are not those of {leader}: they are of different runs; {AGAIN}"
                )
        yield found[0][0], dict(zip(wanted, tables, strict=True))  # type: ignore[index, arg-type]


def numbered(table: pa.Table, first: int) -> pa.Table:
    """The table with the numbers of its rows in their file, as column `row`."""
    return table.append_column("row", pa.array(np.arange(first, first + table.num_rows)))


def rows_in(root: str, folder: str) -> int:
    """How many rows the files of a folder have together, by their footers."""
    total = 0
    for name in tables_in(root, folder):
        with parquet(join(root, folder, name), DAMAGED) as file:
            total += file.metadata.num_rows
    return total


def scalar(word: str) -> pa.Scalar[Any]:
    """A word as columns have it, for comparisons."""
    return pa.scalar(word.encode())


def word(raw: bytes | None) -> str:
    """A word of a column; "" for null."""
    return "" if raw is None else decoded(raw)
