"""What the fetcher asks, and what it says of every kind of answer; over real sockets."""

from __future__ import annotations

import asyncio

import pytest

from builder.reasons import Reason
from builder.web.fetch import Fetcher, Response, retry_after
from builder.web.limits import FetchLimits, Identity

from .rawsite import Answer, RawSite, drip, http, reset, stall, then

LIMITS = FetchLimits(total=300.0, connect=300.0, idle=300.0, max_bytes=1 << 20)
ME = Identity("danqing-test/1 (+https://example.com)", allow_private=True)


async def fetch(url: str, limits: FetchLimits = LIMITS, identity: Identity = ME) -> Response:
    async with Fetcher(limits, identity) as fetcher:
        return await fetcher.fetch(url)


async def answer(said: Answer, limits: FetchLimits = LIMITS, identity: Identity = ME) -> Response:
    async with RawSite(said) as site:
        return await fetch(site.url(), limits, identity)


# --- what goes out ------------------------------------------------------------------------------------------


async def test_a_request_and_its_answer() -> None:
    told = ('ETag: "5"', "Content-Type: image/png", "Last-Modified: Mon, 01 Jan 2024 00:00:00 GMT")
    async with RawSite(http(200, b"picture", *told)) as site:
        got = await fetch(site.url("/a.png"))
    assert got == Response(
        200, None, b"picture", "image/png", '"5"', "Mon, 01 Jan 2024 00:00:00 GMT", None, None, False
    )
    lines = site.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /a.png HTTP/1.1"
    assert sorted(lines[1:-2]) == [
        "Accept-Encoding: identity",
        "Accept: image/*,*/*;q=0.5",
        f"Host: 127.0.0.1:{site.port}",
        "User-Agent: danqing-test/1 (+https://example.com)",
    ]


@pytest.mark.parametrize(
    "path",
    [
        "/image_search/src=http%3A%2F%2Fa.com%2f1.jpg&refer=x?u=http%3a%2F%2fb&%7e=~",
        "/a//b/../c/./d;e=1,2/%E5%9b%be",
        "/?x=%&y=[1]|{2}\\^`",
        "/a:b@c/(1)'*!$?a?b/c=d+e%20f",
    ],
)
async def test_urls_go_out_byte_for_byte(path: str) -> None:
    async with RawSite(http()) as site:
        assert (await fetch(site.url(path))).reason is None
    assert site.targets == [path.encode()]


async def test_redirects_are_followed_byte_for_byte() -> None:
    hops = ["/a%3a%7E/./b?u=http%3A%2f%2F", "/\xd6\xd0 \xc4.jpg", "c.jpg?d", "?e"]
    async with RawSite(*(http(302, b"", f"Location: {hop}") for hop in hops), http()) as site:
        got = await fetch(site.url("/1"))
    assert site.targets[1:] == [
        b"/a%3a%7E/b?u=http%3A%2f%2F",  # but for dots, which a browser takes out
        b"/%D6%D0%20%C4.jpg",
        b"/c.jpg?d",
        b"/c.jpg?e",
    ]
    assert (got.reason, got.status, got.body) == (None, 200, b"picture")
    assert got.final_url == site.url("/c.jpg?e")


async def test_cookies_and_proxies_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with RawSite(http(302, b"", "Location: /2", "Set-Cookie: a=b"), http()) as site:
        assert (await fetch(site.url("/1"))).reason is None
    assert b"cookie" not in site.heads[1].lower()


# --- answers ------------------------------------------------------------------------------------------------

PLAIN = "HTTP/1.1 200 OK\r\n"
ANSWERS: dict[str, tuple[Answer, Reason | None, bool]] = {
    "203": (http(203), None, False),
    "early hints first": (b"HTTP/1.1 103 Early\r\nLink: x\r\n\r\n" + http(), None, False),
    "100 interim answers": (b"HTTP/1.1 102 P\r\n\r\n" * 100 + http(), None, False),
    "101 interim answers": (b"HTTP/1.1 102 P\r\n\r\n" * 101 + http(), Reason.PROTOCOL, False),
    "without length": (b"HTTP/1.0 200 OK\r\n\r\npicture", None, False),
    "chunked": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n", None, False),
    "line feeds": (b"HTTP/1.1 200 OK\nContent-Length: 7\n\npicture", None, False),
    "identity": (http(200, b"picture", "Content-Encoding: identity"), None, False),
    "no such encoding": (http(200, b"picture", "Content-Encoding: UTF-8"), None, False),
    "junk behind the body": (http() + b"\0junk\r\n\r\n", None, False),
    "another answer behind": (http() + http(404), None, False),
    "nothing": (b"", Reason.CONNECT, True),
    "half a line": (b"HTTP/1.1 200", Reason.CONNECT, True),
    "reset": (reset, Reason.CONNECT, True),
    "another protocol": (b"SSH-2.0-OpenSSH_9.2\r\n", Reason.PROTOCOL, False),
    "HTTP/0.9": (b"\xff\xd8picture", Reason.PROTOCOL, False),
    "TLS": (b"\x15\x03\x01\x00\x02\x02\x46", Reason.PROTOCOL, False),
    "switch": (b"HTTP/1.1 101 S\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n", Reason.PROTOCOL, False),
    "999": (http(999), Reason.PROTOCOL, False),
    "two lengths": (http(200, b"picture", "Content-Length: 5"), Reason.PROTOCOL, False),
    "long header": (http(200, b"picture", "A: " + "a" * 20_000), Reason.PROTOCOL, False),
    "many headers": (http(200, b"picture", *["A: b"] * 200), Reason.PROTOCOL, False),
    "many long headers": (http(200, b"picture", *["A: " + "a" * 4_000] * 10), Reason.PROTOCOL, False),
    "400": (http(400), Reason.HTTP_4XX, False),
    "404 noindex": (http(404, b"", "X-Robots-Tag: noindex"), Reason.HTTP_4XX, False),
    "408": (http(408), Reason.HTTP_4XX, True),
    "425": (http(425), Reason.HTTP_4XX, True),
    "404 stalls": (then(b"HTTP/1.1 404 No\r\nContent-Length: 9\r\n\r\n", stall), Reason.HTTP_4XX, False),
    "429": (http(429), Reason.THROTTLED, True),
    "503": (http(503), Reason.THROTTLED, True),
    "500": (http(500), Reason.HTTP_5XX, True),
    "504": (http(504), Reason.HTTP_5XX, True),
    "201": (http(201), None, False),
    "202": (http(202), None, False),
    "204": (b"HTTP/1.1 204 No\r\n\r\n", Reason.EMPTY, False),
    "206": (http(206, b"pic", "Content-Range: bytes 0-2/7"), Reason.TRUNCATED, False),
    "206 of the end": (http(206, b"pic", "Content-Range: bytes 4-6/7"), Reason.TRUNCATED, False),
    "206 of unknown": (http(206, b"pic", "Content-Range: bytes 0-2/*"), Reason.TRUNCATED, False),
    "206 of nothing said": (http(206, b"pic"), Reason.TRUNCATED, False),
    "206 of all": (http(206, b"picture", "Content-Range: bytes 0-6/7"), None, False),
    "206 of all, in capitals": (http(206, b"picture", "Content-Range: Bytes 0-6/7"), None, False),
    "206 of more than it has": (http(206, b"picture", "Content-Range: bytes 0-8/9"), Reason.TRUNCATED, False),
    "206 of two minds": (
        http(206, b"picture", "Content-Range: bytes 0-6/7", "Content-Range: bytes 0-6/9"), Reason.TRUNCATED, False,
    ),
    "a length twice": (http(200, b"picture", "Content-Length: 7"), None, False),
    "a length as a list": (b"HTTP/1.1 200 OK\r\nContent-Length: 7, 7\r\n\r\npicture", None, False),
    "lengths of a list differ": (b"HTTP/1.1 200 OK\r\nContent-Length: 7, 8\r\n\r\npicture", Reason.PROTOCOL, False),
    "length with a sign": (b"HTTP/1.1 200 OK\r\nContent-Length: +7\r\n\r\npicture", Reason.PROTOCOL, False),
    "length with a rest": (b"HTTP/1.1 200 OK\r\nContent-Length: 7;\r\n\r\npicture", Reason.PROTOCOL, False),
    "length beside chunks": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n0\r\n\r\n",
        None, False,
    ),
    "blank in a name": (http(200, b"picture", "X Powered By: x"), None, False),
    "blank before a colon": (http(200, b"picture", "Server : x"), None, False),
    "odd bytes in a name": (http(200, b"picture", "\xe9\xff(: x", "@: y"), None, False),
    "no name": (http(200, b"picture", ": x"), None, False),
    "blank in Content-Length": (b"HTTP/1.1 200 OK\r\nContent-Length : 7\r\n\r\npicture", Reason.PROTOCOL, False),
    "blank in Location": (b"HTTP/1.1 302 Go\r\nLocation : /2\r\n\r\n", Reason.PROTOCOL, False),
    "blank in Content-Encoding": (http(200, b"picture", "Content- Encoding: gzip"), Reason.PROTOCOL, False),
    "blank before Transfer-Encoding": (http(200, b"picture", " Transfer-Encoding: chunked"), Reason.PROTOCOL, False),
    "NUL in Content-Length": (http(200, b"picture", "Content-Length\0: 3"), Reason.PROTOCOL, False),
    "odd byte in Transfer-Encoding": (http(200, b"picture", "\xa0Transfer-Encoding: x"), Reason.PROTOCOL, False),
    "odd blank before a length": (http(200, b"picture", "Content-Length:\x0b7"), Reason.PROTOCOL, False),
    "odd blank before chunked": (http(200, b"picture", "Transfer-Encoding:\x0bchunked"), Reason.PROTOCOL, False),
    "odd blank before a second line": (
        b"HTTP/1.1 200 OK\r\nContent-Length: 7\x0b\r\n \r\n\r\npicture", Reason.PROTOCOL, False,
    ),
    "two carriage returns": (http(200, b"picture", "@: x", "A: b\r"), Reason.PROTOCOL, False),
    "HTTP/2": (http().replace(b"HTTP/1.1", b"HTTP/2"), Reason.PROTOCOL, False),
    "too many lines": (http(200, b"picture", *["(: b"] * 1001), Reason.PROTOCOL, False),
    "too large a head": (http(200, b"picture", *["(: " + "b" * 9000] * 32), Reason.PROTOCOL, False),
    "mended before early hints": (b"HTTP/1.1 103 Early\r\n@: x\r\n\r\n" + http(), None, False),
    "opt-out beside what is mended": (http(200, b"picture", "@: x", "X-Robots-Tag: noai"), Reason.OPT_OUT, False),
    "opt-out with a blank": (http(200, b"picture", "X-Robots-Tag : noai"), Reason.OPT_OUT, False),
    "opt-out on a second line": (http(200, b"picture", "X-Robots-Tag: all,", " noai", "@: x"), Reason.OPT_OUT, False),
    "empty": (http(200, b""), Reason.EMPTY, False),
    "empty, without length": (b"HTTP/1.1 200 OK\r\n\r\n", Reason.EMPTY, False),
    "304": (b"HTTP/1.1 304 Not\r\n\r\n", Reason.REDIRECTS, False),
    "302 to nowhere": (http(302), Reason.REDIRECTS, False),
    "302 to itself": (http(302, b"", "Location: /#x"), Reason.REDIRECTS, False),
    "302 to user@": (http(302, b"", "Location: http://user@127.0.0.1/"), Reason.REDIRECTS, False),
    "302 to ftp": (http(302, b"", "Location: ftp://127.0.0.1/"), Reason.BLOCKED_SCHEME, False),
    "302 to file": (http(302, b"", "Location: file:///etc/passwd"), Reason.BLOCKED_SCHEME, False),
    "short": (b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npicture", Reason.TRUNCATED, True),
    "short chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\npicture", Reason.TRUNCATED, True),
    "last chunk lacks": (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n7\r\npicture\r\n", Reason.TRUNCATED, True,
    ),
    "broken chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\npicture", Reason.TRUNCATED, True),
    "reset in the body": (then(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npic", reset), Reason.TRUNCATED, True),
    "opt-out": (http(200, b"picture", "X-Robots-Tag: noai, max-image-preview:large"), Reason.OPT_OUT, False),
    "opt-out of the rest": (http(200, b"picture", "X-Robots-Tag: all", "x-robots-tag: a: none"), Reason.OPT_OUT, False),
    "reserved": (http(200, b"picture", "TDM-Reservation: 1"), Reason.OPT_OUT, False),
    "opt-out of a redirect": (http(302, b"", "Location: /2", "X-Robots-Tag: noai"), Reason.OPT_OUT, False),
    "opt-out before a body": (then(PLAIN.encode() + b"X-Robots-Tag: noai\r\n\r\n", stall), Reason.OPT_OUT, False),
}  # fmt: skip


async def test_a_connection_with_a_mended_head_serves_no_other_request() -> None:
    async with (
        RawSite(http(200, b"picture", "@: x"), http(), keep=True) as site,
        Fetcher(LIMITS, ME) as fetcher,
    ):
        for _ in range(2):
            assert (await fetcher.fetch(site.url("/"))).reason is None
        assert site.connections == 2


async def test_a_head_that_comes_byte_by_byte_is_mended_alike() -> None:
    async def slowly(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for byte in http(200, b"picture", "@: x", "Content-Length: 7"):
            writer.write(bytes([byte]))
            await writer.drain()

    async with RawSite(slowly) as site:
        got = await fetch(site.url("/"))
    assert (got.reason, got.body) == (None, b"picture")


@pytest.mark.parametrize("name", ANSWERS)
async def test_what_an_answer_means(name: str) -> None:
    said, reason, transient = ANSWERS[name]
    got = await answer(said)
    assert (got.reason, got.transient) == (reason, transient)
    assert got.body == (b"picture" if reason is None else b"")


STALLS = {
    "before the headers": stall,
    "in the headers": then(b"HTTP/1.1 200 OK\r\nA", stall),
    "in the body": then(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\npic", stall),
}
DRIPS = {
    "headers": then(b"HTTP/1.1 200 OK\r\n", drip(b"A: b\r\n")),
    "one header": then(b"HTTP/1.1 200 OK\r\nA:", drip(b"a")),
    "early hints": drip(b"HTTP/1.1 103 Early\r\n\r\n"),
    "body": then(b"HTTP/1.1 200 OK\r\nContent-Length: 9999\r\n\r\n", drip(b"a")),
    "body without length": then(b"HTTP/1.1 200 OK\r\n\r\n", drip(b"a")),
    "chunk extension": then(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1;", drip(b"a")),
    "nothing, compressed": then(
        b"HTTP/1.1 200 OK\r\nContent-Encoding: deflate\r\nTransfer-Encoding: chunked\r\n\r\n",
        drip(b"5\r\n\x00\x00\x00\xff\xff\r\n"),
    ),
}


@pytest.mark.parametrize("where", STALLS)
async def test_a_stall_ends_by_the_idle_deadline(where: str) -> None:
    got = await answer(STALLS[where], FetchLimits(total=300.0, connect=300.0, idle=0.2))
    assert (got.reason, got.transient, got.body) == (Reason.TIMEOUT, True, b"")


@pytest.mark.parametrize("what", DRIPS)
async def test_a_drip_ends_by_the_total_deadline(what: str) -> None:
    got = await answer(DRIPS[what], FetchLimits(total=0.4, connect=300.0, idle=300.0))
    assert (got.reason, got.transient, got.body) == (Reason.TIMEOUT, True, b"")


async def test_redirects_share_one_total_deadline() -> None:
    async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.15)
        writer.write(http(302, b"", f"Location: /{len(site.heads)}"))

    async with RawSite(slow) as site:
        got = await fetch(site.url("/0"), FetchLimits(total=0.4, redirects=99))
    assert got.reason is Reason.TIMEOUT


async def test_a_broken_chunk_does_not_wait_for_a_deadline() -> None:
    chunks = then(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\npic\r\n", pause_then(b"zz\r\nture\r\n")
    )
    got = await answer(chunks, LIMITS)
    assert (got.reason, got.transient) == (Reason.TRUNCATED, True)


async def test_a_reset_is_no_end_of_a_body_without_length() -> None:
    got = await answer(then(b"HTTP/1.1 200 OK\r\n\r\npicture", pause_then(reset)))
    assert (got.reason, got.transient) == (Reason.TRUNCATED, True)


def pause_then(rest: Answer) -> Answer:
    """Long enough for what was said to be read on its own."""

    async def later(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        await then(b"", rest)(reader, writer)  # type: ignore[operator]
        if isinstance(rest, bytes):
            await stall(reader, writer)

    return later


async def test_headers_are_kept_short_and_readable() -> None:
    told = ("Content-Type: \xd6\xd0\x07image", "ETag: " + "e" * 300, "Last-Modified: \xe5\x9b\xbe")
    got = await answer(http(200, b"picture", *told))
    assert got.content_type == "\ufffd\ufffdimage"
    assert got.etag == "e" * 256
    assert got.last_modified == "图"


# --- opt-out, redirects, Retry-After --------------------------------------------------------------------------


async def test_an_opt_out_may_be_ignored() -> None:
    got = await answer(http(200, b"picture", "X-Robots-Tag: noai"), identity=Identity("x", True, True))
    assert (got.reason, got.body) == (None, b"picture")


@pytest.mark.parametrize(("hops", "reason"), [(5, None), (6, Reason.REDIRECTS)])
async def test_five_redirects_are_followed(hops: int, reason: Reason | None) -> None:
    answers = [http(307, b"", f"Location: /{hop + 1}") for hop in range(hops)]
    async with RawSite(*answers, http(), keep=True) as site:
        got = await fetch(site.url("/0"))
    assert got.reason is reason
    assert site.targets == [f"/{hop}".encode() for hop in range(6)]
    assert got.final_url == site.url("/5")


async def test_throttling_tells_when_to_come_back() -> None:
    got = await answer(http(429, b"", "Retry-After: 7"))
    assert (got.status, got.retry_after, got.transient) == (429, 7.0, True)


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None), ("0", 0.0), (" 12 ", 12.0), ("99999999", 3600.0), ("9" * 5000, 3600.0), ("-1", None),
        ("soon", None), ("", None), ("1.5", None), ("٣", None), ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0), ("Fri, 01 Jan 2100 00:00:00 GMT", 3600.0),
        ("Thu, 01 Jan 1970 00:02:00", 20.0), ("Fri, 99 Jan 2100 00:00:00 GMT", None),
        ("Fri, 01 Jan 99999 00:00:00 GMT", None),
    ],
)  # fmt: skip
def test_retry_after(value: str | None, seconds: float | None) -> None:
    assert retry_after(value, now=100.0) == seconds
