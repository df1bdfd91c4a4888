"""Fetch: one URL, one answer; follows redirects, keeps every limit, and says why where there is no body.

url -> Response(status, body, reason ...). One session and one TLS context serve a whole worker process (it
costs 15 ms and more to build, and peers build one a request); connections are kept for 15 s and shared by all
shards. aiohttp costs 0.09 ms (http) to 0.26 ms (https) of CPU a request, 2 to 6 % of a decode. No cookies,
no Referer, no proxy variables.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import time
from collections.abc import Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from typing import Self

import aiohttp
from aiohttp import ClientResponse, hdrs
from aiohttp.http_exceptions import HttpProcessingError
from yarl import URL

from ..reasons import Dropped, Reason
from .address import AddressError, Resolver
from .body import BodyReader, Failed
from .connection import ConnectionLost, Connector, drain, raise_file_limit, send, trusted
from .limits import FetchLimits, Identity
from .optout import opted_out
from .url import redirect

WAIT_AT_MOST = 3600.0  # seconds of a Retry-After that are believed
HEADER_LINE = 16 << 10  # bytes; twice aiohttp's, for content policies that grow past 8 KiB
BUFFER = 128 << 10  # bytes; a connection waits at twice that: half of aiohttp's, and most pictures fit
TEXT = 256  # characters kept of a header that goes into the outcomes

FOLLOWED = frozenset({301, 302, 303, 307, 308})
PICTURED = frozenset({200, 201, 202, 203})  # what has a body that may be the picture
AGAIN = frozenset({408, 425})  # of the 4xx, those that are about this one request


@dataclass(slots=True)
class Response:
    """The result of one fetch; `reason` is None only for a whole body within the limits.

    status: of the last answer, None without one; final_url: None when no redirect was followed; retry_after:
    seconds, of a 429 or 503 that names them; transient: another try may fare better.
    """

    status: int | None = None
    final_url: str | None = None
    body: bytes = b""
    content_type: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    retry_after: float | None = None
    reason: Reason | None = None
    transient: bool = False
    held: int = 0  # bytes of the memory budget that the body holds until `Fetcher.done_with`


class Fetcher:
    """An async context manager around one aiohttp session; `fetch` may be called from many tasks at once.

    `nameservers` (`address[:port]`) and `tls` stand in for the system's in tests and intranets.
    """

    def __init__(
        self,
        limits: FetchLimits,
        identity: Identity,
        nameservers: Sequence[str] = (),
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits
        self._identity = identity
        self._nameservers = nameservers
        self._tls = tls
        self._reader = BodyReader(limits.max_bytes, limits.total)

    async def __aenter__(self) -> Self:
        limits, identity = self._limits, self._identity
        raise_file_limit()
        self._resolver = Resolver(self._nameservers, identity.allow_private)
        connector = Connector(self._resolver, identity.allow_private, self._tls or trusted())
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={
                hdrs.USER_AGENT: identity.user_agent,
                hdrs.ACCEPT: "image/*,*/*;q=0.5",
                hdrs.ACCEPT_ENCODING: "identity",
            },
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect, sock_read=limits.idle),
            auto_decompress=False,
            read_bufsize=BUFFER,
            max_line_size=HEADER_LINE,
            max_field_size=min(limits.header_bytes, HEADER_LINE),
            middlewares=(send,),
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._session.close()
        await self._resolver.close()

    async def fetch(self, url: str) -> Response:
        """Ask for `url`, as `url.normalise` returns it. Raises nothing that the web can cause."""
        answer = Response()
        try:
            async with asyncio.timeout(self._limits.total) as deadline:
                await self._follow(url, answer, deadline)
        except Dropped as dropped:
            answer.reason = dropped.reason
            answer.transient = isinstance(dropped, Failed) and dropped.transient
        except TimeoutError:  # ours, and aiohttp's of connect and idle
            answer.reason, answer.transient = Reason.TIMEOUT, True
        except (aiohttp.ClientError, HttpProcessingError, OSError, ValueError, RuntimeError) as error:
            answer.reason, answer.transient = diagnose(error, answer.status is not None)
        return answer

    def done_with(self, answer: Response) -> None:
        """Make room for the next large body: this one was decoded."""
        self._reader.give_back(answer.held)
        answer.body, answer.held = b"", 0

    async def _follow(self, url: str, answer: Response, deadline: asyncio.Timeout) -> None:
        """Ask for `url` and where it leads, until there is a body. Raises Dropped and what aiohttp raises."""
        seen = {url}
        while (location := await self._ask(url, answer, deadline)) is not None:
            url = redirect(url, location)
            if url in seen or len(seen) > self._limits.redirects:
                raise Failed(Reason.REDIRECTS)
            seen.add(url)
            answer.status, answer.final_url = None, url

    async def _ask(self, url: str, answer: Response, deadline: asyncio.Timeout) -> str | None:
        """One request. The Location it redirects to, or None with the body in `answer`."""
        response = await self._session.get(URL(url, encoded=True), allow_redirects=False)
        try:
            answer.status = response.status
            try:
                location = self._judge(response, answer)
            except Failed:
                await drain(response)
                raise
            if location is not None:
                await drain(response)
                return location
            answer.body, answer.held = await self._reader.read(response, deadline)
            return None
        finally:
            response.release()  # keeps the connection if all of the body has come, and cuts it otherwise

    def _judge(self, response: ClientResponse, answer: Response) -> str | None:
        """Note what the headers say; the Location of a redirect, None before a body. Raises Failed.

        The opt-out of a redirect counts as well: the manifest's URL is the one that it speaks of.
        """
        status, headers = response.status, response.headers
        if sum(len(name) + len(value) for name, value in response.raw_headers) > self._limits.header_bytes:
            raise Failed(Reason.PROTOCOL)
        answer.content_type = _text(headers.get(hdrs.CONTENT_TYPE))
        answer.etag = _text(headers.get(hdrs.ETAG))
        answer.last_modified = _text(headers.get(hdrs.LAST_MODIFIED))
        if status in (429, 503):
            answer.retry_after = retry_after(headers.get(hdrs.RETRY_AFTER))
        if not 200 <= status < 400:
            raise _refusal(status)
        if not self._identity.ignore_opt_out and opted_out(headers):
            raise Failed(Reason.OPT_OUT)
        if status in FOLLOWED:
            return headers.get(hdrs.LOCATION, "")
        if status not in PICTURED and not (status == 206 and _whole(response)):
            raise _bodiless(status)
        return None


def retry_after(value: str | None, now: float | None = None) -> float | None:
    """Seconds to wait, 0 to an hour, by a Retry-After of seconds or a date; None when it says neither."""
    if value is None:
        return None
    value = value.strip()
    if value.isascii() and value.isdigit():
        return min(float(value), WAIT_AT_MOST)
    try:
        seconds = parsedate_to_datetime(value).timestamp() - (time.time() if now is None else now)
    except (ValueError, OverflowError, TypeError, IndexError):
        return None
    return min(max(seconds, 0.0), WAIT_AT_MOST)


def diagnose(error: Exception, answered: bool) -> tuple[Reason, bool]:
    """(reason, transient) of what aiohttp raised; `answered`: the headers had come."""
    cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error.__cause__
    if isinstance(cause, AddressError):
        return cause.reason, cause.transient
    if answered:
        return Reason.TRUNCATED, True
    if isinstance(error, aiohttp.ClientSSLError) or isinstance(cause, ssl.SSLError):
        return Reason.TLS, False
    if isinstance(error, aiohttp.InvalidURL):
        return Reason.INVALID_URL, False
    if isinstance(error, OSError | ConnectionLost | aiohttp.ClientConnectionError):
        return Reason.CONNECT, True
    return Reason.PROTOCOL, False


def _refusal(status: int) -> Failed:
    if status in (429, 503):
        return Failed(Reason.THROTTLED, transient=True)
    if 400 <= status < 500:
        return Failed(Reason.HTTP_4XX, transient=status in AGAIN)
    if 500 <= status < 600:
        return Failed(Reason.HTTP_5XX, transient=True)
    return Failed(Reason.PROTOCOL)


def _bodiless(status: int) -> Failed:
    """A 2xx or 3xx without a picture: nothing, a part not asked for, a redirect to nowhere."""
    if status in (204, 205):
        return Failed(Reason.EMPTY)
    if status == 206:
        return Failed(Reason.TRUNCATED)
    return Failed(Reason.REDIRECTS if status >= 300 else Reason.NOT_IMAGE)


def _whole(response: ClientResponse) -> bool:
    """Whether a Content-Range, `bytes 0-99/100`, is that of all there is, and of as much as the answer has."""
    said = {value.strip().lower() for value in response.headers.getall(hdrs.CONTENT_RANGE, ())}
    range_ = re.fullmatch(r"bytes 0-(\d{1,18})/(\d{1,18})", said.pop(), re.ASCII) if len(said) == 1 else None
    if range_ is None:
        return False
    length = int(range_[2])
    return int(range_[1]) + 1 == length and response.content_length in (None, length)


def _text(value: str | None) -> str | None:
    """A header for the outcomes: short, valid Unicode, without control characters."""
    if value is None or (len(value) <= TEXT and value.isascii() and value.isprintable()):
        return value
    value = value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(character for character in value if character.isprintable())[:TEXT]
