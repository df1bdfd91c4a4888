"""CSV and TSV, value by value as written: text ─▶ records ─▶ Arrow tables of strings.

Without quotes a line is a record and Arrow splits it. With quotes Python's csv module does: Arrow loses the LF of a
CR LF that lies across two of its blocks, and takes an unbalanced quote for the beginning of a value that ends rows
later. Under `auto` a file that could have been meant otherwise is refused by its line.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterator
from operator import itemgetter
from typing import IO, Any, AnyStr, NoReturn, cast

import pyarrow as pa
import pyarrow.csv as pa_csv

from ..errors import InputError
from .source import Source
from .text import NotText, runs, sound

BLOCK = 1 << 20  # bytes parsed at once
LONGEST = 1 << 20  # bytes of one record: a quote that is never closed must not fill the memory
UNCLOSED = " (a quote that is never closed?)"
MEANT = "if its values are not quoted: --quoting none; if all this is one value: --quoting double"
SWALLOWED = f"a quoted value holds a line end and a URL, as if it had swallowed rows; {MEANT}"
csv.field_size_limit(max(csv.field_size_limit(), 4 * LONGEST))  # the length of a record is limited here


class _Cut(Exception):
    """The text that is there ends; more may come."""


def _cut() -> Iterator[str]:
    raise _Cut
    yield ""


class Records:
    """The records of one file, in order.

    schema: its columns, all of them strings; line: of the file, from 1, where what is not yet read begins; rows:
    records read.
    """

    def __init__(self, source: Source, file: pa.NativeFile) -> None:
        """Read the header. InputError where there is none, or it is quoted and the values are taken not to be."""
        self._source = source
        self._runs = runs(file, source.encoding, BLOCK, LONGEST)
        self._strict = source.quoting == "auto"
        self.line, self.rows = 1, 0
        data = self._next()
        names, lines = self._header(data)
        self.schema = pa.schema([(name, pa.string()) for name in names])
        self._behind, self.line = _from_line(data, lines), 1 + lines

    def parts(self, stop: int | None) -> Iterator[pa.Table | list[list[str]]]:
        """Runs of records, of the first `stop` where that is not None; `table` makes one a table.

        Raises InputError, naming the line, for a record that is none.
        """
        data, last = self._behind, False
        while data or not last:
            most = None if stop is None else stop - self.rows
            part: pa.Table | list[list[str]]
            if self._source.quoted and b'"' in data:
                part, rest = self._quoted(data, most, last)
            else:
                part, rest = self._plain(data, most), b""
            self.rows += len(part)
            yield part
            if self.rows == stop:
                return
            more = self._next()
            data, last = rest + more if rest else more, not more

    def table(self, part: pa.Table | list[list[str]]) -> pa.Table:
        """A run of records as a table in the file's schema."""
        if isinstance(part, pa.Table):
            return part
        columns = (
            list(map(itemgetter(i), part)) for i in range(len(self.schema))
        )  # half the time of zip(*part)
        arrays = [pa.array(values, pa.string()) for values in columns]
        return pa.Table.from_arrays(arrays, schema=self.schema)

    def _next(self) -> bytes:
        try:
            return next(self._runs, b"")
        except NotText as error:
            self._not_text(error)

    def _header(self, data: bytes) -> tuple[list[str], int]:
        """The names in the first line that is not blank, and the number of lines up to its end."""
        source = self._source
        quoting: Any = csv.QUOTE_MINIMAL if source.quoted else csv.QUOTE_NONE
        whole, wrong = sound(data)
        reader = csv.reader(_lines(whole), delimiter=source.delimiter, quoting=quoting)
        names: list[str] = next(filter(None, reader), [])
        if not names:
            if wrong is not None:
                self._not_text(wrong)
            self._refuse(
                self.line, f"no header: the first line of a {source.kind} manifest names its columns"
            )
        if not source.quoted and any(len(name) > 1 and name[0] == name[-1] == '"' for name in names):
            self._refuse(reader.line_num, "the header is quoted: --quoting double")
        return names, reader.line_num

    def _quoted(self, data: bytes, most: int | None, last: bool) -> tuple[list[list[str]], bytes]:
        """The first `most` records of `data`, and the beginning of one that goes on behind it."""
        whole, wrong = sound(data)
        lines = _lines(whole)
        feed = lines if last and wrong is None else itertools.chain(lines, _cut())
        reader = csv.reader(feed, delimiter=self._source.delimiter, strict=self._strict)
        records: list[list[str]] = []
        error: csv.Error | None = None
        try:
            records.extend(reader)  # keeps what came before an error
        except _Cut:
            pass
        except csv.Error as found:
            error = found
        filled = list(itertools.islice(filter(None, records), most))
        if len(filled) == most:
            self._checked(filled, 0)
            return filled, b""
        done = self._checked(records, reader.line_num)
        if error is not None:
            self._unquotable(str(error), self.line + done, self.line + reader.line_num - 1)
        self.line += done
        if wrong is not None:
            self.rows += len(filled)
            self._not_text(wrong)
        rest = b"" if last or done == reader.line_num else _from_line(data, done)
        if len(rest) > LONGEST:
            self._refuse(self.line, f"a record begins that is longer than {LONGEST >> 20} MiB{UNCLOSED}")
        return filled, rest

    def _checked(self, records: list[list[str]], read: int) -> int:
        """The lines that `records` take, of `read`; InputError for one of another width, or that swallowed rows."""
        width = len(self.schema)
        if read == len(records) and set(map(len, records)) <= {width, 0}:
            return read
        line = 0
        for record in records:
            if len(record) not in (width, 0):
                self._misfit(self.line + line, len(record))
            ends = sum(map(_line_ends, record))
            if ends and self._strict and any("://" in value and _line_ends(value) for value in record):
                self._refuse(self.line + line, SWALLOWED)
            line += 1 + ends
        return line

    def _unquotable(self, error: str, first: int, line: int) -> NoReturn:
        if "end of data" in error:
            self._refuse(first, f"a quoted value begins, and the file ends inside it; {MEANT}")
        self._refuse(line, f"text follows a closing quote (the record begins in line {first:,}); {MEANT}")

    def _plain(self, data: bytes, most: int | None) -> pa.Table:
        """The records of `data`, a line each; of the first `most` lines that are not blank."""
        if most is not None and _line_ends(data) > most:
            lines = (line for line in data.splitlines(keepends=True) if line.strip(b"\r\n"))
            data = b"".join(itertools.islice(lines, most))
        try:
            table = _split(data, self._source.delimiter, self.schema) if data else self.schema.empty_table()
        except pa.ArrowInvalid:
            self._stumbled(data)
        self.line += _line_ends(data)
        return table

    def _stumbled(self, data: bytes) -> NoReturn:
        """Raise InputError for the first line that is none."""
        whole, wrong = sound(data)
        for line in whole.splitlines():
            fields = line.count(self._source.delimiter.encode()) + 1
            if line and fields != len(self.schema):
                self._misfit(self.line, fields)
            self.line += 1
            self.rows += bool(line)
        self._not_text(wrong or NotText("is not as Arrow splits it"))

    def _not_text(self, error: NotText) -> NoReturn:
        where = f"{self._source.url}: row {self.rows + 1:,} (line {self.line:,})"
        raise InputError(
            f"{where} {error}{UNCLOSED if self._source.quoted and 'longer' in str(error) else ''}"
        ) from error

    def _misfit(self, line: int, fields: int) -> NoReturn:
        hint = "if a value of it should be quoted, quote it"
        if not self._source.quoted:
            hint = "if values are quoted (WIT): --quoting double"
        self._refuse(line, f"{fields} fields, but the header names {len(self.schema)}; {hint}")

    def _refuse(self, line: int, what: str) -> NoReturn:
        raise InputError(f"{self._source.url}: line {line:,}: {what}")


def _split(data: bytes, delimiter: str, schema: pa.Schema) -> pa.Table:
    names = [f"f{i}" for i in range(len(schema))]  # those of the file may be there twice
    table = pa_csv.read_csv(
        cast(IO[Any], pa.BufferReader(data)),  # the stubs know files and paths only
        read_options=pa_csv.ReadOptions(use_threads=False, block_size=len(data) + 1, column_names=names),
        parse_options=pa_csv.ParseOptions(delimiter=delimiter, quote_char=False),
        convert_options=pa_csv.ConvertOptions(
            column_types=dict.fromkeys(names, pa.string()), strings_can_be_null=False
        ),
    )
    return table.rename_columns(schema.names)


def _lines(data: bytes) -> Iterator[str]:
    return io.StringIO(data.decode(), newline="")


def _from_line(data: bytes, lines: int) -> bytes:
    """`data` without its first lines."""
    return b"".join(data.splitlines(keepends=True)[lines:])


def _line_ends(text: AnyStr) -> int:
    cr, lf = ("\r", "\n") if isinstance(text, str) else (b"\r", b"\n")
    return text.count(lf) + text.count(cr) - text.count(cr + lf)
