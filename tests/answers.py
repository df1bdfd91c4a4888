"""Ways for the fault host to answer, well and badly, and numbered routes for tests and benchmarks.

Each function of the first part makes a Handler: Exchange in, bytes on the wire. The routes, n being any text
that ends in digits before the extension:
/picture/n.jpg; /slow/MILLISECONDS/n.jpg; /gate/n.jpg (held until the gate opens); /stall/n; /html/n;
/status/CODE/n; /flaky/CODE/TIMES/n.jpg (TIMES refusals, then the picture); /hop/N/n.jpg (N redirects);
/to/QUOTED-URL; /made/KIND (of PICTURES); /big/length/BYTES and /big/endless/BYTES.
"""

from __future__ import annotations

import asyncio
import email.utils
import re
import time
from collections.abc import Awaitable, Callable
from functools import partial
from urllib.parse import unquote

from . import pictures
from .exchange import Exchange
from .pictures import HTML, PICTURES, jpeg

Handler = Callable[[Exchange], Awaitable[None]]
Body = bytes | Callable[[], bytes]
OK = b"HTTP/1.1 200 OK\r\n"


# --- ways to answer: each makes a Handler -------------------------------------------------------------------


def content(body: Body) -> bytes:
    """The bytes of a body that may be made on demand."""
    return body if isinstance(body, bytes) else body()


def answer(body: Body = b"", status: int = 200, *headers: str) -> Handler:
    """A well-formed answer."""
    return lambda x: x.reply(content(body), status, *headers)


def raw(*pieces: Body, every: float = 0.0) -> Handler:
    """Exactly these bytes, `every` seconds apart, and the end of the connection."""

    async def serve(x: Exchange) -> None:
        x.close()
        for piece in pieces:
            await x.send(content(piece))
            await asyncio.sleep(every)

    return serve


def head(*lines: str) -> bytes:
    """The head of a 200 with these header lines."""
    return OK + "".join(line + "\r\n" for line in lines).encode("latin-1") + b"\r\n"


def long(size: int) -> bytes:
    """The head of a 200 with this Content-Length."""
    return head(f"Content-Length: {size}")


def stalling(*pieces: Body) -> Handler:
    """These bytes, then silence."""

    async def serve(x: Exchange) -> None:
        for piece in pieces:
            await x.send(content(piece))
        await x.stall()

    return serve


def dripping(start: bytes, piece: bytes, every: float) -> Handler:
    """`start`, then `piece` again and again until the client goes."""

    async def serve(x: Exchange) -> None:
        await x.send(start)
        while True:
            await x.send(piece)
            await asyncio.sleep(every)

    return serve


def resetting(start: bytes) -> Handler:
    """`start`, then a TCP reset; Linux hands over what came before it."""

    async def serve(x: Exchange) -> None:
        await x.send(start)
        x.reset()

    return serve


def turns(*handlers: Handler) -> Handler:
    """The first request gets the first, and so on; the last stays."""
    return lambda x: handlers[min(x.request.nth, len(handlers)) - 1](x)


def redirect(location: str | bytes, status: int = 302) -> Handler:
    """A redirect; bytes of the location go out as they are."""
    where = location if isinstance(location, bytes) else location.encode("latin-1")
    start = f"HTTP/1.1 {status} Moved\r\nContent-Length: 0\r\nLocation: ".encode()
    return lambda x: x.send(start + where + b"\r\n\r\n")


def big(size: int, announced: bool) -> Handler:
    """`size` bytes behind the magic of a JPEG, as fast as the client takes them."""

    async def serve(x: Exchange) -> None:
        x.close()
        await x.send((long(size) if announced else head()) + b"\xff\xd8\xff\xe0")
        block = bytes(1 << 16)
        for left in range(size - 4, 0, -len(block)):
            await x.send(block[:left])

    return serve


def cut(make: Callable[[], bytes], share: float = 0.5) -> Callable[[], bytes]:
    """The first part of a file, served as if it were the whole."""
    return lambda: (made := make())[: int(len(made) * share)]


def chunked(body: bytes, end: bytes = b"0\r\n\r\n") -> bytes:
    """A 200 in one chunk, and its `end`."""
    return head("Transfer-Encoding: chunked") + f"{len(body):x}".encode() + b"\r\n" + body + b"\r\n" + end


def framed(body: bytes, *lines: str) -> bytes:
    """A 200 with these header lines and the right length."""
    return head(*lines, f"Content-Length: {len(body)}") + body


async def soon(x: Exchange) -> None:
    """503 that names the date, a second from now, when to come back."""
    when = email.utils.formatdate(time.time() + 1, usegmt=True)
    await x.reply(b"busy", 503, f"Retry-After: {when}")


async def once_per_connection(x: Exchange) -> None:
    """The first request of a connection is answered; the connection then dies without a word."""
    if x.request.on_connection == 1:
        await x.reply(GOOD)
    else:
        x.close()


async def without_cookies(x: Exchange) -> None:
    """Sixty cookies, and a refusal for whoever brings one back."""
    lines = [f"Set-Cookie: visit{n}={'x' * 200}; Path=/" for n in range(60)]
    await x.reply(GOOD, 400 if "cookie" in x.request.headers else 200, *lines)


async def picky(x: Exchange) -> None:
    """Only for clients that say who they are, and that ask for no part."""
    said = x.request.headers
    await x.reply(GOOD, 200 if said.get("host") and said.get("user-agent") and "range" not in said else 400)


# --- bodies -------------------------------------------------------------------------------------------------

GOOD = jpeg()
LARGE = jpeg((320, 240), 90)  # some 50 KB: more than the first segment


def zero_tail() -> bytes:
    """A JPEG whose second half was never written."""
    return LARGE[: len(LARGE) // 2] + bytes(len(LARGE) - len(LARGE) // 2)


def bad_entropy() -> bytes:
    """A JPEG, whole by its markers, with a hole of noise in its entropy-coded data."""
    middle = len(LARGE) // 2
    return LARGE[:middle] + b"\x5a\xa5" * 1500 + LARGE[middle + 3000 :]


def bad_png() -> bytes:
    """A PNG with one flipped bit in its pixels."""
    made = bytearray(PICTURES["png"]())
    made[made.index(b"IDAT") + 12] ^= 0x10
    return bytes(made)


def empty_gif() -> bytes:
    """A GIF without a frame."""
    return b"GIF89a\x40\0\x30\0\0\0\0;"


def tiny(kind: str) -> Callable[[], bytes]:
    """The tracking pixel."""
    return lambda: pictures.save(pictures.scene((1, 1)), kind)


def wide(size: tuple[int, int]) -> Callable[[], bytes]:
    """A banner."""
    return lambda: jpeg(size)


# --- routes -------------------------------------------------------------------------------------------------


def _number(text: str) -> int:
    found = re.search(r"(\d+)\D*$", text)
    return int(found[1]) % (1 << 32) if found else 0


async def _slow(x: Exchange, milliseconds: str, rest: str) -> None:
    await asyncio.sleep(int(milliseconds) / 1000)
    await x.reply(pictures.numbered(_number(rest)))


async def _gate(x: Exchange, rest: str) -> None:
    await x.host.gate.wait()
    await x.reply(pictures.numbered(_number(rest)))


async def _flaky(x: Exchange, status: str, times: str, rest: str) -> None:
    if x.request.nth <= int(times):
        await x.reply(b"later", int(status))
    else:
        await x.reply(pictures.numbered(_number(rest)))


async def _hop(x: Exchange, left: str, rest: str) -> None:
    onward = (
        redirect(f"/hop/{int(left) - 1}/{rest}") if int(left) else answer(pictures.numbered(_number(rest)))
    )
    await onward(x)


ROUTES: dict[str, Callable[..., Awaitable[None]]] = {
    r"/picture/(.*)": lambda x, rest: x.reply(pictures.numbered(_number(rest))),
    r"/slow/(\d+)/(.*)": _slow,
    r"/gate/(.*)": _gate,
    r"/stall/.*": lambda x: x.stall(),
    r"/html/.*": answer(HTML, 200, "Content-Type: text/html"),
    r"/status/(\d+)/.*": lambda x, status: x.reply(b"no", int(status)),
    r"/flaky/(\d+)/(\d+)/(.*)": _flaky,
    r"/hop/(\d+)/(.*)": _hop,
    r"/later/(\d+)/(\d+)/.*": lambda x, status, seconds: x.reply(
        b"later", int(status), f"Retry-After: {seconds}"
    ),
    r"/to/(.*)": lambda x, url: redirect(unquote(url).encode())(x),
    r"/made/(.*)": lambda x, kind: x.reply(PICTURES[kind]()),
    r"/big/(length|endless)/(\d+)": lambda x, how, size: big(int(size), how == "length")(x),
}
_PATTERNS = [(re.compile(pattern), handler) for pattern, handler in ROUTES.items()]


def route(target: str) -> Handler | None:
    """The handler of a numbered route; None for any other request target."""
    for pattern, handler in _PATTERNS:
        if match := pattern.fullmatch(target):
            return partial(_call, handler, match.groups())
    return None


def _call(handler: Callable[..., Awaitable[None]], groups: tuple[str, ...], x: Exchange) -> Awaitable[None]:
    return handler(x, *groups)
