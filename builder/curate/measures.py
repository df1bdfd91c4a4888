"""Measures of stored pictures, for the shards of a root that was rebuilt without --measure.

A shard of images/ -> a table of measures/: spread, sharpness and entropy of each picture as it is stored, which is
smaller than the original and was encoded anew. What says so is `on` in the metadata of the table.
"""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ..disk.parquet import parquet
from ..disk.schema import IMAGES, measures_schema, unlike
from ..errors import EnvironmentProblem, InputError
from ..picture.measures import LUMA
from ..picture.stored import measured as measured_picture
from ..stage.shards import Shard

ROWS = 64  # of which the pictures are held at once

_NOTHING = (None, None, None)

pc: Any = compute  # its stubs know no chunked arrays of structs


def measured(shard: Shard) -> pa.Table:
    """The measures of a shard, one row per row of it, in its order; null where a picture cannot be decoded.

    Raises InputError for a damaged file, EnvironmentProblem where memory does not suffice for a picture.
    """
    schema = measures_schema("stored", LUMA)
    with parquet(shard.url) as file:
        if wrong := unlike(file.schema_arrow, IMAGES, ["key", "image"]):
            raise InputError(f"{shard.url}: {wrong}")
        parts = [
            pa.record_batch(_of_batch(batch, shard.url), schema=schema)
            for group in range(file.num_row_groups)
            for batch in file.iter_batches(ROWS, [group], ["key", "image.bytes"], use_threads=False)
        ]
    return pa.Table.from_batches(parts, schema)


def _of_batch(batch: pa.RecordBatch, url: str) -> list[Any]:
    """The columns of measures/ for some rows of images/."""
    try:
        bodies = pc.struct_field(batch["image"], "bytes")
        rows = [body.is_valid and measured_picture(body.as_py()) for body in bodies]
    except MemoryError:
        raise EnvironmentProblem(
            f"{url}: out of memory while a picture was decoded; give fewer --workers and run the same command again"
        ) from None
    columns = zip(*(row or _NOTHING for row in rows), strict=True) if rows else _NOTHING
    return [batch["key"], *(pa.array(column or (), pa.float32()) for column in columns)]
