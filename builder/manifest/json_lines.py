"""JSON Lines as Arrow: lines by the block, parsed by Arrow where it can, by Python where the data is odd.

Arrow takes strings that look like dates for dates, rounds large integers beside fractions, and ends at the first
lone surrogate without saying where. Here all rows decide the types first (`survey`); then each block goes to Arrow's
parser with these, and one it refuses is read line by line in Python, which names the row where nothing can be done.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.json as pa_json
import pyarrow.types as types

from ..errors import InputError
from .shapes import MOST_KEYS, Shape, fitted
from .source import Source
from .text import NotText, in_row, runs, sound

BLOCK = 4 << 20  # bytes read at once
LONGEST = 32 << 20  # bytes of one line
BRACKETS = 1000  # of one line; Arrow's parser, which goes down into each, would end the process at some depth
UNDECIDED = pa.schema([])


def blocks(source: Source, file: pa.NativeFile, stop: int | None) -> Iterator[tuple[int, list[bytes]]]:
    """Runs of lines that are not blank, the first `stop` of them, each with the number of its first row, from 0.

    Raises InputError, naming the row, for what is no text and a line beyond LONGEST.
    """
    rows = 0
    try:
        for data in runs(file, source.encoding, BLOCK, LONGEST):
            whole, wrong = sound(data)
            lines = [line for line in whole.split(b"\n") if line.strip()]
            lines = lines if stop is None else lines[: stop - rows]
            if lines:
                yield rows, lines
            rows += len(lines)
            if rows == stop:
                return
            if wrong is not None:
                raise wrong
    except NotText as error:
        raise in_row(source.url, rows, error) from error


def survey(source: Source, file: pa.NativeFile, stop: int | None) -> tuple[int, pa.Schema, list[str]]:
    """How many rows there are, at most `stop`, their types, and what becomes of columns that are not kept as they are.

    Raises InputError for the first row that is no JSON object, and for integers that a column of fractions rounds.
    """
    shape = Shape()
    rows, known = 0, UNDECIDED
    for first, lines in blocks(source, file, stop):
        known = _take(shape, lines, known, source.url, first)
        rows = first + len(lines)
        if "many" in shape.kinds:
            raise InputError(
                f"{source.url}: more than {MOST_KEYS:,} keys by row {rows:,}; the rows of a manifest share theirs"
            )
    columns = shape.fields.items()
    schema = pa.schema([(name, one.type(f"{source.url}: column {name!r}")) for name, one in columns])
    return rows, schema, [f"{source.url}: column {line}" for name, one in columns for line in one.notes(name)]


def _take(shape: Shape, lines: Sequence[bytes], known: pa.Schema, url: str, first: int) -> pa.Schema:
    """Add the rows of `lines` to `shape`; the types that Arrow may take for known in the next block."""
    table = _parsed(lines, known, "infer")
    if table is None or not all(
        shape.key(name).take(column.combine_chunks())
        for name, column in zip(table.column_names, table.columns, strict=True)
    ):
        for number, row in enumerate(_loads(lines, url, first), first + 1):
            for name, value in row.items():
                shape.key(name).add(value, number)
        return UNDECIDED
    return pa.schema([(name, pa.string()) for name, one in shape.fields.items() if one.kinds == {"text"}])


def parse(lines: Sequence[bytes], schema: pa.Schema, url: str, first: int) -> pa.Table:
    """The rows of `lines`, the first being row `first` of the file, in the schema that `survey` found.

    Raises InputError that names the row for a line that is no JSON object.
    """
    wanted = pa.schema([one for one in schema if not types.is_null(one.type)])
    table = _parsed(lines, wanted, "ignore")
    if table is not None:
        nothing = pa.nulls(len(table))
        columns = [nothing if types.is_null(one.type) else table[one.name] for one in schema]
        return pa.Table.from_arrays(columns, schema=schema)
    rows = list(_loads(lines, url, first))
    return pa.Table.from_arrays([_column(rows, one, url, first) for one in schema], schema=schema)


def _parsed(lines: Sequence[bytes], known: pa.Schema, others: Any) -> pa.Table | None:
    """The rows as Arrow reads them, or None where it does not; others: what to do with columns not `known`."""
    if any(line.count(b"[") + line.count(b"{") > BRACKETS for line in lines):
        return None
    data = b"\n".join(lines)
    try:
        table = pa_json.read_json(
            cast(IO[Any], pa.BufferReader(data)),  # the stubs know files and paths only
            read_options=pa_json.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pa_json.ParseOptions(explicit_schema=known, unexpected_field_behavior=others),
        )
    except pa.ArrowException:
        return None
    return table if len(table) == len(lines) else None  # two objects on one line would make more


def _loads(lines: Sequence[bytes], url: str, first: int) -> Iterator[Mapping[str, Any]]:
    for number, line in enumerate(lines, first + 1):
        try:
            row = _encodable(json.loads(line))
        except (ValueError, RecursionError) as error:
            whole = "" if line.rstrip().endswith(b"}") else ", the line ends early: truncated?"
            raise InputError(f"{url}: row {number:,} is not JSON ({error}){whole}") from error
        if not isinstance(row, dict):
            raise InputError(
                f"{url}: row {number:,} is {type(row).__name__}, not a JSON object; JSON Lines wanted"
            )
        yield row


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


def _column(rows: Sequence[Mapping[str, Any]], field: pa.Field[Any], url: str, first: int) -> Any:
    try:
        return pa.array([fitted(row.get(field.name), field.type) for row in rows], field.type)
    except (pa.ArrowException, OverflowError, TypeError, AttributeError) as error:
        raise InputError(
            f"{url}: column {field.name!r} past row {first:,} is no {field.type}, as it was when it was planned: "
            "the file has changed"
        ) from error
