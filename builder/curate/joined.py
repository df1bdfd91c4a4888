"""The pass between search and decision, once: how much the search found, and what releases of --against have.

what lies near the sample, edges, twins ─▶ found.json: pairs and those found, by band of cosine
sha256, phash, code of the root and of releases ─▶ known.parquet

A pair counts as found where an edge joins its two pictures, or both have one embedding.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ..disk.digests import KEY, Bools, blobs, unhex
from ..disk.files import join, tables_in
from ..disk.parquet import parquet
from ..disk.schema import CODE_BITS, MEASURES, floats, said_by
from ..picture.measures import RICH
from .against import Own, matches
from .sets import Graph, Rows
from .spool import (
    EDGES,
    KNOWN,
    TWINS,
    Compared,
    CurateSetup,
    FoundDocument,
    check_numbers,
    edges_of,
    made,
    near_of,
    twins_of,
    write_found,
)

BANDS = (0.85, 0.90, 0.95, 0.98)
WANTED = 0.995  # share of near pairs that a search is to find, in each band
ENOUGH = 200  # pairs of a band, for a share to say something


def band(start: float) -> str:
    """The name of a band of cosines."""
    stop = next((other for other in BANDS if other > start), 1.0)
    return f"{start:.2f}-{stop:.2f}"


def firsts(setup: CurateSetup) -> Rows:
    """The first of the pictures with its embedding, of each row: itself, where it is alone."""
    first = np.arange(setup.rows, dtype=np.int32)
    for name in map(setup.cell, range(setup.parts)):
        url = join(setup.root, twins_of(name))
        with made(url, TWINS) as file:
            table = file.read()
        check_numbers(url, table["row"], setup.rows)
        check_numbers(url, table["first"], setup.rows)
        first[table["row"].to_numpy()] = table["first"].to_numpy()
    return first


def load(setup: CurateSetup, above: float) -> Graph:
    """The twins and edges of cosine more than `above`, of all cells."""
    ones, others, cosines = [np.empty(0, np.int32)], [np.empty(0, np.int32)], [np.empty(0)]
    for one, other, cos in edges(setup):
        some = cos > above
        ones.append(one[some])
        others.append(other[some])
        cosines.append(cos[some])
    return Graph(np.concatenate(ones), np.concatenate(others), np.concatenate(cosines), firsts(setup))


def edges(setup: CurateSetup) -> Iterator[tuple[Rows, Rows, npt.NDArray[np.float64]]]:
    """All edges, some at a time: two rows, the lower first, and their cosine."""
    for name in map(setup.cell, range(setup.parts)):
        url = join(setup.root, edges_of(name))
        with made(url, EDGES) as file:
            for batch in file.iter_batches(1 << 20):
                check_numbers(url, batch["one"], setup.rows)
                check_numbers(url, batch["other"], setup.rows)
                yield batch["one"].to_numpy(), batch["other"].to_numpy(), batch["cos"].to_numpy()


def recall(setup: CurateSetup, first: Rows) -> FoundDocument:
    """The near pairs of the sample, and how many of them the edges have, by band."""
    own = setup.own_rows
    ends, cosines, sample = [np.empty((2, 0), np.int32)], [np.empty(0)], 0
    for source in setup.sources:
        with made(join(setup.root, near_of(setup.part(source.number))), EDGES) as file:
            table = file.read()
        both = np.sort(np.stack([table["one"].to_numpy(), table["other"].to_numpy()]), axis=0)
        sample += int(np.count_nonzero(both[0] == both[1]))
        some = (both[0] != both[1]) & (both[0] < own)
        ends.append(both[:, some])
        cosines.append(table["cos"].to_numpy()[some])
    pairs = np.concatenate(ends, axis=1)
    _, once = np.unique(_number(pairs, setup.rows), return_index=True)
    cos = np.concatenate(cosines)[once]
    joined = np.sort(first[pairs[:, once]], axis=0)
    found = joined[0] == joined[1]
    wanted = _number(joined, setup.rows)
    for one, other, _ in edges(setup):
        found |= np.isin(wanted, _number(np.stack([one, other]), setup.rows))
    told = {}
    for start, stop in zip(BANDS, (*BANDS[1:], np.inf), strict=True):
        some = (cos >= start) & (cos < stop)
        told[band(start)] = [int(np.count_nonzero(some)), int(np.count_nonzero(some & found))]
    return FoundDocument(sample=sample, recall=told)


def _number(ends: npt.NDArray[np.int32], rows: int) -> npt.NDArray[np.int64]:
    """A number for each pair of rows (2, n)."""
    number: npt.NDArray[np.int64] = ends[0].astype(np.int64) * rows + ends[1]
    return number


def write_joined(setup: CurateSetup) -> None:
    """Write found.json, and known.parquet where releases are to be held against."""
    if setup.releases:
        setup.write(KNOWN, matches(_own(setup.own), setup.releases))
    write_found(setup.root, recall(setup, firsts(setup)))


def _own(sources: Sequence[Compared]) -> Own:
    """What is recorded of the pictures of the root."""
    columns: dict[str, list[Any]] = {name: [] for name in ("sha256", "phash", "hashed", "rich", "code")}
    model: tuple[object, ...] = ()
    for source in sources:
        with parquet(join(source.root, "images", f"{source.stem}.parquet")) as file:
            table = file.read(columns=["sha256", "phash"], use_threads=False)
        digests, _ = unhex(table["sha256"], 32)
        columns["sha256"].append(np.ascontiguousarray(digests[:, 16:]).view(KEY).reshape(-1))
        hashes, hashed = unhex(table["phash"], 8)
        columns["phash"].append(hashes.view(">u8").reshape(-1).astype(np.uint64))
        columns["hashed"].append(hashed)
        columns["rich"].append(_rich(source))
        if (found := _codes(source)) is not None:
            codes, model = found
            columns["code"].append(codes)
    whole = {name: np.concatenate(parts) for name, parts in columns.items() if parts}
    return Own(whole["sha256"], whole["phash"], whole["hashed"], whole["rich"], whole.get("code"), model)


def _rich(source: Compared) -> npt.NDArray[np.bool_]:
    with made(join(source.root, "measures", f"{source.stem}.parquet"), MEASURES, source.rows) as file:
        table = file.read(columns=[*RICH])
    rich: Bools = np.all([floats(table[name]) >= least for name, least in RICH.items()], axis=0)
    return rich


def _codes(source: Compared) -> tuple[npt.NDArray[np.uint8], tuple[object, ...]] | None:
    """The codes of a shard, and the checkpoint that they are of; None where it is not scored."""
    if f"{source.stem}.parquet" not in tables_in(source.root, "scores"):
        return None
    with parquet(join(source.root, "scores", f"{source.stem}.parquet")) as file:
        said = said_by(file.schema_arrow)
        codes, _ = blobs(file.read(columns=["code"])["code"], CODE_BITS // 8)
    return codes, (said.get("name"), said.get("fingerprint"))
