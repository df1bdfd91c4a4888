"""Embeddings of pairs, as a root holds them: vectors of length one ─▶ lists of float16 beside images/, and back.

embeddings/<slug>/<stem>.parquet    key, image, a column for each caption that was embedded; a row per row of images/

A slug names a checkpoint and begins its fingerprint, so that those of two checkpoints lie side by side. Builds up to
0.1.0 wrote embeddings/<stem>.parquet. The same vectors in float16 give the same bytes, in whatever pieces they come.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.digests import Bools, Digests, keys_of
from ..disk.parquet import group_starts, parquet, writer
from ..disk.schema import saying, unlike
from ..errors import InputError

FOLDER = "embeddings"
HELD = 32 << 20  # bytes of one column that are held at once
ANEW = "remove it, and the same command makes it anew"
AGAIN = "remove it, and run danqing curate again without --decide"
_KEY = pa.schema([pa.field("key", pa.string())])
Halves = npt.NDArray[np.float16]
ROWS = 4096  # of a row group: 12 MB with pictures and captions of 768 dimensions


def embeddings_of(slug: str, stem: str) -> str:
    """The path in a root of the embeddings of a shard by a checkpoint."""
    return f"{FOLDER}/{slug}/{stem}.parquet"


def lists_of(vectors: npt.NDArray[Any]) -> Any:
    """Vectors (n, d) as an array of n lists of d float16; null where one is zero or not finite."""
    halves = np.ascontiguousarray(vectors, np.float16)
    there: npt.NDArray[np.bool_] = np.isfinite(halves).all(axis=1) & (halves != 0).any(axis=1)
    halves = np.where(there[:, None], halves, np.float16(0))
    return pa.FixedSizeListArray.from_arrays(
        pa.array(halves.reshape(-1)), halves.shape[1], mask=pa.array(~there)
    )


class EmbeddingFile:
    """A file of embeddings while it is written, which takes rows in pieces of any size and holds one row group.

    captions: names of their columns; dim: dimensions; said: what the file says of itself, the checkpoint above all.
    """

    def __init__(self, path: Path, captions: Sequence[str], dim: int, said: Mapping[str, Any]) -> None:
        vectors = [pa.field(name, pa.list_(pa.float16(), dim)) for name in ("image", *captions)]
        self.schema = saying(pa.schema([pa.field("key", pa.string()), *vectors]), said)
        self.rows = 0
        self._file = writer(path, self.schema)
        self._waiting = self.schema.empty_table()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self._write(self._waiting)
        self._file.close()

    def add(self, keys: Any, image: Any, captions: Sequence[Any]) -> None:
        """Add some rows: their keys, and as `lists_of` their pictures and captions by column."""
        columns = [
            column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
            for column in (keys, image, *captions)
        ]
        table = pa.Table.from_arrays(columns, schema=self.schema)
        self.rows += len(table)
        self._waiting = pa.concat_tables([self._waiting, table])
        while len(self._waiting) >= ROWS:
            self._write(self._waiting.slice(0, ROWS))
            self._waiting = self._waiting.slice(ROWS)

    def _write(self, table: pa.Table) -> None:
        """One row group, of one chunk: where chunks end would decide about pages."""
        if len(table) or not self.rows:
            self._file.write_table(table.combine_chunks(), row_group_size=ROWS)


class EmbeddedRows(NamedTuple):
    """Some rows of a file of embeddings, n of them.

    keys: (n,); image, caption: (n, d), zeros where there is none; embedded, captioned: which are there.
    """

    keys: Digests
    image: Halves
    embedded: Bools
    caption: Halves
    captioned: Bools


def read_parts(url: str, rows: int, caption: str | None) -> Iterator[EmbeddedRows]:
    """The rows of a file of embeddings in its order. caption: the column of captions; None: the pictures once more.

    InputError where it is no such file of so many rows.
    """
    columns = ["key", "image", *([caption] if caption else [])]
    with parquet(url) as file:
        dim, done = _dim(url, file.schema_arrow, columns[1:]), 0
        if wrong := unlike(file.schema_arrow, _KEY, _KEY.names):
            raise InputError(f"{url}: {wrong}; {ANEW}")
        for batch in file.iter_batches(max(1, HELD // (2 * dim)), columns=columns):
            keys, valid = keys_of(batch["key"])
            if not valid.all():
                raise InputError(f"{url}: row {done + int(np.argmin(valid))}: its key is none; {ANEW}")
            yield EmbeddedRows(keys, *vectors_of(batch["image"], dim), *vectors_of(batch[columns[-1]], dim))
            done += len(batch)
    if done != rows:
        raise InputError(f"{url}: {done:,} rows, images/ has {rows:,}; {ANEW}")


def vectors_of(column: Any, dim: int) -> tuple[Halves, Bools]:
    """A column of lists of float16 as an array (n, d), and which rows are there: finite, and not all zero."""
    values = np.zeros((len(column), dim), np.float16)
    valid = np.asarray(column.is_valid())
    values[valid] = column.drop_null().flatten().to_numpy(zero_copy_only=False).reshape(-1, dim)
    sound = valid & np.isfinite(values).all(axis=1) & values.any(axis=1)
    values[~sound] = 0
    return values, sound


def pictures_at(files: Iterable[tuple[str, int, int]], rows: npt.NDArray[np.int32], path: Path) -> Halves:
    """The pictures of some rows, ascending, of several files as one array (m, d), which is mapped from `path`.

    files: url, number of its first row, and its rows. InputError where one of them has none, or other dimensions.
    """
    out: Any = np.empty((0, 1), np.float16)
    for url, first, count in files:
        low, high = np.searchsorted(rows, (first, first + count))
        if low == high:
            continue
        wanted = rows[low:high] - first
        with parquet(url) as file:
            dim = _dim(url, file.schema_arrow, ["image"])
            if file.metadata.num_rows != count:
                raise InputError(f"{url}: {file.metadata.num_rows:,} rows, images/ has {count:,}; {AGAIN}")
            if not len(out):
                out = np.lib.format.open_memmap(path, "w+", np.float16, (len(rows), dim))
            starts = group_starts(file.metadata)
            for group in range(file.num_row_groups):
                start, stop = np.searchsorted(wanted, starts[group : group + 2])
                if start < stop:
                    column: Any = file.read_row_group(group, columns=["image"], use_threads=False)["image"]
                    some = column.take(pa.array(wanted[start:stop] - starts[group])).combine_chunks()
                    out[low + start : low + stop], there = vectors_of(some, dim)
                    if not there.all():
                        raise InputError(
                            f"{url}: a picture that was compared has no embedding any more; {AGAIN}"
                        )
    found: Halves = out
    return found


def _dim(url: str, schema: pa.Schema, columns: Sequence[str]) -> int:
    """The dimensions of the embeddings in a file; InputError where a column holds none, or others than the first."""
    kinds: list[Any] = [schema.field(name).type if name in schema.names else None for name in columns]
    for name, kind in zip(columns, kinds, strict=True):
        vectors = kind is not None and pa.types.is_fixed_size_list(kind) and kind.value_type == pa.float16()
        if not vectors or kind != kinds[0]:
            raise InputError(f"{url}: no embeddings of {name}; {ANEW}")
    return int(kinds[0].list_size)
