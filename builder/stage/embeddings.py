"""Embeddings of pairs, as a root holds them: vectors of length one in, lists of float16 in a file beside images/ out.

embeddings/<slug>/<stem>.parquet    key, image, a column for each caption that was embedded; a row per row of images/

A slug names a checkpoint and begins its fingerprint, so that those of two checkpoints lie side by side. Builds up to
0.1.0 wrote embeddings/<stem>.parquet. The same vectors in float16 give the same bytes, in whatever pieces they come.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.parquet import writer
from ..disk.schema import saying

FOLDER = "embeddings"
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
