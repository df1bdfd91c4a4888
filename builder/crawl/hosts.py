"""Hosts as Common Crawl's annotations name them: those to leave out, and what became of the pairs of each.

deny.parquet: host, or surt_host_name ─▶ DeniedHosts
counts by host and reason ─▶ ledger/crawl/hosts.parquet, which joins the host index of Common Crawl
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute

from ..disk.parquet import parquet, plain
from ..errors import InputError
from ..reasons import REBUILD_REASONS, Reason
from ..stage.counts import KEPT, HostCounts
from ..web.hostname import canonical, is_address

pc: Any = compute  # its stubs know no mix of column and constant
SURT = "surt_host_name"  # the key of the host index
LARGEST = 50_000_000  # hosts of a list; Common Crawl's host index has some 300 M
_WWW = re.compile(r"www\d*")


def surt_of(host: str) -> str:
    """A host with its labels turned round, `com,example` of www.example.com, as the host index has it."""
    labels = host.lower().rstrip(".").split(".")
    if len(labels) > 2 and _WWW.fullmatch(labels[0]):
        labels = labels[1:]
    return host if is_address(host) else ",".join(reversed(labels))


def host_of_surt(name: str) -> str:
    """The host of such a name, without its www."""
    return ".".join(reversed(name.split(","))) if "," in name else name


class DeniedHosts:
    """The hosts of a list, each with all that is below it."""

    def __init__(self, names: Iterable[str]) -> None:
        self._names = frozenset(names)

    def __bool__(self) -> bool:
        return bool(self._names)

    def holds(self, host: str) -> bool:
        """Whether a host, or one that it is below, is on the list."""
        if not self._names or not host:
            return False
        labels = surt_of(host).split(",")
        return any(",".join(labels[:count]) in self._names for count in range(1, len(labels) + 1))

    @classmethod
    def read(cls, url: str) -> DeniedHosts:
        """Read a table with a column `host`, or `surt_host_name`; InputError where it has neither."""
        if not url:
            return cls(())
        with parquet(url) as file:
            if file.metadata.num_rows > LARGEST:
                raise InputError(f"{url}: {file.metadata.num_rows:,} rows; --hosts takes {LARGEST:,} at most")
            names = file.schema_arrow.names
            name = next((one for one in ("host", SURT) if one in names), None)
            if name is None:
                raise InputError(f"{url}: no column host or {SURT} in it; it has {', '.join(names)}")
            column: Any = plain(file.read([name])).column(name)
        if not pa.types.is_string(column.type) and not pa.types.is_large_string(column.type):
            raise InputError(f"{url}: column {name} is {column.type}, not string")
        hosts = [host.strip() for host in column.drop_null().unique().to_pylist() if host.strip()]
        return cls(hosts if name == SURT else map(_surt_of_name, hosts))


def _surt_of_name(name: str) -> str:
    try:
        return surt_of(canonical(name))
    except ValueError:
        return name


def of_hosts(counts: HostCounts) -> pa.Table:
    """The table of hosts: surt_host_name, host, pairs, kept, and the pairs dropped by each reason of a crawl.

    counts: by `surt_of` of the host of the page, of pages on which there is Chinese.
    """
    words = [reason.value for reason in Reason if reason not in REBUILD_REASONS[2:]]
    found = sorted(counts.largest(None), key=lambda one: one.host)
    columns: dict[str, list[Any]] = {
        SURT: [one.host for one in found],
        "host": [host_of_surt(one.host) for one in found],
        "pairs": [one.pairs for one in found],
        KEPT: [one.kept for one in found],
        **{word: [one.words[word] for one in found] for word in words},
    }
    return pa.table({name: pa.array(values) for name, values in columns.items()})
