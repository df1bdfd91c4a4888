"""The rows of one file, from any row on, in memory that its length does not change.

Each reader hands out the batch that holds a row (`at`) and goes forward from there: asked for ascending rows
it reads the file once. Parquet skips to the row group of a row; CSV and JSON Lines have no index and are
streamed through. A batch is a table in the file's own schema; `columns.Layout` brings it to the manifest's.
"""

from __future__ import annotations

import bisect
import contextlib
import itertools
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import IO, Any, cast

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from ..errors import InputError
from .json_lines import blocks, parse
from .source import Kind, Source, decoded, opened, reading

BATCH = 8192  # rows decoded at once from Parquet: 3 MB of captions and URLs
BUFFER = 1 << 20  # bytes read at once from a column chunk of a local file
REMOTE_BUFFER = 4 << 20  # the same from a store, where a request costs as much as a megabyte
COALESCED = 32 << 20  # row groups up to this many bytes are fetched from a store in one go
CSV_BLOCK = 1 << 20  # bytes parsed at once, so also the longest row; Arrow keeps up to 32 of them read ahead


class Reader(ABC):
    """One open file; `close` it, or use it as a context manager."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self._open = contextlib.ExitStack()
        self._batches: Iterator[tuple[int, pa.Table]] | None = None
        self._first, self._table = 0, pa.table({})

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

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

    @property
    def _end(self) -> int:
        return self._first + len(self._table)

    def _leaps(self, position: int, row: int) -> bool:
        """Whether `row` is reached sooner by a new start than by going on from `position`."""
        return False

    @abstractmethod
    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        """Batches in order, each with its first row, from one at or before `row`."""


class ParquetReader(Reader):
    """Parquet by row groups: those not asked for are not read, none is decoded twice on the way forward."""

    def __init__(self, source: Source) -> None:
        super().__init__(source)
        with reading(source.url, source.size):
            if source.local:
                file: pa.NativeFile = self._open.enter_context(pa.OSFile(source.path, "rb"))
            else:
                raw = self._open.enter_context(opened(source.fs, source.path))
                file = self._open.enter_context(pa.PythonFile(raw, mode="r"))
            self._file = self._open.enter_context(self._parquet(file))
            groups = self._file.metadata
            lengths = (groups.row_group(i).num_rows for i in range(groups.num_row_groups))
            self._starts = list(itertools.accumulate(lengths, initial=0))

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


class CsvReader(Reader):
    """CSV and TSV: every column as bytes, because a number in one row says nothing of the next."""

    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        self._open.close()
        file = self._open.enter_context(decoded(self.source))
        first = 0
        try:
            for batch in self._reader(file):
                yield first, pa.Table.from_batches([batch])
                first += len(batch)
        except pa.ArrowInvalid as error:
            raise self._explained(error, first) from error

    def _reader(self, file: pa.NativeFile) -> pa_csv.CSVStreamingReader:
        return pa_csv.open_csv(
            cast(IO[Any], file),  # the stubs know files and paths only
            read_options=pa_csv.ReadOptions(use_threads=False, block_size=CSV_BLOCK),
            parse_options=pa_csv.ParseOptions(
                delimiter="\t" if self.source.kind is Kind.TSV else ",", newlines_in_values=True
            ),
            convert_options=pa_csv.ConvertOptions(
                column_types=dict.fromkeys(self.source.schema.names, pa.binary()), strings_can_be_null=False
            ),
        )

    def _explained(self, error: pa.ArrowInvalid, rows: int) -> InputError:
        cause = " ".join(str(error).split())[:300].removeprefix("CSV parse error: ")
        if "straddling" in cause:
            cause = f"a row is longer than {CSV_BLOCK >> 20} MiB (a quote that is never closed?)"
        return InputError(
            f"{self.source.url}: past row {rows:,}: {cause}; "
            f"mend that row, or fetch the file again if it should not end after {self.source.size:,} bytes"
        )


class JsonLinesReader(Reader):
    """JSON Lines: one object a line, blank lines passed over."""

    def _from(self, row: int) -> Iterator[tuple[int, pa.Table]]:
        self._open.close()
        file = self._open.enter_context(decoded(self.source))
        first = 0
        for lines in blocks(file, self.source.url):
            if first + len(lines) > row:
                yield first, parse(lines, self.source.schema, self.source.url, first)
            first += len(lines)


def open_reader(source: Source) -> Reader:
    """The reader of a file's kind."""
    if source.kind is Kind.PARQUET:
        return ParquetReader(source)
    return JsonLinesReader(source) if source.kind is Kind.JSON_LINES else CsvReader(source)


def count_rows(source: Source, limit: int = 0) -> int:
    """Rows of the file, at most `limit` when that is not 0; a text file is parsed once, and checked by it.

    Raises InputError for the first row that cannot be read.
    """
    if source.rows is not None:
        return min(source.rows, limit or source.rows)
    rows = 0
    with open_reader(source) as reader, reading(source.url, source.size):
        for first, table in reader._from(0):
            rows = first + len(table)
            if limit and rows >= limit:
                return limit
    return rows
