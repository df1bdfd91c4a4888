"""Files of a source as files of this machine, which readers may seek in: fetched whole, and the next one ahead.

    WholeFile ─▶ Transfers.fetched ─▶ a path: its own where it is local, else a copy, removed when it has been read

At most SLOTS transfers are under way on a machine, by locks that the kernel frees with whatever process held them.
What has arrived lies in the work folder as KEY.ETAG.part, KEY being a hash of the URL and ETAG the validator in hex:
whoever comes next, after a cut or a kill, asks for the rest of that very version, and has the whole anew where the
server has another one. The last byte is asked for again, so that a copy that is whole already is no case of its own.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import xxhash

from ..disk.files import Lock, environment, is_local, local_path
from ..errors import InputError, Interrupted
from .origin import AGAIN, LOOK, Answer, Passing, Patience, Web

U = TypeVar("U")

# Common Crawl wants few connections: its own downloader takes 10, and some were blocked with fewer.
SLOTS = 8
LARGEST = 16 << 30  # bytes of a file; those of Common Crawl have 1 GB
MOVED = 1 << 20  # bytes more than ever before, after which a new cut is no longer the same failure


class WholeFile(Protocol):
    """A file to fetch."""

    @property
    def url(self) -> str:
        """Where it lies."""

    @property
    def bytes(self) -> int | None:
        """The length by a listing; None where that tells none."""


class Transfers:
    """The transfers of one process. folder: of what is under way, on a local disk; received: bytes that came."""

    def __init__(self, folder: Path, patience: Patience) -> None:
        self._folder = folder
        self._closed = threading.Event()
        self._patience = replace(patience, stopping=lambda: self._closed.is_set() or patience.stopping())
        self._web = Web(self._patience)
        self.received = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closed.set()
        self._web.close()

    @contextlib.contextmanager
    def fetched(self, file: WholeFile) -> Iterator[Path]:
        """The file as a local path. Raises InputError, EnvironmentProblem, and Interrupted at a stop."""
        path = self._local(file)
        try:
            yield path
        finally:
            if not is_local(file.url):
                path.unlink(missing_ok=True)

    def ahead(self, units: Iterable[U], file_of: Callable[[U], WholeFile]) -> Iterator[tuple[U, Path]]:
        """Units and their files; while the caller works on one, a thread fetches that of the next. Ends at a stop.

        A local file is not had ahead: the unit that would wait here is one that another process could do. Nothing is
        fetched once this has ended.
        """
        ready: queue.SimpleQueue[tuple[U, Path] | BaseException | None] = queue.SimpleQueue()
        room = threading.Semaphore(0)

        def fetch() -> None:
            try:
                for unit in units:
                    ready.put((unit, self._local(file_of(unit))))
                    room.acquire()
                    self._patience.look()
                ready.put(None)
            except BaseException as error:  # raised again where it is waited for
                ready.put(error)

        threading.Thread(target=fetch, name="transfer", daemon=True).start()
        try:
            while (item := self._next(ready)) is not None:
                local = is_local(file_of(item[0]).url)
                if not local:
                    room.release()
                try:
                    yield item
                finally:
                    if not local:
                        item[1].unlink(missing_ok=True)
                if local:
                    room.release()
        finally:
            self._closed.set()
            room.release()

    def _next(self, ready: queue.SimpleQueue[Any]) -> Any:
        """What the thread has put there, None at a stop; raises what it raised."""
        while not self._patience.stopping():
            with contextlib.suppress(queue.Empty):
                item = ready.get(timeout=LOOK)
                if isinstance(item, Interrupted):
                    return None
                if isinstance(item, BaseException):
                    raise item
                return item
        return None

    def _local(self, file: WholeFile) -> Path:
        """The path of a local file, or of a whole copy of another."""
        if is_local(file.url):
            path = local_path(file.url)
            if not path.is_file():
                raise InputError(f"{path}: no such file, though it was there when the files were listed")
            return path
        with environment(f"fetching {file.url}"), self._slot():
            transfer = _Transfer(self._web, self._folder, file)
            try:
                return self._patience.persist(transfer.attempt)
            finally:
                self.received += transfer.received

    @contextlib.contextmanager
    def _slot(self) -> Iterator[None]:
        """Around a transfer: one of at most SLOTS on this machine."""
        locks = [Lock(self._folder / f"transfer-{number}.lock") for number in range(SLOTS)]
        try:
            while not any(lock.acquire() for lock in locks):
                self._patience.pause(LOOK)
            yield
        finally:
            for lock in locks:
                lock.release()


class _Transfer:
    """A file on its way to `folder`, by one try or several. received: bytes, with those that came twice."""

    def __init__(self, web: Web, folder: Path, file: WholeFile) -> None:
        self._web, self._folder, self._file = web, folder, file
        self._key = xxhash.xxh3_64_hexdigest(file.url.encode())
        self._most = 0  # bytes that were there at once
        self.received = 0

    def attempt(self) -> Path:
        """The whole file. Raises Passing, after which the rest is asked for."""
        part = next(self._parts(), None)
        start, etag = (0, "") if part is None else (max(0, part.stat().st_size - 1), _etag_of(part))
        try:
            with self._web.ask(self._file.url, start if etag else 0, etag) as answer:
                return self._take(answer)
        except Passing as error:
            size = sum(part.stat().st_size for part in self._parts())
            error.moved = size >= self._most + MOVED
            self._most = max(self._most, size)
            raise

    def _take(self, answer: Answer) -> Path:
        """Write what comes behind what is there, or anew."""
        url, size, listed = self._file.url, answer.size, self._file.bytes
        if size is not None and listed not in (None, size):
            raise InputError(
                f"{url}: has {size:,} bytes, {listed:,} by the listing: it changed meanwhile; {AGAIN}"
            )
        if not answer.start:
            for old in self._parts():
                old.unlink()
        part = self._folder / f"{self._key}.{answer.etag.encode().hex()}.part"
        with part.open("r+b" if answer.start else "wb") as out:
            out.seek(answer.start)
            out.truncate()
            for chunk in answer.chunks:
                self._web.patience.look()
                out.write(chunk)
                self.received += len(chunk)
                if out.tell() > (LARGEST if size is None else size):
                    raise InputError(f"{url}: longer than {LARGEST if size is None else size:,} bytes")
            end = out.tell()
        wanted = listed if size is None else size
        if wanted not in (None, end):
            raise Passing(f"{url}: ended after {end:,} of {wanted:,} bytes")
        return part

    def _parts(self) -> Iterator[Path]:
        return self._folder.glob(f"{self._key}.*.part")


def _etag_of(part: Path) -> str:
    """The validator that the name of a part holds."""
    return bytes.fromhex(part.name.split(".")[1]).decode()
