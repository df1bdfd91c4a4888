"""Sources in stores: S3, with signatures alone, and buckets of the Hub, by the real client."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from random import Random
from urllib.parse import parse_qs

import fsspec
import pytest

from builder.console import Console
from builder.crawl.source import CrawlFile, find_files
from builder.errors import EnvironmentProblem, InputError
from builder.hub.origin import Patience, store
from builder.hub.transfer import Transfers
from tests.crawl.crawlhost import CrawlHost, Odd
from tests.hub import Hub
from tests.hub.clients import answers, client_env
from tests.s3 import Bucket, environment

CRAWL = "CC-MAIN-2026-08"
NAME = f"crawl-data/{CRAWL}/segments/1/wat/1.warc.wat.gz"
DATA = Random(3).randbytes(100_000)
LIST = gzip.compress(f"{NAME}\n".encode())
QUICK = Patience(waits=())


@pytest.fixture
def odd_s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[CrawlHost]:
    """A server that takes itself for S3 and answers as it is told, for what moto does not do: refuse."""
    kind = fsspec.get_filesystem_class("s3")
    with CrawlHost({"/bucket/a.wat.gz": DATA}) as host:
        for name, value in environment(host.url("")).items():
            monkeypatch.setenv(name, value)
        kind.clear_instance_cache()
        yield host
    kind.clear_instance_cache()


def find(source: str, mirror: str = "https", roots: dict[str, str] | None = None) -> list[CrawlFile]:
    return find_files(
        source, "wat", mirror, 0, Console(stream=io.StringIO()), roots or {"https": "https://h.invalid/"}
    )


def test_a_crawl_on_s3(s3: Bucket, tmp_path: Path) -> None:
    s3.put(NAME, DATA)
    s3.put(f"crawl-data/{CRAWL}/wat.paths.gz", LIST)
    (file,) = find(CRAWL, "s3", {"s3": s3.url()})
    assert file == CrawlFile(NAME, s3.url(NAME), CRAWL, None, "wat")
    with Transfers(tmp_path, QUICK) as transfers, transfers.fetched(file) as path:
        assert path.read_bytes() == DATA
    with pytest.raises(InputError, match="no such crawl"):
        find("CC-MAIN-2026-09", "s3", {"s3": s3.url()})


@pytest.mark.parametrize(
    "source", ["", NAME, "crawl-data/*/segments/*/wat/*", f"crawl-data/{CRAWL}/wat.paths.gz"]
)
def test_files_folders_globs_and_lists_of_s3_are_listed_with_their_bytes(s3: Bucket, source: str) -> None:
    s3.put(NAME, DATA)
    s3.put(f"crawl-data/{CRAWL}/wat.paths.gz", LIST)
    size = None if source.endswith("paths.gz") else len(DATA)
    assert find(s3.url(source)) == [CrawlFile(NAME, s3.url(NAME), CRAWL, size, "wat")]


def test_a_transfer_from_s3_goes_on_by_range(s3: Bucket, tmp_path: Path) -> None:
    s3.put(NAME, DATA)
    (file,) = find(s3.url(NAME))
    with Transfers(tmp_path, QUICK) as transfers, transfers.fetched(file) as path:
        (there,) = tmp_path.glob("*.part")
        beginning, name = path.read_bytes()[:60_000], there.name
    (tmp_path / name).write_bytes(beginning)
    with Transfers(tmp_path, QUICK) as transfers, transfers.fetched(file) as path:
        assert path.read_bytes() == DATA
        assert transfers.received == len(DATA) - 60_000 + 1


def test_s3_is_asked_in_the_region_of_the_bucket(s3: Bucket) -> None:
    """An account whose own region is another one is no obstacle: the bucket of Common Crawl lies in us-east-1."""
    fsspec.filesystem("s3").mkdir(f"{s3.name}-eu", region_name="eu-central-1")
    fs, path = store(f"s3://{s3.name}-eu/a.wat.gz")
    assert "%2Feu-central-1%2Fs3%2F" in fs.sign(path)


def test_a_listing_that_s3_refuses_is_one_line(odd_s3: CrawlHost) -> None:
    odd_s3.next("/bucket", *[Odd(status=403, body="<Error><Code>AccessDenied</Code></Error>")] * 9)
    with pytest.raises(EnvironmentProblem, match="with an AWS account of yours"):
        find("s3://bucket/*.gz")


def test_s3_is_asked_with_signatures_alone(
    odd_s3: CrawlHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where fsspec's own settings say anonymous; a refusal is told by the word of S3."""
    file = CrawlFile("a.wat.gz", "s3://bucket/a.wat.gz", "", None, "wat")
    monkeypatch.setitem(fsspec.config.conf, "s3", {"anon": True})
    refusal = Odd(status=403, body="<Error><Code>InvalidAccessKeyId</Code></Error>")
    odd_s3.next("/bucket/a.wat.gz", Odd(), refusal)
    with Transfers(tmp_path, QUICK) as transfers:
        with transfers.fetched(file) as path:
            assert path.read_bytes() == DATA
        with pytest.raises(EnvironmentProblem, match=r"S3 refuses it \(InvalidAccessKeyId\)") as caught:
            transfers.fetched(file).__enter__()
    assert caught.value.exit_code == 4
    asked = [parse_qs(one.query) for one in odd_s3.asked if one.path == "/bucket/a.wat.gz"]
    assert [one["X-Amz-Algorithm"] for one in asked] == [["AWS4-HMAC-SHA256"]] * 2


@pytest.mark.parametrize(
    "source", ["s3://bucket/a.warc.wat.gz", "s3://bucket/*.gz", "s3://bucket/wat.paths.gz", CRAWL]
)
def test_without_an_account_s3_is_not_asked(
    odd_s3: CrawlHost, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    with pytest.raises(
        EnvironmentProblem, match="with an AWS account of yours: set AWS_ACCESS_KEY_ID"
    ) as caught:
        find(source, "s3", {"s3": "s3://commoncrawl/"})
    assert "\n" not in str(caught.value)
    assert odd_s3.asked == []


READ = """
    import json, sys
    from pathlib import Path
    from builder.console import Console
    from builder.hub.origin import Patience, store
    from builder.crawl.source import find_files
    from builder.hub.transfer import Transfers
    from builder.errors import DanqingError
    from builder.web.tokens import withhold
    import os
    withhold(os.environ)
    said = []
    for source in {sources}:
        try:
            files = find_files(source, "wat", "hf", 0, Console(quiet=True))
            with Transfers(Path("{folder}"), Patience(waits=(0.0,))) as transfers:
                for file in files:
                    with transfers.fetched(file) as path:
                        said.append([file.name, file.url, file.bytes, path.stat().st_size])
        except DanqingError as error:
            said.append(f"{{type(error).__name__}} {{error}}")
    print(json.dumps(said))
"""
BUCKET = "commoncrawl/commoncrawl"


def read(hub: Hub, tmp_path: Path, *sources: str, token: str | None = Hub.token) -> list[object]:
    env = client_env(hub, tmp_path, token=token)
    said: list[object] = answers(READ.format(sources=list(sources), folder=tmp_path), env)
    return said


def test_a_crawl_in_the_bucket_of_the_hub(hub: Hub, tmp_path: Path) -> None:
    hub.push(BUCKET, {NAME: DATA, f"crawl-data/{CRAWL}/wat.paths.gz": LIST}, kind="bucket")
    url = f"hf://buckets/{BUCKET}/{NAME}"
    top = f"hf://buckets/{BUCKET}/crawl-data/{CRAWL}"
    hub.fail("GET", "/resolve/.*wat.gz", 429, retry_after=0)
    said = read(hub, tmp_path, CRAWL, top, f"{top}/segments/*/wat/*.wat.gz", url)
    size = len(DATA)
    assert said == [[NAME, url, None, size], *[[NAME, url, size, size]] * 3]
    resolved = [
        one.status
        for one in hub.requests
        if one.method == "GET" and "/resolve/" in one.target and "wat.gz" in one.target
    ]
    assert resolved == [429, 302, 302, 302, 302]


def test_refusals_of_the_hub_are_one_line(hub: Hub, tmp_path: Path) -> None:
    hub.push(BUCKET, {NAME: DATA}, kind="bucket")
    hub.fail("GET", "/resolve/.*1.warc.wat.gz", 403)
    said = read(
        hub,
        tmp_path,
        CRAWL,
        f"hf://buckets/{BUCKET}/gone/*.gz",
        "hf://buckets/nobody/gone/x/",
        f"hf://buckets/{BUCKET}/{NAME}",
    )
    crawl, glob, bucket, refused = map(str, said)
    assert crawl.startswith(f"InputError {CRAWL}: no such crawl, or one without such files")
    assert glob.startswith(
        f"InputError hf://buckets/{BUCKET}/gone/*.gz: no WAT or WARC file matches, nor any other"
    )
    assert bucket.startswith("InputError hf://buckets/nobody/gone/x/: no such")
    assert refused.startswith(f"EnvironmentProblem hf://buckets/{BUCKET}/{NAME}: the Hub refuses it (403)")


def test_a_bucket_is_read_without_a_token(hub: Hub, tmp_path: Path) -> None:
    hub.push(BUCKET, {NAME: DATA}, kind="bucket")
    url = f"hf://buckets/{BUCKET}/{NAME}"
    assert read(hub, tmp_path, url, token=None) == [[NAME, url, len(DATA), len(DATA)]]
    assert not any(one.authorization for one in hub.requests)
