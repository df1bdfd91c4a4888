"""The table of misbehaviours: what the fault host answers, and what must become of the pair.

A fault is one way for the web to misbehave, or to look as if it did, and the Reason that a pair ends with;
None: the picture is kept. The table holds for the limits below. `attempts` counts the requests for its path under
`--retries 1`; None: it is asked by redirects too, by no one, or as often as the host's pace allows.
"""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from functools import partial

from builder.reasons import Reason

from . import pictures
from .answers import (
    GOOD,
    LARGE,
    OK,
    Handler,
    answer,
    bad_entropy,
    bad_png,
    big,
    chunked,
    cut,
    dripping,
    empty_gif,
    framed,
    head,
    long,
    once_per_connection,
    picky,
    raw,
    redirect,
    resetting,
    route,
    soon,
    stalling,
    tiny,
    turns,
    wide,
    without_cookies,
    zero_tail,
)
from .pictures import HTML, JSON, PDF, PICTURES, SVG

# Limits, in the names of FetchLimits and RebuildConfig, under which the table holds: HASTE for the SLOW faults,
# which end by a deadline or after many tries, PATIENCE for the QUICK ones, which meet none, however slow the machine.
BOUNDS = {"max_bytes": 2 << 20, "redirects": 5, "header_bytes": 32 << 10}
HASTE = {"total": 3, "connect": 2, "idle": 2, **BOUNDS}
PATIENCE = {"total": 300, "connect": 300, "idle": 300, **BOUNDS}
PICTURE = {"max_pixels": 1 << 26, "min_side": 8, "max_aspect": 10}


@dataclass(frozen=True)
class Fault:
    """One row of the table.

    path: as a manifest has it; target: the only request target that is answered, `path` unless given;
    via: http, https (self-signed), https-on-http, http-on-https, closed (a port nobody listens on), unknown
    (a name that does not exist) or apart (a port where no connection is ever kept: what dies on a kept one
    may be sent again at once).
    """

    name: str
    reason: Reason | None
    serve: Handler | None = None
    attempts: int | None = 1
    note: str = ""
    path: str = ""
    target: str = ""
    via: str = "http"

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", self.path or f"/fault/{self.name}")
        object.__setattr__(self, "target", self.target or self.path)


JPEG_TYPE = "Content-Type: image/jpeg"
GZIPPED = "Content-Encoding: gzip"
ESCAPES = "/fault/%7euser/src=http%3A%2F%2Fx%2fy.jpg?sig=a%2Bb%3d&t=%e5%9b%be&u=http://x//y~z"
Q = "/fault"

# fmt: off
STATUS = (
    Fault("400", Reason.HTTP_4XX, answer(b"bad", 400)),
    Fault("401", Reason.HTTP_4XX, answer(b"who?", 401, 'WWW-Authenticate: Basic realm="x"')),
    Fault("403", Reason.HTTP_4XX, answer(HTML, 403, "Content-Type: text/html"), note="hotlink protection"),
    Fault("404", Reason.HTTP_4XX, answer(HTML, 404)),
    Fault("404-with-picture", Reason.HTTP_4XX, answer(GOOD, 404, JPEG_TYPE), note="a placeholder"),
    Fault("410", Reason.HTTP_4XX, answer(b"gone", 410)),
    Fault("451", Reason.HTTP_4XX, answer(b"", 451)),
    Fault("408-then-ok", None, turns(answer(b"", 408), answer(GOOD)), 2),
    Fault("429-then-ok", None, turns(answer(b"", 429, "Retry-After: 1"), answer(GOOD)), 2),
    Fault("429-without-retry-after", None, turns(answer(b"", 429), answer(GOOD)), 2),
    Fault("429-nonsense-retry-after", None, turns(answer(b"", 429, "Retry-After: soon, -3"), answer(GOOD)), 2),
    Fault("503-date-then-ok", None, turns(soon, answer(GOOD)), 2),
    Fault("503-forever", Reason.THROTTLED, answer(b"busy", 503), None),
    Fault("500-then-ok", None, turns(answer(b"", 500), answer(GOOD)), 2),
    Fault("500-forever", Reason.HTTP_5XX, answer(HTML, 500), 2),
    Fault("502-forever", Reason.HTTP_5XX, answer(HTML, 502), 2),
    Fault("509-forever", Reason.HTTP_5XX, answer(b"bandwidth", 509), 2),
    Fault("999", Reason.PROTOCOL, answer(b"denied", 999)),
    Fault("203", None, answer(GOOD, 203)),
    Fault("202-html", Reason.NOT_IMAGE, answer(HTML, 202)),
    Fault("204", Reason.EMPTY, raw(b"HTTP/1.1 204 No Content\r\n\r\n")),
    Fault("200-empty", Reason.EMPTY, answer()),
    Fault("206", Reason.TRUNCATED, answer(GOOD[:600], 206, "Content-Range: bytes 0-599/1200")),
    Fault("304", Reason.REDIRECTS, raw(b"HTTP/1.1 304 Not Modified\r\n\r\n"), note="nothing was asked about"),
    Fault("300-no-location", Reason.REDIRECTS, answer(HTML, 300)),
)

TRANSPORT = (
    Fault("refused", Reason.CONNECT, attempts=None, via="closed"),
    Fault("empty-reply", Reason.CONNECT, raw(b""), 2, via="apart"),
    Fault("reset-before-headers", Reason.CONNECT, resetting(b""), 2, via="apart"),
    Fault("close-in-status-line", Reason.CONNECT, raw(b"HTTP/1.1 20"), 2, via="apart"),
    Fault("close-in-headers", Reason.CONNECT, raw(OK + b"Content-Type: image/jp"), 2, via="apart"),
    Fault("reset-in-body", Reason.TRUNCATED, resetting(long(len(LARGE)) + LARGE[:9000]), 2),
    Fault("reset-without-length", Reason.TRUNCATED, resetting(head() + LARGE[:9000]), 2),
    Fault("stall-before-headers", Reason.TIMEOUT, stalling(), 2),
    Fault("stall-in-headers", Reason.TIMEOUT, stalling(OK + b"Content-Type: image/jp"), 2),
    Fault("stall-after-headers", Reason.TIMEOUT, stalling(long(len(GOOD))), 2),
    Fault("stall-in-body", Reason.TIMEOUT, stalling(long(len(LARGE)) + LARGE[:5000]), 2),
    Fault("stall-in-chunk", Reason.TIMEOUT, stalling(chunked(GOOD, b"400\r\nabc")), 2),
    Fault("stall-before-the-end", Reason.TIMEOUT, stalling(head() + GOOD), 2, "whole, but who knows"),
    Fault("drip-status-line", Reason.TIMEOUT, dripping(b"HTTP/1.1 200 O", b"O", 0.1), 2),
    Fault("drip-header", Reason.TIMEOUT, dripping(OK + b"X: ", b"x", 0.1), 2),
    Fault("drip-body", Reason.TIMEOUT, dripping(long(1 << 20) + LARGE[:600], b"x", 0.1), 2),
    Fault("drip-chunks", Reason.TIMEOUT, dripping(chunked(GOOD, b""), b"1\r\nx\r\n", 0.1), 2),
    Fault("drip-1xx", Reason.TIMEOUT, dripping(b"", b"HTTP/1.1 102 Processing\r\n\r\n", 0.1), 2),
    Fault("slow-but-in-time", None, raw(long(len(GOOD)), GOOD[:300], GOOD[300:600], GOOD[600:], every=0.2)),
    Fault("first-byte-late", None, raw(b"", framed(GOOD), every=0.3)),
    Fault("truncated-length", Reason.TRUNCATED, raw(long(len(LARGE)) + LARGE[:9000]), 2),
    Fault("truncated-length-by-one", Reason.TRUNCATED, raw(long(len(GOOD) + 1) + GOOD), 2),
    Fault("truncated-chunked", Reason.TRUNCATED, raw(chunked(LARGE[:9000], b"")), 2),
    Fault("truncated-in-chunk", Reason.TRUNCATED, raw(chunked(GOOD, b"400\r\nabc")), 2),
    Fault("truncated-no-length", Reason.TRUNCATED, raw(head() + LARGE[:9000])),
    Fault("length-too-short", Reason.TRUNCATED, raw(long(600) + GOOD), note="the rest is junk behind the body"),
    Fault("bad-chunk-size", Reason.TRUNCATED, stalling(chunked(GOOD, b"zz\r\nabc\r\n")), 2),
    Fault("junk-after-body", None, raw(framed(GOOD) + b"\0junk\r\n\r\nHTTP/1.1 200 OK\r\n\r\n<html>")),
    Fault("second-answer-unasked", None, raw(framed(GOOD) + framed(HTML))),
    Fault("connection-dies-after-answer", None, once_per_connection, None, "although it promised to stay"),
    Fault("no-length", None, raw(head() + GOOD)),
    Fault("chunked", None, raw(chunked(GOOD))),
    Fault("chunked-trailers", None, raw(chunked(GOOD, b"0\r\nX-Sum: 1\r\n\r\n"))),
    Fault("http-1.0", None, raw(b"HTTP/1.0 200 OK\r\n\r\n" + GOOD)),
    Fault("identifies-clients", None, picky),
)

HEADERS = (
    Fault("http-0.9", Reason.PROTOCOL, raw(HTML)),
    Fault("http-0.9-picture", Reason.PROTOCOL, raw(GOOD)),
    Fault("status-garbage", Reason.PROTOCOL, raw(b"\x00\xff\x13garbage\r\n\r\n" + GOOD)),
    Fault("status-word", Reason.PROTOCOL, raw(b"HTTP/1.1 OK 200\r\n\r\n" + GOOD)),
    Fault("other-protocol", Reason.PROTOCOL, raw(b"SSH-2.0-OpenSSH_9.2\r\n")),
    Fault("switching-protocols", Reason.PROTOCOL, raw(b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\n\r\n" + GOOD)),
    Fault("length-negative", Reason.PROTOCOL, raw(long(-5) + GOOD)),
    Fault("length-word", Reason.PROTOCOL, raw(head("Content-Length: many") + GOOD)),
    Fault("lengths-conflict", Reason.PROTOCOL, raw(head("Content-Length: 9", "Content-Length: 99") + GOOD)),
    Fault("header-200-kb", Reason.PROTOCOL, raw(framed(GOOD, "X-Long: " + "x" * 200_000))),
    Fault("headers-many-large", Reason.PROTOCOL, raw(framed(GOOD, *(f"X-{n}: {'x' * 400}" for n in range(100))))),
    Fault("headers-120", None, raw(framed(GOOD, *(f"X-{n}: y" for n in range(120))))),
    Fault("endless-headers", Reason.PROTOCOL, dripping(OK, b"X-More: " + b"x" * 4000 + b"\r\n", 0.001), note="fast"),
    Fault("endless-header", Reason.PROTOCOL, dripping(OK + b"X-More: ", b"x" * 8000, 0.001), note="fast"),
    Fault("header-without-colon", Reason.PROTOCOL, raw(framed(GOOD, "nonsense"))),
    Fault("continue-then-ok", None, raw(b"HTTP/1.1 100 Continue\r\n\r\n" * 3 + framed(GOOD))),
    Fault("early-hints-then-ok", None, raw(b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n" + framed(GOOD))),
    Fault("headers-mixed-case", None, raw(OK + b"cOnTeNt-LeNgTh:%d\r\n\r\n" % len(GOOD) + GOOD)),
    Fault("headers-twice", None, answer(GOOD, 200, JPEG_TYPE, "Content-Type: text/html", "ETag: a", "ETag: b")),
    Fault("headers-latin-1", None, answer(GOOD, 200, "Content-Disposition: inline; filename=\xe9\xff.jpg")),
    Fault("set-cookie-storm", None, without_cookies),
)

CONTENT = (
    Fault("html", Reason.NOT_IMAGE, answer(HTML, 200, "Content-Type: text/html; charset=utf-8")),
    Fault("html-as-jpeg", Reason.NOT_IMAGE, answer(HTML, 200, JPEG_TYPE)),
    Fault("json-as-jpeg", Reason.NOT_IMAGE, answer(JSON, 200, JPEG_TYPE)),
    Fault("svg", Reason.NOT_IMAGE, answer(SVG, 200, "Content-Type: image/svg+xml")),
    Fault("pdf-as-jpeg", Reason.NOT_IMAGE, answer(PDF, 200, JPEG_TYPE)),
    Fault("text-as-png", Reason.NOT_IMAGE, answer("图片已删除".encode(), 200, "Content-Type: image/png")),
    Fault("ico", Reason.NOT_IMAGE, answer(pictures.ico, 200, "Content-Type: image/x-icon")),
    Fault("one-byte", Reason.NOT_IMAGE, answer(b"\xff")),
    Fault("junk", Reason.NOT_IMAGE, answer(bytes(range(1, 256)) * 8, 200, JPEG_TYPE)),
    Fault("picture-as-html", None, answer(GOOD, 200, "Content-Type: text/html")),
    Fault("picture-without-type", None, answer(GOOD)),
    Fault("png-as-jpeg", None, answer(PICTURES["png"], 200, JPEG_TYPE)),
    Fault("junk-after-jpeg-magic", Reason.TRUNCATED, answer(b"\xff\xd8\xff\xe0" + b"junk" * 500)),
    Fault("jpeg-half", Reason.TRUNCATED, answer(LARGE[: len(LARGE) // 2])),
    Fault("jpeg-progressive-half", Reason.TRUNCATED, answer(cut(PICTURES["jpeg-progressive"], 0.7))),
    Fault("jpeg-without-its-end", Reason.TRUNCATED, answer(GOOD[:-2])),
    Fault("jpeg-zero-tail", Reason.TRUNCATED, answer(zero_tail)),
    Fault("jpeg-bad-entropy", Reason.CORRUPT, answer(bad_entropy)),
    Fault("jpeg-trailing-junk", None, answer(GOOD + b"\r\n<!-- served in 3 ms -->")),
    Fault("png-half", Reason.TRUNCATED, answer(cut(PICTURES["png"]))),
    Fault("png-bad-pixels", Reason.CORRUPT, answer(bad_png)),
    Fault("gif-half", Reason.TRUNCATED, answer(cut(PICTURES["gif"], 0.8))),
    Fault("gif-without-frame", Reason.CORRUPT, answer(empty_gif)),
    Fault("webp-half", Reason.TRUNCATED, answer(cut(PICTURES["webp"]))),
    Fault("avif-half", Reason.TRUNCATED, answer(cut(lambda: pictures.save(pictures.scene((320, 240), 90), "AVIF")))),
    Fault("tiff-half", Reason.TRUNCATED, answer(cut(PICTURES["tiff"], 0.8))),
    Fault("gzip", None, answer(lambda: gzip.compress(GOOD), 200, GZIPPED)),
    Fault("deflate", None, answer(lambda: zlib.compress(GOOD), 200, "Content-Encoding: deflate")),
    Fault("gzip-not", None, answer(GOOD, 200, GZIPPED), note="labelled so, but plain"),
    Fault("gzip-truncated", Reason.TRUNCATED, answer(cut(lambda: gzip.compress(GOOD)), 200, GZIPPED), 2),
    Fault("gzip-corrupt", Reason.CORRUPT, answer(b"\x1f\x8b\x08\0" + b"\xff" * 500, 200, GZIPPED)),
    Fault("encoding-unheard-of", None, answer(GOOD, 200, "Content-Encoding: utf-8")),
    Fault("gzip-bomb", Reason.TOO_LARGE, answer(pictures.gzip_bomb, 200, GZIPPED, JPEG_TYPE)),
    Fault("too-large-announced", Reason.TOO_LARGE, big(1_500_000_000, announced=True)),
    Fault("too-large-unannounced", Reason.TOO_LARGE, big(64 << 20, announced=False)),
    Fault("endless-chunks", Reason.TOO_LARGE, dripping(chunked(GOOD, b""), b"ffff\r\n" + bytes(0xFFFF) + b"\r\n", 0)),
    Fault("png-bomb-400-mp", Reason.TOO_MANY_PIXELS, answer(pictures.png_bomb)),
    Fault("png-bomb-2-gp", Reason.TOO_MANY_PIXELS, answer(partial(pictures.png_claiming, 65_000, 33_000))),
    Fault("jpeg-bomb", Reason.TOO_MANY_PIXELS, answer(partial(pictures.jpeg_claiming, 65_000, 65_000))),
    Fault("gif-bomb", Reason.TOO_MANY_PIXELS, answer(partial(pictures.gif_claiming, 65_000, 65_000))),
    Fault("webp-bomb", Reason.TOO_MANY_PIXELS, answer(partial(pictures.webp_claiming, 16_383, 16_383))),
    Fault("png-text-bomb", None, answer(pictures.png_text_bomb), note="64 MB of notes in 66 KB"),
    Fault("tracking-gif", Reason.TOO_SMALL, answer(tiny("GIF"))),
    Fault("tracking-png", Reason.TOO_SMALL, answer(tiny("PNG"))),
    Fault("banner", Reason.ASPECT, answer(wide((640, 20)))),
    Fault("skyscraper", Reason.ASPECT, answer(wide((20, 640)))),
)

REDIRECTS = (
    *(Fault(f"redirect-{n}", None, redirect("/picture/1.jpg", n)) for n in (301, 302, 303, 307, 308)),
    Fault("redirect-chain-5", None, path="/hop/5/1.jpg"),
    Fault("redirect-chain-6", Reason.REDIRECTS, path="/hop/6/2.jpg"),
    Fault("redirect-to-itself", Reason.REDIRECTS, redirect("/fault/redirect-to-itself"), None),
    Fault("redirect-back-and-forth", Reason.REDIRECTS, redirect("/to/%2Ffault%2Fredirect-back-and-forth"), None),
    Fault("redirect-endless", Reason.REDIRECTS, path="/hop/1000000/3.jpg"),
    Fault("redirect-to-file", Reason.BLOCKED_SCHEME, redirect("file:///etc/passwd")),
    Fault("redirect-to-ftp", Reason.BLOCKED_SCHEME, redirect("ftp://127.0.0.1/x.jpg")),
    Fault("redirect-to-data", Reason.BLOCKED_SCHEME, redirect("data:image/gif;base64,R0lGODlhAQABAAAAACw=")),
    Fault("redirect-to-javascript", Reason.BLOCKED_SCHEME, redirect("javascript:alert(1)")),
    Fault("redirect-to-userinfo", Reason.REDIRECTS, redirect("http://user:word@127.0.0.1/x.jpg")),
    Fault("redirect-nowhere", Reason.REDIRECTS, answer(b"", 302)),
    Fault("redirect-blank", Reason.REDIRECTS, redirect(" ")),
    Fault("redirect-broken", Reason.REDIRECTS, redirect("http://[::1/x.jpg")),
    Fault("redirect-to-404", Reason.HTTP_4XX, redirect("/status/404/1")),
    Fault("redirect-to-html", Reason.NOT_IMAGE, redirect("/html/1")),
    Fault("redirect-with-body", None, raw(b"HTTP/1.1 302 Found\r\nLocation: /picture/2.jpg\r\n\r\n" + HTML)),
    Fault("redirect-relative", None, redirect("../picture/3.jpg")),
    Fault("redirect-fragment", None, redirect("/picture/4.jpg#top")),
    Fault("redirect-raw-chinese", None, redirect("/picture/图片5.jpg".encode()), note="UTF-8 in Location"),
    Fault("redirect-raw-gbk", None, redirect("/picture/图片6.jpg".encode("gbk"), 301), note="GBK in Location"),
    Fault("redirect-blanks", None, redirect("/picture/a picture 7.jpg")),
)

_NO = ("noai", "noimageai", "noindex", "NoImageIndex", "none", "noml", "NOAI, NOIMAGEAI", "googlebot: noindex",
       "noai, max-image-preview:large", "max-image-preview:large, noai", "noindex, max-snippet:-1",
       "unavailable_after: 25 Jun 2055 15:00:00 GMT, noai", "otherbot: nofollow, noimageai", " nofollow ,noai ")
_YES = ("nofollow, noarchive", "max-image-preview:none", "all, index, follow", "nosnippet, max-snippet:0",
        "unavailable_after: 25 Jun 2055 15:00:00 GMT")
OPT_OUT = (
    *(Fault(f"opt-out-{n}", Reason.OPT_OUT, answer(GOOD, 200, f"X-Robots-Tag: {value}"), note=value)
      for n, value in enumerate(_NO)),
    Fault("opt-out-lower-case-name", Reason.OPT_OUT, answer(GOOD, 200, "x-robots-tag:noai")),
    Fault("opt-out-second-line", Reason.OPT_OUT, answer(GOOD, 200, "X-Robots-Tag: all", "X-Robots-Tag: noai")),
    Fault("opt-out-tdm", Reason.OPT_OUT, answer(GOOD, 200, "TDM-Reservation: 1")),
    Fault("opt-out-before-the-body", Reason.OPT_OUT, stalling(head("X-Robots-Tag: noai", "Content-Length: 9000"))),
    *(Fault(f"no-opt-out-{n}", None, answer(GOOD, 200, f"X-Robots-Tag: {value}"), note=value)
      for n, value in enumerate(_YES)),
    Fault("no-opt-out-other-header", None, answer(GOOD, 200, "X-Robots: noai", "TDM-Reservation: 0")),
)

URLS = (
    Fault("url-chinese", None, answer(GOOD), path=f"{Q}/图片/丹青.jpg",
          target=f"{Q}/%E5%9B%BE%E7%89%87/%E4%B8%B9%E9%9D%92.jpg"),
    Fault("url-chinese-query", None, answer(GOOD), path=f"{Q}/q?词=图", target=f"{Q}/q?%E8%AF%8D=%E5%9B%BE"),
    Fault("url-space", None, answer(GOOD), path=f"{Q}/a b.jpg", target=f"{Q}/a%20b.jpg"),
    Fault("url-escapes", None, answer(GOOD), path=ESCAPES, note="byte for byte"),
    Fault("url-lone-percent", None, answer(GOOD), path=f"{Q}/100%.jpg"),
    Fault("url-plus", None, answer(GOOD), path=f"{Q}/a+b.jpg?c+d=e%20f"),
    Fault("url-double-slash", None, answer(GOOD), path=f"{Q}//double//slash.jpg"),
    Fault("url-bang", None, answer(GOOD), path=f"{Q}/p.jpg!w640;v=1,2:3@2x(1)'*"),
    Fault("url-fragment", None, answer(GOOD), path=f"{Q}/anchored.jpg#page-2", target=f"{Q}/anchored.jpg"),
    Fault("url-blanks-around", None, answer(GOOD), path=f"{Q}/around.jpg \t\n", target=f"{Q}/around.jpg"),
    Fault("url-amp", None, answer(GOOD), None, "404 first", f"{Q}/amp?a=1&amp;b=2", f"{Q}/amp?a=1&b=2"),
    Fault("url-gbk-escapes", None, answer(GOOD), path=f"{Q}/%CD%BC%C6%AC.jpg", note="not UTF-8"),
)

OTHER = (
    Fault("unknown-host", Reason.DNS, attempts=None, via="unknown"),
    Fault("self-signed", Reason.TLS, attempts=None, via="https"),
    Fault("https-on-http", Reason.TLS, attempts=None, via="https-on-http"),
    Fault("http-on-https", Reason.CONNECT, attempts=None, via="http-on-https"),
    *(Fault(f"kept-{kind}", None, answer(make), note="a whole picture") for kind, make in PICTURES.items()),
)
# fmt: on

FAULTS: tuple[Fault, ...] = (
    *STATUS, *TRANSPORT, *HEADERS, *CONTENT, *REDIRECTS, *OPT_OUT, *URLS, *OTHER,
)  # fmt: skip
SLOW = tuple(fault for fault in FAULTS if fault.reason in (Reason.TIMEOUT, Reason.THROTTLED))
QUICK = tuple(fault for fault in FAULTS if fault not in SLOW)
_BY_TARGET = {fault.target: fault.serve for fault in FAULTS if fault.serve is not None}


def find(target: str) -> Handler:
    """The handler for a raw request target; a 404 for what nobody serves."""
    return _BY_TARGET.get(target) or route(target) or answer(b"not here", 404)
