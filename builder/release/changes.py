"""Changes of a release for who has the one before: pairs that are gone, and why; files that are new or go.

    keys of the last release ─▶ less those of the new shards ─▶ why, by the root ─▶ changes/<version>.parquet
    ReleasePlan, last release ─▶ files by name: new, rewritten, renamed, unchanged, removed; pairs: added, dropped

Of each pair of the last release 17 bytes are held, of the new ones none. No URL is written, only keys; who has the
release before can look them up in it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..disk.digests import KEY, Bools, Digests, halves_of, hex_of, keys_of, locate
from ..disk.files import filesystem, join, publish, tables_in
from ..disk.parquet import parquet
from ..disk.reading import reading
from ..disk.release import NAME
from ..disk.removals import PATH as REMOVALS
from ..disk.removals import Removals
from ..disk.schema import CHANGES, CURATION
from ..disk.tars import read_columns
from ..reasons import Cause, Reason
from .census import take
from .plan import Previous, ReleasePlan
from .source import Root

ABSENT = "absent"  # the root has it no more
BATCH = 1 << 16  # rows read at once
ROW_GROUP = 1 << 17
PARALLEL = 8  # files read together: over a network their keys are many small requests
PAIRS = ("added", "dropped", "flagged", "removed_by_takedown")
MADE = ("README.md", "croissant.json")  # of every release, as figures/ are, from its counts

RowNumbers = npt.NDArray[np.int64]
Found = TypeVar("Found")
pc: Any = compute  # its stubs know no mix of column and constant


def write(
    root: str, previous: Previous, shards: Iterable[str | Path], removals: Removals, path: Path, since: str
) -> dict[str, int]:
    """Write at `path` which pairs of `previous` are not in `shards`, and return how many for each reason.

    root: that the new release is of; shards: its files, paths or URLs; since: its version. A pair that is in a shard
    with kept=false is not in it. Raises InputError for a file that is not as it should be.
    """
    before = previous_keys(previous)
    still = np.zeros(len(before), np.bool_)
    for keys in _keys([str(shard) for shard in shards]):
        places, found = locate(before, keys)
        still[places[found]] = True
    gone = GonePairs(before[~still])
    gone.explain(root, previous, removals)
    counts = gone.write(path, since)
    lost = len(before) - int(still.sum())
    if pq.read_metadata(path).num_rows != lost:
        raise AssertionError(f"{path}: {lost:,} pairs are gone, {pq.read_metadata(path).num_rows:,} are told")
    return counts


def previous_keys(previous: Previous) -> Digests:
    """The keys of the pairs that a release holds, ascending, each once."""
    files = previous.release.shards()
    keys = np.empty(sum(file["rows"] or 0 for file in files.values()), KEY)
    count = 0
    for part in _keys([join(previous.url, name) for name in files]):
        if count + len(part) > len(keys):  # of tars the rows may be unknown
            keys = np.concatenate([keys[:count], np.empty(max(len(part), count), KEY)])
        keys[count : count + len(part)] = part
        count += len(part)
    keys = keys[:count]
    keys.sort()
    twice = keys[1:] == keys[:-1]
    return keys[np.concatenate([[True], ~twice])] if twice.any() else keys


class GonePairs:
    """The pairs that are gone. keys: ascending; why: of each its number in `reasons`."""

    def __init__(self, keys: Digests) -> None:
        self.keys = keys
        self.why = np.zeros(len(keys), np.uint8)
        self.reasons = [ABSENT]

    def explain(self, root: str, previous: Previous, removals: Removals) -> None:
        """Find the reason of each: the removal list, else curate, the verdict, or the outcome of its rebuild."""
        if not len(self.keys):
            return
        outcomes = _parts(root, "outcomes")
        for places, reasons in _each(outcomes, ["key", "reason"], self._dropped):
            self._because(places, reasons)
        scores = _parts(root, "scores")
        for places, reasons in _each(scores, ["key", "verdict", "cause", "kept"], self._judged):
            self._because(places, reasons)
        curated = _parts(root, CURATION.folder)
        for places, reasons in _each(curated, ["key", "reason"], self._curated):
            self._because(places, reasons)
        covered = self._removed(outcomes, previous, removals)
        self.why[covered] = self._number(Reason.REMOVED)

    def _dropped(self, outcomes: pa.Table) -> tuple[RowNumbers, Any]:
        """The places of our pairs that a rebuild dropped, and the reasons."""
        return self._ours(outcomes.filter(pc.is_valid(outcomes["reason"])), "reason")

    def _judged(self, scores: pa.Table) -> tuple[RowNumbers, Any]:
        """The places of our pairs that their verdict, or a score, keeps out, and which it is."""
        if "kept" not in scores.column_names:  # scored, and not yet decided
            return np.empty(0, np.int64), pa.chunked_array([], pa.string())
        dropped = scores.filter(pc.invert(pc.fill_null(scores["kept"], True)))
        below = pc.fill_null(pc.equal(dropped["cause"], Cause.MIN_SCORE.value), False)
        why = pc.if_else(below, Cause.MIN_SCORE.value, pc.fill_null(dropped["verdict"], ABSENT))
        return self._ours(dropped.append_column("why", why), "why")

    def _curated(self, curated: pa.Table) -> tuple[RowNumbers, Any]:
        """The places of our pairs that curate drops, and the reasons; of the others the verdict says it."""
        own = pc.not_equal(curated["reason"], Reason.VERDICT.value)  # null where the pair is kept
        return self._ours(curated.filter(own), "reason")

    def _ours(self, table: pa.Table, column: str) -> tuple[RowNumbers, Any]:
        """The rows of a table that are pairs of ours: their places in `keys`, and their values of a column."""
        digests, valid = keys_of(table["key"])
        places, found = locate(self.keys, digests)
        rows = np.flatnonzero(valid & found)
        return places[rows], table[column].take(rows)

    def _because(self, places: RowNumbers, reasons: Any) -> None:
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
    return [join(root, folder, name) for name in tables_in(root, folder)]


def _keys(files: Sequence[str]) -> Iterator[Digests]:
    """The keys of the kept pairs of shards, some thousands at a time."""
    yield from _each([file for file in files if not file.endswith(".tar")], ["key", "kept"], _kept)
    for url in (file for file in files if file.endswith(".tar")):
        fs, path = filesystem(url)
        with reading(url), fs.open(path, "rb") as tar:
            keys = [columns["key"] for columns in read_columns(tar)]
        yield keys_of(keys)[0]


def _kept(table: pa.Table) -> Digests:
    if "kept" in table.column_names:
        table = table.filter(table["kept"])
    keys, valid = keys_of(table["key"])
    return keys[valid]


def _each(files: Sequence[str], columns: list[str], look: Callable[[pa.Table], Found]) -> Iterator[Found]:
    """The findings of `look` in every batch of the columns of some Parquet files; a few files are read together."""

    def look_into(url: str) -> list[Found]:
        with parquet(url) as file:
            names = [name for name in columns if name in file.schema_arrow.names]
            batches = file.iter_batches(BATCH, columns=names, use_threads=False)
            return [look(pa.Table.from_batches([batch])) for batch in batches]

    with ThreadPoolExecutor(PARALLEL) as pool:
        for start in range(0, len(files), PARALLEL):
            for found in pool.map(look_into, files[start : start + PARALLEL]):
                yield from found


@dataclass(frozen=True, slots=True)
class FileChange:
    """A file. rows: None of what is no table; bytes: None where they are not known before it is made.

    state: new, rewritten, unchanged, removed, or renamed: of a shard that keeps its pairs, where their number changed.
    """

    path: str
    rows: int | None
    bytes: int | None
    state: str


def file_changes(plan: ReleasePlan, removals: int) -> tuple[FileChange, ...]:
    """Every file of a release, and those of the one before that go, by path. removals: entries of its list.

    Whether a shard that stays has the same bytes shows only when it is made.
    """
    before = plan.previous
    old = before.files if before else {}
    stay = {_number(path) for path in old} if plan.pinned else set()
    found = {}
    for shard in plan.shards:
        state = "rewritten" if shard.path in old else "renamed" if _number(shard.path) in stay else "new"
        found[shard.path] = FileChange(shard.path, shard.rows, shard.bytes, state)
    states = dict.fromkeys(old, "removed") | dict.fromkeys((*MADE, NAME), "new")
    states |= {path: "rewritten" for path in old if path.startswith((*MADE, "figures/"))}
    states |= {path: "unchanged" for path in old if path.startswith("changes/")}
    if before:
        states[NAME] = "rewritten"
        states.setdefault(f"changes/{plan.version}.parquet", "new")
    if removals:
        same = before is not None and before.removed == removals
        states[REMOVALS] = "new" if REMOVALS not in old else "unchanged" if same else "rewritten"
    for path in states.keys() - found.keys():
        there = old.get(path, {})
        rows = removals if removals and path == REMOVALS else there.get("rows")
        found[path] = FileChange(path, rows, there.get("bytes"), states[path])
    return tuple(found[path] for path in sorted(found))


def _number(path: str) -> str:
    """The name of a shard without the number of shards."""
    return path.partition("-of-")[0]


def pair_changes(root: Root, removals: Removals, previous: Previous, pinned: bool) -> dict[str, int]:
    """Pairs against the release before: which the new one has more; has no more, and of these those taken down.

    flagged: how many of the dropped stay in a shard, with kept=false, where shards are pinned.
    """
    census = take(root, removals)
    before = np.sort(halves_of(previous_keys(previous)))
    was_there = locate(before, census.ids)[1] & ~census.repeated
    counts = (
        census.wanted & ~was_there,
        was_there & census.wanted,
        was_there & ~census.kept & ~census.removed & pinned,
        was_there & census.removed,
    )
    added, still, flagged, taken = (int(np.count_nonzero(one)) for one in counts)
    return dict(zip(PAIRS, (added, len(before) - still, flagged, taken), strict=True))
