"""Parquet, opened in one way and written in one way: mapped on a local disk, read by ranges in a store.

    URL ─▶ pyarrow.parquet.ParquetFile, with errors of one line ─▶ its rows by number

Files of strangers are weighed before they are read: a kilobyte can say that it holds a billion rows, or, in a
dictionary, one text of a megabyte for each of them.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate, pairwise
from pathlib import Path
from typing import IO, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..errors import InputError
from .files import filesystem, is_local, local_path
from .reading import reading
from .schema import PAIR, PICTURE

HELD = 256 << 20  # bytes of one column of a table that a dictionary may make
KEY = 16  # bytes of a key, or of a digest
# Bytes behind a footer that can be read though columns are encrypted: a nonce and a tag. Asked for the metadata of
# such a column, Arrow ends the process.
SIGNATURE = 12 + 16

pc: Any = compute  # its stubs know no mix of column and constant


class _NoPandas:
    """A finder of modules that says that there is no pandas."""

    @staticmethod
    def find_spec(name: str, *_: object) -> None:
        """Raise ModuleNotFoundError for pandas; leave the rest to the other finders."""
        if name == "pandas":
            raise ModuleNotFoundError(name)


def without_pandas() -> None:
    """Let Arrow look for pandas now, and not find it.

    It looks once, when it is first given a list: 0.4 s of CPU and 60 MB a process, for nothing where no data
    frame will come. Whoever asks for one later (`to_pandas`) makes it look again.
    """
    if "pandas" in sys.modules:
        return
    sys.meta_path.insert(0, _NoPandas)
    try:
        pa.array([])
    finally:
        sys.meta_path.remove(_NoPandas)


@contextmanager
def parquet(url: str, damaged: str = "") -> Iterator[pq.ParquetFile]:
    """The Parquet file at `url`, open; whatever is wrong with it while it is read is one line that names it.

    damaged: what the line says of a file that is, where `reading` has no better word.
    Raises InputError for a missing, damaged or truncated file, EnvironmentProblem for one that cannot be read.
    """
    with reading(url, damaged=damaged):
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


def refuse_encrypted(file: pq.ParquetFile, tail: bytes, url: str) -> None:
    """InputError for a file of which columns are encrypted, before it is asked for their metadata.

    tail: its last eight bytes, or more.
    """
    if int.from_bytes(tail[-8:-4], "little") - file.metadata.serialized_size == SIGNATURE:
        raise InputError(f"{url}: encrypted Parquet; write it again without encryption")


def group_starts(metadata: pq.FileMetaData) -> list[int]:
    """The number of the first row of each row group, and behind them that of all rows."""
    groups = (metadata.row_group(number).num_rows for number in range(metadata.num_row_groups))
    return list(accumulate(groups, initial=0))


def rows_by_number(
    file: pq.ParquetFile, numbers: npt.NDArray[Any], columns: Sequence[str]
) -> Iterator[tuple[npt.NDArray[np.intp], pa.Table]]:
    """Some rows of a file, a row group that holds any at a time: which of `numbers` these are, and their table."""
    for group, (start, stop) in enumerate(pairwise(group_starts(file.metadata))):
        inside = np.flatnonzero((numbers >= start) & (numbers < stop))
        if len(inside):
            yield inside, file.read_row_group(group, columns=list(columns)).take(numbers[inside] - start)


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
_UNIQUE = {
    "key",
    "url",
    "alt_text",
    "recaption",
    "image",
    "sha256",
    "phash",
    "fetched_at",
    "spread",
    "sharpness",
    "entropy",
}


def image_schema(carried: pa.Schema | None = None) -> pa.Schema:
    """key ... recaption, the carried columns, image ... fetched_at, with the metadata for `datasets`."""
    return pa.schema([*PAIR, *(carried or ()), *PICTURE], metadata=HUGGINGFACE)


def writer(path: str | Path | pa.NativeFile, schema: pa.Schema) -> pq.ParquetWriter:
    """A writer of Parquet with page index and content-defined chunks; the caller chooses the row groups.

    Pictures are compressed already: zstd over JPEG costs time at both ends and gains next to nothing. Of embeddings
    hardly two are alike; with a dictionary and zstd they were a tenth smaller, and read in 3.5 times the time.
    Content-defined chunks let an upload of a rewritten shard send only the pages that changed.
    """
    leaves = _leaves(schema)
    vectors = {field.name for field in schema if _is_vector(field.type)}
    raw = {leaf for leaf in leaves if leaf == "image.bytes" or leaf.partition(".")[0] in vectors}
    make: Any = pq.ParquetWriter  # its stubs lag behind
    return make(  # type: ignore[no-any-return]
        path,
        schema,
        compression={leaf: "none" if leaf in raw else "zstd" for leaf in leaves},
        use_dictionary=[leaf for leaf in leaves if leaf not in raw and leaf.split(".")[0] not in _UNIQUE],
        write_statistics=[leaf for leaf in leaves if leaf not in raw],
        write_page_index=True,
        use_content_defined_chunking=True,
    )


def _is_vector(kind: pa.DataType) -> bool:
    return pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float16()


def _leaves(schema: pa.Schema) -> list[str]:
    """The Parquet paths of the columns, `image.bytes` and such."""
    empty = pa.BufferOutputStream()
    pq.write_metadata(schema, empty)
    parquet = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return [parquet.column(index).path for index in range(len(parquet.names))]
