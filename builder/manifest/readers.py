"""The rows of one file, from any row on, in memory that its length does not change.

Each reader hands out the batch that holds a row (`at`) and goes forward from there: asked for ascending rows
it reads the file once. Parquet skips to the row group of a row; CSV and JSON Lines have no index and are
streamed through, once before to count and check them (`surveyed`). A batch is a table in the file's own schema;
`columns.ColumnMap` brings it to the manifest's.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.parquet import group_starts
from ..disk.reading import reading
from ..errors import InputError
from .delimited import Records
from .json_lines import blocks, parse, survey
from .source import Format, Source, decoded, stored

BATCH = 8192  # rows decoded at once from Parquet: 3 MB of captions and URLs
BUFFER = 1 << 20  # bytes read at once from a column chunk of a local file
REMOTE_BUFFER = 4 << 20  # the same from a store, where a request costs as much as a megabyte
COALESCED = 32 << 20  # row groups up to this many bytes are fetched from a store in one go


class RowReader(ABC):
    """One open file, read forward; `close` it."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._open = contextlib.ExitStack()
        self._batches: Iterator[tuple[int, pa.Table]] | None = None
        self._first, self._table = 0, pa.table({})

    def close(self) -> None:
        """Close the file."""
        self._batches = None
        self._open.close()

    def at(self, row: int) -> tuple[int, pa.Table]:
        """The batch that holds `row`, and the row it begins with.

        Raises InputError when the file is damaged or ends before `row`, EnvironmentProblem when it cannot be
        read.
        """
        with reading(self.source.url, self.source.size):
            if self._batches is None or row < self._first or self._leaps(self._end, row):
                self._table = pa.table({})
                self._batches = self._from(row)
            while not self._first <= row < self._end:
                step = next(self._batches, None)
                if step is None:
                    raise InputError(
                        f"{self.source.url}: ends at row {self._end:,}; it was longer when it was planned"
                    )
                self._first, self._table = step
        return self._first, self._table

    def ends(self) -> None:
        """Raise InputError where the file goes on behind the last row that was planned, which `at` has given."""
        if self.source.cut:
            return
        with reading(self.source.url, self.source.size):
            if self._end != self.source.rows or next(self._batches or iter(()), None) is not None:
                raise InputError(
                    f"{self.source.url}: goes on after row {self.source.rows:,}, its last when it was planned"
                )

    @property
    def _end(self) -> int:
        return self._first + len(self._table)

    def _leaps(self, position: int, row: int) -> bool:
        """Whether `row` is reached sooner by a new start than by going on from `position`."""
        return False

    @abstractmethod
    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        """Batches in order, each with its first row, from one at or before `row`."""


class ParquetReader(RowReader):
    """Parquet by row groups: those not asked for are not read, none is decoded twice on the way forward."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        with reading(source.url, source.size):
            file = self._open.enter_context(stored(source))
            self._file = self._open.enter_context(self._parquet(file))
            groups = self._file.metadata
            if groups.num_rows != source.rows:
                raise InputError(
                    f"{source.url}: has {groups.num_rows:,} rows now, {source.rows:,} when it was planned"
                )
            self._starts = group_starts(groups)

    def _parquet(self, file: pa.NativeFile) -> pq.ParquetFile:
        if self.source.local:
            return pq.ParquetFile(file, buffer_size=BUFFER, pre_buffer=False)
        parquet = pq.ParquetFile(file, buffer_size=REMOTE_BUFFER, pre_buffer=False)
        groups = (parquet.metadata.row_group(i) for i in range(parquet.metadata.num_row_groups))
        if max((_stored(group) for group in groups), default=0) > COALESCED:
            return parquet
        return pq.ParquetFile(file, metadata=parquet.metadata, pre_buffer=True)

    def _group(self, row: int) -> int:
        return bisect.bisect_right(self._starts, row) - 1

    def _leaps(self, position: int, row: int) -> bool:
        return self._group(row) > self._group(position)

    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        for group in range(self._group(row), len(self._starts) - 1):
            first = self._starts[group]
            for batch in self._file.iter_batches(BATCH, row_groups=[group], use_threads=False):
                yield first, pa.Table.from_batches([batch])
                first += len(batch)


def _stored(group: pq.RowGroupMetaData) -> int:
    """Bytes of a row group as they lie in the file."""
    return sum(group.column(i).total_compressed_size for i in range(group.num_columns))


class TextReader(RowReader):
    """Text has no index: it is read from its beginning, and before the row that is asked for no tables are made."""

    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        self._open.close()
        file = self._open.enter_context(decoded(self.source))
        tables = _objects if self.source.kind is Format.JSON_LINES else _records
        return tables(self.source, file, row)


def _records(source: Source, file: pa.NativeFile, row: int) -> Iterator[tuple[int, pa.Table]]:
    """CSV and TSV: every column as text, because a number in one row says nothing of the next."""
    records = Records(source, file)
    if records.schema != source.schema:
        raise InputError(f"{source.url}: its header is another than when it was planned")
    first = 0
    for part in records.parts(source.stop):
        if records.rows > row:
            yield first, records.table(part)
        first = records.rows


def _objects(source: Source, file: pa.NativeFile, row: int) -> Iterator[tuple[int, pa.Table]]:
    """JSON Lines: one object a line, blank lines passed over."""
    for first, lines in blocks(source, file, source.stop):
        if first + len(lines) > row:
            yield first, parse(lines, source.schema, source.url, first)


def open_reader(source: Source) -> RowReader:
    """The reader of a file's kind."""
    return (ParquetReader if source.kind is Format.PARQUET else TextReader)(source)


def surveyed(source: Source, limit: int = 0) -> tuple[Source, list[str]]:
    """A text file with its columns, types and rows, and what is to be said of them: all of it is read, and checked.

    limit: rows to look at, 0 for all. Raises InputError for the first row that cannot be read.
    """
    stop = limit or None
    with reading(source.url, source.size), decoded(source) as file:
        if source.kind is Format.JSON_LINES:
            rows, schema, notes = survey(source, file, stop)
            if rows == stop:
                notes.append(f"{source.url}: types are those of its first {rows:,} rows, because of --limit")
        else:
            records = Records(source, file)
            deque(records.parts(stop), maxlen=0)
            rows, schema, notes = records.rows, records.schema, []
    return dataclasses.replace(source, schema=schema, rows=rows, cut=rows == stop), notes
