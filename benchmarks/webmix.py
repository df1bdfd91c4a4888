"""A web-like server: slow answers, errors, stalls, a host with a request limit, and bodies made to exhaust memory.

In: `python webmix.py IMAGES HOSTS`, a folder of image files and how many loopback addresses to listen on. Out: one
line of JSON with its ports, then it serves until its standard input closes. What a URL does is written in its path:

    /ok/MS/N      image N after MS milliseconds          /stall/N      takes the request and never answers
    /404/N        404                                    /html/N       a page with status 200 and type image/jpeg
    /flaky/MS/N   500 the first time, then as /ok        /limit/N, /quiet/N   image N, at most RATE requests a second;
    /bomb/NAME    see hostile.py                                       beyond it 429, with Retry-After or without
    /_counts, /_reset   requests by path since the last reset, as JSON

One asyncio process with a raw protocol: a request costs it about 0.05 ms, so that the clients have the cores.
"""

from __future__ import annotations

import asyncio
import json
import random
import resource
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from hostile import stream

RATE, BURST = 50.0, 5.0  # requests a second that a limited path accepts, and how many at once
PAGE = b"<!doctype html><html><body><h1>Not here any more</h1></body></html>"
IMAGES_HELD = 600  # distinct images served, about 90 MB


@dataclass
class Web:
    """The state of the server: the images, what was asked for, and the bucket of the limited paths."""

    images: list[bytes]
    asked: Counter[str]
    tokens: float = BURST
    filled: float = 0.0

    def image(self, number: str) -> bytes:
        """Image `number`, whole, as an answer."""
        return answer("200 OK", self.images[int(number) % len(self.images)], "image/jpeg")

    def admit(self) -> bool:
        """Takes a token from the bucket, if there is one."""
        now = time.monotonic()
        self.tokens = min(BURST, self.tokens + (now - self.filled) * RATE)
        self.filled = now
        if self.tokens < 1.0:
            return False
        self.tokens -= 1.0
        return True

    def reset(self) -> None:
        """As at the start."""
        self.asked.clear()
        self.tokens, self.filled = BURST, time.monotonic()


def answer(status: str, body: bytes, kind: str, extra: str = "") -> bytes:
    """An HTTP/1.1 answer."""
    return (
        f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {len(body)}\r\n{extra}\r\n".encode()
        + body
    )


class Connection(asyncio.Protocol):
    """One client connection; one request at a time, as HTTP/1.1 clients send them."""

    def __init__(self, web: Web) -> None:
        self.web, self.buffer = web, b""
        self.writable = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keeps the transport."""
        self.transport: Any = transport
        self.writable.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Lets a stream that waits for the client end."""
        self.writable.set()

    def pause_writing(self) -> None:
        """The client is slower than we are."""
        self.writable.clear()

    def resume_writing(self) -> None:
        """The client caught up."""
        self.writable.set()

    def data_received(self, data: bytes) -> None:
        """Answers each whole request head."""
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            line, self.buffer = self.buffer[: self.buffer.find(b"\r\n")], self.buffer[end + 4 :]
            self.respond(line.split(b" ")[1].decode("ascii", "replace"))

    def send(self, data: bytes) -> None:
        """Writes unless the client has gone."""
        if not self.transport.is_closing():
            self.transport.write(data)

    def respond(self, path: str) -> None:
        """Does what the path says."""
        web, (kind, *rest) = self.web, path.strip("/").split("/")
        if not kind.startswith("_"):
            web.asked[path] += 1
        if kind == "ok" or (kind == "flaky" and web.asked[path] > 1):
            asyncio.get_running_loop().call_later(int(rest[0]) / 1000, self.send, web.image(rest[1]))
        elif kind == "flaky":
            self.send(answer("500 Internal Server Error", PAGE, "text/html"))
        elif kind in ("limit", "quiet"):
            after = "Retry-After: 1\r\n" if kind == "limit" else ""
            limited = answer("429 Too Many Requests", b"slow down", "text/plain", after)
            self.send(web.image(rest[0]) if web.admit() else limited)
        elif kind == "html":
            self.send(answer("200 OK", PAGE, "image/jpeg"))
        elif kind == "bomb":
            self.task = asyncio.create_task(stream(rest[0], self.transport, self.writable))
        elif kind.startswith("_"):
            self.control(kind)
        elif kind != "stall":
            self.send(answer("404 Not Found", PAGE, "text/html"))

    def control(self, kind: str) -> None:
        """What the benchmark itself asks for."""
        if kind == "_reset":
            self.web.reset()
        self.send(answer("200 OK", json.dumps(self.web.asked).encode(), "application/json"))


async def serve(bodies: list[bytes], hosts: int) -> None:
    """Listens on `hosts` addresses, prints the ports, and serves until standard input ends."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 65536)), hard))
    web = Web(bodies, Counter())
    closed = socket.socket()  # bound and not listening: connections to its port are refused
    closed.bind(("127.0.0.1", 0))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = int(probe.getsockname()[1])
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Connection(web), addresses(hosts), port, backlog=1024)
    print(json.dumps({"port": port, "refused": closed.getsockname()[1]}), flush=True)
    async with server:
        await loop.run_in_executor(None, sys.stdin.read)
    closed.close()


def addresses(hosts: int) -> list[str]:
    """That many addresses of the loopback network."""
    return [f"127.0.{1 + i // 250}.{1 + i % 250}" for i in range(hosts)]


@dataclass(frozen=True)
class Mix:
    """A running server."""

    port: int
    refused: int
    hosts: list[str]

    def ask(self, control: str) -> dict[str, int]:
        """`_counts` or `_reset`."""
        with urlopen(f"http://{self.hosts[0]}:{self.port}/{control}", timeout=30) as response:
            counts: dict[str, int] = json.load(response)
            return counts

    def url(self, host: int, path: str) -> str:
        """URL of a path on one of the hosts."""
        return f"http://{self.hosts[host % len(self.hosts)]}:{self.port}{path}"

    def web_like(self, count: int) -> list[str]:
        """URLs in the proportions of the web: 82 % slow images, 9 % 404, 3 % refused, 3 % stalls, 2 % HTML, 1 % 500."""
        rng = random.Random(17)
        urls = []
        for i in range(count):
            share, latency = rng.random(), rng.randrange(20, 1501)
            path = next(
                path for limit, path in (
                    (0.82, f"/ok/{latency}/{i}"), (0.91, f"/404/{i}"), (0.94, f"/refused/{i}"),
                    (0.97, f"/stall/{i}"), (0.99, f"/html/{i}"), (1.0, f"/flaky/{latency}/{i}"),
                ) if share < limit
            )  # fmt: skip
            url = self.url(rng.randrange(len(self.hosts)), path)
            urls.append(url.replace(f":{self.port}/", f":{self.refused}/") if "/refused/" in path else url)
        return urls


@contextmanager
def serving(images: Path, hosts: int = 500) -> Iterator[Mix]:
    """Runs the server in a process of its own until the block ends."""
    command = [sys.executable, __file__, str(images), str(hosts)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        ports = json.loads(process.stdout.readline())
        yield Mix(ports["port"], ports["refused"], addresses(hosts))
    finally:
        process.stdin.close()
        process.wait(20)


if __name__ == "__main__":
    files = sorted(Path(sys.argv[1]).iterdir())[:IMAGES_HELD]
    asyncio.run(serve([file.read_bytes() for file in files], int(sys.argv[2])))
