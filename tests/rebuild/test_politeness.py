"""Many hosts at once, some of them slow, limited or dead: nobody is asked too much, and nobody holds up the rest."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.faulthost import FaultHost, Manner

from .runs import outcomes, reasons, rebuild, write_manifest


@pytest.fixture
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=8) as host:
        yield host


@pytest.mark.parametrize("retry_after", ["1", ""])
def test_a_limited_host_is_fetched_whole_with_few_requests_too_many(
    web: FaultHost, tmp_path: Path, retry_after: str
) -> None:
    web.manners["127.0.0.1"] = Manner(rate=100, burst=10, retry_after=retry_after)
    manifest = write_manifest(tmp_path / "m.parquet", [web.url(f"/picture/{i}.jpg") for i in range(300)])
    assert rebuild(manifest, tmp_path / "root") == 0
    assert reasons(tmp_path / "root") == [None] * 300
    assert (
        web.count() <= 315
    )  # three that speak for the host, what is in flight, and where its pace meets the limit


@pytest.mark.parametrize(("status", "seconds", "asked"), [(429, 31, 1), (503, 600, 1), (429, 0, 6)])
def test_a_url_that_objects_costs_no_other_row_of_its_host(
    web: FaultHost, tmp_path: Path, status: int, seconds: int, asked: int
) -> None:
    urls = [web.url(f"/picture/{i}.jpg") for i in range(200)]
    urls[50] = web.url(f"/later/{status}/{seconds}/50.jpg")
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root", "--workers", "1") == 0
    told = reasons(tmp_path / "root")
    assert (told.pop(50), set(told)) == ("throttled", {None})
    assert web.count() == 199 + asked


@pytest.mark.parametrize(("seconds", "most"), [(0, 4 + 5), (3600, 4)])
def test_a_host_that_objects_to_everything_is_soon_left_alone(
    web: FaultHost, tmp_path: Path, seconds: int, most: int
) -> None:
    urls = [web.url(f"/later/429/{seconds}/{i}.jpg") for i in range(200)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root", "--workers", "1") == 1  # nothing is kept
    assert set(reasons(tmp_path / "root")) == {"throttled"}
    assert web.count() <= most  # 4 are in flight at the first; the build before asked 4 + 7, and 4


def test_a_stalling_host_costs_a_few_requests(web: FaultHost, tmp_path: Path) -> None:
    web.manners["127.0.0.1"] = Manner(stall=True)
    manifest = write_manifest(tmp_path / "m.parquet", [web.url(f"/picture/{i}.jpg") for i in range(100)])
    flags = ("--timeout", "0.5", "--retries", "1", "--shard-size", "25")
    assert rebuild(manifest, tmp_path / "root", *flags) == 1  # nothing is kept
    assert reasons(tmp_path / "root") == ["timeout"] * 100
    assert web.count() <= 2 * (8 + 4)  # until it is given up, in each of two workers


def test_a_stalling_host_holds_up_nobody(web: FaultHost, tmp_path: Path) -> None:
    urls = [web.url(f"/{'picture' if i % 8 else 'gate'}/{i}.jpg", i % 8) for i in range(400)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)

    def say_something() -> None:
        web.wait_for(350 + 4)  # all others, and as many of this host as may be in flight
        web.open_gate()

    with ThreadPoolExecutor(1) as thread:
        said = thread.submit(say_something)
        assert rebuild(manifest, tmp_path / "root", "--shard-size", "100", "--workers", "1") == 0
        said.result()
    assert reasons(tmp_path / "root") == [None] * 400


def test_rows_of_a_host_given_up_say_that_they_were_not_asked_for(web: FaultHost, tmp_path: Path) -> None:
    dead = [f"http://127.0.0.77:1/{i}.jpg" for i in range(60)]
    manifest = write_manifest(tmp_path / "m.parquet", [*dead, web.url("/picture/1.jpg")])
    assert rebuild(manifest, tmp_path / "root", "--retries", "0", "--workers", "1") == 0
    told = outcomes(tmp_path / "root")
    assert {one["reason"] for one in told[:60]} == {"connect"}
    assert Counter(one["attempts"] for one in told[:60])[0] >= 40
    assert told[60]["outcome"] == "kept"


def test_no_host_has_more_connections_than_asked_for(web: FaultHost, tmp_path: Path) -> None:
    for address in web.addresses:
        web.manners[address] = Manner(latency=0.01)
    urls = [web.url(f"/picture/{i}.jpg", i % 8) for i in range(240)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root", "--per-host", "6", "--shard-size", "60") == 0
    assert 1 < max(web.peak.values()) <= 6


def test_status_tells_of_the_worst_hosts(
    web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.url(f"/picture/{i}.jpg", 1) for i in range(20)] + [
        web.url(f"/status/404/{i}", 2) for i in range(5)
    ]
    assert rebuild(write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root", "--json") == 0
    told = json.loads(capsys.readouterr().out)["stages"]["rebuild"]
    assert (told["kept"], told["reasons"], told["http_status"]) == (
        20,
        {"http_4xx": 5},
        {"200": 20, "404": 5},
    )
    assert told["worst_hosts"] == {"127.0.0.3": {"kept": 0, "dropped": 5}}
