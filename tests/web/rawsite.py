"""A loopback server that says exactly the bytes a test gives it, and remembers what it was asked."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
from collections.abc import Awaitable, Callable
from typing import Self

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Answer = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def http(status: int = 200, body: bytes = b"picture", *headers: str) -> bytes:
    """An answer that keeps the connection."""
    lines = [f"HTTP/1.1 {status} Said", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + body


async def stall(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Say nothing more until the client leaves."""
    with contextlib.suppress(OSError):
        await reader.read()


async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End the connection with RST."""
    await writer.drain()
    writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def then(first: bytes, rest: Answer) -> Answer:
    """`first`, then what `rest` does."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(first)
        await writer.drain()
        if isinstance(rest, bytes):
            writer.write(rest)
        else:
            await rest(reader, writer)

    return answer


def drip(piece: bytes) -> Answer:
    """`piece` again and again, a hundred times a second, until the client leaves."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while not reader.at_eof() and not writer.is_closing():
            writer.write(piece)
            await writer.drain()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(reader.read(1), 0.01)

    return answer


class RawSite:
    """Answers the n-th request with the n-th of `answers`, further ones with the last.

    Bytes that are a whole answer keep the connection when `keep` is set; else it ends after each answer.
    heads: the requests; connections: how many were opened; arrived, left: set when a
    client has asked, and when it has gone.
    """

    def __init__(
        self, *answers: Answer, keep: bool = False, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None
    ):
        self.answers, self.keep, self.host, self.tls = answers, keep, host, tls
        self.heads: list[bytes] = []
        self.connections = 0
        self.arrived, self.left = asyncio.Event(), asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, self.host, 0, ssl=self.tls)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._server.wait_closed()

    def url(self, path: str = "/", host: str = "") -> str:
        return f"http{'s' if self.tls else ''}://{host or self.host}:{self.port}{path}"

    @property
    def targets(self) -> list[bytes]:
        return [head.split(b" ")[1] for head in self.heads]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        # CancelledError is __aexit__'s; the others: the client left
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                self.heads.append(await reader.readuntil(b"\r\n\r\n"))
                self.arrived.set()
                answer = self.answers[min(len(self.heads), len(self.answers)) - 1]
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(reader, writer)
                if not (self.keep and isinstance(answer, bytes)):
                    break
        self._tasks.discard(task)
        self.left.set()
        writer.close()
