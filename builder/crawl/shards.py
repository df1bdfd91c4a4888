"""The shards of the candidates: laid out once for the whole crawl, the third pass, and written, the last one.

hashes of all buckets, a part at a time ─▶ common.parquet ─▶ pairs left of each bucket ─▶ layout.json
hosts of all files and buckets ─▶ hosts.parquet
a range of the keys ─▶ data/train-00000-of-00042.parquet, sorted by key

Shard i of n holds the pairs [i*pairs//n, (i+1)*pairs//n) of the crawl in the order of their keys, so what is in it does
not depend on the order of files, workers and ranks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.buckets import Numbers, gather
from ..disk.digests import Bools
from ..disk.files import join, leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import parquet, rows_by_number, writer
from ..reasons import Reason
from ..stage.counts import HostCounts
from ..stage.shards import shard_count
from ..stage.spool import ROW_GROUP, data_of, in_buckets, range_of, stem
from .buckets import (
    CANDIDATES,
    HASHES,
    PICTURE,
    TEXT,
    count_hosts,
    hash_table,
    repeated,
    told_of,
)
from .hosts import of_hosts
from .recipe import TEXT_PAIRS, URL_TEXTS
from .spool import (
    COMMON,
    HOSTS,
    LAID_OUT,
    SHARDED,
    CrawlSetup,
    LayoutDocument,
    hashes_of,
    hosts_of,
    pairs_of,
    write_layout,
)

pc: Any = compute  # its stubs know no mix of column and constant
LIMITS = {TEXT: TEXT_PAIRS, PICTURE: URL_TEXTS}
NAME = "layout-00000-of-00001"


class Common:
    """The hashes of texts, and of URLs, that come too often in a crawl."""

    def __init__(self, root: str) -> None:
        with parquet(join(root, COMMON)) as file:
            table = file.read()
        self._hashes = {name: table.filter(pc.equal(table["of"], name))["hash"].to_numpy() for name in LIMITS}

    def reasons(self, texts: Numbers, pictures: Numbers) -> tuple[Bools, Bools]:
        """Which pairs are dropped for their text, and which others for their URL, (n,) each."""
        of_text = np.isin(texts, self._hashes[TEXT])
        return of_text, np.isin(pictures, self._hashes[PICTURE]) & ~of_text


def lay_out(setup: CrawlSetup) -> None:
    """Write common.parquet, hosts.parquet, layout.json and the marker."""
    began, tally, hosts = time.monotonic(), Tally(), _hosts(setup)
    outputs = {COMMON: setup.write(COMMON, _common(setup))}
    common = Common(setup.root)
    with setup.dropping(LAID_OUT, NAME) as tell:
        kept = [_left(setup, number, common, tally, hosts, tell) for number in range(setup.buckets)]
    tally.kept = sum(kept)
    outputs[HOSTS] = setup.write(HOSTS, of_hosts(hosts))
    write_layout(setup.root, kept, shard_count(tally.kept, setup.config.shard_size) if tally.kept else 0)
    setup.mark(LAID_OUT, NAME, tally, outputs, time.monotonic() - began)


def _left(
    setup: CrawlSetup,
    number: int,
    common: Common,
    tally: Tally,
    hosts: HostCounts,
    tell: Callable[[pa.Table], None],
) -> int:
    """How many pairs are left of a bucket; the others are counted, and told where that was asked for."""
    left = 0
    for rows in _pairs(setup, number):
        masks = common.reasons(rows[TEXT].to_numpy(), rows[PICTURE].to_numpy())
        dropped = [
            (rows.filter(pa.array(mask)), reason)
            for mask, reason in zip(masks, (Reason.COMMON_TEXT, Reason.COMMON_URL), strict=True)
            if mask.any()
        ]
        for table, reason in dropped:
            tally.drop(reason.value, len(table))
            count_hosts(hosts, table["host"], reason)
        stays = len(rows) - sum(len(table) for table, _ in dropped)
        tally.rows += stays
        left += stays
        if dropped and setup.dropped:
            tell(told_of(dropped))
    return left


def _common(setup: CrawlSetup) -> pa.Table:
    """The hashes that come too often, a row each; a part of the hashes at a time."""
    urls = [join(setup.root, hashes_of(setup.bucket_stem(number))) for number in range(setup.buckets)]
    tables = [HASHES.empty_table()]
    for part in range(setup.buckets):
        rows = pa.concat_tables(gather(urls, part, setup.buckets))
        for name, limit in LIMITS.items():
            found = repeated([rows.filter(pc.equal(rows["of"], name))["hash"].to_numpy()], limit)
            tables.append(hash_table(found, name))
    return pa.concat_tables(tables)


def _pairs(setup: CrawlSetup, number: int) -> Iterator[pa.Table]:
    """What is looked at of the pairs of a bucket, a row group at a time."""
    columns = [TEXT, PICTURE, "host", *(["url", "alt_text", "page_url"] if setup.dropped else [])]
    with parquet(join(setup.root, pairs_of(setup.bucket_stem(number)))) as file:
        for group in range(file.metadata.num_row_groups):
            yield file.read_row_group(group, columns=columns)


def _hosts(setup: CrawlSetup) -> HostCounts:
    """What became of the pairs of each host in the passes before."""
    hosts = HostCounts()
    names = [*map(setup.file_stem, range(setup.files)), *map(setup.bucket_stem, range(setup.buckets))]
    for name in names:
        with parquet(join(setup.root, hosts_of(name))) as file:
            hosts.add_rows(file.read())
    return hosts


# ---- the last pass


def write_shard(setup: CrawlSetup, number: int, layout: LayoutDocument) -> ShardLedger:
    """Write a shard, and its marker."""
    began, name, tally = time.monotonic(), stem("train", number, layout["shards"]), Tally()
    leave_if_orphaned()
    with writer(setup.temporary(data_of(name)), CANDIDATES) as out:
        for rows in _rows(setup, number, layout):
            out.write_table(rows, row_group_size=ROW_GROUP)
            tally.rows += len(rows)
    tally.kept = tally.rows
    outputs = {data_of(name): setup.publish(data_of(name), tally.rows)}
    return setup.mark(SHARDED, name, tally, outputs, time.monotonic() - began)


def _rows(setup: CrawlSetup, number: int, layout: LayoutDocument) -> Iterator[pa.Table]:
    """The pairs of a shard, a row group of a bucket at a time."""
    common, names, kept = Common(setup.root), CANDIDATES.names, layout["kept"]
    for bucket, start, stop in in_buckets(kept, *range_of(number, layout["shards"], sum(kept))):
        with parquet(join(setup.root, pairs_of(setup.bucket_stem(bucket)))) as file:
            hashes = file.read([TEXT, PICTURE])
            masks = common.reasons(hashes[TEXT].to_numpy(), hashes[PICTURE].to_numpy())
            left = np.flatnonzero(~(masks[0] | masks[1]))[start:stop]
            for _, rows in rows_by_number(file, left, names):
                yield rows.cast(CANDIDATES)
