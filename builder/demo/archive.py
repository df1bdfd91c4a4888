"""Web pages as Common Crawl stores them: a WARC of requests, answers and findings, and the WAT that is made of it.

    pages ─▶ records ─▶ warc: a gzip member each
                     ─▶ wat: what Common Crawl's extractor says of each, as JSON, a gzip member each

The layout is that of the crawls of 2025: https://commoncrawl.org/get-started, https://iipc.github.io/warc-specifications/.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import uuid
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from .pages import CAPTION, CRAWL, PlantedLink, WebPage

DATE = "2025-07-12T04:05:06Z"
_HTTP = "application/http; msgtype={}"
_FIELDS = "application/warc-fields"
# By ISO 639-3: of <html lang>, and the name by CLD2.
_LANGUAGES = {"zho": ("zh", "Chinese"), "jpn": ("ja", "Japanese"), "eng": ("en", "ENGLISH")}


class _Record(NamedTuple):
    """A record of a WARC. told: what a WAT says of its content."""

    headers: dict[str, str]
    content: bytes
    told: dict[str, Any]


def name_of(number: int, kind: str = "") -> str:
    """The name of a file. kind: .wat of a WAT, nothing of the WARC that it is made of."""
    return f"CC-MAIN-20250712030812-20250712060812-{number:05d}.warc{kind}.gz"


def warc(pages: Sequence[WebPage], number: int) -> bytes:
    """The WARC file `number` of the crawl."""
    return b"".join(_member(one.headers, one.content) for one in _records(pages, number))


def wat(pages: Sequence[WebPage], number: int) -> bytes:
    """The WAT file `number`: a record about each of those of the WARC."""
    name, offset = name_of(number), 0
    info = {"Software-Info": "ia-web-commons", "format": "WARC File Format 1.0"}
    members = [_member(_headers("warcinfo", name_of(number, ".wat"), _FIELDS), _lines(info))]
    for record in _records(pages, number):
        told = {
            "Container": {"Filename": name, "Compressed": True, "Offset": str(offset)},
            "Envelope": {
                "Payload-Metadata": {"Actual-Content-Type": record.headers["Content-Type"], **record.told},
                "Format": "WARC/1.0",
                "WARC-Header-Metadata": {**record.headers, "Content-Length": str(len(record.content))},
            },
        }
        uri = record.headers.get("WARC-Target-URI", name)
        headers = _headers("metadata", uri, "application/json", of=record.headers["WARC-Record-ID"])
        data = json.dumps(told, ensure_ascii=False, separators=(",", ":")).encode()
        members.append(_member(headers, data))
        offset += len(_member(record.headers, record.content))
    return b"".join(members)


def _records(pages: Sequence[WebPage], number: int) -> Iterator[_Record]:
    """The records of a WARC: what crawl it is of, and for each page the request, the answer and what was found out."""
    info = {"isPartOf": CRAWL, "publisher": "danqing demo", "format": "WARC File Format 1.1"}
    name = name_of(number)
    headers = _headers("warcinfo", name, _FIELDS) | {"WARC-Filename": name}
    yield _Record(headers, _lines(info), {"WARC-Info-Metadata": info})
    for page in pages:
        yield _request(page)
        yield _response(page)
        yield _found_out(page)


def _request(page: WebPage) -> _Record:
    url = urlsplit(page.url)
    asked = {"User-Agent": "CCBot/2.0 (https://commoncrawl.org/faq/)", "Host": url.netloc}
    content = f"GET {url.path} HTTP/1.1\r\n".encode() + _lines(asked) + b"\r\n"
    message = {"Method": "GET", "Path": url.path, "Version": "HTTP/1.1"}
    told = {"HTTP-Request-Metadata": {"Request-Message": message, "Headers": asked}}
    return _Record(_headers("request", page.url, _HTTP.format("request")), content, told)


def _response(page: WebPage) -> _Record:
    """The answer: in GBK where the page is Chinese, by the name of its smaller kin, as is usual."""
    charset, codec = ("gb2312", "gb18030") if page.language == "zho" else ("utf-8", "utf-8")
    head, body = _head(page, charset), _html(page, charset).encode(codec)
    answered = {"Content-Type": "text/html", **page.headers, "Content-Length": str(len(body))}
    content = b"HTTP/1.1 200 OK\r\n" + _lines(answered) + b"\r\n" + body
    told = {
        "HTTP-Response-Metadata": {
            "Response-Message": {"Status": "200", "Version": "HTTP/1.1", "Reason": "OK"},
            "Headers": answered,
            "HTML-Metadata": {"Head": head, "Links": [_link(one) for one in page.links]},
        }
    }
    headers = _headers("response", page.url, _HTTP.format("response"))
    digests = {"WARC-Payload-Digest": _digest(body), "WARC-Block-Digest": _digest(content)}
    return _Record(headers | digests | {"WARC-Identified-Payload-Type": "text/html"}, content, told)


def _found_out(page: WebPage) -> _Record:
    code, name = _LANGUAGES[page.language]
    language = {"code": code, "code-iso-639-3": page.language, "text-covered": 0.98, "name": name}
    found = {
        "fetchTimeMs": "212",
        "charset-detected": "GB18030" if page.language == "zho" else "UTF-8",
        "languages-cld2": json.dumps({"reliable": True, "languages": [language]}, separators=(",", ":")),
    }
    told = [{"Name": key, "Value": value} for key, value in found.items()]
    headers = _headers("metadata", page.url, _FIELDS)
    return _Record(headers, _lines(found), {"WARC-Metadata-Metadata": {"Metadata-Records": told}})


def _head(page: WebPage, charset: str) -> dict[str, Any]:
    """What a WAT says of the <head> of a page."""
    named = {"HTML@/lang": _LANGUAGES[page.language][0], **page.metas}
    typed = {"content": f"text/html; charset={charset}", "http-equiv": "Content-Type"}
    return {"Metas": [typed, *({"name": name, "content": value} for name, value in named.items())]}


def _html(page: WebPage, charset: str) -> str:
    metas = "".join(f'<meta name="{name}" content="{value}">' for name, value in page.metas.items())
    typed = f'<meta http-equiv="Content-Type" content="text/html; charset={charset}">'
    body = "\n".join(map(_picture, page.links))
    lang = _LANGUAGES[page.language][0]
    return f'<!DOCTYPE html>\n<html lang="{lang}"><head>{typed}{metas}</head><body>\n{body}\n</body></html>\n'


def _picture(link: PlantedLink) -> str:
    """The picture in HTML: until a script has loaded it, what a WAT tells of it."""
    until = link.by_wat()
    values = {"src": until.src, "alt": until.text, "data-src": link.src if link.lazy else None}
    given = (f' {name}="{escape(value)}"' for name, value in values.items() if value is not None)
    caption = f"<figcaption>{escape(link.text or '')}</figcaption>" if link.source == CAPTION else ""
    element = f"<img{''.join(given)}>{caption}"
    return f"<figure>{element}</figure>" if caption else element


def _link(link: PlantedLink) -> dict[str, str]:
    """What a WAT says of a picture."""
    told = link.by_wat()
    values = {"url": told.src, "alt": told.text}
    return {"path": "IMG@/src", **{name: value for name, value in values.items() if value is not None}}


def _headers(kind: str, uri: str, content_type: str, of: str = "") -> dict[str, str]:
    """The headers of a record. of: the record that it is about."""
    headers = {
        "WARC-Type": kind,
        "WARC-Date": DATE,
        "WARC-Record-ID": f"<urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{kind} {uri} {of}')}>",
        "Content-Type": content_type,
    }
    return (
        headers
        | ({} if kind == "warcinfo" else {"WARC-Target-URI": uri})
        | ({"WARC-Refers-To": of} if of else {})
    )


def _lines(values: Mapping[str, str]) -> bytes:
    return "".join(f"{name}: {value}\r\n" for name, value in values.items()).encode()


def _digest(data: bytes) -> str:
    digest = hashlib.sha1(data, usedforsecurity=False).digest()
    return f"sha1:{base64.b32encode(digest).decode()}"


def _member(headers: Mapping[str, str], content: bytes) -> bytes:
    """A record as a gzip member of its own."""
    head = _lines({**headers, "Content-Length": str(len(content))})
    return gzip.compress(b"WARC/1.0\r\n" + head + b"\r\n" + content + b"\r\n\r\n", 6, mtime=0)
