"""Addresses that may be reached, and how a name becomes one: name in, globally routable addresses out.

A manifest names hosts that anyone may buy, so every address is checked where it counts: on the socket about
to connect (`guarded_socket`), which sees IP literals, redirects and names alike, and after name resolution.
aiohttp connects to the very address the resolver returned, so an answer that changes between check and
connect changes nothing.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

import aiodns
import pycares
from aiodns import error
from aiohttp.abc import AbstractResolver, ResolveResult

from ..reasons import Reason

IN_FLIGHT = 100  # lookups: 1,900 a second at 50 ms measured; a burst of 400 lost a packet and waited 2 s
FRESH = (60.0, 3600.0)  # seconds that an answer is kept, whatever its TTL below and above
NAMELESS = 300.0  # seconds that "there is no such name" is kept
UNANSWERED = 5.0  # seconds that a silent or failing server is not asked again for the same name
REMEMBERED = 20_000  # names
TRY = 0.8  # seconds until a lookup is repeated; the second try waits twice as long, and so on
TRIES = 3
ADDRESSES = 4  # of one name, at most: each may cost one connect deadline

# The IANA special-purpose registries (RFC 6890 and its successors), written out because
# `ipaddress.is_global` differs between patch releases of Python, lets multicast through and takes 6to4 and
# NAT64 for global whatever they embed.
# fmt: off
_REFUSED_4 = tuple(map(ipaddress.IPv4Network, (
    "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12",
    "192.0.0.0/24", "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24",
    "203.0.113.0/24", "224.0.0.0/3",  # multicast, reserved, broadcast
    "168.63.129.16/32",  # public by its number, but the host of every Azure machine answers on it
)))
# fmt: on
_UNICAST_6 = ipaddress.IPv6Network("2000::/3")  # all that IANA has given out; the rest is refused
_REFUSED_6 = tuple(map(ipaddress.IPv6Network, ("2001::/23", "2001:db8::/32", "3fff::/20")))
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

_DEFINITIVE = frozenset((error.ARES_ENODATA, error.ARES_ENOTFOUND, error.ARES_EBADNAME, error.ARES_EBADQUERY))

AddressInfo = tuple[Any, Any, int, str, tuple[Any, ...]]  # as getaddrinfo gives it


class AddressError(OSError):
    """The refusal of a connection, for `reason` (DNS or BLOCKED_ADDRESS); transient: asking later may change it."""

    def __init__(self, reason: Reason, transient: bool = False) -> None:
        super().__init__(reason.value)
        self.reason = reason
        self.transient = transient


def is_global(address: str) -> bool:
    """Whether an IPv4 or IPv6 address, as text, belongs to a host on the public Internet."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    if isinstance(parsed, ipaddress.IPv6Address):
        embedded = parsed.ipv4_mapped or parsed.sixtofour
        if parsed in _NAT64:
            embedded = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if embedded is None:
            return parsed in _UNICAST_6 and not any(parsed in network for network in _REFUSED_6)
        parsed = embedded
    return not any(parsed in network for network in _REFUSED_4)


def guarded_socket(allow_private: bool) -> Callable[[AddressInfo], socket.socket]:
    """A socket factory for aiohttp's TCPConnector; raises AddressError before a socket exists."""

    def make(info: AddressInfo) -> socket.socket:
        family, kind, protocol, _, address = info
        if not (allow_private or is_global(address[0])):
            raise AddressError(Reason.BLOCKED_ADDRESS)
        return socket.socket(family, kind, protocol)

    return make


@dataclass(slots=True)
class _Answer:
    expires: float
    addresses: list[str]
    reason: Reason | None = None  # why there is no address
    transient: bool = False


class Resolver(AbstractResolver):
    """Names to addresses over c-ares: cached, one lookup a name however many wait, few in flight.

    `nameservers`: `address[:port]`; those of the system when empty. /etc/hosts is honoured, search domains
    are not. AAAA is asked only where there is no A: it halves the lookups. again: seconds until a lookup is repeated.
    """

    def __init__(
        self,
        nameservers: Sequence[str] = (),
        allow_private: bool = False,
        *,
        again: float = TRY,
        in_flight: int = IN_FLIGHT,
        remembered: int = REMEMBERED,
    ) -> None:
        self._dns = aiodns.DNSResolver(
            nameservers or None, timeout=again, tries=TRIES, flags=pycares.ARES_FLAG_NOSEARCH
        )
        self._allow_private = allow_private
        self._slots = asyncio.Semaphore(in_flight)
        self._remembered = remembered
        self._answers: OrderedDict[str, _Answer] = OrderedDict()
        self._lookups: dict[str, asyncio.Task[_Answer]] = {}

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """The addresses of `host`. Raises AddressError where it has none, or none that may be reached."""
        answer = self._answers.get(host)
        if answer is None or answer.expires < monotonic():
            answer = await asyncio.shield(self._lookup(host))
        else:
            self._answers.move_to_end(host)
        if answer.reason is not None:
            raise AddressError(answer.reason, answer.transient)
        return [
            ResolveResult(
                hostname=host,
                host=address,
                port=port,
                family=socket.AF_INET6 if ":" in address else socket.AF_INET,
                proto=0,
                flags=socket.AI_NUMERICHOST,
            )
            for address in answer.addresses
        ]

    async def close(self) -> None:
        """Stop the lookups in flight."""
        for task in self._lookups.values():
            task.cancel()
        await asyncio.gather(*self._lookups.values(), return_exceptions=True)
        await self._dns.close()

    def _lookup(self, host: str) -> asyncio.Task[_Answer]:
        """The lookup of `host` under way, or a new one; it goes on when whoever asked has left."""
        task = self._lookups.get(host)
        if task is None:
            task = self._lookups[host] = asyncio.create_task(self._ask(host))
            task.add_done_callback(lambda _: self._lookups.pop(host))
        return task

    async def _ask(self, host: str) -> _Answer:
        async with self._slots:
            try:
                found, ttl = await self._query(host)
            except error.DNSError as failure:
                definitive = failure.args[0] in _DEFINITIVE
                kept = NAMELESS if definitive else UNANSWERED
                answer = _Answer(monotonic() + kept, [], Reason.DNS, transient=not definitive)
            else:
                allowed = [x for x in found if self._allow_private or is_global(x)][:ADDRESSES]
                expires = monotonic() + min(max(ttl, FRESH[0]), FRESH[1])
                answer = _Answer(expires, allowed, None if allowed else Reason.BLOCKED_ADDRESS)
        self._answers[host] = answer
        self._answers.move_to_end(host)
        if len(self._answers) > self._remembered:
            self._answers.popitem(last=False)
        return answer

    async def _query(self, host: str) -> tuple[list[str], float]:
        """(addresses, seconds they may be kept). Raises DNSError."""
        try:
            result = await self._dns.getaddrinfo(host, family=socket.AF_INET, type=socket.SOCK_STREAM)
        except error.DNSError as failure:
            if failure.args[0] != error.ARES_ENODATA:
                raise
            result = await self._dns.getaddrinfo(host, family=socket.AF_INET6, type=socket.SOCK_STREAM)
        addresses = [node.addr[0].decode("ascii").partition("%")[0] for node in result.nodes]
        if not addresses:
            raise error.DNSError(error.ARES_ENODATA, "no address")
        return list(dict.fromkeys(addresses)), float(min(node.ttl for node in result.nodes))
