"""WARC and WAT files of the tests' own making.

record() and response() ─▶ bytes of a WARC record; page(), envelope() and languages() ─▶ what a WAT says of a record, as
Common Crawl's extractor orders it; wat() ─▶ its record; members() ─▶ the file, every record a gzip member of its own.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson

URL = "http://example.com/a/page.html"
WARC = "CC-MAIN-20250101000000-20250101010000-00000.warc.gz"
DATE = "2025-01-01T00:00:00Z"


def record(kind: str, content: bytes, *, length: int | None = None, **headers: str) -> bytes:
    """A WARC record; headers: WARC_Target_URI="http://…" and the like; length: another than that of the content."""
    lines = {"WARC-Type": kind, "WARC-Date": DATE, "WARC-Record-ID": "<urn:uuid:0>"}
    lines |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines["Content-Length"] = str(len(content) if length is None else length)
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return b"WARC/1.0\r\n" + head.encode() + b"\r\n" + content + b"\r\n\r\n"


def response(
    html: bytes | str,
    url: str = URL,
    headers: Mapping[str, str] | Sequence[tuple[str, str]] = (("Content-Type", "text/html"),),
    status: str = "200 OK",
) -> bytes:
    """A record of kind `response`: the HTTP answer to `url`, with this body."""
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    head = f"HTTP/1.1 {status}\r\n" + "".join(f"{name}: {value}\r\n" for name, value in pairs)
    body = html.encode() if isinstance(html, str) else html
    return record(
        "response",
        head.encode() + b"\r\n" + body,
        Content_Type="application/http; msgtype=response",
        WARC_Target_URI=url,
    )


def image(url: str | None = None, alt: str | None = None, title: str | None = None) -> dict[str, str]:
    """A link to a picture, as a WAT has it."""
    values = {"path": "IMG@/src", "url": url, "alt": alt, "title": title}
    return {name: value for name, value in values.items() if value is not None}


def page(
    links: Iterable[Mapping[str, Any]] = (),
    url: str = URL,
    *,
    head: Mapping[str, Any] | None = None,
    headers: Mapping[str, Any] | None = None,
    status: str = "200",
) -> dict[str, Any]:
    """What a WAT says of a response."""
    html = {"Head": head or {}, "Links": list(links)}
    answer = {
        "Response-Message": {"Status": status, "Version": "HTTP/1.1", "Reason": "OK"},
        "Headers": headers or {"Content-Type": "text/html; charset=utf-8"},
        "HTML-Metadata": html,
    }
    return envelope("response", url, "HTTP-Response-Metadata", answer)


def languages(*codes: str, url: str = URL) -> dict[str, Any]:
    """What a WAT says of the `metadata` record behind a response: its languages by CLD2, as ISO 639-3."""
    found = {"reliable": True, "languages": [{"code-iso-639-3": code, "text-covered": 0.5} for code in codes]}
    records = [
        {"Name": "fetchTimeMs", "Value": "655"},
        {"Name": "charset-detected", "Value": "UTF-8"},
        {"Name": "languages-cld2", "Value": orjson.dumps(found).decode()},
    ]
    return envelope("metadata", url, "WARC-Metadata-Metadata", {"Metadata-Records": records})


def envelope(kind: str, url: str, name: str, payload: Mapping[str, Any]) -> dict[str, Any]:
    """What a WAT says of any record; its payload by the name that the extractor gives it."""
    return {
        "Container": {"Filename": WARC, "Compressed": True, "Offset": "940"},
        "Envelope": {
            "Payload-Metadata": {"Actual-Content-Type": f"application/http; msgtype={kind}", name: payload},
            "Format": "WARC/1.0",
            "WARC-Header-Metadata": {"WARC-Type": kind, "WARC-Date": DATE, "WARC-Target-URI": url},
        },
    }


def wat(content: Mapping[str, Any] | bytes, url: str = URL) -> bytes:
    """The record of a WAT that holds this; `url` stands in its WARC header."""
    body = content if isinstance(content, bytes) else orjson.dumps(content)
    return record("metadata", body, Content_Type="application/json", WARC_Target_URI=url)


def members(*records: bytes) -> bytes:
    """A file of which every record is a gzip member."""
    return b"".join(gzip.compress(each, mtime=0) for each in records)
