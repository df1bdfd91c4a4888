"""The passes that look for duplicates: embeddings of all shards ─▶ cells ─▶ edges between pictures that lie near.

centroids  once: pictures by the smallest hashes of their keys ─▶ centroids of cells, and a sample to check by
deal       a shard ─▶ its numbers, what lies near the sample, and its pictures dealt to the cells that they visit
cells      some cells of all shards ─▶ pairs of cosine LEAST and more, and pictures of one embedding

A picture lives in the nearest cell and is a guest in the next ones, so that two near each other on two sides of a
border meet. How many of such pairs do is counted by the sample.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.buckets import BUCKETS, DAMAGED, Scatter, gather
from ..disk.digests import Bools, Digests, halves_of
from ..disk.files import join, leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import parquet
from ..disk.schema import said_by, saying
from ..errors import InputError
from ..stage.embeddings import ANEW, EmbeddedRows, Halves, read_parts, vectors_of
from ..towers.cells import SAMPLED, cell_count, centroids_of, visits
from ..towers.cosine import Cosines, cosines, of_length_one
from ..towers.neighbours import against_sample, collapse, pairs_within, probes_for
from .against import serves
from .config import LEAST
from .spool import (
    CENTERED,
    CENTROIDS,
    DEALT,
    EDGES,
    NUMBERS,
    SAMPLE,
    SEARCHED,
    TWINS,
    Compared,
    CurateSetup,
    dealt_of,
    edges_of,
    near_of,
    numbers_of,
    twins_of,
)

CHECKED = 10_000  # pictures by which the search is checked
CENTERS = "centroids-00000-of-00001"


def write_centroids(setup: CurateSetup) -> ShardLedger:
    """Choose the sample, and write it and the centroids."""
    began = time.monotonic()
    count = cell_count(setup.rows)
    size = max(CHECKED, SAMPLED * count)
    most = _least_hash(size, setup.rows)
    hashes, rows, vectors = [np.empty(0, np.uint64)], [np.empty(0, np.int32)], []
    for source, first, keys, image in _pictures(setup):
        hashed = mixed(keys)
        some = hashed <= most
        hashes.append(hashed[some])
        rows.append((source.first + first[some]).astype(np.int32))
        vectors.append(image[some])
    order = np.argsort(np.concatenate(hashes), kind="stable")[:size]
    chosen = np.concatenate(vectors)[order] if vectors else np.empty((0, 1), np.float16)
    row = np.concatenate(rows)[order]
    # Few pairs of the same hash are in doubt by their row alone; keys are hashes themselves.
    centers = centroids_of(chosen, cell_count(len(chosen)) if len(chosen) < size else count)
    schema = saying(
        pa.schema([pa.field("vector", _lists(centers).type)]), {"probes": probes_for(chosen, centers, LEAST)}
    )
    sample = {"row": pa.array(row[:CHECKED]), "vector": _lists(chosen[:CHECKED])}
    outputs = {
        CENTROIDS: setup.write(CENTROIDS, pa.Table.from_arrays([_lists(centers)], schema=schema)),
        SAMPLE: setup.write(SAMPLE, pa.table(sample)),
    }
    return setup.mark(
        CENTERED, CENTERS, Tally(counters={"cells": len(centers)}), outputs, time.monotonic() - began
    )


def mixed(keys: Digests) -> npt.NDArray[np.uint64]:
    """A hash of each key (n,), by SplitMix64 of its first half: a sample by it has nothing to do with splits."""
    z = halves_of(keys) + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _least_hash(size: int, rows: int) -> np.uint64:
    """The hash up to which about a tenth more than `size` of so many rows lie, and never fewer: 8 deviations."""
    share = (1.1 * size + 8 * size**0.5) / max(rows, 1)
    return np.uint64(2**64 - 1) if share >= 1 else np.uint64(int(share * 2**64))


def _pictures(setup: CurateSetup) -> Iterator[tuple[Compared, npt.NDArray[np.intp], Digests, Halves]]:
    """The pictures that are compared, of all sources: where they are in theirs, keys and embeddings."""
    dim = 0
    for source in setup.sources:
        start = 0
        mask = serves(source)
        for part in _parts(setup, source):
            dim = dim or part.image.shape[1]
            if part.image.shape[1] != dim:
                raise InputError(
                    f"{source.embeddings}: {part.image.shape[1]} dimensions, others have {dim}; {ANEW}"
                )
            there = part.embedded & (True if mask is None else mask[start : start + len(part.keys)])
            yield source, start + np.flatnonzero(there), part.keys[there], part.image[there]
            start += len(part.keys)


def _parts(setup: CurateSetup, source: Compared) -> Iterator[EmbeddedRows]:
    """The embeddings of a source; of one of --against, whose captions nobody asks for, the pictures."""
    for part in read_parts(source.embeddings, source.rows, setup.config.caption if source.own else None):
        if not (of_length_one(part.image[part.embedded]) and of_length_one(part.caption[part.captioned])):
            raise InputError(f"{source.embeddings}: vectors that are not of length one; {ANEW}")
        yield part


class Cells:
    """The centroids and the sample of a root, as every worker reads them.

    number: of the cells; probes: in how many of them a picture is looked for.
    """

    def __init__(self, setup: CurateSetup) -> None:
        with parquet(join(setup.root, CENTROIDS), DAMAGED) as file:
            self.centroids = _matrix(file.read())
            self.probes = int(said_by(file.schema_arrow)["probes"])
        with parquet(join(setup.root, SAMPLE), DAMAGED) as file:
            table = file.read()
            self.rows, self.sample = table["row"].to_numpy(), _matrix(table)
        self.number = len(self.centroids)


def write_dealt(setup: CurateSetup, number: int, cells: Cells) -> ShardLedger:
    """Write the numbers of a source, what lies near the sample in it, and its pictures by cell."""
    began, source, name = time.monotonic(), setup.sources[number], setup.part(number)
    mask, start, tally = serves(source), 0, Tally(counters={"parts": 1})
    numbers, near = [NUMBERS.empty_table()], [EDGES.empty_table()]
    dim = cells.centroids.shape[1]
    scatter = Scatter(setup.temporary(dealt_of(name)), _dealt(dim), setup.root)
    for part in _parts(setup, source):
        leave_if_orphaned()
        numbers.append(numbers_table(part.keys, part.embedded, _cosines(part)))
        there = part.embedded if mask is None else part.embedded & mask[start : start + len(part.keys)]
        rows = (source.first + start + np.flatnonzero(there)).astype(np.int32)
        image = part.image[there]
        for here, checked, cos in against_sample(image, cells.sample, LEAST):
            near.append(_edges(rows[here], cells.rows[checked], cos))
        home, guest, cell = visits(image, cells.centroids, cells.probes)
        place = np.concatenate([np.arange(len(rows)), guest])
        cell = np.concatenate([home, cell]).astype(np.int64)
        table = pa.Table.from_arrays(
            [
                pa.array(cell.astype(np.int32)),
                pa.array(rows[place]),
                pa.array(np.arange(len(place)) >= len(rows)),
                _lists(image[place]),
            ],
            schema=_dealt(dim),
        )
        scatter.write(table, (cell * BUCKETS // max(cells.number, 1)).astype(np.uint8))
        start += len(part.keys)
        tally.counters["visits"] = tally.counter("visits") + len(place)
    scatter.close()
    outputs = {
        numbers_of(name): setup.write(numbers_of(name), pa.concat_tables(numbers)),
        near_of(name): setup.write(near_of(name), pa.concat_tables(near)),
        dealt_of(name): setup.publish(dealt_of(name), tally.counter("visits")),
    }
    return setup.mark(DEALT, name, tally, outputs, time.monotonic() - began)


def write_edges(setup: CurateSetup, number: int) -> ShardLedger:
    """Write the edges and twins of some cells."""
    began, name = time.monotonic(), setup.cell(number)
    urls = [join(setup.root, dealt_of(setup.part(one.number))) for one in setup.sources]
    table: Any = pa.concat_tables(gather(urls, number, setup.parts))
    own = setup.own_rows
    edges, twins = [EDGES.empty_table()], [TWINS.empty_table()]
    cells: Any = table["cell"].to_numpy()
    rows, guest = table["row"].to_numpy(), table["guest"].to_numpy()
    order = np.lexsort((rows, guest, cells))
    bounds = np.flatnonzero(np.diff(cells[order], prepend=-1, append=-1))
    for start, stop in pairwise(bounds):
        leave_if_orphaned()
        some = order[start:stop]
        vectors = _matrix(table.take(pa.array(some)))
        for made, into in zip(_cell(vectors, rows[some], guest[some], own), (edges, twins), strict=True):
            into.append(made)
    tally = Tally(counters={"cells": 1, "edges": sum(map(len, edges))})
    outputs = {
        edges_of(name): setup.write(edges_of(name), _sorted(edges)),
        twins_of(name): setup.write(twins_of(name), _sorted(twins)),
    }
    return setup.mark(SEARCHED, name, tally, outputs, time.monotonic() - began)


def _cell(
    vectors: Halves, rows: npt.NDArray[np.int32], guest: npt.NDArray[np.bool_], own: int
) -> tuple[pa.Table, pa.Table]:
    """The edges of one cell and its guests, and the twins of those that live in it.

    own: rows of the root itself: of two pictures of earlier data sets nobody asks.
    """
    first = collapse(vectors, rows.astype(np.int64))
    lone = np.flatnonzero(first == np.arange(len(first)))
    found = [EDGES.empty_table()]
    for one, other, cos in pairs_within(vectors[lone], LEAST):
        ends = np.sort(np.stack([rows[lone[one]], rows[lone[other]]]), axis=0)
        some = ends[0] < own
        found.append(_edges(ends[0][some], ends[1][some], cos[some]))
    twin = np.flatnonzero((first != np.arange(len(first))) & ~guest)
    twins = pa.Table.from_arrays([pa.array(rows[twin]), pa.array(rows[first[twin]])], schema=TWINS)
    return pa.concat_tables(found), twins


def _dealt(dim: int) -> pa.Schema:
    """The columns of pictures on their way to the cells."""
    fields: Any = {
        "cell": pa.int32(),
        "row": pa.int32(),
        "guest": pa.bool_(),
        "vector": pa.list_(pa.float16(), dim),
    }
    return pa.schema(fields)


def _lists(vectors: Halves) -> Any:
    return pa.FixedSizeListArray.from_arrays(pa.array(vectors.reshape(-1)), vectors.shape[1])


def _matrix(table: pa.Table) -> Halves:
    kind: Any = table.schema.field("vector").type
    return vectors_of(table["vector"].combine_chunks(), kind.list_size)[0]


def _edges(one: Any, other: Any, cos: Any) -> pa.Table:
    return pa.Table.from_arrays([pa.array(one), pa.array(other), pa.array(cos)], schema=EDGES)


def numbers_table(keys: Digests, embedded: Bools, cos: Cosines) -> pa.Table:
    """Rows of numbers/, from arrays (n,); cos: NaN where there is none."""
    data = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(16), len(keys), [None, pa.py_buffer(keys.tobytes())]
    )
    return pa.Table.from_arrays([data, pa.array(embedded), pa.array(cos, mask=np.isnan(cos))], schema=NUMBERS)


def _cosines(part: EmbeddedRows) -> Cosines:
    """The cosine of each picture with its caption, NaN where one of them has no embedding."""
    both = part.embedded & part.captioned
    cos = np.full(len(both), np.nan)
    cos[both] = cosines(part.image[both], part.caption[both])
    return cos


def _sorted(tables: list[pa.Table]) -> pa.Table:
    """Rows in the order of their first two columns, each once: two pictures may meet in several cells."""
    table: Any = pa.concat_tables(tables)
    one, other = table.column(0).to_numpy(), table.column(1).to_numpy()
    order = np.lexsort((other, one))
    new = np.ones(len(order), np.bool_)
    new[1:] = (one[order][1:] != one[order][:-1]) | (other[order][1:] != other[order][:-1])
    ordered: pa.Table = table.take(order[new])
    return ordered
