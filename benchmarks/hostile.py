"""Bodies made to exhaust a client's memory, for webmix.py: 1.5 GB of bytes, and small files that grow.

In: a name of `BOMBS`. Out: the answer, streamed as fast as the client takes it.
"""

from __future__ import annotations

import asyncio
import struct
import sys
import zlib
from functools import cache
from typing import Any

LARGE = 1_500_000_000
CHUNK = b"\xff\xd8\xff\xe0" + bytes(1 << 20)
BOMBS = {
    "length": "1.5 GB body with Content-Length",
    "endless": "1.5 GB body without Content-Length",
    "gzip": "1 MB of gzip that grows to 1 GB",
    "png": "1.2 MB PNG of 400 megapixels",
}


@cache
def gzip_bomb() -> bytes:
    """1 GiB of zeros behind a JPEG magic, gzipped: about 1 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    parts = [packer.compress(CHUNK[:4])]
    zeros = bytes(1 << 20)
    parts += [packer.compress(zeros) for _ in range(1024)]
    return b"".join([*parts, packer.flush()])


@cache
def png_bomb(side: int = 20_000) -> bytes:
    """A valid black RGB PNG of side x side pixels: about 1.2 MB."""
    packer = zlib.compressobj(9)
    row = bytes(1 + 3 * side)
    data = b"".join([packer.compress(row) for _ in range(side)] + [packer.flush()])
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


async def stream(name: str, transport: Any, writable: asyncio.Event) -> None:
    """Writes the answer `name` to the transport; stops when the client goes."""
    head = "HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\n"
    if name in ("gzip", "png"):
        body = await asyncio.to_thread(gzip_bomb if name == "gzip" else png_bomb)
        encoding = "Content-Encoding: gzip\r\n" if name == "gzip" else ""
        transport.write(f"{head}{encoding}Content-Length: {len(body)}\r\n\r\n".encode() + body)
        return
    length = f"Content-Length: {LARGE}\r\n" if name == "length" else "Connection: close\r\n"
    transport.write(f"{head}{length}\r\n".encode())
    sent = 0
    while sent < LARGE and not transport.is_closing():
        part = CHUNK[: LARGE - sent]
        transport.write(part)
        sent += len(part)
        await writable.wait()
    if name == "endless":
        transport.close()


if __name__ == "__main__":
    sys.stdout.write(f"gzip {len(gzip_bomb())} bytes, png {len(png_bomb())} bytes\n")
