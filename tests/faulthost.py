"""A small web on loopback that misbehaves: an HTTP/1.1 server with control over every byte, and counters.

What it answers is in `tests/faults.py`: the table `FAULTS` and the numbered routes such as `/picture/7.jpg`.
Here are the connections, the manners of whole hosts (latency, rate limit, stall), the counters that tests
read, and three ways to run it:

    async with FaultHost() as host: ...                # in the loop of the test
    with FaultHost(hosts=4) as host: ...               # in a thread of its own
    python -m tests.faulthost --port 0 --hosts 4       # a process; prints its base URL; see CONTROL

Each loopback address it listens on is a host of its own. No answer takes longer than `LONGEST` seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import signal
import socket
import ssl
import subprocess
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from .exchange import LONGEST, Exchange, Manner, Request
from .faults import FAULTS, Fault, find

__all__ = ["FAULTS", "Exchange", "Fault", "FaultHost", "Manner", "Request"]

# Paths of the host itself, never counted: read the counters, zero them, open the gate, set a Manner:
# /__manner__?host=127.0.0.2&rate=50&retry_after=1&latency=0.02&stall=1
CONTROL = ("/__stats__", "/__reset__", "/__open__", "/__manner__")


class FaultHost:
    """The server. `hosts` loopback addresses from 127.0.0.1 on share one port; `tls` adds a second port.

    files: further bodies by request target; manners: Manner by host name or address;
    requests, connections, peak: what came, how many connections were opened, most open at once by address;
    busiest: most requests in flight at once by host.
    """

    def __init__(self, hosts: int = 1, port: int = 0, tls: bool = False) -> None:
        self.addresses = [f"127.0.0.{n + 1}" for n in range(hosts)]
        self.port, self.tls_port, self.apart, self._tls = port, 0, 0, tls
        self.files: dict[str, bytes] = {}
        self.manners: dict[str, Manner] = {}
        self.certificate = ""
        self._open: Counter[str] = Counter()
        self._busy: Counter[str] = Counter()
        self._changed = threading.Condition()
        self._waiters: list[asyncio.Future[None]] = []
        self._closing = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._thread: threading.Thread | None = None
        self._exit = contextlib.ExitStack()
        self._loop: asyncio.AbstractEventLoop
        self._stop: asyncio.Event
        self.gate: asyncio.Event
        self.reset()

    # --- what tests ask -------------------------------------------------------------------------------

    def url(self, what: Fault | str, host: int = 0) -> str:
        """The URL of a fault or of a path, on the `host`-th address."""
        path, via = (what, "http") if isinstance(what, str) else (what.path, what.via)
        address = self.addresses[host]
        places = {
            "http": f"http://{address}:{self.port}",
            "https": f"https://{address}:{self.tls_port}",
            "https-on-http": f"https://{address}:{self.port}",
            "http-on-https": f"http://{address}:{self.tls_port}",
            "apart": f"http://{address}:{self.apart}",
            "closed": f"http://{address}:1",
            "unknown": "http://nowhere.invalid",
        }
        return places[via] + path

    def count(self, target: str | None = None) -> int:
        """Requests seen since the last reset, of one request target or of all."""
        return len(self.requests) if target is None else self.asked[target]

    async def seen(self, number: int, target: str | None = None, timeout: float | None = None) -> None:
        """Wait, in the loop of the host, until `number` requests have come; TimeoutError after `timeout` seconds."""
        async with asyncio.timeout(timeout):
            while self.count(target) < number:
                waiter = self._loop.create_future()
                self._waiters.append(waiter)
                await waiter

    def wait_for(self, number: int, target: str | None = None, timeout: float | None = None) -> None:
        """The same from another thread."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.count(target) >= number, timeout):
                raise TimeoutError(f"{self.count(target)} of {number} requests in {timeout} s")

    def open_gate(self) -> None:
        """Let the requests for /gate/... go on; from any thread."""
        self._loop.call_soon_threadsafe(self.gate.set)

    def stats(self) -> dict[str, Any]:
        """The counters as JSON can say them."""
        targets = [request.target for request in self.requests]
        return {
            "requests": len(targets),
            "targets": targets,
            "paths": dict(Counter(target.partition("?")[0] for target in targets)),
            "hosts": dict(Counter(request.host for request in self.requests)),
            "connections": self.connections,
            "peak": dict(self.peak),
            "busiest": dict(self.busiest),
        }

    def reset(self) -> None:
        """Zero the counters; connections stay."""
        self.requests: list[Request] = []
        self.asked: Counter[str] = Counter()
        self.connections = 0
        self.peak: Counter[str] = Counter()
        self.busiest: Counter[str] = Counter()
        self._nth: Counter[tuple[str, str]] = Counter()

    # --- connections ----------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        address = writer.get_extra_info("sockname")[0]
        self.connections += 1
        self._open[address] += 1
        self.peak[address] = max(self.peak[address], self._open[address])
        try:
            # CancelledError is ours: close() cancels. TimeoutError: LONGEST. The rest: the client left.
            with contextlib.suppress(
                asyncio.CancelledError, TimeoutError, OSError, asyncio.IncompleteReadError
            ):
                await self._converse(reader, writer)
        finally:
            self._tasks.discard(task)
            self._open[address] -= 1
            if self._closing:
                writer.transport.abort()
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while True:
            first = await reader.readexactly(1)
            if first == b"\x16":  # the hello of TLS on the wrong port: what nginx says to it
                writer.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                return
            request = Request.parse(first + await reader.readuntil(b"\r\n\r\n"))
            exchange = Exchange(self, request, (reader, writer))
            if request.target.partition("?")[0] in CONTROL:
                await self._control(exchange)
                continue
            number += 1
            request.on_connection = number
            self._note(request)
            self._busy[request.host] += 1
            self.busiest[request.host] = max(self.busiest[request.host], self._busy[request.host])
            try:
                async with asyncio.timeout(LONGEST):
                    await self._answer(exchange)
            finally:
                self._busy[request.host] -= 1
            if not exchange.keep:
                return

    def _note(self, request: Request) -> None:
        self._nth[request.host, request.target] += 1
        request.nth = self._nth[request.host, request.target]
        with self._changed:
            self.requests.append(request)
            self.asked[request.target] += 1
            self._changed.notify_all()
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def _answer(self, exchange: Exchange) -> None:
        target, manner = exchange.request.target, self.manners.get(exchange.request.host)
        if manner is not None:
            await asyncio.sleep(manner.latency)
            if manner.stall:
                return await exchange.stall()
            if not manner.admits(time.monotonic()):
                asked = (f"Retry-After: {manner.retry_after}",) if manner.retry_after else ()
                return await exchange.reply(b"slow down", 429, *asked)
        if target in self.files:
            return await exchange.reply(self.files[target])
        return await find(target)(exchange)

    async def _control(self, exchange: Exchange) -> None:
        parts = urlsplit(exchange.request.target)
        stats = self.stats()
        if parts.path == "/__reset__":
            self.reset()
        elif parts.path == "/__open__":
            self.open_gate()
        elif parts.path == "/__manner__":
            said = dict(parse_qsl(parts.query))
            numbers = {name: float(said[name]) for name in ("latency", "rate", "burst") if name in said}
            manner = Manner(
                **numbers, retry_after=said.get("retry_after", ""), stall=said.get("stall") == "1"
            )
            self.manners[said["host"]] = manner
        await exchange.reply(json.dumps(stats).encode(), 200, "Content-Type: application/json")

    # --- running --------------------------------------------------------------------------------------

    async def __aenter__(self) -> FaultHost:
        self._loop, self._stop, self.gate = asyncio.get_running_loop(), asyncio.Event(), asyncio.Event()
        sockets = _bind(self.addresses, self.port)
        self.port = sockets[0].getsockname()[1]
        apart = _bind(self.addresses, 0)
        self.apart = apart[0].getsockname()[1]
        await self._serve(sockets + apart, None)
        if self._tls:
            folder = self._exit.enter_context(tempfile.TemporaryDirectory())
            self.certificate, key = self_signed(
                Path(folder), ["DNS:localhost", *(f"IP:{address}" for address in self.addresses)]
            )
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(self.certificate, key)
            secure = _bind(self.addresses, 0)
            self.tls_port = secure[0].getsockname()[1]
            await self._serve(secure, context)
        return self

    async def _serve(self, sockets: list[socket.socket], context: ssl.SSLContext | None) -> None:
        for bound in sockets:
            self._servers.append(
                await asyncio.start_server(self._connected, sock=bound, ssl=context, backlog=2048)
            )

    async def __aexit__(self, *_: object) -> None:
        self._closing = True
        for server in self._servers:
            server.close()
        for task in (tasks := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for server in self._servers:
            await server.wait_closed()
        await asyncio.sleep(0)  # the transports say goodbye one turn after they are closed
        self._servers.clear()
        self._exit.close()

    async def run(self, ready: threading.Event, seconds: float) -> None:
        """Serve until `stop` or for `seconds`."""
        async with self:
            ready.set()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    def stop(self, *_: object) -> None:
        """End `run`, from any thread or from a signal."""
        self._loop.call_soon_threadsafe(self._stop.set)

    def __enter__(self) -> FaultHost:
        ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self.run(ready, 3600)), daemon=True)
        self._thread.start()
        if not ready.wait(300):
            raise TimeoutError("the fault host did not start")
        return self

    def __exit__(self, *_: object) -> None:
        assert self._thread is not None
        self.stop()
        self._thread.join()


def _bind(addresses: list[str], port: int) -> list[socket.socket]:
    """One socket for each address, all on one port; a free one where `port` is 0."""
    for _ in range(20):
        sockets: list[socket.socket] = []
        try:
            for address in addresses:
                sockets.append(made := socket.socket())
                made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                made.bind((address, port or (sockets[0].getsockname()[1] if len(sockets) > 1 else 0)))
            return sockets
        except OSError:
            for made in sockets:
                made.close()
            if port:
                raise
    raise OSError(f"no port is free on all of {addresses}")


def self_signed(folder: Path, names: list[str]) -> tuple[str, str]:
    """Files of a fresh certificate for `names` and its key; SSL_CERT_FILE pointed at the first trusts it."""
    certificate, key = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:prime256v1",
        "-nodes",
    ]
    command += ["-days", "2", "-subj", "/CN=test", "-addext", f"subjectAltName={','.join(names)}"]
    subprocess.run([*command, "-keyout", key, "-out", certificate], check=True, capture_output=True)
    return certificate, key


def main() -> None:
    """Serve until SIGTERM or SIGINT; prints the base URL and, on a second line, that of https."""
    parser = argparse.ArgumentParser(description="a small web on loopback that misbehaves")
    parser.add_argument("--port", type=int, default=0, help="0: a free one")
    parser.add_argument("--hosts", type=int, default=1, help="loopback addresses from 127.0.0.1 on")
    parser.add_argument(
        "--tls", action="store_true", help="also serve https; prints its URL and the certificate's path"
    )
    parser.add_argument("--seconds", type=float, default=3600.0, help="ends by itself after so long")
    options = parser.parse_args()
    host, ready = FaultHost(options.hosts, options.port, options.tls), threading.Event()

    async def serve() -> None:
        running = asyncio.create_task(host.run(ready, options.seconds))
        await asyncio.to_thread(ready.wait)
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, host.stop)
        print(host.url(""), flush=True)
        if host.tls_port:
            print(f"https://127.0.0.1:{host.tls_port} {host.certificate}", flush=True)
        await running

    asyncio.run(serve())


if __name__ == "__main__":
    main()
