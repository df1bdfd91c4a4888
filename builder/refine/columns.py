"""The columns of a refined manifest: those of the manifest it was made from, by their own names, and three of ours.

url, alt_text, alt_text_raw, source_key, recaption where there is one, then what is carried. A manifest that was
refined before keeps its alt_text_raw and source_key: they are of the text as it was found.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.types as types
import xxhash

from ..disk.buckets import Numbers
from ..manifest import Manifest

RAW, SOURCE = "alt_text_raw", "source_key"
_OWN = ("url", "alt_text", RAW, SOURCE, "recaption")

pc: Any = compute  # its stubs know no mix of column and constant


def columns_of(manifest: Manifest) -> tuple[pa.Schema, dict[str, str]]:
    """The columns of the refined manifest, and where they come from: for names of it, names in tables of `manifest`."""
    text = pa.string()
    fields: list[pa.Field[Any]] = [pa.field(name, text) for name in _OWN[:4]]
    names = {"url": "url"}
    for field, source in zip(manifest.schema, manifest.columns.sources, strict=True):
        if field.name in ("url", "alt_text") or source is None:
            continue
        again = source in (RAW, SOURCE) and types.is_string(field.type)
        name = source if source not in _OWN or field.name == "recaption" or again else f"manifest_{source}"
        while name in names:
            name = f"manifest_{name}"
        names[name] = field.name
        if not again:
            fields.append(pa.field(name, field.type))
    return pa.schema(fields), names


def fingerprints(rows: pa.Table) -> Numbers:
    """A hash of each row, (n,): of two with one key it says which is kept, whatever their order."""
    texts = [_as_bytes(column) for column in rows.combine_chunks().itercolumns()]
    joined = pc.binary_join_element_wise(*texts, b"\x1f", null_handling="replace", null_replacement=b"\x1e")
    return np.array([xxhash.xxh3_64_intdigest(row) for row in joined.to_pylist()], np.uint64)


def pages_of(rows: pa.Table) -> Any:
    """The column page_url where it is of text, else nulls."""
    place = rows.schema.get_field_index("page_url")
    text = place >= 0 and types.is_string(rows.schema.field(place).type)
    return rows.column(place) if text else pa.nulls(len(rows), pa.string())


def _as_bytes(column: Any) -> Any:
    """The values of a column written as bytes."""
    if types.is_binary(column.type):
        return column
    try:
        return column.cast(pa.string()).cast(pa.binary())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists and structs, and numbers of 16 bits
        pass
    return pa.array(
        [repr(value).encode("utf-8", "surrogatepass") for value in column.to_pylist()], pa.binary()
    )
