"""Writes one shard of a release, whole or not at all, and counts what is in it.

    tables of pairs ─▶ <folder>/<path> and its Made: rows, bytes, SHA-256, counts

Row groups are cut by the rows alone, however they were read, so that a shard of the same pairs has the same bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..card.counts import COLUMNS, Counts
from ..disk import documents
from ..disk.files import write_atomic
from ..disk.parquet import writer
from ..disk.tars import TarWriter
from .layout import Planned

GROUP_BYTES = 64 << 20  # of pictures in a row group, about
GROUP_ROWS = 100_000  # in a row group, at most

pc: Any = compute  # its stubs know no mix of column and constant


@dataclass(frozen=True, slots=True)
class Made:
    """A shard that was written. counts: of its rows, as Counts.as_dict has them with all hosts."""

    path: str
    rows: int
    bytes: int
    sha256: str
    counts: dict[str, Any]

    def entry(self) -> dict[str, Any]:
        """What release.json says of it."""
        return {"rows": self.rows, "bytes": self.bytes, "sha256": self.sha256}

    def write(self, marker: Path) -> None:
        """Write its marker: from here on the shard is done."""
        write_atomic(str(marker), json.dumps(asdict(self), sort_keys=True, ensure_ascii=False).encode())


class PairWriter(Protocol):
    """What takes the pairs of a shard: Parquet or tar."""

    def write_table(self, table: pa.Table) -> None:
        """Append a row group."""

    def close(self) -> None:
        """Finish the file."""


def write(
    shard: Planned,
    tables: Iterable[pa.Table],
    schema: pa.Schema,
    folder: Path,
    tell: Callable[[int, int], None],
) -> Made:
    """Write a shard into `folder`; `tell` is called with rows and bytes of each row group, and may raise to stop."""
    target = folder / shard.path
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    counts, rows = Counts(), 0
    try:
        file: PairWriter = TarWriter(temporary) if target.suffix == ".tar" else writer(temporary, schema)
        try:
            for group in groups(tables):
                file.write_table(group)
                counts.add(
                    shard.split, group.select([name for name in COLUMNS if name in group.column_names])
                )
                rows += group.num_rows
                tell(group.num_rows, group.nbytes)
        finally:
            file.close()
        assert rows == shard.rows, f"{shard.path}: {rows} rows, {shard.rows} planned"
        made = _finish(shard, temporary, counts)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return made


def _finish(shard: Planned, file: Path, counts: Counts) -> Made:
    with file.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
        os.fsync(written.fileno())
    size = file.stat().st_size
    counts.file(shard.split, size)
    return Made(shard.path, shard.rows, size, digest, counts.as_dict(hosts=None))


def groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """The rows of `tables` as row groups: cut after the row that fills GROUP_BYTES of pictures, or GROUP_ROWS."""
    waiting: list[pa.Table] = []
    rows = size = 0
    for table in tables:
        start = 0
        while start < table.num_rows:
            rest = table.slice(start)
            taken, weight = _fitting(rest, GROUP_ROWS - rows, GROUP_BYTES - size)
            waiting.append(rest.slice(0, taken))
            start, rows, size = start + taken, rows + taken, size + weight
            if rows >= GROUP_ROWS or size >= GROUP_BYTES:
                yield pa.concat_tables(waiting).combine_chunks()
                waiting, rows, size = [], 0, 0
    if waiting:
        yield pa.concat_tables(waiting).combine_chunks()


def _fitting(table: pa.Table, rows: int, size: int) -> tuple[int, int]:
    """How many rows of a table go into a group that has room for `rows` and for `size` bytes, and their bytes."""
    if "image" not in table.column_names:
        return min(rows, table.num_rows), 0
    lengths = pc.fill_null(pc.binary_length(pc.struct_field(table["image"], "bytes")), 0)
    ends = np.cumsum(lengths.to_numpy())
    taken = min(rows, table.num_rows, int(np.searchsorted(ends, size)) + 1)
    return taken, int(ends[taken - 1])


def read_made(marker: Path) -> Made | None:
    """What a marker says; None where there is none that can be believed."""
    try:
        made = documents.build(Made, documents.parse(marker.read_bytes()))
        Counts.of_dict(made.counts)
    except (FileNotFoundError, ValueError, TypeError, KeyError, AttributeError):
        return None
    return made if documents.is_inside(made.path) else None
