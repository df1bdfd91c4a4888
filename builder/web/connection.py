"""Connections, made, kept and given up: aiohttp's, with what the open web needs changed.

Made only to allowed addresses; kept for 15 s, also after refusals; never to blame when the host has closed
one that was kept; cut at once when a body is not wanted.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import resource
import ssl
from contextvars import ContextVar
from functools import partial
from pathlib import Path
from socket import socket
from typing import Any

import aiohttp
import certifi
from aiohttp import ClientHandlerType, ClientRequest, ClientResponse
from aiohttp.client_proto import ResponseHandler
from aiohttp.http_exceptions import HttpProcessingError

from .address import AddressInfo, Resolver, guarded_socket
from .head import END, INTERIM, MOST_BYTES, SWITCHED, begins, mend

KEEP_ALIVE = 15.0  # seconds
# Seconds and bytes given to the body of a refusal, so that its connection can be kept.
DRAIN = (0.25, 16 << 10)
# Answers on the way to one; `102 Processing` comes every few seconds, a flood of them would hold up all other hosts.
MOST_INTERIM = 100
# Sends of one try: a kept connection may turn out closed by the host, and the next kept one too. A URL that makes
# its host hang up looks the same, so it must not cost every connection there is.
STALE = 3

_opened: ContextVar[list[AddressInfo] | None] = ContextVar("_opened", default=None)


class Connector(aiohttp.TCPConnector):
    """A connector without a limit of its own: the schedule has the limits."""

    def __init__(self, resolver: Resolver, allow_private: bool, tls: ssl.SSLContext | bool) -> None:
        super().__init__(
            resolver=resolver,
            use_dns_cache=False,  # the resolver has one
            socket_factory=_counting(allow_private),
            ssl=tls,
            limit=0,
            keepalive_timeout=KEEP_ALIVE,
        )
        # aiohttp has no public place for it; the tests of junk behind a body fail once it stops looking here.
        self._factory: partial[Any] = partial(_Handler, loop=asyncio.get_running_loop())


class _Handler(ResponseHandler):
    """A protocol as aiohttp's own, but where the outcome of a fetch would hang on the luck of the packets.

    It forgets an answer whole when something behind its head cannot be parsed and came in the same packet:
    here the head is parsed apart, and a picture with junk behind it is kept. It refuses heads that leave no doubt:
    here they are mended first, and their connection serves no other request. It takes an answer that comes while
    nothing was asked for that to the next request: here nothing is read behind a whole one. It closes a connection on a
    broken chunk without waking the reader, who would wait for the last deadline, and takes a body without a
    length for whole when the connection is reset: here the reader hears of both.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        super().__init__(loop)
        self._head = bytearray()  # of an answer, as far as it has come
        self._interim = 0  # answers on the way to this one
        self._served: Any = None  # the parser, one a request, that has had the head of its answer

    def data_received(self, data: bytes) -> None:
        while data and self._parser is not None and self._parser is not self._served:
            self._head += data
            end = END.search(self._head, max(0, len(self._head) - len(data) - 2))
            if end is None and begins(self._head) and len(self._head) <= MOST_BYTES:
                self.start_timeout()
                return
            cut = len(self._head) if end is None else end.end()
            head, data = bytes(self._head[:cut]), bytes(self._head[cut:])
            self._head.clear()
            if not self._head_received(head) or not data:
                return
        if data and self._served is self._parser and self._payload is not None and self._payload.is_eof():
            if self.transport is not None:
                self.transport.abort()
            return
        super().data_received(data)

    def _head_received(self, head: bytes) -> bool:
        """Have the head of an answer parsed; False where it is refused."""
        self._interim = self._interim + 1 if INTERIM.match(head) else 0
        try:
            if self._interim > MOST_INTERIM:
                raise ValueError("no end of interim answers")
            mended = mend(head)
        except ValueError as error:
            self.abort()
            self.set_exception(HttpProcessingError(message=str(error)))
            return False
        if not self._interim:
            self._served = self._parser
        super().data_received(mended)
        if mended != head or SWITCHED.match(head):
            self.force_close()
        return True

    def close(self) -> None:
        """Close at once: a polite close of TLS goes on reading for up to 30 s where the host does not answer it."""
        self.abort()

    def connection_lost(self, exc: BaseException | None) -> None:
        payload = self._payload
        if exc is not None:
            _broken_off(payload)
        super().connection_lost(exc)
        _broken_off(payload)


def _broken_off(payload: aiohttp.StreamReader | None) -> None:
    if payload is not None and not payload.is_eof() and payload.exception() is None:
        payload.set_exception(aiohttp.ClientPayloadError())


class ConnectionLost(aiohttp.ClientError):
    """The connection ended before an answer. Its own class: aiohttp sends again by itself after its own."""


def raise_file_limit() -> None:
    """Allow as many open files as the system does: a thousand hosts a second leave a thousand kept connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def trusted() -> ssl.SSLContext | bool:
    """The context that trusts SSL_CERT_FILE, or the system's certificates, or Mozilla's where there are none.

    True stands for the context of the system's that aiohttp has made already; loading a list takes 45 ms.
    """
    system = ssl.get_default_verify_paths()
    there = system.cafile or (system.capath and any(Path(system.capath).iterdir()))
    if there and not {system.openssl_cafile_env, system.openssl_capath_env} & os.environ.keys():
        return True
    context = ssl.create_default_context(cafile=None if there else certifi.where())
    context.set_alpn_protocols(["http/1.1"])
    return context


async def send(request: ClientRequest, handler: ClientHandlerType) -> ClientResponse:
    """Send, and again where a kept connection turns out closed: that says nothing about the host.

    On a fresh connection the loss is an answer of its own, and the next try is the schedule's to decide.
    """
    opened: list[AddressInfo] = []
    _opened.set(opened)
    for _ in range(STALE):
        try:
            return await handler(request)
        except aiohttp.ClientConnectorError:
            raise
        except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
            if opened:
                raise ConnectionLost from (error.__cause__ or error)
    raise ConnectionLost


def _counting(allow_private: bool) -> aiohttp.SocketFactoryType:
    """The guarded socket factory, which tells the request that it is called for: its connection is fresh."""
    guarded = guarded_socket(allow_private)

    def make(info: AddressInfo) -> socket:
        opened = _opened.get()
        if opened is not None:
            opened.append(info)
        return guarded(info)

    return make


async def drain(response: ClientResponse) -> None:
    """Read the little that follows a refusal; most often it is here already. What is longer is cut off."""
    seconds, most = DRAIN
    content = response.content
    if content.is_eof() or (response.content_length or 0) > most:
        return
    with contextlib.suppress(TimeoutError, aiohttp.ClientError):
        async with asyncio.timeout(seconds):
            while most > 0 and (chunk := await content.readany()):
                most -= len(chunk)
