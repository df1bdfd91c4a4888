"""Bodies within and beyond their limits: counted as they come, after decompression, and in memory together."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib

import pytest

from builder.reasons import Reason
from builder.web import body
from builder.web.body import Budget
from builder.web.fetch import Fetcher, Response
from builder.web.limits import FetchLimits, Identity

from .rawsite import Answer, RawSite, drip, http, stall, then

MOST = 100_000
PICTURE = b"\xff\xd8" + bytes(range(256)) * 40
LIMITS = FetchLimits(total=300.0, connect=300.0, idle=300.0, max_bytes=MOST)
ME = Identity("danqing-test/1", allow_private=True)
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def deflated(data: bytes) -> bytes:
    """Without zlib's header."""
    squeeze = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return squeeze.compress(data) + squeeze.flush()


def encoded(name: str, data: bytes) -> bytes:
    return http(200, data, f"Content-Encoding: {name}")


async def answer(said: Answer, limits: FetchLimits = LIMITS) -> Response:
    async with RawSite(said) as site, Fetcher(limits, ME) as fetcher:
        return await fetcher.fetch(site.url())


@pytest.mark.parametrize("over", [0, 1])
@pytest.mark.parametrize(
    "said",
    [
        lambda data: http(200, data),
        lambda data: b"HTTP/1.1 200 OK\r\n\r\n" + data,
        lambda data: CHUNKED + b"%x\r\n%b\r\n0\r\n\r\n" % (len(data), data),
        lambda data: encoded("gzip", gzip.compress(data)),
        lambda data: encoded("deflate", deflated(data)),
    ],
    ids=["declared", "until the end", "chunked", "gzip", "deflate"],
)
async def test_the_largest_body_and_one_byte_more(said: type[bytes], over: int) -> None:
    data = b"a" * (MOST + over)
    got = await answer(said(data))
    assert (got.reason, got.body) == ((Reason.TOO_LARGE, b"") if over else (None, data))
    assert not got.transient


@pytest.mark.parametrize(
    "said",
    [
        then(b"HTTP/1.1 200 OK\r\nContent-Length: 1500000000\r\n\r\n", drip(b"a" * 65536)),
        then(b"HTTP/1.1 200 OK\r\n\r\n", drip(b"a" * 65536)),
        then(CHUNKED, drip(b"10000\r\n" + b"a" * 65536 + b"\r\n")),
        then(
            b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0),
            drip(b"a" * 65536),
        ),
    ],
    ids=["declared", "endless", "endless chunks", "behind the end of gzip"],
)
async def test_what_is_too_large_is_cut_off(said: Answer) -> None:
    async with RawSite(said) as site, Fetcher(LIMITS, ME) as fetcher:
        assert (await fetcher.fetch(site.url())).reason is Reason.TOO_LARGE
        await site.left.wait()


async def test_a_declared_length_too_large_is_refused_before_the_body() -> None:
    got = await answer(then(b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n", stall))
    assert got.reason is Reason.TOO_LARGE


async def test_a_bomb_is_stopped() -> None:
    assert (await answer(encoded("gzip", gzip.compress(bytes(50_000_000))))).reason is Reason.TOO_LARGE


async def test_bombs_do_not_all_unfold_at_once() -> None:
    most, size = 16 << 20, 12 << 20
    squeeze = zlib.compressobj()
    bomb = encoded("deflate", squeeze.compress(bytes(size)) + squeeze.flush(zlib.Z_SYNC_FLUSH))
    waiting = then(bomb.replace(b"Length: ", b"Length: 9"), stall)  # for more, with all of that in memory
    async with RawSite(waiting) as site, Fetcher(FetchLimits(total=1.0, max_bytes=most), ME) as fetcher:
        tracemalloc.start()
        got = await asyncio.gather(*(fetcher.fetch(site.url()) for _ in range(30)))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    assert {response.reason for response in got} == {Reason.TIMEOUT}
    assert peak < 30 * body.SMALL + 2 * body.BUDGET < 30 * size


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("gzip", gzip.compress(PICTURE, mtime=0)),
        ("X-GZIP", gzip.compress(PICTURE, mtime=0)),
        ("deflate", zlib.compress(PICTURE)),
        ("deflate", deflated(PICTURE)),
        ("gzip", PICTURE),  # the label lies
        ("identity", PICTURE),
        ("none", PICTURE),
    ],
)
async def test_compression_nobody_asked_for(name: str, data: bytes) -> None:
    got = await answer(encoded(name, data))
    assert (got.reason, got.body) == (None, PICTURE)


async def test_compression_in_pieces() -> None:
    data = gzip.compress(PICTURE, mtime=0)
    pieces = b"".join(b"1\r\n%c\r\n" % byte for byte in data) + b"0\r\n\r\n"
    got = await answer(CHUNKED[:-2] + b"Content-Encoding: gzip\r\n\r\n" + pieces)
    assert (got.reason, got.body) == (None, PICTURE)


@pytest.mark.parametrize(
    ("name", "data", "reason", "transient"),
    [
        ("gzip", gzip.compress(PICTURE, mtime=0)[:-9], Reason.TRUNCATED, True),
        ("gzip", b"\x1f", Reason.TRUNCATED, True),
        ("deflate", zlib.compress(PICTURE)[:-9], Reason.TRUNCATED, True),
        ("gzip", b"\x1f\x8b junk junk junk junk", Reason.CORRUPT, False),
        ("deflate", b"\xff\xff junk", Reason.CORRUPT, False),
        ("gzip", gzip.compress(b"", mtime=0), Reason.EMPTY, False),
        ("br", PICTURE, Reason.NOT_IMAGE, False),
        ("zstd", PICTURE, Reason.NOT_IMAGE, False),
    ],
)
async def test_compression_that_yields_nothing(
    name: str, data: bytes, reason: Reason, transient: bool
) -> None:
    got = await answer(encoded(name, data))
    assert (got.reason, got.transient, got.body) == (reason, transient, b"")


# --- memory -----------------------------------------------------------------------------------------------------


async def test_large_bodies_take_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "SMALL", 1000)
    monkeypatch.setattr(body, "BUDGET", MOST)
    first, gate = asyncio.Event(), asyncio.Event()

    async def held(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 60000\r\n\r\n" + b"a" * 30000)
        first.set()
        await gate.wait()
        writer.write(b"a" * 30000)

    async with (
        RawSite(held) as slow,
        RawSite(http(200, b"b" * 60000)) as large,
        RawSite(http(200, b"c" * 999)) as small,
        Fetcher(LIMITS, ME) as fetcher,
    ):
        tasks = [asyncio.create_task(fetcher.fetch(slow.url()))]
        await first.wait()
        assert (await fetcher.fetch(small.url())).reason is None  # needs no share
        tasks.append(asyncio.create_task(fetcher.fetch(large.url())))
        await large.left.wait()
        assert (await fetcher.fetch(small.url())).reason is None
        assert not tasks[1].done()
        gate.set()
        whole = await tasks[0]
        assert len(whole.body) == 60000
        assert (await fetcher.fetch(small.url())).reason is None
        assert not tasks[1].done()  # the first body is whole, and still in memory
        fetcher.done_with(whole)
        assert len((await tasks[1]).body) == 60000
        assert {task.result().reason for task in tasks} == {None}


async def test_waiting_for_memory_does_not_count_against_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    now, passed = loop.time, [0.0]
    monkeypatch.setattr(loop, "time", lambda: now() + passed[0])
    limits = FetchLimits(total=300.0, connect=3000.0, idle=3000.0, max_bytes=body.BUDGET)
    unannounced = b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * (body.SMALL + 1000)
    async with (
        RawSite(unannounced) as one,
        RawSite(unannounced) as other,
        RawSite(http(200, b"c" * body.SMALL)) as small,
        Fetcher(limits, ME) as fetcher,
    ):
        first = await fetcher.fetch(one.url())  # has all the memory until it is done with
        waiting = asyncio.create_task(fetcher.fetch(other.url()))
        await other.left.wait()
        assert (await fetcher.fetch(small.url())).reason is None
        passed[0] = limits.total + 1
        assert (await fetcher.fetch(small.url())).reason is None
        assert not waiting.done()
        fetcher.done_with(first)
        assert (await waiting).reason is None


async def test_a_budget_serves_in_order_and_gives_back() -> None:
    budget, order = Budget(10), []

    async def use(name: str, weight: int) -> None:
        await budget.take(weight)
        order.append(name)

    await budget.take(8)
    tasks = [asyncio.create_task(use(*what)) for what in (("large", 9), ("gone", 5), ("small", 1))]
    await asyncio.sleep(0)
    assert order == []  # the small one would fit, but came last
    tasks[1].cancel()
    budget.give(8)
    await asyncio.gather(*tasks, return_exceptions=True)
    assert order == ["large", "small"]


@pytest.mark.parametrize("granted", [False, True])
async def test_who_leaves_while_waiting_takes_nothing(granted: bool) -> None:
    budget = Budget(10)
    await budget.take(10)
    leaver = asyncio.create_task(budget.take(10))
    await asyncio.sleep(0)
    if granted:
        budget.give(10)
    leaver.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaver
    if not granted:
        budget.give(10)
    await budget.take(10)
