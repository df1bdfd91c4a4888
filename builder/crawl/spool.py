"""Where the rows of a crawl lie between its passes: ledger/crawl/spool/, which goes after the last marker.

rows/file-00012-of-00100.arrow       the candidates of a file, dealt to key buckets
pairs/bucket-00003-of-00256.parquet  a bucket of all files, without copies, by key
hashes/bucket-00003-of-00256.arrow   the hashes of its texts and URLs, dealt by their first bytes
hosts/*.parquet                      what became of the pairs of each host, in either
common.parquet, layout.json          texts and URLs that come too often, and the pairs that are left of each bucket
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypedDict

from ..disk import documents
from ..disk.files import join, write_atomic
from ..disk.ledger import WrittenFile
from ..stage.counts import HostCounts
from ..stage.engine import Unit
from ..stage.shards import markers
from ..stage.spool import PassSetup, read_document, stem, todo
from .config import CrawlConfig

STAGE = "crawl"
FILES, BUCKETED, LAID_OUT, SHARDED = "crawl/1-files", "crawl/2-buckets", "crawl/3-layout", "crawl/4-shards"
PASSES = (FILES, BUCKETED, LAID_OUT, SHARDED)
SPOOL = "ledger/crawl/spool"
HOSTS = "ledger/crawl/hosts.parquet"
COMMON = f"{SPOOL}/common.parquet"
LAYOUT = f"{SPOOL}/layout.json"


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
    document = read_document(root, LAYOUT, "layout of shards", partial(documents.check, kind=LayoutDocument))
    if document is None:
        return None
    return LayoutDocument(kept=document["kept"], shards=document["shards"])


def write_layout(root: str, kept: Sequence[int], shards: int) -> None:
    """Write layout.json."""
    write_atomic(join(root, LAYOUT), json.dumps({"kept": [*kept], "shards": shards}).encode())


@dataclass(frozen=True, slots=True)
class CrawlSetup(PassSetup):
    """What every worker is started with. files: of the crawl; buckets: units that the key buckets make."""

    config: CrawlConfig
    files: int
    buckets: int = 0

    def file_stem(self, number: int) -> str:
        """The stem of what a file writes."""
        return stem("file", number, self.files)

    def bucket_stem(self, number: int) -> str:
        """The stem of what a unit of key buckets writes."""
        return stem("bucket", number, self.buckets)

    def write_hosts(self, name: str, hosts: HostCounts) -> dict[str, WrittenFile]:
        """Write what became of the pairs of each host."""
        return {hosts_of(name): self.write(hosts_of(name), hosts.rows())}


def is_laid_out(root: str) -> bool:
    """Whether the shards are laid out, and all is there that their writers need."""
    layout, done = read_layout(root), list(markers(root, LAID_OUT).values())
    if layout is None or not done or sum(layout["kept"]) != done[0].kept:
        return False
    return not todo(root, LAID_OUT, {done[0].shard: Unit(0)})[0]
