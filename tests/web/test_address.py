"""Which addresses are reached, and what the resolver asks, keeps and says."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from builder.reasons import Reason
from builder.web import address
from builder.web.address import AddressError, Resolver, guarded_socket, is_global

from .nameserver import NameServer

PUBLIC = [
    "8.8.8.8", "1.1.1.1", "100.63.255.255", "172.32.0.1", "223.5.5.5", "192.0.1.1", "2400:3200::1", "2606:4700::1111",
    "::ffff:8.8.8.8", "2002:808:808::1", "64:ff9b::8.8.8.8",
]  # fmt: skip
PRIVATE = [
    "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.9.9.9", "169.254.169.254",
    "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
    "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "168.63.129.16",
    "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:a9fe:a9fe", "fe80::1", "fe80::1%eth0",
    "fc00::1", "fd00:ec2::254", "fec0::1", "ff02::1", "2001:db8::1", "2001::1", "3fff::1", "100::1",
    "2002:7f00:1::", "2002:c0a8:101::1", "2002:a9fe:a9fe::1", "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::8.8.8.8", "localhost", "", "2130706433",
]  # fmt: skip


@asynccontextmanager
async def resolver(server: NameServer, allow_private: bool = False, **limits: Any) -> AsyncIterator[Resolver]:
    made = Resolver((server.address,), allow_private, **limits)
    try:
        yield made
    finally:
        await made.close()


async def addresses(made: Resolver, host: str) -> list[str]:
    return [found["host"] for found in await made.resolve(host, 80)]


async def failure(made: Resolver, host: str) -> tuple[Reason, bool]:
    with pytest.raises(AddressError) as caught:
        await made.resolve(host, 80)
    return caught.value.reason, caught.value.transient


@pytest.mark.parametrize("text", PUBLIC)
def test_public_addresses(text: str) -> None:
    assert is_global(text)


@pytest.mark.parametrize("text", PRIVATE)
def test_addresses_that_are_not_public(text: str) -> None:
    assert not is_global(text)


@pytest.mark.parametrize("text", ["127.0.0.1", "169.254.169.254", "::1", "::ffff:10.0.0.1"])
def test_no_socket_is_made_for_a_private_address(text: str) -> None:
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    info = (family, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (text, 80))
    with pytest.raises(AddressError) as caught:
        guarded_socket(allow_private=False)(info)
    assert caught.value.reason is Reason.BLOCKED_ADDRESS
    guarded_socket(allow_private=True)(info).close()


async def test_the_addresses_of_a_name() -> None:
    async with NameServer(two_example=["8.8.8.8", "1.1.1.1"]) as server, resolver(server) as made:
        found = await made.resolve("two.example", 8080)
    assert {(x["host"], x["port"], x["family"]) for x in found} == {
        ("8.8.8.8", 8080, socket.AF_INET),
        ("1.1.1.1", 8080, socket.AF_INET),
    }


async def test_version_6_is_asked_only_where_there_is_no_version_4() -> None:
    async with NameServer(six_example=["2606:4700::1111"], four_example=["8.8.8.8"]) as server:
        async with resolver(server) as made:
            assert await addresses(made, "six.example") == ["2606:4700::1111"]
            assert await addresses(made, "four.example") == ["8.8.8.8"]
        assert server.asked == {"six.example": 2, "four.example": 1}


@pytest.mark.parametrize(
    ("answer", "reason", "transient"),
    [
        ("NXDOMAIN", Reason.DNS, False),
        ([], Reason.DNS, False),
        ("SERVFAIL", Reason.DNS, True),
        ("REFUSED", Reason.DNS, True),
        (["10.0.0.1", "::1", "169.254.169.254"], Reason.BLOCKED_ADDRESS, False),
    ],
)
async def test_why_a_name_has_no_address(answer: list[str] | str, reason: Reason, transient: bool) -> None:
    async with NameServer(bad_example=answer) as server, resolver(server) as made:
        assert await failure(made, "bad.example") == (reason, transient)


async def test_silence_is_asked_again_and_then_given_up() -> None:
    async with NameServer(mute_example="silence") as server:
        async with resolver(server, again=0.05) as made:
            assert await failure(made, "mute.example") == (Reason.DNS, True)
        assert server.asked["mute.example"] == address.TRIES


async def test_a_lost_packet_is_sent_again() -> None:
    async with NameServer(lossy_example=["8.8.8.8"]) as server, resolver(server, again=0.05) as made:
        server.dropped = 1
        assert await addresses(made, "lossy.example") == ["8.8.8.8"]


async def test_only_the_public_ones_of_mixed_addresses_are_kept() -> None:
    async with NameServer(mixed_example=["127.0.0.1", "8.8.8.8"]) as server:
        async with resolver(server) as made:
            assert await addresses(made, "mixed.example") == ["8.8.8.8"]
        async with resolver(server, allow_private=True) as made:
            assert set(await addresses(made, "mixed.example")) == {"127.0.0.1", "8.8.8.8"}


@pytest.mark.parametrize("answer", [["8.8.8.8"], "NXDOMAIN", "SERVFAIL", ["10.0.0.1"]])
async def test_one_lookup_however_many_wait_and_however_it_ends(answer: list[str] | str) -> None:
    async with NameServer(slow_example=answer) as server:
        async with resolver(server) as made:
            tasks = [asyncio.create_task(made.resolve("slow.example", 80)) for _ in range(50)]
            await server.arrived.wait()
            tasks[0].cancel()  # who leaves does not take the lookup along
            server.gate.set()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
            asked = server.asked["slow.example"]
            again = await asyncio.gather(made.resolve("slow.example", 80), return_exceptions=True)
        assert isinstance(ends[0], asyncio.CancelledError)
        assert {type(end) for end in ends[1:]} == {type(again[0])}
        assert server.asked["slow.example"] == asked  # kept, good or bad
        assert asked == 1 or answer == "SERVFAIL"  # c-ares repeats that one


async def test_an_answer_that_changes_is_not_seen_before_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    async with NameServer(rebound_example=["8.8.8.8"]) as server, resolver(server) as made:
        assert await addresses(made, "rebound.example") == ["8.8.8.8"]
        server.answers["rebound.example"] = ["127.0.0.1"]
        assert await addresses(made, "rebound.example") == ["8.8.8.8"]  # TTL 0, kept for the floor
        monkeypatch.setattr(address, "monotonic", lambda: float("inf"))
        assert await failure(made, "rebound.example") == (Reason.BLOCKED_ADDRESS, False)


async def test_names_kept_are_bounded_and_the_unused_ones_go_first() -> None:
    async with NameServer(a_example=["8.8.8.8"], b_example=["8.8.8.8"], c_example=["8.8.8.8"]) as server:
        async with resolver(server, remembered=2) as made:
            for name in ("a", "b", "a", "c", "a", "b"):
                await made.resolve(f"{name}.example", 80)
        assert server.asked == {"a.example": 1, "b.example": 2, "c.example": 1}


async def test_lookups_in_flight_are_bounded() -> None:
    async with NameServer() as server:
        server.answers = {f"slow{n}.example": ["8.8.8.8"] for n in range(20)}
        async with resolver(server, in_flight=3) as made, resolver(server, in_flight=3) as other:
            lookups = asyncio.gather(*(made.resolve(name, 80) for name in server.answers))
            await server.arrived.wait()
            assert await failure(other, "last.example") == (Reason.DNS, False)  # behind all that were sent
            server.gate.set()
            await lookups
        assert server.most == 3
        assert len(server.asked) == 21


async def test_closing_ends_the_lookups_in_flight() -> None:
    async with NameServer(mute_example="silence") as server:
        async with resolver(server) as made:
            waiting = asyncio.create_task(made.resolve("mute.example", 80))
            await server.arrived.wait()
        with pytest.raises(asyncio.CancelledError):
            await waiting


async def test_the_hosts_file_is_honoured_without_asking() -> None:
    async with NameServer() as server:
        async with resolver(server, allow_private=True) as made:
            assert await addresses(made, "localhost") == ["127.0.0.1"]
        async with resolver(server) as made:
            assert await failure(made, "localhost") == (Reason.BLOCKED_ADDRESS, False)
        assert not server.asked
