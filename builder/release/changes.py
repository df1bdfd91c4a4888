"""What a release no longer has: each pair of the release before it that is not in this one, and why.

    keys of the last release ─▶ less those of the new shards ─▶ why, by the root ─▶ changes/<version>.parquet

Of each pair of the last release 17 bytes are held, of the new ones none. No URL is written, only keys; who has the
release before can look them up in it.
"""

from __future__ import annotations

import tarfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..disk import documents
from ..disk.digests import KEY, Bools, Digests, hex_of, keys_of, locate
from ..disk.files import filesystem, join, listdir, publish
from ..disk.parquet import parquet
from ..disk.reading import reading
from ..disk.release import Release
from ..disk.removals import Removals
from ..disk.schema import CHANGES
from ..reasons import Cause, Reason

ABSENT = "absent"  # the root has it no more
BATCH = 1 << 16  # rows read at once
ROW_GROUP = 1 << 17
PARALLEL = 8  # files read together: over a network their keys are many small requests

Places = npt.NDArray[np.int64]
Found = TypeVar("Found")
pc: Any = compute  # its stubs know no mix of column and constant


class Previous(NamedTuple):
    """The release before this one. url: where it is, a folder or hf://, at its revision."""

    url: str
    release: Release


def write(
    root: str, previous: Previous, shards: Iterable[str | Path], removals: Removals, path: Path, since: str
) -> dict[str, int]:
    """Write at `path` which pairs of `previous` are not in `shards`, and return how many for each reason.

    root: that the new release is of; shards: its files, paths or URLs; since: its version. A pair that is in a shard
    with kept=false is not in it. Raises InputError for a file that is not as it should be.
    """
    before = previous_keys(previous.url, previous.release)
    still = np.zeros(len(before), np.bool_)
    for keys in _keys([str(shard) for shard in shards]):
        places, found = locate(before, keys)
        still[places[found]] = True
    gone = _Gone(before[~still])
    gone.explain(root, previous, removals)
    counts = gone.write(path, since)
    lost = len(before) - int(still.sum())
    if pq.read_metadata(path).num_rows != lost:
        raise AssertionError(f"{path}: {lost:,} pairs are gone, {pq.read_metadata(path).num_rows:,} are told")
    return counts


def previous_keys(url: str, release: Release) -> Digests:
    """The keys of the pairs that a release holds, ascending, each once."""
    files = release.shards()
    keys = np.empty(sum(file["rows"] or 0 for file in files.values()), KEY)
    count = 0
    for part in _keys([join(url, name) for name in files]):
        if count + len(part) > len(keys):  # of tars the rows may be unknown
            keys = np.concatenate([keys[:count], np.empty(max(len(part), count), KEY)])
        keys[count : count + len(part)] = part
        count += len(part)
    keys = keys[:count]
    keys.sort()
    twice = keys[1:] == keys[:-1]
    return keys[np.concatenate([[True], ~twice])] if twice.any() else keys


class _Gone:
    """The pairs that are gone. keys: ascending; why: of each its number in `reasons`."""

    def __init__(self, keys: Digests) -> None:
        self.keys = keys
        self.why = np.zeros(len(keys), np.uint8)
        self.reasons = [ABSENT]

    def explain(self, root: str, previous: Previous, removals: Removals) -> None:
        """Find the reason of each: the removal list, else the verdict, else the outcome of its rebuild."""
        if not len(self.keys):
            return
        outcomes = _parts(root, "outcomes")
        for told in _each(outcomes, ["key", "reason"], self._dropped):
            self._because(*told)
        for told in _each(_parts(root, "scores"), ["key", "verdict", "cause", "kept"], self._judged):
            self._because(*told)
        covered = self._removed(outcomes, previous, removals)
        self.why[covered] = self._number(Reason.REMOVED)

    def _dropped(self, outcomes: pa.Table) -> tuple[Places, Any]:
        """The places of our pairs that a rebuild dropped, and the reasons."""
        return self._ours(outcomes.filter(pc.is_valid(outcomes["reason"])), "reason")

    def _judged(self, scores: pa.Table) -> tuple[Places, Any]:
        """The places of our pairs that their verdict, or a score, keeps out, and which it is."""
        if "kept" not in scores.column_names:  # scored, and not yet decided
            return np.empty(0, np.int64), pa.chunked_array([], pa.string())
        dropped = scores.filter(pc.invert(pc.fill_null(scores["kept"], True)))
        below = pc.fill_null(pc.equal(dropped["cause"], Cause.MIN_SCORE.value), False)
        why = pc.if_else(below, Cause.MIN_SCORE.value, pc.fill_null(dropped["verdict"], ABSENT))
        return self._ours(dropped.append_column("why", why), "why")

    def _ours(self, table: pa.Table, column: str) -> tuple[Places, Any]:
        """Of the rows of a table that are pairs of ours, the places in `keys`, and what is in a column."""
        digests, valid = keys_of(table["key"])
        places, found = locate(self.keys, digests)
        rows = np.flatnonzero(valid & found)
        return places[rows], table[column].take(rows)

    def _because(self, places: Places, reasons: Any) -> None:
        encoded = reasons.combine_chunks().dictionary_encode()
        numbers = np.array([self._number(reason) for reason in encoded.dictionary.to_pylist()], np.uint8)
        self.why[places] = numbers[np.asarray(encoded.indices, np.int64)]

    def _number(self, reason: str) -> int:
        if reason not in self.reasons:
            self.reasons.append(reason)
        return self.reasons.index(reason)

    def _removed(self, outcomes: list[str], previous: Previous, removals: Removals) -> Bools:
        """Which pairs are on the removal list; the URLs of those that the root never had are of the last release."""
        covered = np.zeros(len(self.keys), np.bool_)
        for start in range(0, len(self.keys), BATCH):
            covered[start : start + BATCH] = removals.covers(hex_of(self.keys[start : start + BATCH]))
        if not removals.by_url:
            return covered
        known = covered.copy()
        published = [join(previous.url, name) for name in previous.release.shards()]
        for files in (outcomes, published):
            if known.all():
                break
            for places, urls in _each(files, ["key", "url"], lambda table: self._ours(table, "url")):
                covered[places] |= removals.covers(None, urls)
                known[places] = True
        return covered

    def write(self, path: Path, since: str) -> dict[str, int]:
        """Write the file whole or not at all; how many pairs have each reason."""
        path.parent.mkdir(parents=True, exist_ok=True)
        local = path.with_name(f".{path.name}.tmp")
        make: Any = pq.ParquetWriter  # its stubs lag behind
        with make(local, CHANGES, compression="zstd", use_dictionary=["reason", "since"]) as out:
            for start in range(0, len(self.keys), ROW_GROUP):
                keys = self.keys[start : start + ROW_GROUP]
                why = pa.array(self.reasons).take(self.why[start : start + ROW_GROUP])
                columns = [hex_of(keys), why, pa.repeat(since, len(keys))]
                out.write_table(pa.Table.from_arrays(columns, schema=CHANGES))
        publish(local, str(path))
        counted = np.bincount(self.why, minlength=len(self.reasons)).tolist()
        return dict(sorted((r, int(n)) for r, n in zip(self.reasons, counted, strict=True) if n))


def _parts(root: str, folder: str) -> list[str]:
    names = [name for name in listdir(join(root, folder)) if name.endswith(".parquet")]
    return [join(root, folder, name) for name in names]


def _keys(files: Sequence[str]) -> Iterator[Digests]:
    """The keys of the kept pairs of shards, some thousands at a time."""
    tars = [file for file in files if file.endswith(".tar")]
    yield from _each([file for file in files if file not in tars], ["key", "kept"], _kept)
    for file in tars:
        yield keys_of([*_tar_keys(file)])[0]


def _kept(table: pa.Table) -> Digests:
    if "kept" in table.column_names:
        table = table.filter(table["kept"])
    keys, valid = keys_of(table["key"])
    return keys[valid]


def _each(files: Sequence[str], columns: list[str], look: Callable[[pa.Table], Found]) -> Iterator[Found]:
    """What `look` finds in every batch of the columns of some Parquet files; a few files are read together."""

    def look_into(file: str) -> list[Found]:
        return [look(table) for table in _batches(file, columns)]

    with ThreadPoolExecutor(PARALLEL) as pool:
        for start in range(0, len(files), PARALLEL):
            for found in pool.map(look_into, files[start : start + PARALLEL]):
                yield from found


def _batches(url: str, columns: list[str]) -> Iterator[pa.Table]:
    with parquet(url) as file:
        names = [name for name in columns if name in file.schema_arrow.names]
        for batch in file.iter_batches(BATCH, columns=names, use_threads=False):
            yield pa.Table.from_batches([batch])


def _tar_keys(url: str) -> Iterator[str]:
    """The keys in a tar of pairs; the pictures are passed over."""
    fs, path = filesystem(url)
    with reading(url), fs.open(path, "rb") as source, tarfile.open(fileobj=source, mode="r:") as tar:
        for member in tar:
            file = tar.extractfile(member) if member.name.endswith(".json") else None
            if file is not None:
                yield documents.parse(file.read(documents.LIMIT + 1), finite=False)["key"]
