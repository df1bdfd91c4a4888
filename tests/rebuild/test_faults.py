"""The table of misbehaviours, row by row: the fetcher and the decoder name the reason it expects.

All quick rows run at once in one loop, each tried twice where the fetcher calls it transient; then the slow ones, in
a loop that is not busy, so that their requests are sent before the deadline.
"""

from __future__ import annotations

import asyncio

import pytest

from builder.reasons import Dropped, Reason
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make
from builder.web.fetch import Fetcher
from builder.web.limits import FetchLimits, Identity
from builder.web.url import fallback, normalise
from tests.faulthost import FAULTS, Fault, FaultHost
from tests.faults import HASTE, PATIENCE, PICTURE, QUICK, SLOW

from ..web.nameserver import NameServer

Told = dict[str, tuple[Reason | None, int]]
ME = Identity("danqing-test/1 (+https://example.com)", allow_private=True)
OPTIONS = RebuildConfig(**PICTURE)  # type: ignore[arg-type]


async def outcome(fetcher: Fetcher, url: str) -> Reason | None:
    """The reason that a row with this URL ends with under one retry; None: kept."""
    try:
        url = normalise(url)
        response = await fetcher.fetch(url)
        if response.transient:
            response = await fetcher.fetch(url)
        if response.reason is Reason.HTTP_4XX and (unescaped := fallback(url)):
            response = await fetcher.fetch(unescaped)
        if response.reason is None:
            await asyncio.to_thread(make, response.body, OPTIONS)
    except Dropped as dropped:
        return dropped.reason
    return response.reason


async def run_all() -> Told:
    """(reason, requests for its path) of every fault, by name; each host stands for a few of them."""
    async with FaultHost(hosts=16, tls=True) as host, NameServer() as names:
        told: Told = {}
        for limits, faults in ((PATIENCE, QUICK), (HASTE, SLOW)):
            async with Fetcher(FetchLimits(**limits), ME, [names.address]) as fetcher:
                urls = {fault: host.url(fault, n % 16) for n, fault in enumerate(faults)}
                reasons = await asyncio.gather(*(outcome(fetcher, url) for url in urls.values()))
            told |= {f.name: (reason, host.count(f.target)) for f, reason in zip(urls, reasons, strict=True)}
    return told


@pytest.fixture(scope="module")
def told() -> Told:
    return asyncio.run(run_all())


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_fault(told: Told, fault: Fault) -> None:
    reason, asked = told[fault.name]
    assert (reason, asked) == (fault.reason, asked if fault.attempts is None else fault.attempts)


async def test_a_connection_that_dies_between_requests_costs_nothing(host: FaultHost) -> None:
    url = host.url("/fault/connection-dies-after-answer")
    async with Fetcher(FetchLimits(**PATIENCE), ME) as fetcher:
        for _ in range(4):
            assert (await fetcher.fetch(url)).reason is None


async def test_a_trusted_certificate_is_enough_for_https(monkeypatch: pytest.MonkeyPatch) -> None:
    async with FaultHost(tls=True) as host:
        monkeypatch.setenv("SSL_CERT_FILE", host.certificate)
        async with Fetcher(FetchLimits(**PATIENCE), ME) as fetcher:
            assert await outcome(fetcher, f"https://127.0.0.1:{host.tls_port}/picture/1.jpg") is None
