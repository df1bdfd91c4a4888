"""How many pairs of each host were kept or lost, and as what: exact, and the same in whatever order they come.

columns of hosts or URLs, their words, whether kept ─▶ HostCounts ─▶ the largest hosts, the worst, or all as JSON

Each host is held as a 64-bit hash and a number, 16 bytes a word; names only of the leading ones. A name is forgotten
when a quarter of the names held precede it, by pairs as well as by pairs lost, then by name. A host that comes again is
named again, so the leading hosts of what one object has counted always have their names. Merged parts give the same as
long as none of them had more hosts than names are held; no shard has.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Self, TypedDict

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import xxhash

from ..web.hostname import host_of

pc: Any = compute  # its stubs know no mix of column and constant

SHOWN = 1000  # of a finished release
NAMED = 400_000  # names held at most
KEPT = "kept"  # the word where a count tells no more
PENDING = 1 << 20  # counts that wait to be summed up, at least

_AUTHORITY = r"(?s)//(?P<authority>[^/?#\\]*)"  # all that host_of looks at
_HASHED = "#"  # before a hash in the place of a name; no host begins so

Hashes = npt.NDArray[np.uint64]
Numbers = npt.NDArray[np.int64]
Fate = tuple[str, bool]  # a word for what became of a pair, and whether it was kept


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

    held: names at most, four times as many as are ever asked for.
    """

    def __init__(self, held: int = NAMED, pending: int = PENDING) -> None:
        self._held, self._bound = held, pending
        self._sums: dict[Fate, _Sum] = {}
        self._names: dict[int, str] = {}
        self._left_out: tuple[int, int] = (0, 0)  # hosts and pairs that a finished release does not list

    def add(self, counts: Mapping[str, int], word: str = KEPT, *, kept: bool = True) -> None:
        """Add pairs, by the name of their host."""
        names = {_hash(host): host for host in counts}
        self._sum(word, kept).add(
            np.fromiter(names, np.uint64, len(names)), np.fromiter(counts.values(), np.int64, len(names))
        )
        self._names |= names
        if len(self._names) > self._held:
            self._forget()

    def add_urls(self, urls: Any, word: str = KEPT, *, kept: bool = True) -> None:
        """Count an Arrow column of URLs; those without a host count nowhere."""
        found = pc.extract_regex(urls.cast(pa.binary()), pattern=_AUTHORITY)
        if isinstance(found, pa.ChunkedArray):
            found = found.combine_chunks()
        counted = pc.value_counts(pc.struct_field(found, "authority"))
        counts: Counter[str] = Counter()
        for raw, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            if raw and (host := host_of("//" + raw.decode("utf-8", "replace"))):
                counts[host] += count
        self.add(counts, word, kept=kept)

    def add_columns(self, hosts: Any, words: Any, kept: Any) -> None:
        """Count rows of Arrow columns of one length; those without a host, null, count nowhere."""
        rows = pa.table({"host": hosts, "word": words, "kept": kept}).filter(pc.is_valid(hosts))
        groups = rows.group_by(rows.column_names, use_threads=False).aggregate([([], "count_all")])
        fates: dict[Fate, dict[str, int]] = {}
        for host, word, stays, count in zip(*(column.to_pylist() for column in groups.columns), strict=True):
            fates.setdefault((_text(word), bool(stays)), {})[_text(host)] = count
        for (word, stays), counts in fates.items():
            self.add(counts, word, kept=stays)

    def merge(self, other: HostCounts) -> None:
        """Add what another has counted; ValueError where it is of a finished release, which lists the largest only."""
        if self._left_out != (0, 0) or other._left_out != (0, 0):
            raise ValueError("hosts that were cut to the largest cannot be added: use as_dict(hosts=None)")
        for fate, total in other._sums.items():
            self._sum(*fate).add(*total.settled())
        self._names |= other._names
        if len(self._names) > self._held:
            self._forget()

    def largest(self, limit: int | None) -> list[HostTotal]:
        """The hosts with most pairs, then by name."""
        return sorted(self._named(), key=lambda one: (-one.pairs, one.host))[:limit]

    def worst(self, limit: int | None) -> list[HostTotal]:
        """The hosts that lost pairs, those that lost most and kept least first, then by name."""
        losing = (one for one in self._named() if one.lost)
        return sorted(losing, key=lambda one: (-one.lost, one.kept, one.host))[:limit]

    def as_dict(self, limit: int | None = SHOWN) -> HostsDocument:
        """Pairs by host as JSON. limit: how many to list; None: all, so that `of_dict` can be added to others."""
        hashes, counts = self._all()
        listed = {one.host: one.pairs for one in self.largest(SHOWN if limit is None else limit)}
        if limit is None:
            listed = {
                self._names.get(number, f"{_HASHED}{number:016x}"): count
                for number, count in zip(hashes.tolist(), counts.tolist(), strict=True)
            }
        hosts, pairs = self._left_out
        return {
            "distinct": hashes.size + hosts,
            "pairs": int(counts.sum()) + pairs,
            "largest": dict(sorted(listed.items())),
        }

    @classmethod
    def of_dict(cls, document: HostsDocument) -> Self:
        """What as_dict wrote."""
        hosts, listed = cls(), document["largest"]
        named = {_number(name): name for name in listed}
        hosts._sum(KEPT, True).add(
            np.fromiter(named, np.uint64, len(named)), np.fromiter(listed.values(), np.int64, len(named))
        )
        hosts._names = {number: name for number, name in named.items() if not name.startswith(_HASHED)}
        hosts._left_out = (document["distinct"] - len(listed), document["pairs"] - sum(listed.values()))
        return hosts

    def _sum(self, word: str, kept: bool) -> _Sum:
        return self._sums.setdefault((word, kept), _Sum(self._bound))

    def _all(self) -> tuple[Hashes, Numbers]:
        """Hashes and pairs of all hosts."""
        total = _Sum(self._bound)
        for one in self._sums.values():
            total.add(*one.settled())
        return total.settled()

    def _named(self) -> Iterator[HostTotal]:
        """The hosts whose names are held."""
        held = np.fromiter(self._names, np.uint64, len(self._names))
        totals = [HostTotal(name) for name in self._names.values()]
        for (word, kept), one in self._sums.items():
            counts = one.at(held)
            there = np.flatnonzero(counts)
            for place, count in zip(there.tolist(), counts[there].tolist(), strict=True):
                total = totals[place]
                total.words[word] += count
                total.kept += count if kept else 0
                total.lost += 0 if kept else count
        yield from totals

    def _forget(self) -> None:
        few = self._held // 4
        leading = {one.host for one in (*self.largest(few), *self.worst(few))}
        self._names = {number: name for number, name in self._names.items() if name in leading}


class _Sum:
    """Pairs by the hash of their host. pending: counts that wait to be summed up, at least."""

    def __init__(self, pending: int) -> None:
        self._bound = pending
        self._hashes: Hashes = np.empty(0, np.uint64)  # sorted
        self._counts: Numbers = np.empty(0, np.int64)
        self._waiting: list[tuple[Hashes, Numbers]] = []
        self._pending = 0

    def add(self, hashes: Hashes, counts: Numbers) -> None:
        """Add pairs; of a hash that is there, to those."""
        self._waiting.append((hashes, counts))
        self._pending += hashes.size
        if self._pending > max(self._bound, self._hashes.size // 4):
            self.settled()

    def settled(self) -> tuple[Hashes, Numbers]:
        """Hashes, ascending, and their pairs."""
        if self._waiting:
            hashes, counts = (
                np.concatenate(parts)
                for parts in zip((self._hashes, self._counts), *self._waiting, strict=True)
            )
            self._hashes, place = np.unique(hashes, return_inverse=True)
            self._counts = np.zeros(self._hashes.size, np.int64)
            np.add.at(self._counts, place, counts)
            self._waiting, self._pending = [], 0
        return self._hashes, self._counts

    def at(self, hashes: Hashes) -> Numbers:
        """The pairs of some hashes, 0 where there are none."""
        known, counts = self.settled()
        if not known.size:
            return np.zeros(hashes.size, np.int64)
        places = np.minimum(np.searchsorted(known, hashes), known.size - 1)
        return np.where(known[places] == hashes, counts[places], 0)


def _text(word: str | bytes | None) -> str:
    return word.decode("utf-8", "replace") if isinstance(word, bytes) else word or ""


def _hash(host: str) -> int:
    return xxhash.xxh3_64_intdigest(host.encode("utf-8", "surrogatepass"))


def _number(name: str) -> int:
    return int(name[1:], 16) if name.startswith(_HASHED) else _hash(name)
