"""Where the rows of a crawl lie between its passes: ledger/crawl/spool/, which goes after the last marker.

rows/file-00012-of-00100.arrow       the candidates of a file, dealt to key buckets
pairs/bucket-00003-of-00256.parquet  a bucket of all files, without copies, by key
hashes/bucket-00003-of-00256.arrow   the hashes of its texts and URLs, dealt by their first bytes
hosts/*.parquet                      what became of the pairs of each host, in either
common.parquet, layout.json          texts and URLs that come too often, and the pairs that are left of each bucket
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk import documents
from ..disk.files import (
    join,
    leave_if_orphaned,
    publish,
    read_bytes,
    remove_files,
    remove_if_empty,
    write_atomic,
)
from ..disk.ledger import ShardLedger, Tally, WrittenFile, entry
from ..errors import InputError
from ..stage.counts import HostCounts
from ..stage.engine import Unit
from ..stage.shards import lost_files, markers, of_rank
from .config import CrawlConfig

STAGE = "crawl"
FILES, BUCKETED, LAID_OUT, SHARDED = "crawl/1-files", "crawl/2-buckets", "crawl/3-layout", "crawl/4-shards"
PASSES = (FILES, BUCKETED, LAID_OUT, SHARDED)
SPOOL = "ledger/crawl/spool"
FOLDERS = tuple(f"{SPOOL}/{name}" for name in ("rows", "pairs", "hashes", "hosts"))
HOSTS = "ledger/crawl/hosts.parquet"
COMMON = f"{SPOOL}/common.parquet"
LAYOUT = f"{SPOOL}/layout.json"
ROW_GROUP, GROUP_BYTES = 16_384, 8 << 20  # rows of a group, and bytes in memory, at most
_OFTEN = {
    "text_source",
    "page_url",
    "host",
    "page_lang",
    "crawl",
    "license_url",
    "word",
}  # columns of few values
DROPPED = pa.schema(
    [
        pa.field("url", pa.string()),
        pa.field("alt_text", pa.string()),
        pa.field("page_url", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


def stem(kind: str, number: int, count: int) -> str:
    """The stem of what a unit writes, `file-00012-of-00100`."""
    return f"{kind}-{number:05d}-of-{count:05d}"


def rows_of(name: str) -> str:
    """The candidates of a file, below the root."""
    return f"{SPOOL}/rows/{name}.arrow"


def pairs_of(name: str) -> str:
    """The pairs of a bucket, below the root."""
    return f"{SPOOL}/pairs/{name}.parquet"


def hashes_of(name: str) -> str:
    """The hashes of a bucket, below the root."""
    return f"{SPOOL}/hashes/{name}.arrow"


def hosts_of(name: str) -> str:
    """The hosts of a file or a bucket, below the root."""
    return f"{SPOOL}/hosts/{name}.parquet"


class LayoutDocument(TypedDict):
    """layout.json. kept: pairs that are left of each bucket; shards: that they make."""

    kept: list[int]
    shards: int


def read_layout(root: str) -> LayoutDocument | None:
    """The layout of the shards; None before it is known; InputError where it is none."""
    data = read_bytes(join(root, LAYOUT))
    if data is None:
        return None
    try:
        document = documents.parse(data)
        documents.check(document, LayoutDocument)
    except ValueError as error:
        raise InputError(
            f"{join(root, LAYOUT)}: no layout of shards ({error}); remove it, and run it again"
        ) from error
    return LayoutDocument(kept=document["kept"], shards=document["shards"])


def write_layout(root: str, kept: Sequence[int], shards: int) -> None:
    """Write layout.json."""
    write_atomic(join(root, LAYOUT), json.dumps({"kept": [*kept], "shards": shards}).encode())


@dataclass(frozen=True, slots=True)
class CrawlSetup:
    """What every worker is started with.

    work: a local folder for unfinished files; files: of the crawl; buckets: units that the key buckets make.
    """

    config: CrawlConfig
    work: Path
    config_hash: str
    files: int
    buckets: int = 0

    @property
    def root(self) -> str:
        """The folder of the candidates."""
        return self.config.output

    def file_stem(self, number: int) -> str:
        """The stem of what a file writes."""
        return stem("file", number, self.files)

    def bucket_stem(self, number: int) -> str:
        """The stem of what a unit of key buckets writes."""
        return stem("bucket", number, self.buckets)

    def temporary(self, path: str) -> Path:
        """Where a file is written before it is published."""
        self.work.mkdir(parents=True, exist_ok=True)
        return self.work / f"{path.rpartition('/')[2]}.{path.split('/')[-2]}.tmp"

    def publish(self, path: str, rows: int) -> WrittenFile:
        """Put what was written there into its place below the root; what a marker says of it."""
        local = self.temporary(path)
        told = entry(local, rows)
        publish(local, join(self.root, path))
        return told

    def write(self, path: str, table: pa.Table) -> WrittenFile:
        """Write a table below the root; what a marker says of it."""
        leave_if_orphaned()
        often = [
            name for name in table.column_names if name in _OFTEN
        ]  # a dictionary of keys costs half of the time
        fit = max(1, min(ROW_GROUP, GROUP_BYTES * len(table) // max(table.nbytes, 1)))
        how: dict[str, Any] = {"compression": "zstd", "row_group_size": fit, "use_dictionary": often}
        pq.write_table(table, self.temporary(path), **how)
        return self.publish(path, len(table))

    def write_hosts(self, name: str, hosts: HostCounts) -> dict[str, WrittenFile]:
        """Write what became of the pairs of each host."""
        return {hosts_of(name): self.write(hosts_of(name), hosts.rows())}

    @contextlib.contextmanager
    def dropping(self, stage: str, name: str) -> Iterator[Callable[[pa.Table], None]]:
        """Where dropped pairs go as they come, to nowhere unless asked for. stage: the pass that drops them."""
        if not self.config.dropped:
            yield lambda table: None
            return
        path = f"{stage.rpartition('/')[2]}/{name}.parquet"
        local = self.temporary(f"dropped/{path}")
        with pq.ParquetWriter(local, DROPPED, compression="zstd") as out:
            yield out.write_table
        publish(local, join(self.config.dropped, path))

    def mark(
        self, stage: str, name: str, tally: Tally, outputs: Mapping[str, WrittenFile], seconds: float
    ) -> ShardLedger:
        """Write the marker of a unit."""
        told = ShardLedger.of(
            stage, name, tally, outputs=dict(outputs), config=self.config_hash, seconds=round(seconds, 3)
        )
        told.write(self.root)
        return told


def todo(
    root: str, name: str, units: Mapping[str, Unit], place: tuple[int, int] = (0, 1)
) -> tuple[list[Unit], list[ShardLedger]]:
    """The units of a pass that have no marker, or lost a file since, and the markers of the others.

    units: by stem; place: rank and world size, of which alone; every unit where it is not given.
    """
    mine = {one.number for one in of_rank(units.values(), place)}
    done = markers(root, name)
    lost = {one.shard for one, _, _ in lost_files(root, done.values())}
    whole = {marked: one for marked, one in done.items() if marked not in lost}
    left = [one for marked, one in units.items() if one.number in mine and marked not in whole]
    return left, [one for marked, one in whole.items() if marked in units and units[marked].number in mine]


def is_laid_out(root: str) -> bool:
    """Whether the shards are laid out, and all is there that their writers need."""
    layout, done = read_layout(root), list(markers(root, LAID_OUT).values())
    if layout is None or not done or sum(layout["kept"]) != done[0].kept:
        return False
    return not todo(root, LAID_OUT, {done[0].shard: Unit(0)})[0]


def clear(root: str) -> None:
    """Remove what lies between the passes, as their markers name it."""
    folders: dict[str, list[str]] = {SPOOL: [LAYOUT.rpartition("/")[2]]}
    for name in (FILES, BUCKETED, LAID_OUT):
        for one in markers(root, name).values():
            for path in one.outputs:
                folder, _, base = path.rpartition("/")
                if path.startswith(f"{SPOOL}/"):
                    folders.setdefault(folder, []).append(base)
    for folder, names in reversed(folders.items()):
        remove_files(join(root, folder), names)
        remove_if_empty(join(root, folder))
