"""The body of one answer, read within limits: an aiohttp response in, its bytes decompressed out.

Bytes are counted as they arrive and again after decompression; the reader stops at the first byte too many.
Bodies beyond `SMALL` share one budget of bytes, so that concurrency times the largest body never has to fit
into memory.
"""

from __future__ import annotations

import asyncio
import zlib

from aiohttp import ClientResponse, StreamReader, hdrs

from ..reasons import Dropped, Reason

SMALL = 1 << 20  # bytes of one body that need no share of the budget; most pictures are smaller
BUDGET = 64 << 20  # bytes of all bodies beyond SMALL in flight, at least one of the largest

_INFLATED = frozenset({"gzip", "x-gzip", "deflate"})
# We ask for none; a picture gains nothing by them.
_FOREIGN = frozenset({"br", "zstd", "compress", "x-compress"})


class Failed(Dropped):
    """The try ends here, for `reason`; transient: a later one may fare better."""

    def __init__(self, reason: Reason, transient: bool = False) -> None:
        super().__init__(reason)
        self.transient = transient


class Budget:
    """A semaphore with weights, first come first served."""

    def __init__(self, size: int) -> None:
        self._free = size
        self._turn, self._freed = asyncio.Lock(), asyncio.Event()

    async def take(self, weight: int) -> None:
        """Wait until `weight` is free, and take it."""
        async with self._turn:
            while self._free < weight:
                self._freed.clear()
                await self._freed.wait()
            self._free -= weight

    def give(self, weight: int) -> None:
        """Give back, and wake whoever is next."""
        self._free += weight
        self._freed.set()


class BodyReader:
    """Reader of bodies of at most `max_bytes`, on the wire and decompressed: one for all requests of a loop."""

    def __init__(self, max_bytes: int, patience: float) -> None:
        self._max_bytes = max_bytes
        self._patience = patience
        self._budget = Budget(max(BUDGET, max_bytes))

    async def read(self, response: ClientResponse, deadline: asyncio.Timeout) -> tuple[bytes, int]:
        """The whole body, and its share of the budget: whoever has no more use for the body must `give_back`.

        `deadline` is put off while waiting for memory, up to `patience` seconds. Raises Failed with TOO_LARGE,
        EMPTY, TRUNCATED, CORRUPT (broken compression) or NOT_IMAGE (a compression that was not asked for and
        is not spoken), and what aiohttp raises.
        """
        length, inflater = self._announced(response)
        body, held = await self._collect(response.content, length, inflater, deadline)
        if not body:
            raise Failed(Reason.EMPTY)
        return body, held

    def give_back(self, held: int) -> None:
        """Return a body's share of the budget."""
        self._budget.give(held)

    async def _collect(
        self, content: StreamReader, length: int, inflater: Inflater | None, deadline: asyncio.Timeout
    ) -> tuple[bytes, int]:
        chunks: list[bytes] = []
        size = wire = held = 0
        try:
            while True:
                if not held and max(size, length) > SMALL:
                    held = await self._hold(length or self._max_bytes, deadline)
                if inflater is None or not inflater.pending:
                    chunk = await content.readany()
                    if not chunk:
                        break
                    wire += len(chunk)
                if inflater is not None:  # a bomb must not unfold before it has its share of the budget
                    chunk = inflater.feed(chunk, (self._max_bytes if held else SMALL) - size + 1)
                size += len(chunk)
                if max(size, wire) > self._max_bytes:
                    raise Failed(Reason.TOO_LARGE)
                chunks.append(chunk)
            if wire and inflater is not None and not inflater.whole:
                raise Failed(Reason.TRUNCATED, transient=True)
            return b"".join(chunks), held
        except BaseException:
            self._budget.give(held)
            raise

    def _announced(self, response: ClientResponse) -> tuple[int, Inflater | None]:
        """(bytes to expect, 0 when unknown; what decompresses them), from the headers."""
        length = response.content_length or 0
        if length > self._max_bytes:
            raise Failed(Reason.TOO_LARGE)
        encoding = response.headers.get(hdrs.CONTENT_ENCODING)
        if encoding is None:
            return length, None
        encoding = encoding.strip().lower()
        if encoding in _FOREIGN:
            raise Failed(Reason.NOT_IMAGE)
        if encoding in _INFLATED:
            return 0, Inflater(gzip=encoding != "deflate")
        return length, None  # identity, or no encoding at all such as `none` and `utf-8`: the bytes decide

    async def _hold(self, weight: int, deadline: asyncio.Timeout) -> int:
        """Take a share of the budget. Waiting for memory is no fault of the host: its deadline waits."""
        when = deadline.when()
        assert when is not None
        loop = asyncio.get_running_loop()
        started = loop.time()
        deadline.reschedule(when + self._patience)
        await self._budget.take(weight)
        deadline.reschedule(when + (loop.time() - started))
        return weight


class Inflater:
    """Decompressor of gzip or deflate (zlib's or bare), piece by piece.

    A body labelled gzip that does not begin as one passes unchanged: some servers label pictures so.
    """

    def __init__(self, gzip: bool) -> None:
        self._gzip = gzip
        self._held = b""
        self._stream: zlib._Decompress | None = None
        self._mislabelled = False

    @property
    def whole(self) -> bool:
        """Whether the end of the stream was seen."""
        return self._mislabelled or (self._stream is not None and self._stream.eof)

    @property
    def pending(self) -> bool:
        """Whether there is more to be had without more data."""
        return self._stream is not None and bool(self._stream.unconsumed_tail)

    def feed(self, data: bytes, most: int) -> bytes:
        """Bytes that `data` adds, `most` bytes at most; `data` is not looked at while some is pending.

        Raises Failed(CORRUPT).
        """
        if self._stream is None and not self._mislabelled:
            data = self._held = self._held + data
            if len(data) < 2:
                return b""
            self._open(data)
        if self._stream is None:
            return data
        if self._stream.eof:
            return b""
        try:
            return self._stream.decompress(self._stream.unconsumed_tail or data, most)
        except zlib.error:
            raise Failed(Reason.CORRUPT) from None

    def _open(self, data: bytes) -> None:
        if self._gzip:
            self._mislabelled = not data.startswith(b"\x1f\x8b")
            self._stream = None if self._mislabelled else zlib.decompressobj(16 + zlib.MAX_WBITS)
        else:  # RFC 9110 means zlib's format; bare deflate is what old servers send
            wrapped = data[0] & 0x0F == 8 and int.from_bytes(data[:2], "big") % 31 == 0
            self._stream = zlib.decompressobj(zlib.MAX_WBITS if wrapped else -zlib.MAX_WBITS)
