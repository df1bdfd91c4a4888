"""The types that a root carries: what any file of a manifest holds, as `datasets` can load it from a shard.

`plain` says what a type becomes, `conform` makes it so. Values are copied by Arrow and never rounded: what does not
fit is an error that names the row.
"""

from __future__ import annotations

import bisect
import codecs
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from ..errors import InputError
from .text import CHINESE, UTF8

STRING = pa.string()
PLAIN: dict[pa.DataType, pa.DataType] = {
    pa.large_string(): STRING, pa.string_view(): STRING,
    pa.large_binary(): pa.binary(), pa.binary_view(): pa.binary(),
}  # fmt: skip
LISTS = (pa.ListType, pa.LargeListType, pa.FixedSizeListType, pa.ListViewType, pa.LargeListViewType)


class NotEncoded(ValueError):
    """Bytes that should be text and are not in its encoding."""


UNFIT = (pa.ArrowInvalid, pa.ArrowNotImplementedError, NotEncoded)


def plain(kind: pa.DataType, null: pa.DataType = STRING) -> pa.DataType:
    """The type without its layout: what `datasets` loads and Parquet writes of the same values.

    Large, view, dictionary, run-end and extension types become what they hold, lists and views of lists lists, a map
    a list of its keys and values, null a string, or what `null` says.
    """
    if isinstance(kind, pa.BaseExtensionType):
        return plain(kind.storage_type, null)
    if types.is_dictionary(kind) or types.is_run_end_encoded(kind):
        return plain(kind.value_type, null)
    if types.is_map(kind):
        return pa.list_(
            pa.struct([("key", plain(kind.key_type, null)), ("value", plain(kind.item_type, null))])
        )
    if isinstance(kind, LISTS):
        field = kind.value_field.with_type(plain(kind.value_type, null))
        return kind if types.is_fixed_size_list(kind) and field == kind.value_field else pa.list_(field)
    if types.is_struct(kind):
        return pa.struct([one.with_type(plain(one.type, null)) for one in kind]) if kind.num_fields else null
    return null if types.is_null(kind) else _plain_leaf(kind)


def _plain_leaf(kind: pa.DataType) -> pa.DataType:
    if types.is_decimal32(kind) or types.is_decimal64(kind):
        return pa.decimal128(kind.precision, kind.scale)
    return PLAIN.get(kind, kind)


def reshaped(kind: pa.DataType) -> bool:
    """Whether `plain` gives values of `kind` another shape, of which a reader of the shards should hear."""
    if types.is_map(kind) or isinstance(kind, pa.BaseExtensionType):
        return True
    return types.is_nested(kind) and any(reshaped(kind.field(i).type) for i in range(kind.num_fields))


def conform(
    column: pa.ChunkedArray[Any], field: pa.Field[Any], encoding: str, url: str, first: int
) -> pa.ChunkedArray[Any]:
    """`column` in the type of `field`, its texts in valid UTF-8; encoding: of the bytes of its texts.

    Raises InputError, naming the row, for bytes that are not in `encoding` and a value that the type cannot hold
    exactly. first: the number in the file `url` of the column's first row, from 0.
    """
    try:
        conformed: pa.ChunkedArray[Any] = _conform(column, field.type, encoding)
        return conformed
    except UNFIT as error:
        row = bisect.bisect_left(
            range(len(column)),
            True,
            key=lambda row: not _fits(column.slice(0, row + 1), field.type, encoding),
        )
        where = f"{url}: row {first + row + 1:,}: column {field.name!r}"
        if isinstance(error, NotEncoded):
            raise InputError(f"{where} is not {encoding.upper()}: {error}; {CHINESE}") from error
        raise InputError(
            f"{where} is {column.type} and holds what {field.type}, its type in all files, does not: mend one"
        ) from error


def _fits(column: pa.ChunkedArray[Any], kind: pa.DataType, encoding: str) -> bool:
    try:
        _conform(column, kind, encoding)
    except UNFIT:
        return False
    return True


def _conform(column: pa.ChunkedArray[Any], kind: Any, encoding: str) -> Any:
    return pa.chunked_array([_array(chunk, kind, encoding) for chunk in column.chunks], kind)


def _array(array: Any, kind: Any, encoding: str) -> Any:
    held = array.type
    if isinstance(held, pa.BaseExtensionType):
        return _array(array.storage, kind, encoding)
    if types.is_dictionary(held):
        return _array(array.dictionary_decode(), kind, encoding)
    if types.is_run_end_encoded(held):
        return _array(pc.call_function("run_end_decode", [array]), kind, encoding)
    if types.is_null(held) or (types.is_struct(held) and not held.num_fields):
        return pa.nulls(len(array), kind)
    if types.is_string(kind) and not types.is_primitive(held):
        return _text(array, encoding)
    if types.is_list(kind) and (isinstance(held, LISTS) or types.is_map(held)):
        return _list(array, kind, encoding)
    if types.is_struct(kind) and types.is_struct(held):
        parts = dict(zip(held.names, array.flatten(), strict=True))
        fields = [kind.field(i) for i in range(kind.num_fields)]
        inside = [
            _array(parts[one.name], one.type, encoding)
            if one.name in parts
            else pa.nulls(len(array), one.type)
            for one in fields
        ]
        return pa.StructArray.from_arrays(inside, fields=fields, mask=array.is_null())
    if held == kind:
        array.validate(full=types.is_nested(kind))
        return array
    made = array.cast(kind)
    if types.is_decimal(held) and not types.is_decimal(kind) and not made.cast(held).equals(array):
        raise pa.ArrowInvalid(f"{kind} rounds {held}")  # of all safe casts the one that Arrow does not check
    return made


def _list(array: Any, kind: Any, encoding: str) -> Any:
    """Lists of any layout, or maps: their lengths add up to the offsets of a plain one."""
    if types.is_map(array.type):
        array = array.cast(
            pa.list_(pa.struct([("key", array.type.key_type), ("value", array.type.item_type)]))
        )
    lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int32())
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum_checked(lengths)])
    items = _array(array.flatten(), kind.value_type, encoding)
    return pa.ListArray.from_arrays(offsets, items, type=kind, mask=array.is_null())


def _text(array: Any, encoding: str) -> Any:
    """Strings, or bytes, of any layout as valid strings; encoding: of bytes, and of strings that are not UTF-8."""
    texts = types.is_string(plain(array.type))
    if types.is_string_view(array.type):
        array = array.cast(pa.binary_view())
    raw = array.view(pa.large_binary()) if types.is_large_string(array.type) else array
    raw = raw.view(pa.binary()) if types.is_string(raw.type) else raw.cast(pa.binary())
    if texts or encoding == UTF8:
        try:
            return raw.cast(pa.string())
        except pa.ArrowInvalid:  # Arrow only tells that some value is not UTF-8
            pass
    said = [UTF8, encoding] if texts else [encoding]  # what calls itself a text is UTF-8, where it can be
    return pa.array([None if one is None else _decoded(one, *said) for one in raw.to_pylist()], pa.string())


def _decoded(value: bytes, encoding: str, *others: str) -> str:
    try:
        return codecs.decode(value, encoding)
    except UnicodeDecodeError as error:
        if others:
            return _decoded(value, *others)
        raise NotEncoded(repr(value[error.start : error.start + 8])) from error
