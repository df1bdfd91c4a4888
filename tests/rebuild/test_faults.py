"""The table of misbehaviours, row by row: the fetcher and the decoder name the reason it expects.

All quick rows run at once in one loop, each tried twice where the fetcher calls it transient; then the slow ones. Of
these the tries are counted, and not the requests that came: on a busy machine a deadline may pass before one is sent.
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


async def outcome(fetcher: Fetcher, url: str) -> tuple[Reason | None, int]:
    """The reason that a row with this URL ends with under one retry, None: kept; and how often it was tried."""
    tries = 0
    try:
        url = normalise(url)
        response, tries = await fetcher.fetch(url), 1
        if response.transient:
            response, tries = await fetcher.fetch(url), 2
        if response.reason is Reason.HTTP_4XX and (unescaped := fallback(url)):
            response = await fetcher.fetch(unescaped)
        if response.reason is None:
            await asyncio.to_thread(make, response.body, OPTIONS)
    except Dropped as dropped:
        return dropped.reason, tries
    return response.reason, tries


async def run_all() -> Told:
    """(reason, requests for its path) of every fault, by name; each host stands for a few of them."""
    async with FaultHost(hosts=16, tls=True) as host, NameServer() as names:
        told: Told = {}
        for limits, faults in ((PATIENCE, QUICK), (HASTE, SLOW)):
            async with Fetcher(FetchLimits(**limits), ME, [names.address]) as fetcher:
                urls = {fault: host.url(fault, n % 16) for n, fault in enumerate(faults)}
                ended = await asyncio.gather(*(outcome(fetcher, url) for url in urls.values()))
            for fault, (reason, tries) in zip(urls, ended, strict=True):
                told[fault.name] = reason, tries if faults is SLOW else host.count(fault.target)
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
            assert await outcome(fetcher, f"https://127.0.0.1:{host.tls_port}/picture/1.jpg") == (None, 1)
