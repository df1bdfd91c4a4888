"""The Parquet shards of a release by their names and footers: complete, of one schema, readable page by page.

paths ─▶ names ─▶ differences          file ─▶ Footer ─▶ differences
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.files import join
from ..disk.parquet import HUGGINGFACE, check_rows, checked, dictionaries, plain
from ..disk.release import Release
from ..disk.schema import (
    COS_MODEL,
    CURATED,
    IMAGES,
    PAIR,
    PICTURE,
    SCORE,
    SCORE_MODEL,
    SCORES,
    SPLITS,
    said_by,
)
from ..errors import DanqingError
from ..hub.store import Store
from .differences import Differences, shown

BATCH = 65_536  # rows read at once
GROUP = 512 << 20  # bytes of a row group without pictures
_NAME = re.compile(rf"({'|'.join(SPLITS)})-(\d{{5,}})-of-(\d{{5,}})\.(parquet|tar)")
_JUDGED = (SCORE, SCORE_MODEL, SCORES.field("verdict"), SCORES.field("suspect"))
# The columns that each kind has in any case, in this order; carried ones and the like may lie between them.
_ALWAYS: Mapping[str, Sequence[pa.Field[Any]]] = {
    "manifest": [
        *(PAIR.field(name) for name in ("url", "alt_text", "recaption", "key")),
        *(PICTURE.field(name) for name in ("width", "height", "sha256", "phash", "fetched_at")),
    ],
    "images": [*IMAGES],
}
_VALIDATED: Mapping[str, Sequence[pa.Field[Any]]] = {
    "manifest": [SCORES.field("code"), *_JUDGED],
    "images": [*_JUDGED, SCORES.field("p"), SCORES.field("kept")],
}


_CURATED = (CURATED.field("cos"), COS_MODEL, CURATED.field("dup_count"), CURATED.field("dup_cluster"))


@dataclass(frozen=True, slots=True)
class Footer:
    """The footer of a shard. schema: with its metadata; groups: rows of each row group."""

    path: str
    schema: pa.Schema
    groups: tuple[int, ...]

    @property
    def rows(self) -> int:
        """The number of rows."""
        return sum(self.groups)


def check_names(release: Release, differences: Differences) -> None:
    """Check that the names of the shards are such that `datasets` finds them, and none is missing."""
    numbers: dict[str, dict[int, list[int]]] = defaultdict(lambda: defaultdict(list))
    kinds = set()
    for path in release.shards():
        match = _NAME.fullmatch(path.removeprefix(f"{release.what}/"))
        if match is None:
            differences.add("name", f"{path}: no name of a shard, such as train-00000-of-00016.parquet")
            continue
        numbers[match[1]][int(match[3])].append(int(match[2]))
        kinds.add(match[4])
    for split, totals in numbers.items():
        if len(totals) > 1:
            said = ", ".join(map(str, sorted(totals)))
            differences.add(
                "name", f"{release.what}/{split}: the names count {said} shards; they should agree"
            )
        for total, found in totals.items():
            lacking = sorted({*range(min(total, 10**6))} - {*found}) if len(totals) == 1 else []
            if lacking:
                told = ", ".join(map(str, lacking[:5])) + ", ..." * (len(lacking) > 5)
                differences.add(
                    "name", f"{release.what}/{split}: of {total} shards these are missing: {told}"
                )
            if beyond := sorted({number for number in found if number >= total}):
                differences.add(
                    "name", f"{release.what}/{split}: number {beyond[0]} is beyond -of-{total:05d}"
                )
    if len(kinds) > 1 or (kinds == {"tar"} and release.what != "images"):
        differences.add("name", f"{release.what}/: shards of {' and '.join(sorted(kinds))}")
    if not numbers:
        differences.add("name", f"{release.what}/: release.json lists no shards")


@contextmanager
def damage(path: str, differences: Differences) -> Iterator[None]:
    """Take whatever Arrow says of a broken file for a difference; what kept it from being read goes on."""
    try:
        yield
    except DanqingError:
        raise
    except (pa.ArrowException, OSError, ValueError, KeyError, EOFError, MemoryError, OverflowError) as error:
        # OSError is Arrow's word for damage: those of the disk and the network have become errors of ours.
        differences.add("damaged", f"{path}: damaged or truncated: {' '.join(str(error).split())[:200]}")


@contextmanager
def opened(store: Store, path: str) -> Iterator[pq.ParquetFile]:
    """A Parquet file, with its errors; ValueError where its footer says more than its bytes can hold."""
    with store.open(path) as raw, pq.ParquetFile(raw, pre_buffer=not store.local) as file:
        checked(file, raw, join(store.url, path))
        _check_bounds(file.metadata, store.entries[path].bytes)
        yield file


def _check_bounds(metadata: pq.FileMetaData, size: int) -> None:
    check_rows(metadata, size)
    for number in range(metadata.num_row_groups):
        group = metadata.row_group(number)
        columns = [group.column(place) for place in range(group.num_columns)]
        held = sum(
            one.total_uncompressed_size for one in columns if not one.path_in_schema.startswith("image.")
        )
        if held > GROUP:
            raise ValueError(
                f"row group {number:,} has {held:,} bytes without pictures; danqing writes 32 MiB"
            )


def batches(store: Store, path: str, columns: Sequence[str]) -> Iterator[pa.Table]:
    """The rows of these columns, BATCH at a time; ValueError where they are more than a batch can be."""
    with opened(store, path) as first, store.open(path) as raw:
        coded = [name for name in dictionaries(first.metadata) if name in columns]
        options: Any = {"metadata": first.metadata, "pre_buffer": not store.local, "read_dictionary": coded}
        with pq.ParquetFile(raw, **options) as file:
            for batch in file.iter_batches(BATCH, columns=[*columns]):
                yield plain(pa.Table.from_batches([batch]))


def read_footer(store: Store, path: str, rows: int | None, differences: Differences) -> Footer | None:
    """The footer of a shard, which release.json says to have `rows`; None where it cannot be read."""
    with damage(path, differences), opened(store, path) as file:
        groups = tuple(file.metadata.row_group(number).num_rows for number in range(file.num_row_groups))
        footer = Footer(path, file.schema_arrow, groups)
        differences.unequal("rows", f"{path}: rows", rows, footer.rows)
        if file.metadata.num_rows != footer.rows:
            differences.add(
                "rows", f"{path}: {file.metadata.num_rows:,} rows, its row groups have {footer.rows:,}"
            )
        if lacking := _unindexed(file.metadata):
            differences.add("page index", f"{path}: no page index of column {lacking}")
        return footer
    return None


def _unindexed(metadata: Any) -> str | None:
    """The first column of a file that has no page index; None where all have one."""
    for group in range(metadata.num_row_groups):
        for number in range(metadata.num_columns):
            column = metadata.row_group(group).column(number)
            # Bounds a page has only where it can: none of pictures, of NaN, of values of 4 kB; offsets it always has.
            if not column.has_offset_index:
                return str(column.path_in_schema)
    return None


def check_schema(footers: Iterable[Footer], release: Release, differences: Differences) -> None:
    """Check that all shards have one schema, and it is that of such a release."""
    first: Footer | None = None
    for footer in footers:
        if first is None:
            first = footer
            _check_columns(footer, release, differences)
        elif not footer.schema.equals(first.schema, check_metadata=True):
            differences.add("schema", f"{footer.path}: {_contrast(first, footer)}")


def _contrast(first: Footer, other: Footer) -> str:
    """The way in which a schema differs from the first one."""
    mine, theirs = (dict(zip(one.schema.names, one.schema.types, strict=True)) for one in (first, other))
    for name in dict.fromkeys([*mine, *theirs]):
        if mine.get(name) != theirs.get(name):
            told = [str(one[name]) if name in one else "not there" for one in (mine, theirs)]
            return f"column {name} should be {told[0]} as in {first.path}, it is {told[1]}"
    if first.schema.names != other.schema.names:
        return f"columns should be in the order of {first.path}, it is {', '.join(other.schema.names)[:200]}"
    return f"the metadata of the schema should be those of {first.path}, they are others"


def _check_columns(footer: Footer, release: Release, differences: Differences) -> None:
    schema = footer.schema
    wanted = [*_ALWAYS[release.what], *(_VALIDATED[release.what] if release.validated else ())]
    if release.curated:
        wanted += [*_CURATED, *([SCORES.field("kept")] if release.what == "images" else [])]
    for field in wanted:
        number = schema.get_field_index(field.name)
        found = schema.types[number] if number >= 0 else "not there"
        differences.unequal("schema", f"{footer.path}: column {field.name}", field.type, found)
    places = [schema.get_field_index(field.name) for field in _ALWAYS[release.what]]
    if places != sorted(places):
        names = ", ".join(field.name for field in _ALWAYS[release.what])
        differences.add("schema", f"{footer.path}: columns should be in this order: {names}")
    if not release.validated:
        for name in sorted({"verdict", *(() if release.curated else ("kept",))} & {*schema.names}):
            differences.add(
                "schema", f"{footer.path}: column {name} though release.json says validated: false"
            )
    metadata: Mapping[Any, Any] = schema.metadata or {}
    for key, value in HUGGINGFACE.items() if release.what == "images" else ():
        differences.unequal("schema", f"{footer.path}: metadata {key!r}", value, metadata.get(key))
    said = said_by(schema)
    for name in sorted(said.keys() & release.model.keys()):
        differences.unequal("model", f"{footer.path}: metadata {name}", release.model[name], said[name])
    if release.validated and not said.get("fingerprint"):
        differences.add("model", f"{footer.path}: metadata name no checkpoint; found {shown(said)}")
