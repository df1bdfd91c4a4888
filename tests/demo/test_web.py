"""Every row of the web, asked of the host by a client of the standard library, does what its truth says."""

from __future__ import annotations

import http.client
import io
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageOps

from builder.demo import web
from builder.demo.faults import FAULTS, FORMS
from builder.demo.truth import TOLERANCE, distance
from builder.reasons import Reason
from builder.schema import pair_key

from .conftest import PAIRS, Site

HOPS = 4
TRIES = 40


def ask(url: str) -> tuple[int, bytes, dict[str, str]]:
    """One GET as `danqing rebuild` must send it, with a deadline of a second."""
    where = urlsplit(url.strip(), "http")
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=1)
    try:
        connection.request("GET", web.target_of(url))
        answer = connection.getresponse()
        body, end = bytearray(), time.monotonic() + 1
        while part := answer.read1():
            body += part
            if time.monotonic() > end:
                raise TimeoutError
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        return answer.status, bytes(body), dict(answer.getheaders())
    finally:
        connection.close()


def judge(url: str) -> tuple[Reason | None, bytes]:
    """What a row of the manifest comes to when its picture is asked for once more after each 429 or 500."""
    for _ in range(TRIES):
        try:
            status, body, headers = ask(url)
        except TimeoutError:
            return Reason.TIMEOUT, b""
        except ConnectionRefusedError:
            return Reason.CONNECT, b""
        except http.client.IncompleteRead:
            return Reason.TRUNCATED, b""
        if status == 302:
            url = headers["Location"]
        elif status not in (429, 500):
            break
    return BY_STATUS.get(status) or judge_body(body, headers), body


BY_STATUS = {
    302: Reason.REDIRECTS, 403: Reason.HTTP_4XX, 404: Reason.HTTP_4XX, 410: Reason.HTTP_4XX, 500: Reason.HTTP_5XX,
}  # fmt: skip


def judge_body(body: bytes, headers: dict[str, str]) -> Reason | None:
    if "noai" in headers.get("X-Robots-Tag", ""):
        return Reason.OPT_OUT
    if not body or body[:1] in b"<{":
        return Reason.NOT_IMAGE if body else Reason.EMPTY
    image = Image.open(io.BytesIO(body))
    if image.width * image.height > 10**8:
        return Reason.TOO_MANY_PIXELS
    if min(image.size) < 32:
        return Reason.TOO_SMALL
    try:
        image.load()
    except OSError:
        return Reason.TRUNCATED
    return None


def see(body: bytes) -> bytes:
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(body))).convert("RGBA")
    page = Image.new("RGBA", upright.size, "white")
    page.alpha_composite(upright)
    return web.thumbnail(page)


def of_fault(site: Site, name: str | None) -> list[dict[str, Any]]:
    return [row for row in site.truth.rows if row["fault"] == name]


REACHABLE = [
    fault.name for fault in FAULTS if fault.name not in ("null", "invalid", "scheme", "redirect to ftp")
]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize("fault", [None, *REACHABLE])
def test_the_host_does_to_every_row_what_its_truth_says(
    site: Site, fault: str | None, monkeypatch: Any
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    monkeypatch.setattr("builder.demo.host.RATE", 1000)
    for row in of_fault(site, fault):
        reason, body = judge(row["url"])
        assert (reason and reason.value) == row["reason"], row["url"]
        assert (row["thumbnail"] is None) == (row["outcome"] == "dropped")
        if row["thumbnail"]:
            assert distance(see(body), row["thumbnail"]) <= TOLERANCE, row["url"]


def test_rows_that_no_request_may_answer(site: Site) -> None:
    urls = {
        row["url"]: row["reason"] for name in ("null", "invalid", "scheme") for row in of_fault(site, name)
    }
    assert set(urls.values()) == {"invalid_url", "blocked_scheme"}
    assert all(not url or not url.strip() or "@" in url or not url.startswith("http://127") for url in urls)


def test_a_redirect_leads_to_another_scheme(site: Site) -> None:
    (row,) = of_fault(site, "redirect to ftp")
    assert ask(row["url"])[2]["Location"].startswith("ftp://")


def test_every_fault_is_planted_and_most_rows_are_kept(site: Site) -> None:
    assert {row["fault"] for row in site.truth.rows} == {None, *(fault.name for fault in FAULTS)}
    assert site.truth.kept > 0.7 * PAIRS
    assert sum(fault.share for fault in FAULTS) < 0.35
    assert sum(share for share, _ in FORMS) == pytest.approx(1)


def test_the_manifest_is_what_a_user_has_and_the_truth_knows_its_keys(site: Site) -> None:
    files = sorted((site.folder / "manifest").iterdir())
    assert len(files) == web.MANIFEST_FILES
    rows = [row for file in files for row in pq.read_table(file).to_pylist()]
    assert list(rows[0]) == ["url", "alt_text", "recaption"]
    assert [pair_key(row["url"], row["alt_text"]) for row in rows] == [row["key"] for row in site.truth.rows]
    assert any("/图片/" in (row["url"] or "") for row in rows)
    assert any(" 副本 " in (row["url"] or "") for row in rows)


def test_the_same_seed_and_address_make_the_same_web(site: Site, tmp_path: Path) -> None:
    web.write(tmp_path, PAIRS, 0, site.address)
    assert (tmp_path / "truth.parquet").read_bytes() == (site.folder / "truth.parquet").read_bytes()


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("http://h:1/图/a b.jpg", "/%E5%9B%BE/a%20b.jpg"),
        ("//h:1//cdn//x.jpg", "//cdn//x.jpg"),
        (" HTTP://h/src=http%3A%2F%2fx~%7E.jpg?a=%2f#原图 ", "/src=http%3A%2F%2fx~%7E.jpg?a=%2f"),
    ],
)
def test_targets_go_out_byte_for_byte(url: str, target: str) -> None:
    assert web.target_of(url) == target
