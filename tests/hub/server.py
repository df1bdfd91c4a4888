"""The loopback Hub itself: an HTTP/1.1 server in threads, its log, its faults, its accounts.

    with Hub(folder) as hub:                     # HF_ENDPOINT=hub.url HF_TOKEN=hub.token
        hub.fail("POST", "/commit/", 503)        # the next commit is answered 503
        hub.requests                             # what was asked, in order

It listens on 127.0.0.1 and is named twice: `url`, the Hub, and `files_url`, the host that it sends clients to for
contents, as the real one sends them to its storage. No token may ever reach the second.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import struct
import sys
import threading
import traceback
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

from .access import ORGANIZATION, USER, Account, HubError, Quota, account_of
from .exchange import Answer, Body, Call, Cut, Seen
from .faults import Fault, Faults, Where
from .routes import find
from .store import Commit, Entry, Store
from .xet import Xet

RESET = struct.pack("ii", 1, 0)  # SO_LINGER: close with RST


class Hub:
    """A Hub on a folder, which it goes on with where one was before.

    token, read_token, expired_token, stranger_token: of the user; of one who may only read; of nobody any more; of
    one who sees neither private nor gated repositories. accounts: all of them by token. quota: what may be stored.
    page: entries of a page of a list; multipart: bytes from which LFS uploads go in parts of that size, 0 never.
    requests: the log; errors: tracebacks of the Hub's own failures, which are answered 500.
    """

    token, read_token = "hf_loopback_write", "hf_loopback_read"
    expired_token, stranger_token = "hf_loopback_expired", "hf_loopback_stranger"
    user, organization = USER, ORGANIZATION

    def __init__(self, folder: Path | str, port: int = 0) -> None:
        self.folder = Path(folder)
        self.store = Store(self.folder)
        self.xet = Xet(self.store)
        self.accounts = {
            self.token: Account(USER),
            self.read_token: Account(USER, "read"),
            self.expired_token: Account(USER, "expired"),
            self.stranger_token: Account("stranger", member=False),
        }
        self.quota = Quota()
        self.page, self.multipart = 1000, 0
        self.secret = secrets.token_hex(16)  # signs the links to contents
        self.requests: list[Seen] = []
        self.errors: list[str] = []
        self.faults = Faults()
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.hub = self
        self.port = int(self._server.server_address[1])
        self.url, self.files_url = f"http://127.0.0.1:{self.port}", f"http://localhost:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.05,), name="hub", daemon=True
        )

    def __enter__(self) -> Hub:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.hang_up()
        self._server.server_close()
        self._thread.join()

    # --- faults -----------------------------------------------------------------------------------------

    def fail(
        self,
        method: str,
        regex: str,
        status: int,
        times: int = 1,
        retry_after: int | None = None,
        skip: int = 0,
    ) -> Fault:
        """Answer the next requests that match with a status; see Fault."""
        return self.faults.add(Fault(method, regex, times, skip, status=status, retry_after=retry_after))

    def cut(
        self, method: str, regex: str, where: Where, after: int = 0, times: int = 1, skip: int = 0
    ) -> Fault:
        """Cut the connection of the next requests that match; see Fault."""
        return self.faults.add(Fault(method, regex, times, skip, cut=where, after=after))

    def during(
        self, method: str, regex: str, action: Callable[[], object], times: int = 1, skip: int = 0
    ) -> Fault:
        """Call `action` before the next requests that match are handled."""
        return self.faults.add(Fault(method, regex, times, skip, action=action))

    def forget(self) -> None:
        """Start a new log, without faults."""
        self.requests.clear()
        self.faults.clear()

    # --- the back door ----------------------------------------------------------------------------------

    def contents(self, name: str, revision: str = "main", kind: str = "dataset") -> dict[str, bytes]:
        """All files of a revision but .gitattributes, whole and in memory: for what tests and demos make."""
        commit = self.head(name, revision, kind)
        paths = sorted(path for path in commit.files if path != ".gitattributes")
        return {path: self.content(commit.files[path]).read_bytes() for path in paths}

    def head(self, name: str, revision: str = "main", kind: str = "dataset") -> Commit:
        """The commit of a revision; KeyError where there is none."""
        repository = self.store.get(kind, name)
        commit = repository.find(revision) if repository else None
        if commit is None:
            raise KeyError(f"{kind} {name}@{revision}")
        return commit

    def content(self, entry: Entry) -> Path:
        """A file with the content of an entry; HubError where it is lost."""
        path = self.store.blob(entry.key)
        return path if path.exists() else self.xet.file(entry)

    def push(
        self, name: str, files: dict[str, bytes | None], revision: str = "main", kind: str = "dataset"
    ) -> str:
        """Commit small files as somebody else would, None deletes one; the new head. Makes the repository."""
        with self.store.lock:
            repository = self.store.get(kind, name) or self.store.create(kind, name, False, "somebody")
            before = self.head(name, revision, kind)
            after = dict(before.files)
            for path, content in files.items():
                after.pop(path, None)
                if content is not None:
                    after[path] = self.store.entry(path, content)
            said = (f"Update {', '.join(files)}", "", "somebody")
            return self.store.record(repository, revision, after, said, before.oid).oid

    @property
    def leaks(self) -> list[Seen]:
        """The requests that brought a token to the second host."""
        return [one for one in self.requests if one.host.startswith("localhost") and one.authorization]


class _Server(ThreadingHTTPServer):
    """Threads that end with the server: every open connection is known, and closed when the Hub stops."""

    daemon_threads, block_on_close, request_queue_size = False, True, 128
    hub: Hub

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self._open: set[socket.socket] = set()
        self._guard = threading.Lock()
        super().__init__(address, handler)

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection and start its thread."""
        with self._guard:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        """Forget the connection and close it."""
        with self._guard:
            self._open.discard(request)
        super().shutdown_request(request)

    def hang_up(self) -> None:
        """End every connection, whatever it is doing."""
        with self._guard:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Keep what went wrong for `Hub.errors`; clients may go away as they like."""
        if not isinstance(sys.exception(), ConnectionError):
            self.hub.errors.append(traceback.format_exc())


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server_version, sys_version = "loopback-hub", ""

    def log_message(self, *_: Any) -> None:
        """Say nothing: the log is `Hub.requests`."""

    def _serve(self) -> None:
        hub = cast(_Server, self.server).hub
        head = self.headers
        seen = Seen(
            self.command,
            self.path,
            head.get("Host", ""),
            head.get("Authorization", ""),
            head.get("Range", ""),
        )
        hub.requests.append(seen)
        faults = hub.faults.take(self.command, self.path)
        cut = next((fault for fault in faults if fault.cut), None)
        stop = cut.after if cut and cut.cut == "request" else None
        body = Body(cast(Any, self.rfile), cast(Any, head), seen, stop)
        try:
            answer = _answer(self._call(hub, body), faults)
            body.drain()
            if cut and cut.cut == "answer":
                raise Cut
            seen.status = answer.status
            self._send(answer, seen, cut.after if cut and cut.cut == "response" else None)
        except Cut:
            self.close_connection = True
            if stop is not None:
                self._reset()
        except ConnectionError:
            self.close_connection = True

    def __getattr__(self, name: str) -> Any:
        if name.startswith("do_"):  # whatever the method
            return self._serve
        raise AttributeError(name)

    def _call(self, hub: Hub, body: Body) -> Call:
        parts = urlsplit(self.path)
        query = dict(parse_qsl(parts.query, keep_blank_values=True))
        return Call(hub, self.command, parts.path, query, cast(Any, self.headers), body)

    def _send(self, answer: Answer, seen: Seen, stop: int | None) -> None:
        content = b"" if answer.file else answer.content()
        length = answer.span[1] if answer.file else len(content)
        names = {name.lower() for name, _ in answer.headers}
        self.send_response(answer.status)
        if "content-type" not in names:
            kind = "application/octet-stream" if answer.file else "application/json; charset=utf-8"
            self.send_header("Content-Type", kind)
        if "content-length" not in names:
            self.send_header("Content-Length", str(length))
        for name, value in answer.headers:
            self.send_header(name, value)
        self.end_headers()
        if self.command == "HEAD":
            return
        count = length if stop is None else min(stop, length)
        if answer.file is None:
            self.wfile.write(content[:count])
        elif count:
            with answer.file.open("rb") as file:
                self.connection.sendfile(file, answer.span[0], count)
        seen.sent = count
        if count < length or stop is not None:
            raise Cut

    def _reset(self) -> None:
        """Let the connection end without a farewell, as when a network breaks under an upload."""
        with contextlib.suppress(OSError):
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)


def _answer(call: Call, faults: list[Fault]) -> Answer:
    """The answer to a request, or the refusal; what fails otherwise is the Hub's own failure."""
    try:
        for fault in faults:
            if fault.action:
                fault.action()
            if fault.status:
                return _injected(fault)
        endpoint, call.parts = find(call.method, call.path)
        if not call.path.startswith("/contents/"):
            call.account = account_of(call.hub.accounts, call.headers.get("Authorization", ""))
        return endpoint(call)
    except HubError as error:
        return refusal(error)
    except ConnectionError:
        raise
    except Exception:
        call.hub.errors.append(traceback.format_exc())
        return refusal(HubError(500, "", "the loopback Hub failed; see Hub.errors"))


def refusal(error: HubError) -> Answer:
    """A refusal as the Hub words it: JSON, and the same in headers."""
    headers = [("X-Error-Code", error.code)] if error.code else []
    return Answer(error.status, {"error": error.message}, [*headers, ("X-Error-Message", error.message)])


def _injected(fault: Fault) -> Answer:
    answer = refusal(HubError(fault.status, fault.code, fault.message))
    if fault.retry_after is not None:
        answer.headers += [
            ("Retry-After", str(fault.retry_after)),
            ("RateLimit", f'"api";r=0;t={fault.retry_after}'),
            ("RateLimit-Policy", '"fixed window";"api";q=1000;w=300'),
        ]
    return answer
