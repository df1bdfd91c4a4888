"""How many pairs of each host were kept or lost, and as what: exact, and the same in whatever order they come.

columns of hosts or URLs, their words, whether kept ─▶ HostCounts ─▶ the largest hosts, the worst, or all as JSON

They are held as an Arrow table, a row for each host and what became of its pairs: a name and ten bytes, where an entry
of a dictionary takes two hundred. New rows wait, and are summed up when there are many; those of a few hosts at a time
wait in lists, as a table for each of ten thousand markers costs seconds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

import pyarrow as pa
import pyarrow.compute as compute

from ..disk.ledger import WORST_HOSTS
from ..web.hostname import host_of

pc: Any = compute  # its stubs know no mix of column and constant
table: Any = pa.table  # nor lists in the place of arrays

SHOWN = 1000  # of a finished release
KEPT = "kept"  # the word where a count tells no more
PENDING = 1 << 20  # rows that wait to be summed up, at least
_LOOSE = 10_000  # rows that wait in lists
_LEAST = 1000  # rows that a part weighs at least: a table of a few takes some kilobytes

_AUTHORITY = r"(?s)//(?P<authority>[^/?#\\]*)"  # all that host_of looks at
_COLUMNS: dict[str, pa.DataType] = {
    "host": pa.string(), "word": pa.string(), "kept": pa.bool_(), "pairs": pa.int64(),
}  # fmt: skip
_ROWS = pa.schema(_COLUMNS)


class HostsDocument(TypedDict):
    """Pairs by host as JSON. largest: the hosts listed; distinct, pairs: of all."""

    distinct: int
    pairs: int
    largest: dict[str, int]


@dataclass(slots=True)
class HostTotal:
    """The pairs of one host, and by what became of them."""

    host: str
    kept: int = 0
    lost: int = 0
    words: Counter[str] = field(default_factory=Counter)

    @property
    def pairs(self) -> int:
        """All of them."""
        return self.kept + self.lost


class HostCounts:
    """Pairs by host and fate. It adds up: whatever the order and the batches, the same pairs give the same.

    pending: rows that wait to be summed up, at least.
    """

    def __init__(self, pending: int = PENDING) -> None:
        self._parts: list[pa.Table] = [_ROWS.empty_table()]  # the first is summed up, the others wait
        self._waiting, self._bound = 0, pending
        self._loose: list[list[Any]] = [[] for _ in _COLUMNS]  # rows that no table holds yet, by column
        self._left_out: tuple[int, int] = (0, 0)  # hosts and pairs that a finished release does not list

    def add(self, counts: Mapping[str, int], word: str = KEPT, *, kept: bool = True) -> None:
        """Add pairs, by the name of their host."""
        hosts = [host.encode("utf-8", "replace").decode() for host in counts]
        rows: list[Iterable[Any]] = [hosts, [word] * len(counts), [kept] * len(counts), counts.values()]
        for column, values in zip(self._loose, rows, strict=True):
            column += values
        if len(self._loose[0]) >= _LOOSE:
            self._gather()

    def add_told(self, hosts: Mapping[str, Sequence[int]]) -> None:
        """Add the hosts of a marker, [kept, dropped] of each."""
        self.add({host: kept for host, (kept, _) in hosts.items()})
        self.add({host: lost for host, (_, lost) in hosts.items()}, "dropped", kept=False)

    def told(self) -> dict[str, list[int]]:
        """The worst hosts as a marker tells of them, [kept, dropped] of each."""
        return {one.host: [one.kept, one.lost] for one in self.worst(WORST_HOSTS)}

    def add_urls(self, urls: Any) -> None:
        """Count an Arrow column of URLs; those without a host count nowhere."""
        counted = pc.value_counts(hosts_of(urls).drop_null())
        self.add(dict(zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True)))

    def add_columns(self, hosts: Any, words: Any, kept: Any) -> None:
        """Count rows of Arrow columns of one length; those without a host, null, count nowhere."""
        rows = pa.table({"host": hosts, "word": words, "kept": kept}).filter(pc.is_valid(hosts))
        groups = rows.group_by(rows.column_names, use_threads=False).aggregate([([], "count_all")])
        names, fates, stays, counts = (groups[name].to_pylist() for name in (*rows.column_names, "count_all"))
        told = [[*map(_text, names)], [*map(_text, fates)], [*map(bool, stays)], counts]
        self.add_rows(table(told, schema=_ROWS))

    def merge(self, other: HostCounts) -> None:
        """Add what another has counted; ValueError where it is of a finished release, which lists the largest only."""
        if self._left_out != (0, 0) or other._left_out != (0, 0):
            raise ValueError("hosts that were cut to the largest cannot be added: use as_dict(hosts=None)")
        self.add_rows(other.rows())

    def largest(self, limit: int | None) -> list[HostTotal]:
        """The hosts with most pairs, then by name."""
        return self._first(self._totals(), [("pairs", "descending"), ("host", "ascending")], limit)

    def worst(self, limit: int | None) -> list[HostTotal]:
        """The hosts that lost pairs, those that lost most and kept least first, then by name."""
        losing = self._totals().filter(pc.field("lost") > 0)
        order = [("lost", "descending"), ("pairs", "ascending"), ("host", "ascending")]
        return self._first(losing, order, limit)

    def as_dict(self, limit: int | None = SHOWN) -> HostsDocument:
        """Pairs by host as JSON. limit: how many to list; None: all, so that `of_dict` can be added to others."""
        totals, (hosts, pairs) = self._totals(), self._left_out
        return {
            "distinct": len(totals) + hosts,
            "pairs": (pc.sum(totals["pairs"]).as_py() or 0) + pairs,
            "largest": dict(sorted((one.host, one.pairs) for one in self.largest(limit))),
        }

    @classmethod
    def of_dict(cls, document: HostsDocument) -> Self:
        """What as_dict wrote."""
        hosts, listed = cls(), document["largest"]
        hosts.add(listed)
        hosts._left_out = (document["distinct"] - len(listed), document["pairs"] - sum(listed.values()))
        return hosts

    def _gather(self) -> None:
        """Make a table of the rows that wait in lists."""
        rows, self._loose = table(self._loose, schema=_ROWS), [[] for _ in _COLUMNS]
        self.add_rows(rows)

    def add_rows(self, rows: pa.Table) -> None:
        """Add what `rows` of another gave."""
        self._parts.append(rows)
        self._waiting += max(len(rows), _LEAST)
        if self._waiting > max(self._bound, len(self._parts[0])):
            self.rows()

    def rows(self) -> pa.Table:
        """All that was counted, a row for each host and fate: host, word, kept, pairs."""
        if self._loose[0]:
            self._gather()
        if len(self._parts) > 1:
            rows = pa.concat_tables(self._parts).group_by(_ROWS.names[:3]).aggregate([("pairs", "sum")])
            self._parts, self._waiting = [rows.rename_columns(_ROWS.names)], 0
        return self._parts[0]

    def _totals(self) -> pa.Table:
        """The pairs of each host, and how many of them were lost."""
        rows = self.rows()
        rows = rows.append_column("lost", pc.if_else(rows["kept"], 0, rows["pairs"]))
        totals = rows.group_by("host").aggregate([("pairs", "sum"), ("lost", "sum")])
        return totals.rename_columns(["host", "pairs", "lost"])

    def _first(self, totals: pa.Table, order: Any, limit: int | None) -> list[HostTotal]:
        """The first hosts by an order, with what became of their pairs."""
        count = len(totals) if limit is None else min(limit, len(totals))
        chosen = totals["host"].take(pc.select_k_unstable(totals, count, order)).combine_chunks()
        found = {host: HostTotal(str(host)) for host in chosen.to_pylist()}
        rows = self.rows()
        for row in rows.filter(pc.is_in(rows["host"], chosen)).to_pylist():
            one = found[row["host"]]
            one.words[row["word"]] += row["pairs"]
            one.kept += row["pairs"] if row["kept"] else 0
            one.lost += 0 if row["kept"] else row["pairs"]
        return [*found.values()]


def hosts_of(urls: Any) -> Any:
    """The host of each URL of an Arrow column, null where it has none; each authority is looked at once."""
    found = pc.extract_regex(urls.cast(pa.binary()), pattern=_AUTHORITY)
    if isinstance(found, pa.ChunkedArray):
        found = found.combine_chunks()
    coded = pc.dictionary_encode(pc.struct_field(found, "authority"))
    hosts = [
        host_of("//" + raw.decode("utf-8", "replace")) if raw else None
        for raw in coded.dictionary.to_pylist()
    ]
    return pa.array(hosts, pa.string()).take(coded.indices)


def _text(word: str | bytes | None) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else word or ""
