"""The embedded image host of the demo: HTTP/1.1 on loopback, honest or misbehaving as each route says.

    with Host(12) as host:                 # binds 127.0.0.1 ... 127.0.0.12, one port, in a background thread
        host.routes = {target: Route(...)}

A request target is looked up as it arrives, byte for byte: an address rewritten on its way finds nothing. The
host counts what it is asked, and every misbehaviour ends by itself within a minute.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType

LONGEST = 60.0  # seconds that any misbehaviour or idle connection lasts
RATE = 20  # requests a second that the limited routes grant together
PHRASES = {200: "OK", 302: "Found", 404: "Not Found", 410: "Gone", 429: "Too Many Requests"}


@dataclass(frozen=True, slots=True)
class Route:
    """What a target answers with.

    act: `send` (headers and the file), or `flaky` (500 the first time), `limited` (429 beyond RATE), `stall`
    (no answer), `stall-body` (half of it), `drip` (a byte now and then), `short` (closes early).
    headers: added ones, such as Location or X-Robots-Tag.
    """

    file: Path | None = None
    content_type: str = "image/jpeg"
    status: int = 200
    act: str = "send"
    headers: tuple[tuple[str, str], ...] = ()


class Host:
    """A small web server in a thread; `addresses`, `port` and `refused_port` are known once it is entered."""

    def __init__(self, addresses: int = 12) -> None:
        self.routes: Mapping[str, Route] = {}
        self.requests: Counter[str] = Counter()  # by target
        self._sockets, self.addresses, self.port = _bind(addresses)
        self._closed = socket.socket()  # bound and never listening: connections to it are refused
        self._closed.bind(("127.0.0.1", 0))
        self.refused_port: int = self._closed.getsockname()[1]
        self._window = (0.0, 0)
        self._count = threading.Condition()
        self._loop = asyncio.new_event_loop()
        self._stopping = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name="demo-host", daemon=True)

    def __enter__(self) -> Host:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join(LONGEST)
        self._closed.close()

    @property
    def netlocs(self) -> list[str]:
        """Addresses as they stand in a URL: ip:port."""
        return [f"{address}:{self.port}" for address in self.addresses]

    def forget(self) -> None:
        """Start a new count of requests, also for the routes that fail only once."""
        with self._count:
            self.requests.clear()

    def served(self) -> int:
        """Requests since the start or the last `forget`."""
        with self._count:
            return self.requests.total()

    def wait_for(self, requests: int, seconds: float) -> bool:
        """Wait until so many requests came; False when `seconds` passed before."""
        with self._count:
            return self._count.wait_for(lambda: self.requests.total() >= requests, seconds)

    def _run(self) -> None:
        with asyncio.Runner(loop_factory=lambda: self._loop) as runner:
            runner.run(self._serve())

    async def _serve(self) -> None:
        servers = [await asyncio.start_server(self._connection, sock=one) for one in self._sockets]
        await self._stopping.wait()
        # Turns of the loop, so that connections already accepted begin: a server that is closed before (Python 3.11)
        # leaves their sockets open.
        for _ in range(10):
            await asyncio.sleep(0)
        for server in servers:
            server.close()  # the runner ends the connections, each a task

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            with contextlib.suppress(OSError, EOFError, ValueError, TimeoutError, asyncio.LimitOverrunError):
                while await self._request(reader, writer):
                    pass
        finally:
            writer.transport.abort() if self._stopping.is_set() else writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _request(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Read and answer one request; False when the connection ends with it."""
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), LONGEST)
        method, target, _ = head.split(b"\r\n", 1)[0].decode("latin-1").split(" ", 2)
        return method == "GET" and await self._answer(writer, target)

    async def _answer(self, writer: asyncio.StreamWriter, target: str) -> bool:
        """Answer a request for `target`; False when the connection ends with it."""
        with self._count:
            self.requests[target] += 1
            first = self.requests[target] == 1
            self._count.notify_all()
        route = self.routes.get(target, Route(status=404))
        if route.act == "stall":
            await self._wait(LONGEST)
            return False
        if route.act == "flaky" and first:
            route = Route(status=500)
        if route.act == "limited" and self._refuses():
            route = Route(status=429, headers=(("Retry-After", "1"),))
        body = route.file.read_bytes() if route.file else b""
        writer.write(_head(route, len(body)))
        if route.act == "drip":
            return await self._drip(writer, body)
        part = route.act in ("short", "stall-body")
        writer.write(body[: len(body) // 2] if part else body)
        await writer.drain()
        if route.act == "stall-body":
            await self._wait(LONGEST)
        return not part

    async def _drip(self, writer: asyncio.StreamWriter, body: bytes) -> bool:
        end = time.monotonic() + LONGEST
        for byte in body:
            if time.monotonic() > end or await self._wait(0.2):
                break
            writer.write(bytes([byte]))
            await writer.drain()
        return False

    async def _wait(self, seconds: float) -> bool:
        """Wait; True when the host stops meanwhile."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)
        return self._stopping.is_set()

    def _refuses(self) -> bool:
        """Whether the limited routes gave their share of this second away."""
        start, given = self._window
        now = time.monotonic()
        self._window = (start, given + 1) if now - start < 1 else (now, 1)
        return self._window[1] > RATE


def _head(route: Route, length: int) -> bytes:
    lines = [
        f"HTTP/1.1 {route.status} {PHRASES.get(route.status, 'Error')}",
        f"Content-Type: {route.content_type}",
        f"Content-Length: {length}",
        *(f"{name}: {value}" for name, value in route.headers),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def _bind(wanted: int) -> tuple[list[socket.socket], list[str], int]:
    """Sockets on one free port of up to `wanted` loopback addresses; some systems have 127.0.0.1 only."""
    first = socket.create_server(("127.0.0.1", 0), backlog=512)
    port = int(first.getsockname()[1])
    sockets, addresses = [first], ["127.0.0.1"]
    for number in range(2, wanted + 1):
        with contextlib.suppress(OSError):
            sockets.append(socket.create_server((f"127.0.0.{number}", port), backlog=512))
            addresses.append(f"127.0.0.{number}")
    return sockets, addresses, port
