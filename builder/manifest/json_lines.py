"""JSON Lines as Arrow: lines by the block, parsed by Arrow where it can, by Python where the data is odd.

Arrow's own streaming reader takes strings that look like dates for dates, and ends at the first lone
surrogate without saying where. Here each block goes to Arrow's parser with a fixed schema; a block it refuses
is read line by line in Python, which replaces what can be replaced and names the row where nothing can.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.types as types

from ..errors import InputError

BLOCK = 4 << 20  # bytes read at once
LONGEST = 32 << 20  # bytes of one line
BOM = b"\xef\xbb\xbf"
REFUSALS = (pa.ArrowException, OverflowError, TypeError)


def blocks(file: pa.NativeFile, url: str, size: int = BLOCK) -> Iterator[list[bytes]]:
    """Runs of whole lines of about `size` bytes, blank ones left out; InputError for one beyond LONGEST."""
    rest = b""
    first = True
    while data := file.read(size):
        if first:
            data, first = data.removeprefix(BOM), False
        head, newline, tail = data.rpartition(b"\n")
        if not newline:
            rest += data
            if len(rest) > LONGEST:
                raise InputError(f"{url}: a line is longer than {LONGEST >> 20} MiB; not JSON Lines")
            continue
        if lines := _lines(rest + head):
            yield lines
        rest = tail
    if lines := _lines(rest):
        yield lines


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip()]


def infer(lines: Sequence[bytes], url: str) -> pa.Schema:
    """The schema that holds these first rows; dates stay strings, and what is of several types becomes one.

    Raises InputError for a line that is no JSON object.
    """
    rows = _loads(lines, url, 0)
    names = dict.fromkeys(name for row in rows for name in row)
    return pa.schema([(name, _type([row.get(name) for row in rows])) for name in names])


def _type(values: list[Any]) -> pa.DataType:
    try:
        kind: pa.DataType = pa.array(values).type
    except REFUSALS:
        return pa.string()
    return kind


def parse(lines: Sequence[bytes], schema: pa.Schema, url: str, first: int) -> pa.Table:
    """The rows of `lines`, the first being row `first` of the file; fields not in the schema are ignored.

    Raises InputError that names the row for a line that is no JSON object or a value of another type.
    """
    data = b"\n".join(lines)
    try:
        data.decode()
    except UnicodeDecodeError:
        data = data.decode("utf-8", "replace").encode()
    known = pa.schema([f.with_type(pa.string()) if types.is_null(f.type) else f for f in schema])
    try:
        table = pa_json.read_json(
            cast(IO[Any], pa.BufferReader(data)),  # the stubs know files and paths only
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=known, unexpected_field_behavior="ignore"),
        )
        if len(table) == len(lines):  # two objects on one line would make more
            return table
    except pa.ArrowException:
        pass
    rows = _loads(lines, url, first)
    return pa.Table.from_arrays([_column(rows, field, url, first) for field in known], schema=known)


def _loads(lines: Sequence[bytes], url: str, first: int) -> list[dict[str, Any]]:
    rows = []
    for number, line in enumerate(lines, first + 1):
        try:
            row = json.loads(line.decode("utf-8", "replace"))
        except (ValueError, RecursionError) as error:
            whole = "" if line.rstrip().endswith(b"}") else ", the line ends early: truncated?"
            raise InputError(f"{url}: row {number:,} is not JSON ({error}){whole}") from error
        if not isinstance(row, dict):
            raise InputError(
                f"{url}: row {number:,} is {type(row).__name__}, not a JSON object; JSON Lines wanted"
            )
        rows.append(_encodable(row))
    return rows


def _encodable(value: Any) -> Any:
    """`value` with lone surrogates, which no UTF-8 can hold, replaced."""
    if isinstance(value, str):
        return (
            value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        )
    if isinstance(value, list):
        return [_encodable(item) for item in value]
    if isinstance(value, dict):
        return {_encodable(key): _encodable(item) for key, item in value.items()}
    return value


def _column(rows: list[dict[str, Any]], field: pa.Field[Any], url: str, first: int) -> pa.Array[Any]:
    values = [row.get(field.name) for row in rows]
    if types.is_string(field.type):  # a number among texts is told apart by nothing but its quotes
        values = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    try:
        array: pa.Array[Any] = pa.array(values, field.type)
    except REFUSALS as error:
        at = [_fits(value, field.type) for value in values].index(False)
        raise InputError(
            f"{url}: row {first + at + 1:,}: column {field.name!r} holds {str(values[at])[:60]!r}, "
            f"but {field.type} in the first rows; make it one type"
        ) from error
    return array


def _fits(value: Any, kind: pa.DataType) -> bool:
    try:
        pa.array([value], kind)
    except REFUSALS:
        return False
    return True
