"""The Hub's endpoints that give contents: small files themselves, large ones by a signed link to the second host."""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING
from urllib.parse import urlencode

from .access import HubError, may_read
from .exchange import Answer, Call
from .store import Entry

if TYPE_CHECKING:
    from .server import Hub

_RANGE = re.compile(r"bytes=(\d*)-(\d*)")


def _signature(hub: Hub, path: str) -> str:
    return hashlib.sha256(f"{hub.secret}{path}".encode()).hexdigest()[:32]


def signed(hub: Hub, path: str, host: str = "") -> str:
    """An address, on the second host where no other is said, that opens without a token."""
    return f"{host or hub.files_url}{path}?{urlencode({'Signature': _signature(hub, path)})}"


def check_signature(call: Call) -> None:
    """403 for an address that this Hub did not sign."""
    if call.query.get("Signature") != _signature(call.hub, call.path):
        raise HubError(403, "", "Access Denied")


def resolve(call: Call) -> Answer:
    """A file of a revision: itself, or where it lies and what is known of it."""
    repository = call.repository
    may_read(call.account, repository, files=True)
    commit = call.commit(repository)
    headers = [("X-Repo-Commit", commit.oid)]
    entry = commit.files.get(call.parts["path"])
    if entry is None:
        message = ("X-Error-Message", "Entry not found")
        return Answer(404, b"Entry not found", [*headers, ("X-Error-Code", "EntryNotFound"), message])
    if call.hub.xet.offers(entry):
        route = f"{call.hub.url}/api/{repository.kind}s/{repository.name}/xet-read-token/{commit.oid}"
        headers += [
            ("X-Xet-Hash", entry.xet),
            ("X-Xet-Refresh-Route", route),
            ("Link", f'<{route}>; rel="xet-auth"'),
        ]
    if not entry.sha256:
        return _ranged(call, entry, headers)
    headers += [
        ("Location", signed(call.hub, f"/contents/{entry.sha256}")),
        ("X-Linked-Size", str(entry.size)),
        ("X-Linked-Etag", f'"{entry.sha256}"'),
        ("ETag", f'"{entry.oid}"'),
    ]
    return Answer(302, b"", [*headers, ("Content-Type", "text/plain")])


def content(call: Call) -> Answer:
    """A large content, on the second host."""
    check_signature(call)
    return _ranged(call, Entry("", 0, call.parts["oid"]), [])


def _ranged(call: Call, entry: Entry, headers: list[tuple[str, str]]) -> Answer:
    """The bytes that the Range header asks for, all without one; 416 for a range behind the end."""
    file = call.hub.content(entry)
    size = file.stat().st_size
    headers = [*headers, ("ETag", f'"{entry.key}"'), ("Accept-Ranges", "bytes")]
    asked = _RANGE.fullmatch(call.headers.get("Range", ""))
    if not asked or asked[1] == asked[2] == "":
        return Answer(200, file=file, span=(0, size), headers=headers)
    first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
    last = min(int(asked[2]), size - 1) if asked[1] and asked[2] else size - 1
    if first > last:
        return Answer(416, b"", [*headers, ("Content-Range", f"bytes */{size}")])
    headers.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    return Answer(206, file=file, span=(first, last - first + 1), headers=headers)


ROUTES = [
    (method, pattern, endpoint)
    for method in ("GET", "HEAD")
    for pattern, endpoint in (
        ("/{pages}{name}/resolve/{revision}/{path}", resolve),
        ("/contents/{oid}", content),
    )
]
