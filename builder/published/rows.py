"""The rows of a release, batch by batch: keys, hashes, verdicts, removals, and the numbers counted anew.

columns without pixels ─▶ Scan: differences, counts, keys ─▶ merged ─▶ keys that come twice
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..card.counts import Counts
from ..disk.digests import Bools, Digests, halves_of, keys_of, locate
from ..disk.release import Release, split_of
from ..disk.schema import CODE_BITS, pair_key
from ..hub.store import Store
from ..reasons import KEPT, Verdict
from .differences import Differences, shown
from .shards import Footer, batches, damage

if TYPE_CHECKING:
    from ..disk.removals import Removals

pc: Any = compute  # its stubs know no mix of column and constant

NAMED = 1000  # keys that come twice that are looked for again
Prefixes = npt.NDArray[np.uint64]
_HEX = {"key": 32, "sha256": 64, "phash": 16}
_NEEDED = ("key", "url", "width", "height", "sha256", "phash", "fetched_at")
_JUDGED = ("verdict", "suspect", "kept", "score_model")  # not null where a release was validated
_SIZES = ("width", "height", "original_width", "original_height", "dup_count")  # at least 1
_ROUNDING = 1e-3  # a cosine of float32 may be beyond 1 by this
_OF_CURATE = ("cos", "cos_model", "dup_count")  # else they were carried from a manifest
_RANGES = dict.fromkeys(("score", "score_alt_text", "score_recaption", "cos"), (-1.0 - _ROUNDING, 1.0)) | {
    "p": (0.0, 1.0)
}


@dataclass(frozen=True, slots=True)
class Rules:
    """Rules that rows are held against. gone: keys of changes/, sorted; removals: the published list."""

    release: Release
    gone: Digests
    removals: Removals | None

    @property
    def keep(self) -> frozenset[str]:
        """The verdicts that the decision of the release keeps."""
        decision = self.release.funnel.get("decision")
        keep = decision.get("keep") if isinstance(decision, dict) else None
        return frozenset(map(str, keep)) if isinstance(keep, list) and keep else frozenset(KEPT)


@dataclass(slots=True)
class Scan:
    """Findings in one shard. prefixes: the first 8 bytes of each key, in the order of the rows."""

    path: str
    differences: Differences = field(default_factory=Differences)
    counts: Counts = field(default_factory=Counts)
    rows: int = 0
    _prefixes: list[Prefixes] = field(default_factory=list)

    @property
    def prefixes(self) -> Prefixes:
        """The prefixes of all of its rows."""
        return np.concatenate(self._prefixes) if self._prefixes else np.empty(0, np.uint64)

    def add(self, table: pa.Table, rules: Rules) -> None:
        """Look at a batch; a column that is not there was told of by its schema."""
        keys, valid = keys_of(table["key"] if "key" in table.column_names else [])
        self._shapes(table if rules.release.curated else _without(table, _OF_CURATE), rules.release.validated)
        if "url" in table.column_names and "alt_text" in table.column_names and keys.size:
            self._made(table, valid)
        kept = self._verdicts(table, rules)
        if keys.size:
            self._out(table, keys, kept, rules)
            self._prefixes.append(halves_of(keys[valid]))
        self.counts.add(split_of(self.path), table)
        self.rows += table.num_rows

    def _tell(self, kind: str, wrong: Any, line: Callable[[int], str]) -> None:
        """Take a difference for each row that `wrong` (n,) marks. line: what to say of row i of the batch."""
        rows = np.flatnonzero(wrong)
        shown_rows = rows[: self.differences.room(kind)]
        for row in shown_rows.tolist():
            self.differences.add(kind, f"{self.path}: row {self.rows + row:,}: {line(row)}")
        self.differences.count(kind, len(rows) - len(shown_rows))

    def _shapes(self, table: pa.Table, validated: bool) -> None:
        """Find nulls where there should be none, text that is no hash, sizes and scores out of range."""
        names = {*table.column_names}
        for name in (*_NEEDED, *(_JUDGED if validated else ())):
            if name in names:
                self._say("null", table, name, _bools(table[name].is_null()), "there")
        for name in _typed(table, _HEX, pa.types.is_string):
            found = pc.match_substring_regex(table[name], f"^[0-9a-f]{{{_HEX[name]}}}$")
            wrong = ~_bools(pc.fill_null(found, True))
            self._say("shape", table, name, wrong, f"{_HEX[name]} hex characters")
        for name in _typed(table, ("code",), pa.types.is_binary):
            wrong = _bools(pc.fill_null(pc.not_equal(pc.binary_length(table[name]), CODE_BITS // 8), False))
            self._tell("shape", wrong, lambda _: f"code should have {CODE_BITS // 8} bytes")
        for name in _typed(table, _SIZES, pa.types.is_integer):
            wrong = _bools(pc.fill_null(pc.less(table[name], 1), False))
            self._say("shape", table, name, wrong, "positive")
        for name in _typed(table, _RANGES, pa.types.is_floating):
            low, high = _RANGES[name]
            number = pc.fill_null(table[name].cast(pa.float64()), 0.0).to_numpy()
            sound = (number >= low) & (number <= high + _ROUNDING)  # NaN is neither
            self._say("shape", table, name, ~sound, f"from {round(low):d} to {high:g}")

    def _say(self, kind: str, table: pa.Table, name: str, wrong: Any, wanted: str) -> None:
        self._tell(
            kind, wrong, lambda row: f"{name} should be {wanted}, it is {shown(table[name][row].as_py())}"
        )

    def _made(self, table: pa.Table, valid: Bools) -> None:
        """Check that each key is that of its url and alt_text."""
        keys, urls, texts = (table[name].to_pylist() for name in ("key", "url", "alt_text"))
        made = list(map(pair_key, urls, texts))
        wrong = np.fromiter(map(str.__ne__, made, map(str, keys)), np.bool_, len(made)) & valid
        self._tell(
            "key", wrong, lambda row: f"key should be {made[row]} by its url and alt_text, it is {keys[row]}"
        )

    def _verdicts(self, table: pa.Table, rules: Rules) -> Bools:
        """The mask of the rows that are kept; differences where that is not what their verdict says."""
        kept = np.ones(table.num_rows, np.bool_)
        if "kept" in table.column_names and pa.types.is_boolean(table.schema.field("kept").type):
            kept = _bools(pc.fill_null(table["kept"], False))
        if rules.release.curated:
            self._model(table, "cos_model", rules.release.funnel["curation"]["embedder"].get("name"))
        if not rules.release.validated or "verdict" not in table.column_names:
            return kept
        verdict = table["verdict"].cast(pa.string())
        unknown = ~_bools(pc.fill_null(pc.is_in(verdict, value_set=pa.array([*Verdict], pa.string())), True))
        self._say("verdict", table, "verdict", unknown, f"one of {', '.join(Verdict)}")
        among = _bools(pc.is_in(verdict, value_set=pa.array(sorted(rules.keep), pa.string())))
        self._say(
            "verdict",
            table,
            "verdict",
            kept & ~among & ~unknown,
            f"one that is kept: {', '.join(sorted(rules.keep))}",
        )
        self._model(table, "score_model", rules.release.model.get("name"))
        return kept

    def _model(self, table: pa.Table, column: str, name: object) -> None:
        """Check that a column names the checkpoint that the release does."""
        if column in table.column_names and name:
            wrong = pc.fill_null(pc.not_equal(table[column].cast(pa.string()), str(name)), True)
            self._say("model", table, column, _bools(wrong), str(name))

    def _out(self, table: pa.Table, keys: Digests, kept: Bools, rules: Rules) -> None:
        """Check that no pair is here that the release says it has not."""
        if rules.gone.size:
            listed = locate(rules.gone, keys)[1] & kept
            path = f"changes/{rules.release.version}.parquet"
            self._tell(
                "changes", listed, lambda row: f"pair {_hex(keys[row])} is kept, though {path} says it is out"
            )
        if rules.removals is not None and "url" in table.column_names:
            covered = rules.removals.covers(table["key"], table["url"])
            self._tell("removals", covered, lambda row: f"pair {_hex(keys[row])} is on the removal list")


def scan(store: Store, footer: Footer, rules: Rules) -> Scan:
    """Findings in all rows of a Parquet shard."""
    path = footer.path
    found = Scan(path)
    found.counts.file(split_of(path), store.entries[path].bytes)
    with damage(path, found.differences):
        # What is nested, as pictures are, is carried and not looked at; its checksum is.
        flat = [field.name for field in footer.schema if not pa.types.is_nested(field.type)]
        for table in batches(store, path, flat):
            found.add(table, rules)
    return found


def repeated(scans: Sequence[Scan], read: Callable[[str], Iterable[Any]]) -> Differences:
    """Keys that come more than once, in one split or in two. read: the column `key` of a shard, in parts.

    Half a key is held of each pair: 800 MB of 100 million. Only where two halves agree are whole keys read again.
    """
    differences = Differences()
    halves = np.sort(np.concatenate([scan.prefixes for scan in scans] or [np.empty(0, np.uint64)]))
    again = halves[1:][halves[1:] == halves[:-1]]
    del halves
    if not again.size:
        return differences
    twice = np.unique(again)[:NAMED]
    seen: dict[str, tuple[str, int]] = {}
    for scan in scans:
        if np.isin(scan.prefixes, twice).any():
            for row, key in _rows_of(read(scan.path), twice):
                if (first := seen.setdefault(key, (scan.path, row))) != (scan.path, row):
                    kind = "unique" if split_of(first[0]) == split_of(scan.path) else "splits"
                    there = f"{first[0]}: row {first[1]:,}"
                    differences.add(
                        kind, f"{scan.path}: row {row:,}: pair {key} should be here alone, it is {there} too"
                    )
    differences.count("unique", int((~np.isin(again, twice)).sum()))
    return differences


def _rows_of(columns: Iterable[Any], prefixes: Prefixes) -> Iterator[tuple[int, str]]:
    """Number and key of each row whose key begins with one of `prefixes`."""
    start = 0
    for column in columns:
        keys, valid = keys_of(column)
        for row in np.flatnonzero(np.isin(halves_of(keys), prefixes) & valid).tolist():
            yield start + row, _hex(keys[row])
        start += len(keys)


def read_keys(store: Store, path: str) -> Iterator[Any]:
    """The column `key` of a Parquet shard, in parts."""
    for table in batches(store, path, ["key"]):
        yield table["key"]


def _typed(table: pa.Table, names: Iterable[str], is_such: Callable[[Any], bool]) -> list[str]:
    """The columns of these names that are there, and of such a type; of others the schema tells."""
    there = {*table.column_names}
    return [name for name in names if name in there and is_such(table.schema.field(name).type)]


def _without(table: pa.Table, names: Sequence[str]) -> pa.Table:
    return table.drop_columns([name for name in names if name in table.column_names])


def _bools(column: Any) -> Bools:
    """A column of booleans without nulls as NumPy has it."""
    whole = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return np.asarray(whole.to_numpy(zero_copy_only=False), np.bool_)


def _hex(key: bytes) -> str:
    return bytes(key).ljust(16, b"\0").hex()
