"""Answers to requests for a file, or for the rest of one, wherever it lies: https, S3, or a bucket of the Hub.

    url, start, etag ─▶ Web.ask ─▶ Answer: where its bytes begin, of how many, and the bytes

S3 is asked by signed URLs and the Hub by its resolver, so that one client speaks to all three, and they differ only in
what a refusal means. What may pass is raised as `Passing`, and `Patience` tries it again.
"""

from __future__ import annotations

import contextlib
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NoReturn, TypeVar
from urllib.parse import urlsplit

import fsspec
import httpx2

from .. import __version__
from ..console import in_time, one_line
from ..disk.files import filesystem
from ..disk.reading import reading
from ..errors import EnvironmentProblem, InputError, Interrupted, need
from ..web.fetch import retry_after
from ..web.tokens import is_loopback, mask
from .client import bucket_file, hub_errors
from .refusals import limit_wait

T = TypeVar("T")

USER_AGENT = f"danqing/{__version__} (+https://github.com/deepglint/DanQing; reads Common Crawl)"
AGAIN = "run the same command again, what is done is kept"
PASSING = {408, 425, 429, 500, 502, 503, 504}
WAITS = (
    1.0,
    2.0,
    4.0,
    8.0,
    16.0,
    32.0,
    64.0,
    64.0,
)  # seconds before each new try, where the server names none
FEW = 3  # new tries where the host has no address: most likely there is no network
IDLE = 60.0  # seconds without a byte; a whole file has no limit of time
LOOK = 0.2  # seconds between two looks whether a wait is to be ended
REDIRECTS = 5
SIGNED = 3600  # seconds in which a signed URL may be asked for; each try has a new one
S3, BUCKETS = "s3://", "hf://buckets/"
ACCOUNT = "s3:// is read with an AWS account of yours: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
_ACCOUNT = re.compile("Credential|Profile|Token|SSO")  # in the names of botocore's errors


class Passing(Exception):
    """What may pass, in a few words. wait: seconds that the server asks for; moved: bytes came before it.

    nameless: no address was found for the host.
    """

    def __init__(self, said: str, wait: float | None = None, *, nameless: bool = False) -> None:
        super().__init__(said)
        self.wait, self.moved, self.nameless = wait, False, nameless


@dataclass(frozen=True, slots=True)
class Patience:
    """What is tried again, and what ends a wait. stopping: whether the run is to end; tell: what is told of a wait.

    waits: seconds before each new try; idle: seconds without a byte.
    """

    stopping: Callable[[], bool] = lambda: False
    tell: Callable[[str], None] = lambda _: None
    waits: tuple[float, ...] = WAITS
    idle: float = IDLE

    def look(self) -> None:
        """Raise Interrupted where the run is to end."""
        if self.stopping():
            raise Interrupted("stopped; what has arrived is kept, the same command goes on from there")

    def pause(self, seconds: float) -> None:
        """Wait; Interrupted at a stop."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.look()
            threading.Event().wait(min(left, LOOK))

    def persist(self, call: Callable[[], T]) -> T:
        """The result of `call`, tried again after each Passing; EnvironmentProblem where that is no use."""
        tries = 0
        while True:
            try:
                return call()
            except Passing as error:
                tries = 0 if error.moved else tries
                most = min(len(self.waits), FEW) if error.nameless else len(self.waits)
                if tries >= most:
                    raise EnvironmentProblem(f"{error}, {tries + 1} times in a row; {AGAIN}") from error
                wait = self.waits[tries] if error.wait is None else error.wait
                tries += 1
                self.tell(f"{error}; trying again in {in_time(wait)} ({tries} of {most})")
                self.pause(wait)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer with bytes. start: the place of the first in the file; size: of the whole file, None where unknown.

    etag: a strong validator, empty without one.
    """

    start: int
    size: int | None
    etag: str
    chunks: Iterator[bytes]


class Web:
    """One client for all that a process reads."""

    def __init__(self, patience: Patience) -> None:
        self.patience = patience
        self._client = httpx2.Client(
            headers={"User-Agent": USER_AGENT, "Accept": "*/*", "Accept-Encoding": "identity"},
            timeout=httpx2.Timeout(patience.idle, connect=min(patience.idle, 20.0)),
        )

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def read(self, url: str, limit: int) -> bytes:
        """A small file whole; InputError where it has more than `limit` bytes."""

        def attempt() -> bytes:
            found = bytearray()
            with self.ask(url) as answer:
                for chunk in answer.chunks:
                    self.patience.look()
                    found += chunk
                    if len(found) > limit:
                        raise InputError(
                            f"{url}: has more than {limit >> 20:,} MiB, which no list of files has"
                        )
            return bytes(found)

        return self.patience.persist(attempt)

    @contextlib.contextmanager
    def ask(self, url: str, start: int = 0, etag: str = "") -> Iterator[Answer]:
        """The bytes of a file, those from `start` on where it still has that validator, else all of them.

        Raises InputError for a file that is not there, EnvironmentProblem where asking again is no use, else Passing.
        """
        place, headers = _request(url)
        try:
            part = {"Range": f"bytes={start}-", "If-Range": etag} if start else {}
            response = self._follow(url, place, headers | part)
            if start and response.status_code in (206, 416) and not _continues(response, start, etag):
                response.close()
                response = self._follow(url, place, headers)
            with contextlib.closing(response):
                if response.status_code != 200 and not (start and response.status_code == 206):
                    _refuse(url, response)
                yield _answer(response)
        except httpx2.InvalidURL as error:
            raise InputError(f"{url}: no such address can be ({error})") from error
        except httpx2.TransportError as error:
            said = one_line(mask(str(error))) or type(error).__name__
            if "CERTIFICATE_VERIFY_FAILED" in said:
                raise EnvironmentProblem(
                    f"{url}: {said}; look at the clock and at the proxy of this machine"
                ) from error
            raise Passing(f"{url}: the connection failed ({said})", nameless=_is_nameless(error)) from error

    def _follow(self, url: str, place: str, headers: dict[str, str]) -> httpx2.Response:
        """The answer at the end of the redirects, which lead to https or to the same host."""
        for _ in range(REDIRECTS):
            response = self._client.send(
                self._client.build_request("GET", place, headers=headers), stream=True
            )
            if not response.has_redirect_location:
                return response
            response.close()
            before, after = response.url, response.url.join(response.headers["Location"])
            same = after.host == before.host or (is_loopback(after.host) and is_loopback(before.host))
            if after.scheme != "https" and not (same and after.scheme == before.scheme):
                raise EnvironmentProblem(
                    f"{url}: leads to {after.scheme}://{after.host}: neither https nor the same host, so not followed"
                )
            if (after.host, after.port) != (before.host, before.port):
                headers = {name: value for name, value in headers.items() if name.lower() != "authorization"}
            place = str(after)
        raise EnvironmentProblem(f"{url}: redirects without end; {AGAIN}")


def _is_nameless(error: BaseException | None) -> bool:
    """Whether what failed is to find the address of a host."""
    while error is not None:
        if isinstance(error, socket.gaierror):
            return True
        error = error.__cause__ or error.__context__
    return False


def _answer(response: httpx2.Response) -> Answer:
    said = response.headers.get("ETag", "")
    etag = said if said.startswith('"') and said.isascii() and len(said) <= 100 else ""
    length = response.headers.get("Content-Length", "")
    size = int(length) if re.fullmatch(r"\d{1,18}", length, re.ASCII) else None
    start = 0
    if (span := _span(response)) and response.status_code == 206:
        start, size = span
    return Answer(start, size, etag, response.iter_raw())


def _span(response: httpx2.Response) -> tuple[int, int] | None:
    """The first byte and the size of the whole, as a Content-Range says; None where that does not go to the end."""
    said = re.fullmatch(
        r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})", response.headers.get("Content-Range", ""), re.ASCII
    )
    return (int(said[1]), int(said[3])) if said and int(said[2]) + 1 == int(said[3]) else None


def _continues(response: httpx2.Response, start: int, etag: str) -> bool:
    """Whether an answer holds the rest of the same file: never are the bytes of two versions put together."""
    span = _span(response)
    return bool(
        response.status_code == 206 and span and span[0] == start and response.headers.get("ETag") == etag
    )


def _refuse(url: str, response: httpx2.Response) -> NoReturn:
    """Raise what an answer without the file means."""
    status, host = response.status_code, urlsplit(url).hostname
    if status in PASSING:
        asked = limit_wait(response.headers) if url.startswith(BUCKETS) else None
        wait = retry_after(response.headers.get("Retry-After")) if asked is None else asked
        raise Passing(f"{url}: answered {status}", wait)
    if status in (404, 410):
        raise InputError(f"{url}: no such file ({status}); look at its name, or at the list that names it")
    if url.startswith(S3):
        code = re.search(rb"<Code>(\w{1,64})</Code>", next(response.iter_raw(), b""))
        said = code[1].decode() if code else status
        raise EnvironmentProblem(f"{url}: S3 refuses it ({said}); {ACCOUNT}")
    if url.startswith(BUCKETS) and status in (401, 403):
        raise EnvironmentProblem(
            f"{url}: the Hub refuses it ({status}); log in with `hf auth login` or set HF_TOKEN"
        )
    if status == 403:
        raise EnvironmentProblem(
            f"{url}: {host} answered 403, which is a block: wait at least 15 minutes, then {AGAIN}"
        )
    raise EnvironmentProblem(f"{url}: answered {status}; {AGAIN}")


def _request(url: str) -> tuple[str, dict[str, str]]:
    """The address that a file is asked for at, and the headers that this takes."""
    if url.startswith(BUCKETS):
        return bucket_file(url)
    if url.startswith(S3):
        fs, path = store(url)
        with reached(url):
            return str(fs.sign(path, expiration=SIGNED)), {}
    return url, {}


def store(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of a URL, and the path in it. S3 is asked with signatures alone, in the region of the bucket."""
    if not url.startswith(S3):
        return filesystem(url)
    need("crawl", ["s3fs"])
    version4 = {"signature_version": "s3v4"}  # of its own accord botocore signs URLs by version 2
    fs = fsspec.filesystem("s3", anon=False, cache_regions=True, config_kwargs=version4)
    return fs, url.removeprefix(S3)


@contextlib.contextmanager
def reached(url: str) -> Iterator[None]:
    """Turn whatever a store raises while it is looked at into one line that names `url`."""
    with reading(url), hub_errors(url) if url.startswith("hf://") else contextlib.nullcontext():
        try:
            yield
        except Exception as error:
            if url.startswith(S3) and (
                isinstance(error, PermissionError) or _ACCOUNT.search(type(error).__name__)
            ):
                raise EnvironmentProblem(f"{url}: {one_line(str(error))}; {ACCOUNT}") from error
            raise
