"""A web server on loopback that serves a small crawl, with every answer that a transfer must bear.

with CrawlHost({"/crawl-data/CC-MAIN-2026-30/wat.paths.gz": b"..."}) as host:
    host.next("/a.gz", Odd(status=503, retry_after="1"), Odd(cut=1000))     # its next two answers
    host.url("/a.gz"), host.asked, host.peak

python -m tests.crawl.crawlhost FOLDER      a process; not needed so far
"""

from __future__ import annotations

import asyncio
import hashlib
import queue
import re
import threading
from collections import Counter, defaultdict, deque
from dataclasses import dataclass
from typing import Self, cast

from aiohttp import web

PIECE = 16 << 10


@dataclass(frozen=True, slots=True)
class Odd:
    """An answer that is not the file. cut, stall: bytes of the body before the connection ends, or says no more.

    whole: a Range is ignored; length: a Content-Length that is a lie; chunked: none at all; location: of a redirect;
    body: of a refusal.
    """

    status: int = 0
    retry_after: str = ""
    cut: int = -1
    stall: int = -1
    whole: bool = False
    length: int = -1
    chunked: bool = False
    location: str = ""
    body: str = ""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked."""

    path: str
    query: str
    range: str
    agent: str
    authorization: str


class CrawlHost:
    """The server, in a thread. files: by path, and may change; asked: the log; peak: most answers at once.

    sent: bytes of bodies, by path; ended: the paths of bodies, as they ended; weak: whether the validators are; gate:
    while it is closed no body goes beyond its first half, and each that comes there releases `halfway`.
    """

    def __init__(self, files: dict[str, bytes]) -> None:
        self.files = files
        self.asked: list[Request] = []
        self.weak = False
        self.sent: Counter[str] = Counter()
        self.peak = self._busy = 0
        self.gate, self.halfway = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self.ended: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._next: defaultdict[str, deque[Odd]] = defaultdict(deque)
        self._open: set[asyncio.Transport] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="crawl host", daemon=True)

    def next(self, path: str, *odd: Odd) -> None:
        """The next answers for a path."""
        self._next[path].extend(odd)

    def url(self, path: str) -> str:
        """The address of a path."""
        return f"http://127.0.0.1:{self.port}{path}"

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._start(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._over.set()
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    async def _start(self) -> None:
        self._over = threading.Event()
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", self._serve)
        self._runner = web.AppRunner(application, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.port = int(self._runner.addresses[0][1])

    async def _end(self) -> None:
        await self._runner.cleanup()
        for transport in self._open:
            transport.abort()  # one that was cut waits for a client to read the rest, who may be gone
        await asyncio.sleep(0)  # in which their sockets are closed

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        head = request.headers
        assert request.transport is not None
        self._open.add(request.transport)
        self.asked.append(
            Request(
                request.path,
                request.query_string,
                head.get("Range", ""),
                head.get("User-Agent", ""),
                head.get("Authorization", ""),
            )
        )
        odd = self._next[request.path].popleft() if self._next[request.path] else Odd()
        if odd.status or odd.location:
            headers = {"Retry-After": odd.retry_after} if odd.retry_after else {}
            headers |= {"Location": odd.location} if odd.location else {}
            return web.Response(status=odd.status or 302, headers=headers, text=odd.body)
        if request.path not in self.files:
            return web.Response(status=404)
        try:
            return await self._body(request, odd)
        finally:
            self.ended.put(request.path)

    async def _body(self, request: web.Request, odd: Odd) -> web.StreamResponse:
        data = self.files[request.path]
        etag = f'{"W/" * self.weak}"{hashlib.md5(data).hexdigest()}"'
        first = 0
        asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
        if asked and not odd.whole and request.headers.get("If-Range", etag) == etag:
            first = int(asked[1])
        response = web.StreamResponse(status=206 if first else 200, headers={"ETag": etag})
        if first:
            response.headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        body = data[first:]
        if not odd.chunked:
            response.content_length = len(body) if odd.length < 0 else odd.length
        await response.prepare(request)
        await self._write(request, response, body, odd)
        return response

    async def _write(self, request: web.Request, response: web.StreamResponse, body: bytes, odd: Odd) -> None:
        end = next((place for place in (odd.cut, odd.stall) if place >= 0), len(body))
        self._busy += 1
        self.peak = max(self.peak, self._busy)
        for place in range(0, end, PIECE):
            if place >= len(body) // 2 and not self.gate.is_set():
                self.halfway.release()
                await asyncio.to_thread(self.gate.wait)
            piece = body[place : min(place + PIECE, end)]
            self.sent[request.path] += len(piece)  # before a client can have seen the last of them
            self._busy -= place + PIECE >= end
            await response.write(piece)
        if odd.stall >= 0:
            await asyncio.to_thread(self._over.wait)
        if end < len(body) or odd.length > len(body):
            cast(asyncio.Transport, request.transport).close()
