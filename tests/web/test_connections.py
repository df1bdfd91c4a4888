"""Which connections the fetcher keeps, cuts and refuses: keep-alive, TLS, private addresses; over real sockets."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from ipaddress import IPv4Network

import pytest

from builder.reasons import Reason
from builder.web import address
from builder.web.fetch import Fetcher, Response
from builder.web.limits import FetchLimits, Identity
from tests.faulthost import self_signed

from .nameserver import NameServer
from .rawsite import RawSite, drip, http, stall, then

LIMITS = FetchLimits(total=300.0, connect=300.0, idle=300.0)
ME = Identity("danqing-test/1", allow_private=True)
PUBLIC_ONLY = Identity("danqing-test/1")


async def fetch(url: str, limits: FetchLimits = LIMITS, identity: Identity = ME) -> Response:
    async with Fetcher(limits, identity) as fetcher:
        return await fetcher.fetch(url)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """(certificate, key), self-signed, for 127.0.0.1."""
    return self_signed(tmp_path_factory.mktemp("tls"), ["IP:127.0.0.1"])


@pytest.fixture
def serving(certificate: tuple[str, str]) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    return context


# --- connections ----------------------------------------------------------------------------------------------


async def test_connections_are_kept_also_after_refusals_and_redirects() -> None:
    answers = [http(404, b"gone" * 100), http(301, b"moved", "Location: /x"), http(500, b"sorry"), http()]
    async with RawSite(*answers, keep=True) as site, Fetcher(LIMITS, ME) as fetcher:
        reasons = [(await fetcher.fetch(site.url("/"))).reason for _ in range(3)]
    assert reasons == [Reason.HTTP_4XX, Reason.HTTP_5XX, None]
    assert site.connections == 1


async def test_a_kept_connection_that_the_host_has_closed_is_no_failure() -> None:
    async with RawSite(http(), http(), b"", http(), keep=True) as site, Fetcher(LIMITS, ME) as fetcher:
        site.answers = (http(), hang_up, http())
        assert (await fetcher.fetch(site.url("/1"))).reason is None
        assert (await fetcher.fetch(site.url("/2"))).reason is None
    assert site.targets == [b"/1", b"/2", b"/2"]
    assert site.connections == 2


@pytest.mark.parametrize(
    "unasked",
    [http(200, b"stray"), http(408), http(200, b"x")[:-1], b"HTTP/1.0 200 OK\r\n\r\nstray", b"\r\n"],
    ids=["whole", "time-out", "cut", "endless", "blank line"],
)
async def test_what_comes_unasked_is_no_answer_to_the_next_request(unasked: bytes) -> None:
    speak = asyncio.Event()

    async def twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(http(200, b"first"))
        await speak.wait()
        writer.write(unasked)
        await reader.read()

    async with RawSite(twice, http(200, b"second")) as site, Fetcher(LIMITS, ME) as fetcher:
        assert (await fetcher.fetch(site.url("/1"))).body == b"first"
        speak.set()
        await site.left.wait()
        assert (await fetcher.fetch(site.url("/2"))).body == b"second"


async def test_a_switch_of_protocols_nobody_asked_for_ends_its_connection() -> None:
    async with (
        RawSite(b"HTTP/1.1 101 S\r\n\r\n", http(200, b"second"), keep=True) as site,
        Fetcher(LIMITS, ME) as fetcher,
    ):
        assert (await fetcher.fetch(site.url("/1"))).reason is Reason.PROTOCOL
        assert (await fetcher.fetch(site.url("/2"))).body == b"second"
        assert site.connections == 2


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.close()


async def test_a_fresh_connection_that_the_host_closes_is_not_asked_twice() -> None:
    async with RawSite(hang_up) as site:
        assert (await fetch(site.url("/"))).reason is Reason.CONNECT
    assert len(site.heads) == 1


async def test_a_body_that_is_not_wanted_ends_its_connection() -> None:
    endless = then(b"HTTP/1.1 404 No\r\nContent-Length: 99999999\r\n\r\n", drip(b"a" * 65536))
    async with RawSite(endless) as site, Fetcher(LIMITS, ME) as fetcher:
        assert (await fetcher.fetch(site.url("/"))).reason is Reason.HTTP_4XX
        await site.left.wait()


async def test_cancelling_a_fetch_ends_its_connection() -> None:
    async with RawSite(then(b"HTTP/1.1 200 OK\r\n\r\n", stall)) as site, Fetcher(LIMITS, ME) as fetcher:
        task = asyncio.create_task(fetcher.fetch(site.url("/")))
        await site.arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await site.left.wait()


async def test_nobody_listens() -> None:
    async with RawSite() as site:
        url = site.url("/")
    got = await fetch(url)
    assert got == Response(reason=Reason.CONNECT, transient=True)


async def test_a_number_that_was_not_normalised_is_no_address() -> None:
    assert (await fetch("http://2130706433/")).reason is Reason.INVALID_URL


# --- TLS --------------------------------------------------------------------------------------------------------


async def test_https_with_a_certificate_that_is_trusted(
    certificate: tuple[str, str], serving: ssl.SSLContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate[0]))
    async with RawSite(http(), tls=serving, keep=True) as site, Fetcher(LIMITS, ME) as fetcher:
        for _ in range(3):
            assert (await fetcher.fetch(site.url("/"))).reason is None
        assert site.connections == 1


async def test_https_with_a_certificate_that_is_not_trusted(serving: ssl.SSLContext) -> None:
    async with RawSite(http(), tls=serving) as site:
        got = await fetch(site.url("/"))
    assert got == Response(reason=Reason.TLS)
    assert not site.heads


async def test_https_with_a_certificate_for_another_host(
    certificate: tuple[str, str], serving: ssl.SSLContext
) -> None:
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with RawSite(http(), tls=serving) as site, Fetcher(LIMITS, ME, tls=trusting) as fetcher:
        assert (await fetcher.fetch(site.url("/", "localhost"))).reason is Reason.TLS
        assert (await fetcher.fetch(site.url("/"))).reason is None


async def test_https_where_http_is_spoken() -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    async with server:
        got = await fetch(f"https://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
    assert (got.reason, got.status) == (Reason.TLS, None)


async def test_a_handshake_that_stalls_ends_by_the_connect_deadline() -> None:
    async with RawSite(stall) as site:
        got = await fetch(
            site.url("/").replace("http", "https"), FetchLimits(total=300.0, connect=0.2, idle=300.0)
        )
    assert (got.reason, got.transient) == (Reason.TIMEOUT, True)


async def test_a_connection_is_cut_without_waiting_for_the_goodbye_of_tls(
    certificate: tuple[str, str], serving: ssl.SSLContext
) -> None:
    def deaf(listener: socket.socket) -> bytes:
        """What comes below TLS until the end of TCP: a polite close of TLS says so, and waits 30 s for an answer."""
        raw, _ = listener.accept()
        connection = serving.wrap_socket(raw, server_side=True)
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n")
        with socket.socket(fileno=connection.detach()) as below, suppress(ConnectionResetError):
            return below.recv(65536)
        return b""

    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        waiting = asyncio.create_task(asyncio.to_thread(deaf, listener))
        async with Fetcher(LIMITS, ME, tls=trusting) as fetcher:
            got = await fetcher.fetch(f"https://127.0.0.1:{listener.getsockname()[1]}/")
            assert got.reason is Reason.TOO_LARGE
            assert await waiting == b""


# --- addresses --------------------------------------------------------------------------------------------------


@asynccontextmanager
async def one_private_host(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[RawSite]:
    """127.0.0.1 counts as public, 127.0.0.2 as private; the site is on the latter."""
    monkeypatch.setattr(address, "_REFUSED_4", (IPv4Network("127.0.0.2/32"),))
    async with RawSite(http(), host="127.0.0.2") as site:
        yield site
    assert site.connections == 0


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "localhost",
        "10.0.0.1",
        "169.254.169.254",
    ],
)
async def test_private_addresses_are_not_reached(host: str) -> None:
    async with RawSite(http()) as site:
        got = await fetch(site.url("/", host), identity=PUBLIC_ONLY)
    assert got == Response(reason=Reason.BLOCKED_ADDRESS)
    assert site.connections == 0


@pytest.mark.parametrize(
    "host", ["127.0.0.2", "2130706434", "0x7f.2", "0177.0.0.02", "[::ffff:7f00:2]", "in.example"]
)
async def test_a_redirect_to_a_private_address_is_not_followed(
    host: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with one_private_host(monkeypatch) as private, NameServer(in_example=["127.0.0.2"]) as names:
        moved = http(302, b"", f"Location: {private.url('/', host)}")
        async with RawSite(moved) as site, Fetcher(LIMITS, PUBLIC_ONLY, (names.address,)) as fetcher:
            got = await fetcher.fetch(site.url("/"))
    assert (got.reason, got.status, got.transient) == (Reason.BLOCKED_ADDRESS, None, False)


async def test_a_name_that_turns_private_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    async with one_private_host(monkeypatch) as private, NameServer(turns_example=["127.0.0.1"]) as names:
        monkeypatch.setattr(address, "FRESH", (0.0, 0.0))
        async with RawSite(http()) as site, Fetcher(LIMITS, PUBLIC_ONLY, (names.address,)) as fetcher:
            assert (await fetcher.fetch(site.url("/", "turns.example"))).reason is None
            names.answers["turns.example"] = ["127.0.0.2"]
            got = await fetcher.fetch(private.url("/", "turns.example"))
    assert got.reason is Reason.BLOCKED_ADDRESS


@pytest.mark.parametrize(("said", "transient"), [("NXDOMAIN", False), ([], False), ("SERVFAIL", True)])
async def test_names_without_an_address(said: list[str] | str, transient: bool) -> None:
    async with NameServer(bad_example=said) as names, Fetcher(LIMITS, ME, (names.address,)) as fetcher:
        assert await fetcher.fetch("http://bad.example/") == Response(reason=Reason.DNS, transient=transient)


async def test_a_hundred_requests_ask_once_for_the_name() -> None:
    async with NameServer(site_example=["127.0.0.1"]) as names, RawSite(http()) as site:
        async with Fetcher(LIMITS, ME, (names.address,)) as fetcher:
            got = await asyncio.gather(
                *(fetcher.fetch(site.url(f"/{n}", "site.example")) for n in range(100))
            )
        assert {response.reason for response in got} == {None}
        assert names.asked == {"site.example": 1}
