"""Columns of shards and references as NumPy arrays: blobs to bytes, captions to hashes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import xxhash

pc: Any = compute  # its stubs know no mix of column and constant
Bytes = npt.NDArray[np.uint8]
Bools = npt.NDArray[np.bool_]


def blobs(column: Any, width: int) -> tuple[Bytes, Bools]:
    """Binary values of one width as bytes (n, width), and which are such; the others are zeros."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    valid = pc.fill_null(pc.equal(pc.binary_length(column), width), False)
    filled = pc.if_else(valid, column, bytes(width)).cast(pa.binary(width))
    data = filled.buffers()[1] if len(filled) else b""
    return np.frombuffer(data, np.uint8)[: width * len(filled)].reshape(-1, width), valid.to_numpy(False)


def caption_hashes(captions: Sequence[Sequence[str | None]]) -> tuple[npt.NDArray[np.uint64], Bools]:
    """XXH3-64 of each pair's captions as they are scored, in lower case, (n,); and which have one at all.

    captions: columns of the same length. Of two columns the texts that are there are joined by a zero byte.
    """
    joined = ["\0".join(filter(None, row)).lower() for row in zip(*captions, strict=True)]
    found = [xxhash.xxh3_64_intdigest(text.encode("utf-8", "surrogatepass")) for text in joined]
    return np.array(found, np.uint64), np.array([bool(text) for text in joined], np.bool_)
