"""One request to the fault host and the means to answer it, byte for byte, well or badly."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .faulthost import FaultHost

LONGEST = 60.0  # seconds after which the host ends any answer, stalls included
Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Manner:
    """How one host treats every request: seconds of latency, requests a second before 429, silence."""

    latency: float = 0.0
    rate: float = 0.0
    burst: float = 1.0
    retry_after: str = ""
    stall: bool = False
    _tokens: float = -1.0
    _at: float = 0.0

    def admits(self, now: float) -> bool:
        """Whether the token bucket has one for a request now (monotonic seconds)."""
        if not self.rate:
            return True
        filled = self.burst if self._tokens < 0 else self._tokens + (now - self._at) * self.rate
        self._at, self._tokens = now, min(filled, self.burst)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


@dataclass(slots=True)
class Request:
    """One request as it came: `target` is the raw request target, `host` the name asked for, without port.

    nth counts the requests for this target at this host, on_connection those on this connection, from 1.
    """

    method: str
    target: str
    host: str
    head: str
    nth: int = 1
    on_connection: int = 1

    @classmethod
    def parse(cls, head: bytes) -> Request:
        """The request in `head`; Latin-1, so that every byte survives."""
        text = head.decode("latin-1")
        method, target, _ = text.split("\r\n", 1)[0].split(" ", 2)
        request = cls(method, target, "", text)
        request.host = request.headers.get("host", "").rsplit(":", 1)[0]
        return request

    @property
    def headers(self) -> dict[str, str]:
        """By name in lower case."""
        lines = (line.partition(":") for line in self.head.split("\r\n")[1:])
        return {name.lower(): value.strip() for name, colon, value in lines if colon}


class Exchange:
    """One request and the means to answer it well or badly. `keep` says whether the connection stays."""

    def __init__(self, host: FaultHost, request: Request, streams: Streams) -> None:
        self.host, self.request, self.keep = host, request, True
        self.reader, self.writer = streams

    async def send(self, data: bytes) -> None:
        """Write and wait until the socket takes it; ConnectionError once the client is gone."""
        self.writer.write(data)
        await self.writer.drain()

    async def reply(self, body: bytes, status: int = 200, *headers: str) -> None:
        """A well-formed answer; `headers` are whole lines."""
        phrase = HTTPStatus(status).phrase if status in set(HTTPStatus) else "Unheard Of"
        lines = (f"HTTP/1.1 {status} {phrase}", f"Content-Length: {len(body)}", *headers)
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        await self.send(head + (body if self.request.method != "HEAD" else b""))

    async def stall(self, seconds: float = LONGEST) -> None:
        """Silence until the client goes away, at most `seconds`; the connection then ends."""
        self.keep = False
        with contextlib.suppress(TimeoutError):
            while await asyncio.wait_for(self.reader.read(1 << 16), seconds):
                pass

    def close(self) -> None:
        """End the connection in an orderly way after what was sent."""
        self.keep = False

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.keep = False
        on = struct.pack("ii", 1, 0)
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, on)
        self.writer.transport.abort()
