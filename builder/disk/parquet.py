"""A Parquet file opened where it lies: mapped on a local disk, read by ranges in a store.

    URL ─▶ pyarrow.parquet.ParquetFile, with errors of one line

Files of strangers are weighed before they are read: a kilobyte can say that it holds a billion rows, or, in a
dictionary, one text of a megabyte for each of them.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..manifest.probe import refuse_encrypted
from .files import filesystem, is_local, local_path
from .reading import reading
from .schema import PAIR, PICTURE

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


# `datasets` takes a struct of bytes and path for a picture only where the file says so; the rest it infers.
HUGGINGFACE: dict[bytes | str, bytes | str] = {
    b"huggingface": json.dumps({"info": {"features": {"image": {"_type": "Image"}}}}).encode()
}

# No value comes twice, or hardly: a dictionary would be built up to its limit and thrown away.
_UNIQUE = {"key", "url", "alt_text", "recaption", "image", "sha256", "phash", "fetched_at"}


def image_schema(carried: pa.Schema | None = None) -> pa.Schema:
    """key ... recaption, the carried columns, image ... fetched_at, with the metadata for `datasets`."""
    return pa.schema([*PAIR, *(carried or ()), *PICTURE], metadata=HUGGINGFACE)


def writer(path: str | Path, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of Parquet with page index and content-defined chunks; the caller chooses the row groups.

    Pictures are compressed already: zstd over JPEG costs time at both ends and gains next to nothing.
    Content-defined chunks let an upload of a rewritten shard send only the pages that changed.
    """
    leaves = _leaves(schema)
    make: Any = pq.ParquetWriter  # its stubs lag behind
    return make(  # type: ignore[no-any-return]
        path,
        schema,
        compression={leaf: "none" if leaf == "image.bytes" else "zstd" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf.split(".")[0] not in _UNIQUE],
        write_statistics=[leaf for leaf in leaves if leaf != "image.bytes"],
        write_page_index=True,
        use_content_defined_chunking=True,
    )


def _leaves(schema: pa.Schema) -> list[str]:
    """The Parquet paths of the columns, `image.bytes` and such."""
    empty = pa.BufferOutputStream()
    pq.write_metadata(schema, empty)
    parquet = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return [parquet.column(index).path for index in range(len(parquet.names))]
