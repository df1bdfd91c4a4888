"""The manifest a stage reads: a path in, row counts and a fingerprint at once, then its rows as a stream.

`open_manifest` looks at the ends of each file and plans; a text file alone is read through, once, to count it.
`Manifest.tables` hands out the rows of ascending ranges in one schema: `url`, `alt_text`, `recaption`, then
the other columns of the manifest. Memory does not depend on the number of rows.
"""

from __future__ import annotations

import bisect
import contextlib
import hashlib
import itertools
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import fsspec
import pyarrow as pa

from ..errors import InputError
from .columns import SCHEMAS, Columns, Layout, Preset, layout
from .find import Entry, find
from .probe import probe
from .readers import Reader, count_rows, open_reader
from .source import Source, kind_of

__all__ = ["SCHEMAS", "Columns", "Manifest", "ManifestFile", "Preset", "open_manifest"]

PARALLEL = 8  # files looked at together: their footers are a few requests each


@dataclass(frozen=True, slots=True)
class ManifestFile:
    """One file of a manifest.

    path: a local path or a URL; size: bytes; rows: those that count, under a limit; fingerprint: of its size
    and its first and last 64 KiB, 32 hex characters.
    """

    path: str
    size: int
    rows: int
    split: str
    fingerprint: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A manifest, planned.

    rows: by split, in the order of the splits; fingerprint: of names, sizes, row counts and the files'
    fingerprints, so independent of where the manifest lies; schema: of the tables it yields; hash_column: the
    column with a hash of each picture's bytes, and its algorithm, `sha256` or `md5`.
    """

    files: list[ManifestFile]
    rows: dict[str, int]
    fingerprint: str
    schema: pa.Schema
    hash_column: tuple[str, str] | None
    sources: list[Source]  # one for each of `files`
    layout: Layout

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
        chosen = [(f, s) for f, s in zip(manifest.files, manifest.sources, strict=True) if f.split == split]
        self._layout = manifest.layout
        self._sources = [source for _, source in chosen]
        self._starts = list(itertools.accumulate((file.rows for file, _ in chosen), initial=0))
        self._reader: Reader | None = None

    def take(self, start: int, stop: int) -> pa.Table:
        """The rows [start, stop)."""
        parts = [self._layout.schema.empty_table()]
        while start < stop:
            index = bisect.bisect_right(self._starts, start) - 1
            base, end = self._starts[index], min(stop, self._starts[index + 1])
            first, table = self._of(index).at(start - base)
            part = table.slice(start - base - first, end - start)
            parts.append(self._layout.table(part))
            start += len(part)
        return pa.concat_tables(parts)

    def _of(self, index: int) -> Reader:
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
    source: str, columns: Columns, limit: int = 0, counts: Mapping[str, int] | None = None
) -> Manifest:
    """Plan the manifest at `source`: a file, folder, glob or fsspec URL.

    columns: which column is which; limit: rows to take in all, train first, 0 for all; counts: rows of each
    file by its `path`, from an earlier plan with this limit, which saves text files their counting.
    Raises InputError when there is no such file, a column is missing, kinds are mixed, or a file is empty,
    truncated or of another kind; EnvironmentProblem when one cannot be read.
    """
    fs, entries = find(source)
    _one_kind(source, [kind for entry in entries if (kind := kind_of(entry.name))])
    files: list[ManifestFile] = []
    sources: list[Source] = []
    for entry, probed, counted in _planned(fs, entries, limit, counts or {}):
        taken = sum(file.rows for file in files)
        if limit and taken >= limit:
            break
        counted = min(counted, limit - taken) if limit else counted
        files.append(ManifestFile(probed.url, probed.size, counted, entry.split, probed.fingerprint))
        sources.append(probed)
    _one_kind(source, [probed.kind for probed in sources])
    plan = layout([(probed.url, probed.schema) for probed in sources], columns)
    rows: Counter[str] = Counter()
    for file in files:
        rows[file.split] += file.rows
    if not rows.total():
        raise InputError(f"{source}: the manifest has no rows ({len(files)} {sources[0].kind} files)")
    names = [entry.name for entry in entries]
    return Manifest(
        files,
        {s: n for s, n in rows.items() if n},
        _fingerprint(names, files),
        plan.schema,
        plan.hash_column,
        sources,
        plan,
    )


def _planned(
    fs: fsspec.AbstractFileSystem, entries: list[Entry], limit: int, counts: Mapping[str, int]
) -> Iterator[tuple[Entry, Source, int]]:
    """Each file with what it is and how many rows it has, in order, a few files at a time."""

    def look(entry: Entry) -> tuple[Entry, Source, int]:
        probed = probe(fs, entry)
        known = counts.get(probed.url) if probed.rows is None else None
        return entry, probed, count_rows(probed, limit) if known is None else known

    with ThreadPoolExecutor(PARALLEL) as pool:
        for start in range(0, len(entries), PARALLEL):
            yield from pool.map(look, entries[start : start + PARALLEL])


def _one_kind(source: str, kinds: list[str]) -> None:
    count = Counter(str(kind) for kind in kinds)
    if len(count) > 1:
        there = " and ".join(f"{number} {kind}" for kind, number in sorted(count.items()))
        raise InputError(
            f"{source}: {there} files; a manifest is of one kind: narrow it with a glob such as *.parquet"
        )


def _fingerprint(names: list[str], files: list[ManifestFile]) -> str:
    state = hashlib.blake2b(digest_size=16)
    for name, file in zip(names, files, strict=False):  # a limit leaves the last names without a file
        state.update(f"{name}\0{file.size}\0{file.rows}\0{file.fingerprint}\n".encode())
    return state.hexdigest()
