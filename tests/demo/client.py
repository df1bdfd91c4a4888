"""Asks the demo's host as any client would, with the standard library alone: a url in, what its row comes to out."""

from __future__ import annotations

import http.client
import io
import time
from urllib.parse import urlsplit

from PIL import Image, ImageOps

from builder.demo import web
from builder.reasons import Reason

TRIES = 40
PATIENCE = 300.0


def ask(url: str, patience: float = PATIENCE) -> tuple[int, bytes, dict[str, str]]:
    """One GET as `danqing rebuild` must send it; patience: seconds for each answer, and for each body."""
    where = urlsplit(url.strip(), "http")
    connection = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience)
    try:
        connection.request("GET", web.target_of(url))
        answer = connection.getresponse()
        body, end = bytearray(), time.monotonic() + patience
        while part := answer.read1():
            body += part
            if time.monotonic() > end:
                raise TimeoutError
        if answer.length:
            raise http.client.IncompleteRead(bytes(body), answer.length)
        return answer.status, bytes(body), dict(answer.getheaders())
    finally:
        connection.close()


def judge(url: str, patience: float = PATIENCE) -> tuple[Reason | None, bytes]:
    """What a row of the manifest comes to when its picture is asked for once more after each 429 or 500."""
    for _ in range(TRIES):
        try:
            status, body, headers = ask(url, patience)
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
