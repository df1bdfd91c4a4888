"""The manifest a stage reads: a path in, row counts and a fingerprint at once, then its rows as a stream.

`open_manifest` looks at the ends of each file and plans; a text file alone is read through, once: to count its rows,
to find their types and to check that they can be read.
`Manifest.tables` hands out the rows of ascending ranges in one schema: `url`, `alt_text`, `recaption`, then
the other columns of the manifest. Memory does not depend on the number of rows.
"""

from __future__ import annotations

import bisect
import contextlib
import dataclasses
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import fsspec
import pyarrow as pa

from ..errors import InputError
from .columns import ColumnMap, ManifestOptions, column_map
from .find import FoundFile, find
from .probe import probe
from .readers import RowReader, open_reader, surveyed
from .shapes import fields_from
from .source import Format, Source, kind_of
from .text import UTF8, known_encoding

__all__ = ["Manifest", "ManifestOptions", "known_encoding", "open_manifest"]

PARALLEL = 8  # files looked at together: their footers are a few requests each


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, planned.

    rows: by split, in the order of the splits; fingerprint: of names, sizes, row counts and the files'
    fingerprints, so independent of where the manifest lies; schema: of the tables it yields; hash_column: the
    column with a hash of each picture's bytes, and its algorithm, `sha256` or `md5`; notes: what becomes of columns
    that are not carried as they are, for people.
    """

    files: list[Source]
    rows: dict[str, int]
    fingerprint: str
    schema: pa.Schema
    hash_column: tuple[str, str] | None
    columns: ColumnMap
    notes: tuple[str, ...]

    def tables(self, split: str, ranges: Iterable[tuple[int, int]]) -> Iterator[pa.Table]:
        """One table for each half-open row range of `split`, read as it is asked for.

        Ascending ranges read a file once, and of Parquet no row group that they do not touch. Raises
        InputError for a damaged file, EnvironmentProblem for one that cannot be read, ValueError for a range
        beyond the split.
        """
        cursor = _Cursor(self, split)
        with contextlib.closing(cursor):
            for start, stop in ranges:
                if not 0 <= start <= stop <= self.rows.get(split, 0):
                    raise ValueError(f"rows {start} to {stop} of {self.rows.get(split, 0)} of {split}")
                yield cursor.take(start, stop)


class _Cursor:
    """Reads row ranges of one split over file borders, with at most one file open."""

    def __init__(self, manifest: Manifest, split: str) -> None:
        self._columns = manifest.columns
        self._sources = [file for file in manifest.files if file.split == split]
        self._starts = list(itertools.accumulate((file.counted for file in self._sources), initial=0))
        self._reader: RowReader | None = None

    def take(self, start: int, stop: int) -> pa.Table:
        """The rows [start, stop)."""
        parts = [self._columns.schema.empty_table()]
        while start < stop:
            index = bisect.bisect_right(self._starts, start) - 1
            base, end = self._starts[index], min(stop, self._starts[index + 1])
            first, table = self._of(index).at(start - base)
            part = table.slice(start - base - first, end - start)
            source = self._sources[index]
            encoding = source.encoding if source.kind is Format.PARQUET else UTF8  # text comes decoded
            parts.append(self._columns.table(part, encoding, source.url, start - base))
            start += len(part)
            if start - base == source.rows:
                self._of(index).ends()
        return pa.concat_tables(parts)

    def _of(self, index: int) -> RowReader:
        source = self._sources[index]
        if self._reader is None or self._reader.source is not source:
            self.close()
            self._reader = open_reader(source)
        return self._reader

    def close(self) -> None:
        """Close the file that is open."""
        if self._reader is not None:
            self._reader.close()
            self._reader = None


def open_manifest(
    source: str,
    columns: ManifestOptions,
    limit: int = 0,
    known: Mapping[str, Mapping[str, Any]] | None = None,
) -> Manifest:
    """Plan the manifest at `source`: a file, folder, glob or fsspec URL.

    columns: which column is which, and how text is written; limit: rows to take in all, train first, 0 for all;
    known: what an earlier plan with this limit tells of each file by its `path`, which saves text files their counting.
    Raises InputError when there is no such file, a column is missing, kinds are mixed, or a file is empty,
    truncated, of another kind or, being text, cannot be read to its end; EnvironmentProblem when one cannot be read.
    """
    fs, entries = find(source)
    _one_kind(source, [kind for entry in entries if (kind := kind_of(entry.name))])
    files: list[Source] = []
    notes: list[str] = []
    rows: Counter[str] = Counter()
    for entry, probed, said in _planned(fs, entries, columns, limit, known or {}):
        counted = min(probed.rows or 0, limit - rows.total()) if limit else probed.rows or 0
        files.append(dataclasses.replace(probed, split=entry.split, counted=counted))
        notes += said
        rows[entry.split] += counted
    _one_kind(source, [file.kind for file in files])
    plan = column_map([(file.url, file.schema) for file in files], columns)
    if not rows.total():
        raise InputError(f"{source}: the manifest has no rows ({len(files)} {files[0].kind} files)")
    return Manifest(
        files,
        {s: n for s, n in rows.items() if n},
        _fingerprint([entry.name for entry in entries], files),
        plan.schema,
        plan.hash_column,
        plan,
        (*notes, *plan.notes),
    )


def _planned(
    fs: fsspec.AbstractFileSystem,
    entries: list[FoundFile],
    columns: ManifestOptions,
    limit: int,
    known: Mapping[str, Mapping[str, Any]],
) -> Iterator[tuple[FoundFile, Source, list[str]]]:
    """Each file with what it is and what is to be said of it, in order, a few at a time; under a limit one by one."""

    def look(entry: FoundFile, most: int = 0) -> tuple[FoundFile, Source, list[str]]:
        probed = probe(fs, entry.path, columns.quoting, columns.encoding)
        if probed.kind is Format.PARQUET:
            return entry, probed, []
        again = _as_planned(probed, known.get(probed.url, {}), most)
        return (entry, again, []) if again else (entry, *surveyed(probed, most))

    if limit:
        left = limit
        for entry in entries:
            found = look(entry, left)
            yield found
            left -= found[1].rows or 0
            if left <= 0:
                return
    else:
        with ThreadPoolExecutor(PARALLEL) as pool:
            for start in range(0, len(entries), PARALLEL):
                yield from pool.map(look, entries[start : start + PARALLEL])


def _as_planned(source: Source, record: Mapping[str, Any], limit: int) -> Source | None:
    """A text file with the rows and types of its record in an earlier plan; None where that is of another."""
    try:
        if record.get("fingerprint") != source.fingerprint or "read" not in record:
            return None
        rows, schema = int(record["rows"]), pa.schema(fields_from(record["read"]["types"]))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(
            f"{source.url}: plan.json does not tell how it was read ({error!r}); --overwrite starts anew"
        ) from error
    known = dataclasses.replace(source, schema=schema, rows=rows, cut=rows == limit)
    return known if known.read == record["read"] else None


def _one_kind(source: str, kinds: list[str]) -> None:
    count = Counter(str(kind) for kind in kinds)
    if len(count) > 1:
        there = " and ".join(f"{number} {kind}" for kind, number in sorted(count.items()))
        raise InputError(
            f"{source}: {there} files; a manifest is of one kind: narrow it with a glob such as *.parquet"
        )


def _fingerprint(names: list[str], files: list[Source]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for name, file in zip(names, files, strict=False):  # a limit leaves the last names without a file
        state.update(f"{name}\0{file.size}\0{file.counted}\0{file.fingerprint}\n".encode())
    return state.hexdigest()
