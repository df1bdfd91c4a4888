"""Candidates dealt to key buckets, and the second pass: a bucket of all files ─▶ its pairs by key, each once.

    rows of a file ─▶ scatter ─▶ an Arrow file ─▶ gather a bucket of all files ─▶ earliest

A bucket holds the keys of one first byte, so a pair and its copies are in the same one, and a bucket of a whole
crawl (1/256 of it) fits into memory. Of equal pairs the first is kept: the smallest file by crawl and name, and the
first link in it.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.ipc as ipc

from ..disk.digests import Bools, Digests
from ..disk.files import filesystem, is_local, join, leave_if_orphaned, local_path
from ..disk.ledger import ShardLedger, Tally
from ..disk.schema import TIMESTAMP
from ..reasons import Reason
from ..stage.counts import HostCounts
from ..towers.classifier import Classifier
from .hosts import surt_of
from .spool import BUCKETED, DROPPED, CrawlSetup, hashes_of, pairs_of, rows_of

pc: Any = compute  # its stubs know no mix of column and constant
BUCKETS = 256
PART_ROWS = 250_000  # of a part that is held in memory; of more than 64 M rows a part is a bucket
PART_BYTES = 48 << 20  # of its rows as they lie between the passes; memory holds some five times as many
Numbers = npt.NDArray[np.uint64]
_EACH, _BOUNDS = (
    b"each",
    b"bounds",
)  # of a file: buckets of a batch; of a batch: where they begin in it, and its end

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
KEY, ORDER, TEXT, PICTURE = "key", "order", "text", "picture"
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


class Scatter:
    """A file of rows that are dealt to buckets; each `write` is a chunk, in which they lie in the order of the buckets.

    url: where it will be read from. On a local disk a chunk is one batch, mapped and sliced; from a store, which gives
    no part of a batch, one for each bucket: to write and read those costs 30 µs each, ten times what is in them.
    """

    def __init__(self, path: Path, schema: pa.Schema, url: str = "") -> None:
        self._each = BUCKETS if is_local(url) else 1  # buckets of a batch
        told = schema.with_metadata({_EACH: str(self._each)})
        options = ipc.IpcWriteOptions(compression=None if is_local(url) else "zstd")
        self._file: Any = ipc.new_file(str(path), told, options=options)

    def write(self, rows: pa.Table, first: npt.NDArray[np.uint8]) -> None:
        """Deal rows (n) to the buckets `first` (n); those of one bucket stay in their order."""
        order = np.argsort(first, kind="stable")
        (whole,) = rows.take(order).combine_chunks().to_batches() or [_empty(rows.schema)]
        bounds = np.searchsorted(first[order], np.arange(BUCKETS + 1)).astype("<u4")
        for at in range(0, BUCKETS, self._each):
            part = bounds[at : at + self._each + 1]
            told = {_BOUNDS: (part - part[0]).tobytes()}
            self._file.write_batch(whole.slice(part[0], part[-1] - part[0]), custom_metadata=told)

    def close(self) -> None:
        """End the file."""
        self._file.close()


def gather(
    urls: Iterable[str], part: int, parts: int, columns: Sequence[str] | None = None
) -> Iterator[pa.Table]:
    """The rows of one part of the buckets, a table for each file, of which it reads no others.

    parts: how many parts the buckets fall into, a power of two; columns: all where None.
    """
    inside = range(part * BUCKETS // parts, (part + 1) * BUCKETS // parts)
    for url in urls:
        with _opened(url, columns) as file:
            each = int(file.schema.metadata[_EACH])
            firsts = [number * each % BUCKETS for number in range(file.num_record_batches)]
            some = [
                at for at, first in enumerate(firsts) if first < inside.stop and inside.start < first + each
            ]
            batches = [_inside(file.get_batch_with_custom_metadata(at), firsts[at], inside) for at in some]
            yield pa.Table.from_batches(batches, file.schema).replace_schema_metadata(None)


def _inside(dealt: tuple[pa.RecordBatch, Any], first: int, buckets: range) -> pa.RecordBatch:
    """The rows of some buckets in a batch, of which `first` is the first bucket."""
    batch, told = dealt
    bounds = np.frombuffer(told[_BOUNDS], "<u4")
    start, stop = (bounds[min(max(at - first, 0), len(bounds) - 1)] for at in (buckets.start, buckets.stop))
    return batch.slice(start, stop - start)


def parts_of(rows: int, size: int) -> int:
    """How many parts of the buckets so many rows of that many bytes are worked on in: a power of two, 256 at most."""
    return min(BUCKETS, 1 << max(0, (rows - 1) // PART_ROWS, (size - 1) // PART_BYTES).bit_length())


def halves(keys: Any) -> tuple[Numbers, Numbers]:
    """The two halves of keys of 16 bytes, as numbers that sort as they do, (n,) each."""
    data = b"".join(_bytes_of(chunk) for chunk in keys.chunks)
    both = np.frombuffer(data, ">u8").reshape(-1, 2)
    return both[:, 0].astype(np.uint64), both[:, 1].astype(np.uint64)


def earliest(high: Numbers, low: Numbers, order: Numbers) -> tuple[npt.NDArray[np.intp], Bools]:
    """The places of rows in ascending order of their keys, and of them which are the earliest of their key, (n,) each.

    high, low: the halves of the keys; order: places in the crawl. Nearly all keys differ in their first half, so only
    the others are sorted by all three: 4 times as fast as to sort all by them.
    """
    places = np.argsort(high)
    equal = high[places][1:] == high[places][:-1]
    tied = np.zeros(len(places), np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    some = places[tied]
    places[tied] = some[np.lexsort((order[some], low[some], high[some]))]
    first = np.ones(len(places), np.bool_)
    first[1:] = (high[places][1:] != high[places][:-1]) | (low[places][1:] != low[places][:-1])
    return places, first


def first_bytes(keys: Digests | npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The first byte of keys of 16 bytes, or of numbers, (n,)."""
    numbers: Any = keys.astype(">u8") if keys.dtype == np.uint64 else keys
    first: npt.NDArray[np.uint8] = np.ascontiguousarray(numbers).view(np.uint8)[:: numbers.dtype.itemsize]
    return first


def repeated(hashes: Iterable[Numbers], limit: int) -> Numbers:
    """The hashes that come more than `limit` times in all, ascending."""
    values, counts = np.unique(np.concatenate([np.empty(0, np.uint64), *hashes]), return_counts=True)
    return values[counts > limit]


@contextlib.contextmanager
def _opened(url: str, columns: Sequence[str] | None) -> Iterator[ipc.RecordBatchFileReader]:
    with contextlib.ExitStack() as stack:
        if is_local(url):
            source: Any = stack.enter_context(pa.memory_map(str(local_path(url))))
        else:
            fs, path = filesystem(url)
            source = stack.enter_context(pa.PythonFile(stack.enter_context(fs.open(path, "rb")), mode="r"))
        if columns is not None:
            with ipc.open_file(source) as whole:
                fields = [whole.schema.get_field_index(name) for name in columns]
            source.seek(0)
            options = ipc.IpcReadOptions(included_fields=fields)
            yield stack.enter_context(ipc.open_file(source, options=options))
        else:
            yield stack.enter_context(ipc.open_file(source))


def _bytes_of(chunk: Any) -> bytes:
    data = chunk.buffers()[1]
    return b"" if data is None else data.slice(16 * chunk.offset, 16 * len(chunk)).to_pybytes()


def _empty(schema: pa.Schema) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist([], schema)


# ---- the second pass


def write_bucket(setup: CrawlSetup, number: int, classifier: Classifier | None) -> ShardLedger:
    """Write the pairs of a bucket, and its marker."""
    began, name, tally, hosts = time.monotonic(), setup.bucket_stem(number), Tally(), HostCounts()
    leave_if_orphaned()
    urls = [join(setup.root, rows_of(setup.file_stem(file))) for file in range(setup.files)]
    rows, copies = _distinct(urls, (number, setup.buckets), whole=bool(setup.config.dropped))
    dropped = [(copies, Reason.DUPLICATE)]
    if classifier is not None:
        texts: list[Any] = rows["alt_text"].to_pylist()
        unsafe = np.asarray(classifier.unsafe(texts), np.bool_)
        dropped.append((rows.filter(pa.array(unsafe)), Reason.UNSAFE_TEXT))
        rows = rows.filter(pa.array(~unsafe))
    tally.kept = len(rows)
    for table, reason in dropped:
        if len(table):
            tally.reasons[reason.value] = len(table)
            count_hosts(hosts, table["host"], reason)
    tally.rows, tally.counters = tally.kept + sum(tally.reasons.values()), {"buckets": 1}
    if setup.config.dropped:
        with setup.dropping(BUCKETED, name) as tell:
            tell(told_of(dropped))
    outputs = {pairs_of(name): setup.write(pairs_of(name), rows)}
    outputs[hashes_of(name)] = _write_hashes(setup, hashes_of(name), rows)
    outputs |= setup.write_hosts(name, hosts)
    return setup.mark(BUCKETED, name, tally, outputs, time.monotonic() - began)


def _distinct(urls: Sequence[str], part: tuple[int, int], *, whole: bool) -> tuple[pa.Table, pa.Table]:
    """The rows of a part of the buckets by key, each key once; and of the copies their hosts, or whole rows."""
    both = pa.concat_tables(gather(urls, *part, (KEY, ORDER)))
    places, first = earliest(*halves(both[KEY]), both[ORDER].to_numpy())
    stays = np.zeros(len(places), np.bool_)
    stays[places[first]] = True
    kept, lost = [SPOOLED.empty_table()], [SPOOLED.empty_table()]
    start = 0
    for table in gather(urls, *part):  # copies go as they are read: memory holds what stays
        mask = pa.array(stays[start : start + len(table)])
        kept.append(table.filter(mask))
        if not pc.all(mask).as_py():
            lost.append(table.filter(pc.invert(mask)))
        start += len(table)
    rows, copies = pa.concat_tables(kept), pa.concat_tables(lost)
    ranks = np.empty(len(places), np.intp)
    ranks[places] = np.arange(len(places))
    return rows.take(np.argsort(ranks[stays])), copies if whole else copies.select(["host"])


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
