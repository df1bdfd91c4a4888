"""One request to the loopback Hub and its answer: what the endpoints see of HTTP.

    Call    method, path, query, headers, the body as a stream ─▶ endpoint ─▶ Answer    status, headers, bytes or file

Bodies are read as they come and files are sent from disk: an upload of any size needs a megabyte of memory.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import urlencode

from .access import Account, HubError, may_read, missing

if TYPE_CHECKING:
    from .server import Hub
    from .store import Commit, Repository

PIECE = 1 << 20  # bytes read at once
TRUE = ("1", "true", "True")


@dataclass(slots=True)
class Seen:
    """A request in the log. target: path and query as sent; range: its Range header; authorization: the token sent.

    received, sent: bytes of the bodies; status: 0 while it is being handled, and where it got no answer.
    """

    method: str
    target: str
    host: str
    authorization: str
    range: str = ""
    received: int = 0
    status: int = 0
    sent: int = 0


class Cut(ConnectionError):
    """The connection is to be closed here, because a fault says so."""


class Body(io.RawIOBase):
    """The body of a request as a stream, by its length or in chunks; ConnectionError when the client goes away."""

    def __init__(
        self, stream: IO[bytes], headers: Mapping[str, str], seen: Seen, stop: int | None = None
    ) -> None:
        super().__init__()
        self._stream, self._seen, self._stop = stream, seen, stop
        self._chunked = "chunked" in headers.get("Transfer-Encoding", "").lower()
        self._left = 0 if self._chunked else int(headers.get("Content-Length") or 0)

    def readable(self) -> bool:
        """True: this is what it is for."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Fill the buffer with what is there, 0 at the end."""
        if self._chunked and not self._left:
            self._next_chunk()
        if not self._left:
            return 0
        wanted = min(len(buffer), self._left)
        if self._stop is not None:
            wanted = min(wanted, self._stop - self._seen.received)
            if wanted < 1:
                raise Cut
        piece = self._stream.read(wanted)
        if not piece:
            raise ConnectionResetError("the client went away in the middle of a body")
        buffer[: len(piece)] = piece
        self._left -= len(piece)
        self._seen.received += len(piece)
        return len(piece)

    def _next_chunk(self) -> None:
        line = self._stream.readline() or b"0"
        if line == b"\r\n":  # the end of the chunk before
            line = self._stream.readline()
        self._left = int(line.split(b";")[0] or b"0", 16)
        if not self._left:
            self._chunked = False
            self._stream.readline()

    def drain(self) -> None:
        """Read what is left, so that the connection can go on."""
        while self.read(PIECE):
            pass


@dataclass(slots=True)
class Answer:
    """An answer. body: bytes, or what becomes JSON; file: sent in place of it, from `span`: first byte, length."""

    status: int = 200
    body: Any = b""
    headers: list[tuple[str, str]] = field(default_factory=list)
    file: Path | None = None
    span: tuple[int, int] = (0, 0)

    def content(self) -> bytes:
        """The body as bytes."""
        return self.body if isinstance(self.body, bytes) else json.dumps(self.body).encode()


@dataclass(slots=True)
class Call:
    """A request that is being handled; `parts` are the named pieces of its path, unquoted."""

    hub: Hub
    method: str
    path: str
    query: dict[str, str]
    headers: Mapping[str, str]
    body: Body
    account: Account | None = None
    parts: dict[str, str] = field(default_factory=dict)

    def asks(self, name: str) -> bool:
        """Whether a switch of the query is on."""
        return self.query.get(name) in TRUE

    def json(self) -> Any:
        """The body as JSON; 400 where it is none."""
        try:
            return json.loads(self.body.read() or b"{}")
        except ValueError:
            raise HubError(400, "", "the body is not JSON") from None

    def lines(self) -> Iterator[Any]:
        """The body as JSON lines, one at a time."""
        for line in io.BufferedReader(self.body, PIECE):
            try:
                yield json.loads(line)
            except ValueError:
                raise HubError(400, "", "a line of the body is not JSON") from None

    def save(self, path: Path) -> str:
        """Write the body to a file; its sha256."""
        digest = hashlib.sha256()
        with path.open("wb") as file:
            while piece := self.body.read(PIECE):
                digest.update(piece)
                file.write(piece)
        return digest.hexdigest()

    @property
    def kind(self) -> str:
        """dataset, model or space; a model's pages bear no prefix."""
        return (self.parts.get("kind") or "models").rstrip("s")

    @property
    def repository(self) -> Repository:
        """The repository of the path; HubError when it is not there or not for this caller."""
        found = self.hub.store.get(self.kind, self.parts["name"])
        if found is None:
            raise missing(self.account)
        may_read(self.account, found)
        return found

    def commit(self, repository: Repository) -> Commit:
        """The commit of the path's revision."""
        revision = self.parts.get("revision") or "main"
        found = repository.find(revision)
        if found is None:
            raise HubError(404, "RevisionNotFound", f"Invalid rev id: {revision}")
        return found

    def page(self, items: list[Any], most: int) -> Answer:
        """A page of a list, with the address of the next in the Link header."""
        size = min(int(self.query.get("limit") or most), most)
        start = int(self.query.get("cursor") or 0)
        headers = [("X-Total-Count", str(len(items)))]
        if start + size < len(items):
            query = urlencode({**self.query, "cursor": start + size})
            headers.append(("Link", f'<{self.hub.url}{self.path}?{query}>; rel="next"'))
        return Answer(body=items[start : start + size], headers=headers)
