"""The Hub's Xet storage: folders that hf_xet itself writes, as it does the real one.

hf_xet takes `local:///folder` for the address of its server. So the client's own chunking and deduplication run,
byte for byte; here are the tokens that hand out the addresses, the index of what was written, and the contents put
together for whoever asks by HTTP.

    store/xet/0/xet/xorbs/xorbs/*         chunks of contents, packed
    store/xet/0/xet/xorbs/shards/*.mdb    what was written: of each file its hashes, its length, its chunks
    store/xet/0/xet/xorbs/*.redb          hf_xet's own index, open in one process at a time
    store/views/*                         readers' folders: links to those of 0, and a copy of its index

Because of that lock a writer that comes while another is at work gets a folder of its own, xet/1; it finds no chunks
to share there, and all else is as it should be. What lies in 0 is also read by Xet, the rest by HTTP.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import itertools
import shutil
import struct
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from .access import HubError, may_read, may_write
from .exchange import Answer, Call
from .store import Entry, Store
from .xorbs import Content, read_shard

HOUR = 3600
INNER = Path("xet", "xorbs")  # as hf_xet names its folders
INDEX = "global_dedup_lookup.redb"


class Xet:
    """What lies in the Xet storage of a Hub. by_xet: whether readers are told that they may read by Xet."""

    def __init__(self, store: Store) -> None:
        self._store, self._lock = store, threading.Lock()
        self._known: dict[str, Content] = {}
        self._read: set[Path] = set()
        self._first, self._views, self._count = store.xet / "0", store.folder / "views", itertools.count()
        self.by_xet = True
        shutil.rmtree(self._views, ignore_errors=True)

    def to_write(self) -> str:
        """What a writer is told in place of a server's address: the first folder in which nobody writes."""
        with self._lock:
            for number in itertools.count():
                folder = self._store.xet / str(number)
                with _unlocked(folder / INNER / INDEX) as free:
                    if free:
                        folder.mkdir(exist_ok=True)
                        return f"local://{folder}"
        raise AssertionError

    def to_read(self) -> str:
        """What a reader is told in place of a server's address; 503 while somebody writes."""
        view, inner = self._views / str(next(self._count)) / INNER, self._first / INNER
        with self._lock, _unlocked(inner / INDEX) as free:
            if not free:
                raise HubError(503, "", "the loopback Hub is being written to")
            view.mkdir(parents=True)
            for name in ("xorbs", "shards"):
                (view / name).symlink_to(inner / name, target_is_directory=True)
            shutil.copyfile(inner / INDEX, view / INDEX)
        return f"local://{view.parent.parent}"

    def offers(self, entry: Entry) -> bool:
        """Whether a reader is to be told that this content can be read by Xet."""
        found = self.find(entry.sha256) if self.by_xet and entry.xet else None
        if found is None or found.folder != self._first / INNER:
            return False
        with _unlocked(found.folder / INDEX) as free:
            return free

    def find(self, sha256: str) -> Content | None:
        """A content, if it was written here."""
        with self._lock:
            if sha256 not in self._known:
                for path in self._store.xet.glob(f"*/{INNER}/shards/*.mdb"):
                    if path not in self._read:
                        self._learn(path)
            return self._known.get(sha256)

    def _learn(self, path: Path) -> None:
        try:
            found = read_shard(path)
        except (struct.error, FileNotFoundError):
            return  # it is being written, or a writer was killed
        self._known = found | self._known
        self._read.add(path)

    def file(self, entry: Entry) -> Path:
        """A content as a file, put together once; HubError where it is not here or not whole."""
        path = self._store.folder / "cache" / entry.sha256
        found = self.find(entry.sha256) if entry.sha256 else None
        if found is None:
            raise HubError(404, "EntryNotFound", f"the content {entry.key} is lost")
        with self._lock:
            if not path.exists():
                self._assemble(found, entry.sha256, path)
        return path

    def _assemble(self, content: Content, sha256: str, path: Path) -> None:
        part, digest = self._store.spool(), hashlib.sha256()
        with part.open("wb") as file:
            for piece in content.pieces():
                digest.update(piece)
                file.write(piece)
        if digest.hexdigest() != sha256:
            raise HubError(500, "", f"the chunks of {sha256} make another file")
        part.replace(path)


@contextlib.contextmanager
def _unlocked(index: Path) -> Iterator[bool]:
    """Whether no process has the index open; nobody opens it meanwhile."""
    if not index.exists():
        yield True
        return
    with index.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
            return
        yield True


def write_token(call: Call) -> Answer:
    """Where a writer writes, unless the quota is used up."""
    repository, hub = call.repository, call.hub
    may_write(call.account)
    hub.quota.check(hub.store, 1, repository.state.private)
    call.commit(repository)
    return _token(hub.xet.to_write())


def read_token(call: Call) -> Answer:
    """Where a reader reads."""
    repository = call.repository
    may_read(call.account, repository, files=True)
    call.commit(repository)
    return _token(call.hub.xet.to_read())


def _token(address: str) -> Answer:
    """The address of the storage and a token for it, in the body and in headers."""
    expires = int(time.time()) + HOUR
    said = {"casUrl": address, "exp": expires, "accessToken": "loopback"}
    names = {"casUrl": "X-Xet-Cas-Url", "accessToken": "X-Xet-Access-Token", "exp": "X-Xet-Token-Expiration"}
    return Answer(body=said, headers=[(names[name], str(value)) for name, value in said.items()])


ROUTES = [
    ("GET", "/api/{kind}/{name}/xet-write-token/{revision}", write_token),
    ("GET", "/api/{kind}/{name}/xet-read-token/{revision}", read_token),
]
