"""The second pass of a crawl: a key bucket of all files ─▶ its pairs by key, each once.

Of equal pairs the first is kept: the smallest file by crawl and name, and the first link in it.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.buckets import KEY, ORDER, Numbers, Scatter, distinct, first_bytes, gather
from ..disk.files import join, leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.schema import TIMESTAMP
from ..reasons import Reason
from ..stage.counts import HostCounts
from ..stage.spool import DROPPED
from ..towers.classifier import Classifier
from .hosts import surt_of
from .spool import BUCKETED, CrawlSetup, hashes_of, pairs_of, rows_of

pc: Any = compute  # its stubs know no mix of column and constant
CANDIDATES = pa.schema(
    [  # type: ignore[arg-type]  # the stubs make it a list of objects
        pa.field("url", pa.string(), nullable=False),
        pa.field("alt_text", pa.string(), nullable=False),
        pa.field("text_source", pa.string(), nullable=False),  # alt, title or figcaption
        pa.field("page_url", pa.string(), nullable=False),
        pa.field("host", pa.string(), nullable=False),  # of the page
        pa.field("page_lang", pa.string()),  # ISO 639-3
        pa.field("crawl", pa.string(), nullable=False),
        pa.field("fetched", TIMESTAMP),  # the page; null where its record has no date
        pa.field(
            "warc", pa.struct([pa.field("file", pa.string()), pa.field("offset", pa.int64())]), nullable=False
        ),
        pa.field("consent", pa.list_(pa.string()), nullable=False),  # what the page says of its use
        pa.field("license_url", pa.string()),
    ]
)
# A candidate on its way: its key, its place in the crawl (file << 40 | link in it), hashes of its text and its URL.
TEXT, PICTURE = "text", "picture"
SPOOLED = pa.schema(
    [
        pa.field(KEY, pa.binary(16)),
        pa.field(ORDER, pa.uint64()),
        pa.field(TEXT, pa.uint64()),
        pa.field(PICTURE, pa.uint64()),
        *CANDIDATES,
    ]
)
HASHES = pa.schema([pa.field("hash", pa.uint64()), pa.field("of", pa.string())])  # type: ignore[arg-type]


def repeated(hashes: Iterable[Numbers], limit: int) -> Numbers:
    """The hashes that come more than `limit` times in all, ascending."""
    values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]), return_counts=True)
    return values[counts > limit]


# ---- the second pass


def write_bucket(setup: CrawlSetup, number: int, classifier: Classifier | None) -> ShardLedger:
    """Write the pairs of a bucket, and its marker."""
    began, name = time.monotonic(), setup.bucket_stem(number)
    tally, hosts = Tally(counters={"buckets": 1}), HostCounts()
    leave_if_orphaned()
    urls = [join(setup.root, rows_of(setup.file_stem(file))) for file in range(setup.files)]
    told = SPOOLED.names if setup.dropped else ["host"]
    rows, copies = distinct(partial(gather, urls, number, setup.buckets), SPOOLED, told)
    dropped = [(copies, Reason.DUPLICATE)]
    if classifier is not None:
        texts: list[Any] = rows["alt_text"].to_pylist()
        unsafe = np.asarray(classifier.unsafe(texts), np.bool_)
        dropped.append((rows.filter(pa.array(unsafe)), Reason.UNSAFE_TEXT))
        rows = rows.filter(pa.array(~unsafe))
    tally.rows = tally.kept = len(rows)
    for table, reason in dropped:
        if len(table):
            tally.drop(reason.value, len(table))
            count_hosts(hosts, table["host"], reason)
    if setup.dropped:
        with setup.dropping(BUCKETED, name) as tell:
            tell(told_of(dropped))
    outputs = {pairs_of(name): setup.write(pairs_of(name), rows)}
    outputs[hashes_of(name)] = _write_hashes(setup, hashes_of(name), rows)
    outputs |= setup.write_hosts(name, hosts)
    return setup.mark(BUCKETED, name, tally, outputs, time.monotonic() - began)


def _write_hashes(setup: CrawlSetup, path: str, rows: pa.Table) -> Any:
    """Deal the hashes of texts and URLs by their first bytes."""
    scatter = Scatter(setup.temporary(path), HASHES, setup.root)
    for column in (TEXT, PICTURE):
        hashes = rows[column].to_numpy()
        table = hash_table(hashes, column)
        scatter.write(table, first_bytes(hashes))
    scatter.close()
    return setup.publish(path, 2 * len(rows))


def hash_table(hashes: Numbers, column: str) -> pa.Table:
    """Hashes with the name of what they are of, texts or URLs."""
    return pa.Table.from_arrays(
        [pa.array(hashes), pa.array([column] * len(hashes), pa.string())], schema=HASHES
    )


def count_hosts(hosts: HostCounts, names: Any, reason: Reason) -> None:
    """Take pairs that were counted as kept from the kept of their hosts, and count them as dropped."""
    counted = {surt_of(one["values"]): one["counts"] for one in pc.value_counts(names).to_pylist()}
    hosts.add({host: -count for host, count in counted.items()})
    hosts.add(counted, reason.value, kept=False)


def told_of(dropped: Sequence[tuple[pa.Table, Reason]]) -> pa.Table:
    """The table of dropped pairs that --dropped asks for."""
    tables = [DROPPED.empty_table()]
    for rows, reason in dropped:
        told = rows.select(["url", "alt_text", "page_url"])
        tables.append(
            told.append_column("reason", pa.array([reason.value] * len(rows), pa.string())).cast(DROPPED)
        )
    return pa.concat_tables(tables)
