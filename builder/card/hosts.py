"""How many pairs each host has: exact, the same in whatever order, and small however many hosts there are.

    column url, kept rows ─▶ Hosts ─▶ {"distinct": .., "pairs": .., "largest": {host: pairs}}

Every host is held as a 64-bit hash and a number, 16 bytes; names only of the leading ones. A name is forgotten when
NAMED / 2 hosts held precede its host, more pairs first, then by name. A host that comes again is named again, so the
SHOWN largest of what one object has counted always have their names. Merged parts give the same as long as none of
them had more than NAMED hosts; no shard has.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import xxhash

from ..web.hostname import host_of

pc: Any = compute  # its stubs know no mix of column and constant

SHOWN = 1000  # of a finished release
NAMED = 400_000  # names held at most
_PENDING = 1 << 20  # counts that wait to be summed up, at least

_AUTHORITY = r"(?s)//(?P<authority>[^/?#\\]*)"  # all that ledger.host_of looks at
_HASHED = "#"  # before a hash in the place of a name; no host begins so


class Hosts:
    """Pairs by host. It adds up: whatever the order and the batches, the same pairs give the same."""

    def __init__(self) -> None:
        self._hashes: npt.NDArray[np.uint64] = np.empty(0, np.uint64)  # sorted
        self._counts: npt.NDArray[np.int64] = np.empty(0, np.int64)
        self._waiting: list[tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]] = []
        self._names: dict[int, str] = {}
        self._left_out: tuple[int, int] = (0, 0)  # hosts and pairs that a finished release does not list

    def add(self, urls: Any) -> None:
        """Count an Arrow column of URLs; those without a host count nowhere."""
        found = pc.extract_regex(urls.cast(pa.binary()), pattern=_AUTHORITY)
        if isinstance(found, pa.ChunkedArray):
            found = found.combine_chunks()
        counted = pc.value_counts(pc.struct_field(found, "authority"))
        counts: dict[str, int] = {}
        for raw, count in zip(counted.field(0).to_pylist(), counted.field(1).to_pylist(), strict=True):
            if raw and (host := host_of("//" + raw.decode("utf-8", "replace"))):
                counts[host] = counts.get(host, 0) + count
        self._take({_hash(host): host for host in counts}, [*counts.values()])

    def _take(self, names: dict[int, str], counts: list[int]) -> None:
        """Add hosts by the hash of their names; one whose name is not known has the empty one."""
        self._waiting.append((np.fromiter(names, np.uint64, len(names)), np.array(counts, np.int64)))
        self._names |= names
        if sum(len(hashes) for hashes, _ in self._waiting) > max(_PENDING, self._hashes.size // 4):
            self._sum_up()
        if len(self._names) > NAMED:
            self._forget()

    def merge(self, other: Hosts) -> None:
        """Add what another has counted; ValueError where it is of a finished release, which lists the largest only."""
        if self._left_out != (0, 0) or other._left_out != (0, 0):
            raise ValueError("hosts that were cut to the largest cannot be added: use as_dict(hosts=None)")
        other._sum_up()
        self._waiting.append((other._hashes, other._counts))
        self._names |= other._names
        self._sum_up()
        if len(self._names) > NAMED:
            self._forget()

    def _sum_up(self) -> None:
        if not self._waiting:
            return
        hashes = np.concatenate([self._hashes, *(hashes for hashes, _ in self._waiting)])
        counts = np.concatenate([self._counts, *(counts for _, counts in self._waiting)])
        self._hashes, place = np.unique(hashes, return_inverse=True)
        self._counts = np.zeros(self._hashes.size, np.int64)
        np.add.at(self._counts, place, counts)
        self._waiting = []

    def _forget(self) -> None:
        ordered = sorted(self._named(), key=lambda one: (-one[1], one[2]))
        self._names = {number: name for number, _, name in ordered[: NAMED // 2]}

    def _named(self) -> Iterator[tuple[int, int, str]]:
        """Hash, pairs and name of the hosts whose names are held."""
        self._sum_up()
        held = np.fromiter(self._names, np.uint64, len(self._names))
        counts = self._counts[np.searchsorted(self._hashes, held)].tolist()
        yield from zip(self._names, counts, self._names.values(), strict=True)

    def largest(self, limit: int) -> list[tuple[str, int]]:
        """The hosts with most pairs, then by name."""
        named = [(name, count) for _, count, name in self._named()]
        return sorted(named, key=lambda one: (-one[1], one[0]))[:limit]

    def as_dict(self, limit: int | None = SHOWN) -> dict[str, Any]:
        """As plain JSON. limit: how many to list; None: all, so that `of_dict` can be added to others."""
        self._sum_up()
        distinct, pairs = (
            int(self._hashes.size) + self._left_out[0],
            int(self._counts.sum()) + self._left_out[1],
        )
        listed = dict(self.largest(SHOWN if limit is None else limit))
        if limit is None:
            listed = {
                self._names.get(number, f"{_HASHED}{number:016x}"): count
                for number, count in zip(self._hashes.tolist(), self._counts.tolist(), strict=True)
            }
        return {"distinct": distinct, "pairs": pairs, "largest": dict(sorted(listed.items()))}

    @classmethod
    def of_dict(cls, document: dict[str, Any]) -> Self:
        """What as_dict wrote."""
        hosts, listed = cls(), document["largest"]
        named = {_number(name): name for name in listed}
        hosts._waiting.append(
            (np.fromiter(named, np.uint64, len(named)), np.array([*listed.values()], np.int64))
        )
        hosts._names = {number: name for number, name in named.items() if name[0] != _HASHED}
        hosts._left_out = (document["distinct"] - len(listed), document["pairs"] - sum(listed.values()))
        return hosts


def _hash(host: str) -> int:
    return xxhash.xxh3_64_intdigest(host.encode())


def _number(name: str) -> int:
    return int(name[1:], 16) if name[0] == _HASHED else _hash(name)
