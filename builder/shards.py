"""How image shards are written: one schema that `datasets` understands, one set of Parquet options.

In: the columns carried from the manifest, a path. Out: the Arrow schema of images/*.parquet, a writer for it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from .schema import PAIR, PICTURE

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
