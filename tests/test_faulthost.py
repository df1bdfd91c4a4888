"""The fault host and the picture makers do what they say: checked with bare sockets and with Pillow."""

from __future__ import annotations

import asyncio
import gzip
import http.client
import io
import json
import re
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator

import pytest
from PIL import Image, ImageCms, ImageOps, ImageSequence

from builder.reasons import REBUILD_REASONS, Reason
from tests import pictures
from tests.faulthost import FAULTS, FaultHost, Manner
from tests.pictures import CORNERS, GAMUTS, PICTURES, SIZE

BY_NAME = {fault.name: fault for fault in FAULTS}


@pytest.fixture(scope="module")
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=2, tls=True) as host:
        yield host


def ask(host: FaultHost, name: str, patience: float = 300.0) -> bytes:
    """Everything that comes back on a connection of its own, until the host closes it or falls silent."""
    fault, got = BY_NAME[name], b""
    port = host.apart if fault.via == "apart" else host.port
    with socket.create_connection(("127.0.0.1", port), timeout=patience) as wire:
        wire.sendall(
            f"GET {fault.target} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: x\r\n\r\n".encode()
        )
        try:
            while len(got) < 1 << 20 and (piece := wire.recv(1 << 16)):
                got += piece
        except (TimeoutError, ConnectionResetError) as error:
            return got + b"<" + type(error).__name__.encode() + b">"
    return got


def get(host: FaultHost, path: str, address: int = 0) -> tuple[int, bytes, dict[str, str]]:
    """A request as a good client makes it: status, body, headers in lower case."""
    client = http.client.HTTPConnection(host.addresses[address], host.port, timeout=300)
    client.request("GET", path)
    answer = client.getresponse()
    told = answer.status, answer.read(), {name.lower(): value for name, value in answer.getheaders()}
    client.close()
    return told


# --- the table ----------------------------------------------------------------------------------------------


def test_the_table_is_long_and_its_names_and_targets_are_distinct() -> None:
    bad = [fault for fault in FAULTS if not fault.name.startswith("kept-")]
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
    assert len(bad) >= 150
    served = [fault.target for fault in FAULTS if fault.serve is not None]
    assert len(set(served)) == len(served)


def test_the_table_knows_every_reason_but_the_ones_that_need_no_host() -> None:
    elsewhere = {Reason.INVALID_URL, Reason.BLOCKED_ADDRESS, Reason.HASH_MISMATCH, Reason.REMOVED}
    assert {fault.reason for fault in FAULTS} == {*REBUILD_REASONS, None} - elsewhere


@pytest.mark.parametrize(
    ("name", "pattern"),
    [
        ("empty-reply", b""),
        ("reset-before-headers", b"<ConnectionResetError>"),
        ("reset-in-body", b"{OK}Content-Length: [0-9]{5}\r\n\r\n\xff\xd8.{8998}<ConnectionResetError>"),
        ("close-in-status-line", b"HTTP/1.1 20"),
        ("close-in-headers", b"{OK}Content-Type: image/jp"),
        (
            "truncated-in-chunk",
            b"{OK}Transfer-Encoding: chunked\r\n\r\n[0-9a-f]{3}\r\n\xff\xd8.*\xff\xd9\r\n400\r\nabc",
        ),
        ("status-garbage", b"\x00\xff\x13garbage\r\n\r\n.*"),
        ("http-0.9", b"<!DOCTYPE html>.*</html>"),
        ("no-length", b"{OK}\r\n\xff\xd8.*\xff\xd9"),
        ("length-too-short", b"{OK}Content-Length: 600\r\n\r\n\xff\xd8.{700,}\xff\xd9"),
        ("204", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("too-large-announced", b"{OK}Content-Length: 1500000000\r\n\r\n\xff\xd8\xff\xe0\0{1000000,}"),
        ("endless-headers", b"{OK}(X-More: x{4000}\r\n){200,}[^\n]*"),
    ],
)
def test_bytes_on_the_wire(web: FaultHost, name: str, pattern: bytes) -> None:
    pattern = pattern.replace(b"{OK}", rb"HTTP/1\.1 200 OK\r\n")
    assert re.fullmatch(pattern, ask(web, name), re.DOTALL)


@pytest.mark.parametrize(
    "name", ["stall-before-headers", "stall-in-headers", "stall-in-body", "opt-out-before-the-body"]
)
def test_a_stall_is_silence_on_an_open_connection(web: FaultHost, name: str) -> None:
    assert ask(web, name, patience=0.2).endswith(b"<TimeoutError>")


@pytest.mark.parametrize(
    ("path", "statuses"),
    [
        ("/flaky/503/2/1.jpg", [503, 503, 200, 200]),
        ("/fault/500-then-ok", [500, 200]),
        ("/fault/429-then-ok", [429, 200]),
        ("/fault/404", [404]),
        ("/hop/2/9.jpg", [302]),
        ("/fault/url-space", [404]),
        ("/fault/a%20b.jpg", [200]),
        (BY_NAME["url-escapes"].path, [200]),
        (BY_NAME["url-escapes"].path.replace("%2F", "%2f"), [404]),
        ("/status/418/1", [418]),
        ("/nobody/serves/this", [404]),
    ],
)
def test_statuses_in_turn(web: FaultHost, path: str, statuses: list[int]) -> None:
    web.reset()
    assert [get(web, path)[0] for _ in statuses] == statuses
    assert web.count(path) == len(statuses)
    assert {request.target for request in web.requests} == {path}


def test_pictures_by_number_differ_in_bytes_and_pixels(web: FaultHost) -> None:
    bodies = [get(web, f"/picture/{number}.jpg")[1] for number in (1, 2, 65)]
    corners = [Image.open(io.BytesIO(body)).getpixel((5, 5)) for body in bodies]
    assert len(set(bodies)) == 3
    assert corners[0] == corners[2] != corners[1]


# --- hosts, counters, waiting ----------------------------------------------------------------------------------


def test_a_connection_is_kept_and_counted(web: FaultHost) -> None:
    web.reset()
    client = http.client.HTTPConnection("127.0.0.2", web.port, timeout=300)
    for number in range(3):
        client.request("GET", f"/picture/{number}.jpg")
        client.getresponse().read()
    client.close()
    stats = web.stats()
    assert (stats["connections"], stats["peak"], stats["busiest"]) == (1, {"127.0.0.2": 1}, {"127.0.0.2": 1})
    assert stats["targets"] == [f"/picture/{number}.jpg" for number in range(3)]
    assert [request.on_connection for request in web.requests] == [1, 2, 3]


def test_a_limited_host_admits_its_burst_and_then_refuses(web: FaultHost) -> None:
    web.manners["127.0.0.2"] = Manner(rate=0.001, burst=3, retry_after="7")
    answers = [get(web, "/picture/1.jpg", address=1) for _ in range(5)]
    del web.manners["127.0.0.2"]
    assert [status for status, *_ in answers] == [200, 200, 200, 429, 429]
    assert answers[4][2]["retry-after"] == "7"


def test_a_bucket_fills_with_time() -> None:
    manner = Manner(rate=10, burst=2)
    assert [manner.admits(now) for now in (0, 0, 0, 0.05, 0.1, 0.1, 9, 9, 9)] == [1, 1, 0, 0, 1, 0, 1, 1, 0]


async def test_seen_and_the_gate(host: FaultHost) -> None:
    answers = [asyncio.create_task(asyncio.to_thread(get, host, f"/gate/{n}.jpg")) for n in range(3)]
    await host.seen(3)
    assert host.busiest["127.0.0.1"] == 3
    assert not any(answer.done() for answer in answers)
    host.open_gate()
    assert [(await answer)[0] for answer in answers] == [200, 200, 200]
    with pytest.raises(TimeoutError):
        await host.seen(4, timeout=0.01)


def test_waiting_from_another_thread(web: FaultHost) -> None:
    web.reset()
    get(web, "/picture/1.jpg")
    web.wait_for(1, "/picture/1.jpg")
    with pytest.raises(TimeoutError, match="1 of 2"):
        web.wait_for(2, timeout=0.01)


def test_closing_ends_a_stall() -> None:
    with FaultHost() as host:
        wire = socket.create_connection(("127.0.0.1", host.port), timeout=300)
        wire.sendall(b"GET /stall/1 HTTP/1.1\r\nHost: x\r\n\r\n")
        host.wait_for(1)
    with wire:
        assert wire.recv(1) == b""


def test_https_with_a_certificate_of_its_own(web: FaultHost) -> None:
    def status(context: ssl.SSLContext) -> int:
        client = http.client.HTTPSConnection("127.0.0.1", web.tls_port, timeout=300, context=context)
        try:
            client.request("GET", "/picture/1.jpg")
            return client.getresponse().status
        finally:
            client.close()

    assert status(ssl.create_default_context(cafile=web.certificate)) == 200
    with pytest.raises(ssl.SSLCertVerificationError):
        status(ssl.create_default_context())


def test_as_a_process() -> None:
    command = [sys.executable, "-m", "tests.faulthost", "--hosts", "2", "--seconds", "60"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        remote = FaultHost(hosts=2, port=int(process.stdout.readline().rsplit(":", 1)[1]))
        get(remote, "/__manner__?host=127.0.0.2&rate=0.001&retry_after=1")
        assert [get(remote, f"/picture/{n}.jpg", 1)[0] for n in range(2)] == [200, 429]
        assert json.loads(get(remote, "/__stats__")[1])["paths"] == {"/picture/0.jpg": 1, "/picture/1.jpg": 1}
        get(remote, "/__reset__")
        assert json.loads(get(remote, "/__stats__")[1])["requests"] == 0
        process.terminate()
    assert process.returncode == 0


# --- pictures -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", PICTURES)
def test_every_picture_opens_in_pillow_and_shows_the_scene(kind: str) -> None:
    image = Image.open(io.BytesIO(PICTURES[kind]()))
    shown = ImageOps.exif_transpose(image)
    assert shown.size == SIZE
    if image.mode in ("RGB", "CMYK") and "16-bit" not in kind:
        width, height = SIZE
        places = ((9, 9), (width - 9, 9), (9, height - 9), (width - 9, height - 9))
        for place, corner in zip(places, CORNERS, strict=True):
            got = shown.convert("RGB").crop((*place, place[0] + 1, place[1] + 1)).tobytes()
            assert max(abs(a - b) for a, b in zip(got, corner, strict=True)) < 24, place


@pytest.mark.parametrize("kind", ["png-animated", "webp-animated", "gif-animated"])
def test_animated_pictures_have_three_frames(kind: str) -> None:
    assert len(ImageSequence.all_frames(Image.open(io.BytesIO(PICTURES[kind]())))) == 3


@pytest.mark.parametrize("gamut", GAMUTS)
def test_profiles_are_read_by_littlecms_and_are_wider_than_srgb(gamut: str) -> None:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(pictures.icc_profile(gamut)))
    red = Image.new("RGB", (1, 1), (200, 30, 30))
    seen = ImageCms.profileToProfile(red, profile, ImageCms.createProfile("sRGB"))
    assert seen is not None
    assert seen.tobytes()[0] >= 215


def test_bombs_are_small_and_valid() -> None:
    assert len(pictures.png_bomb()) < 1_300_000
    assert Image.open(io.BytesIO(pictures.png_bomb(3000, 2000))).convert("L").getextrema() == (0, 0)
    assert len(pictures.gzip_bomb()) < 100_000
    assert len(gzip.decompress(pictures.gzip_bomb((5 << 20) + 7))) == (5 << 20) + 11
