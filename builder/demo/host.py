"""The embedded image host of the demo: HTTP/1.1 on loopback, honest or misbehaving as each route says.

    with Host(12) as host:                 # binds 127.0.0.1 ... 127.0.0.12, one port, in a background thread
        host.routes = {target: Route(...)}

A request target is looked up as it arrives, byte for byte: an address rewritten on its way finds nothing. The
host counts what it is asked, and every misbehaviour ends by itself within a minute.
"""

from __future__ import annotations

import contextlib
import http.server
import socket
import socketserver
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LONGEST = 60.0  # seconds that any misbehaviour or idle connection lasts
RATE = 20  # requests a second that the limited routes grant together
CUT = ("stall", "stall-body", "drip", "short")  # acts that end the connection


@dataclass(frozen=True, slots=True)
class Route:
    """What a target answers with.

    act: `send` (headers and the file), or `flaky` (500 the first time), `limited` (429 beyond the host's rate), `stall`
    (no answer), `stall-body` (half of it), `drip` (a byte now and then), `short` (closes early).
    headers: added ones, such as Location or X-Robots-Tag.
    """

    file: Path | None = None
    content_type: str = "image/jpeg"
    status: int = 200
    act: str = "send"
    headers: tuple[tuple[str, str], ...] = ()


class Host:
    """A small web server in threads; `addresses`, `port` and `refused_port` are known from the start."""

    def __init__(self, addresses: int = 12, rate: int = RATE) -> None:
        self.routes: Mapping[str, Route] = {}
        self.requests: Counter[str] = Counter()  # by target
        self.stopping = threading.Event()
        self._servers = [_Listener(("127.0.0.1", 0), self)]
        self.port = int(self._servers[0].server_address[1])
        for number in range(2, addresses + 1):
            with contextlib.suppress(OSError):  # some systems have 127.0.0.1 only
                self._servers.append(_Listener((f"127.0.0.{number}", self.port), self))
        self.addresses = [str(server.server_address[0]) for server in self._servers]
        self._closed = socket.socket()  # bound and never listening: connections to it are refused
        self._closed.bind(("127.0.0.1", 0))
        self.refused_port: int = self._closed.getsockname()[1]
        self._rate, self._window = rate, (0.0, 0)
        self._count = threading.Condition()
        self._threads = [
            threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
            for server in self._servers
        ]

    def __enter__(self) -> Host:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()
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

    def asked_for(self, target: str) -> Route:
        """Count a request for `target`; how it is answered now."""
        with self._count:
            self.requests[target] += 1
            self._count.notify_all()
            route = self.routes.get(target, Route(status=404))
            if route.act == "flaky" and self.requests[target] == 1:
                return Route(status=500)
            if route.act == "limited" and self._refuses():
                return Route(status=429, headers=(("Retry-After", "1"),))
            return route

    def _refuses(self) -> bool:
        """Whether the limited routes gave their share of this second away."""
        start, given = self._window
        now = time.monotonic()
        self._window = (start, given + 1) if now - start < 1 else (now, 1)
        return self._window[1] > self._rate


class _Listener(socketserver.ThreadingTCPServer):
    """One address of the host."""

    allow_reuse_address = daemon_threads = True
    request_queue_size = 512

    def __init__(self, address: tuple[str, int], host: Host) -> None:
        self.host = host
        super().__init__(address, _Exchange)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients hang up as they please; anything else is told."""
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class _Exchange(http.server.BaseHTTPRequestHandler):
    """A connection: it is kept until the client leaves, is idle for long, or asks for what ends it."""

    server: _Listener
    protocol_version = "HTTP/1.1"
    timeout = LONGEST
    disable_nagle_algorithm = True  # head and body are written one after the other

    def do_GET(self) -> None:
        """Answer as the route of the target says; `path` would lack the second of two slashes."""
        host = self.server.host
        route = host.asked_for(self.requestline.split(" ")[1])
        self.close_connection |= route.act in CUT
        if route.act == "stall":
            host.stopping.wait(LONGEST)
            return
        body = route.file.read_bytes() if route.file else b""
        self.send_response_only(route.status)
        length = ("Content-Length", str(len(body)))
        for name, value in (("Content-Type", route.content_type), length, *route.headers):
            self.send_header(name, value)
        self.end_headers()
        if route.act == "drip":
            self._drip(body)
        else:
            self.wfile.write(body[: len(body) // 2] if route.act in CUT else body)
        if route.act == "stall-body":
            host.stopping.wait(LONGEST)

    def _drip(self, body: bytes) -> None:
        end = time.monotonic() + LONGEST
        for byte in body:
            if time.monotonic() > end or self.server.host.stopping.wait(0.2):
                break
            self.wfile.write(bytes([byte]))

    def send_error(self, *_: Any, **__: Any) -> None:
        """Hang up on what is no GET."""
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        """Say nothing of a request."""
