"""Rows dealt to key buckets: files of many key buckets, each written once, of which a bucket of all is read at once.

    rows of a unit ─▶ Scatter ─▶ an Arrow file ─▶ gather a bucket of all files ─▶ earliest

A bucket holds the keys of one first byte, so a pair and its copies are in the same one, and a bucket of a whole stage
(1/256 of it) fits into memory.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc as ipc

from .digests import Bools, Digests
from .files import filesystem, is_local, local_path
from .reading import reading

BUCKETS = 256
DAMAGED = "damaged; remove it, and the same command makes it anew"
PART_ROWS = 250_000  # of a part that is held in memory; of more than 64 M rows a part is a bucket
PART_BYTES = 48 << 20  # of its rows as they lie between the passes; memory holds some five times as many
Numbers = npt.NDArray[np.uint64]
# Columns of dealt rows: 16 bytes, and a number by which the first of equal keys is chosen.
KEY, ORDER = "key", "order"
# What is said of a file: buckets of a batch; of a batch: where they begin in it, and its end.
_EACH, _BOUNDS = b"each", b"bounds"


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


def distinct(
    tables: Callable[[Sequence[str] | None], Iterable[pa.Table]], schema: pa.Schema, told: Sequence[str]
) -> tuple[pa.Table, pa.Table]:
    """The rows of some tables by key, of each key the earliest alone; and columns `told` of its copies.

    tables: gives them, all columns or some, as often as it is asked.
    """
    both = pa.concat_tables([schema.empty_table().select([KEY, ORDER]), *tables([KEY, ORDER])])
    places, first = earliest(*halves(both[KEY]), both[ORDER].to_numpy())
    stays = np.zeros(len(places), np.bool_)
    stays[places[first]] = True
    kept, lost = [schema.empty_table()], [schema.empty_table().select(told)]
    start = 0
    for table in tables(None):  # copies go as they are read: memory holds what stays
        mask = stays[start : start + len(table)]
        kept.append(table.filter(pa.array(mask)))
        lost.append(table.select(told).filter(pa.array(~mask)))
        start += len(table)
    ranks = np.empty(len(places), np.intp)
    ranks[places] = np.arange(len(places))
    return pa.concat_tables(kept).take(np.argsort(ranks[stays])), pa.concat_tables(lost)


def first_bytes(keys: Digests | npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """The first byte of keys of 16 bytes, or of numbers, (n,)."""
    numbers: Any = keys.astype(">u8") if keys.dtype == np.uint64 else keys
    first: npt.NDArray[np.uint8] = np.ascontiguousarray(numbers).view(np.uint8)[:: numbers.dtype.itemsize]
    return first


@contextlib.contextmanager
def _opened(url: str, columns: Sequence[str] | None) -> Iterator[ipc.RecordBatchFileReader]:
    with reading(url, damaged=DAMAGED), contextlib.ExitStack() as stack:
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
