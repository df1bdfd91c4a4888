"""The files of what is checked: listed once, pinned to one commit, and read so that every error is one line.

    folder | hf://datasets/ORG/NAME@rev | any fsspec URL ─▶ Store: entries, open, blocks

A difference is what is in a file; what keeps a file from being read is raised: EnvironmentProblem.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import fsspec

from ..console import one_line
from ..disk.files import filesystem, is_local, join, local_path
from ..disk.location import repository
from ..errors import DanqingError, EnvironmentProblem, InputError, Interrupted
from .client import api, hub_errors

BLOCK = 16 << 20  # bytes asked for at once where a file is read from end to end
_IGNORED = (".git/", ".gitattributes", ".cache/huggingface/")  # what git and hf put beside the files


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that is there. sha256: by the listing of the Hub, None where that knows none."""

    path: str
    bytes: int
    sha256: str | None = None


class Store:
    """The files below `url`. local: of this machine; entries: by path, sorted."""

    def __init__(
        self, url: str, fs: fsspec.AbstractFileSystem, base: str, entries: dict[str, StoredFile]
    ) -> None:
        self.url = url
        self.local = is_local(url)
        self.entries = {path: entries[path] for path in sorted(entries) if not path.startswith(_IGNORED)}
        self._fs, self._base = fs, base
        self.stopped = False

    def stop(self) -> None:
        """Have whatever reads of it in other threads end at its next read."""
        self.stopped = True

    def open(self, path: str) -> BinaryIO:
        """A file, open for reading whatever part is asked for."""
        where, how = join(self.url, path), {} if self.local else {"cache_type": "none"}
        with _reached(where):
            raw = self._fs.open(f"{self._base}/{path}", "rb", **how)
        return cast("BinaryIO", _Guarded(self, raw, where))

    def read(self, path: str, limit: int) -> bytes:
        """A small file; of one that is larger than `limit` the beginning, one byte too much."""
        with self.open(path) as file:
            return file.read(min(limit, self.entries[path].bytes) + 1)


class _Guarded(io.RawIOBase):
    """An open file whose own errors become one line, also when it is Arrow that reads it."""

    def __init__(self, store: Store, raw: Any, where: str) -> None:
        super().__init__()
        self._store, self._raw, self._where = store, raw, where

    def read(self, size: int = -1) -> bytes:
        """Bytes from here on."""
        if self._store.stopped:
            raise Interrupted("interrupted")
        with _reached(self._where):
            return bytes(self._raw.read(size))

    def seek(self, place: int, whence: int = 0) -> int:
        """Go to a place."""
        with _reached(self._where):
            return int(self._raw.seek(place, whence))

    def tell(self) -> int:
        """The place where it is."""
        return int(self._raw.tell())

    def close(self) -> None:
        """Close it."""
        super().close()
        with _reached(self._where):
            self._raw.close()

    def readable(self) -> bool:
        """Always true."""
        return True

    def seekable(self) -> bool:
        """Always true."""
        return True


@contextlib.contextmanager
def _reached(where: str) -> Iterator[None]:
    """EnvironmentProblem, or what hub_errors makes of it, for what keeps bytes from coming."""
    try:
        with hub_errors(f"reading {where}") if where.startswith("hf://") else contextlib.nullcontext():
            yield
    except DanqingError:
        raise
    except Exception as error:  # every fsspec back end raises kinds of its own
        cause = getattr(error, "strerror", None) or f"{type(error).__name__}: {one_line(str(error))[:300]}"
        raise EnvironmentProblem(f"{where}: cannot be read: {cause}") from error


def open_store(url: str) -> Store:
    """The files at `url` now; of a branch of the Hub the commit that it names now, whatever is pushed meanwhile.

    Raises InputError where there is nothing, EnvironmentProblem where it cannot be listed.
    """
    if is_local(url):
        root = local_path(url)
        if not root.is_dir():
            raise InputError(f"{url}: no such folder; give a release, or ORG/NAME@revision of the Hub")
        fs, base = filesystem(str(root.absolute()))
        return Store(url, fs, base.rstrip("/"), _files_of(root))
    with _reached(url):
        pinned = _pinned(url)
        fs, base = filesystem(pinned)
        fs.invalidate_cache()
        try:
            found = fs.find(base, detail=True)
        except FileNotFoundError:
            found = {}
    base = base.rstrip("/")
    listed = [_listed(name.removeprefix(f"{base}/"), info) for name, info in found.items()]
    return Store(pinned, fs, base, {one.path: one for one in listed})


def _pinned(url: str) -> str:
    """A repository of the Hub at the commit that its revision names; any other URL as it is."""
    place = repository(url)
    if place is None:
        return url
    commit = api().repo_info(place.id, repo_type="dataset", revision=place.revision).sha
    return place.at(commit).url


def _files_of(root: Path) -> dict[str, StoredFile]:
    """The plain files below a local folder; links count as what they lead to, as in a cache of the Hub."""
    found = {}
    for path in (Path(folder, name) for folder, _, names in os.walk(root) for name in names):
        if path.is_file():  # no link that leads nowhere
            inside = path.relative_to(root).as_posix()
            found[inside] = StoredFile(inside, path.stat().st_size)
    return found


def _listed(path: str, info: Mapping[str, Any]) -> StoredFile:
    """A file as a file system lists it."""
    lfs = info.get("lfs")
    digest = lfs.get("sha256") if isinstance(lfs, dict) else getattr(lfs, "sha256", None)
    return StoredFile(path, int(info.get("size") or 0), digest)


def sha256_of(store: Store, path: str) -> str:
    """The SHA-256 of a file, in hex."""
    digest = hashlib.sha256()
    with store.open(path) as file:
        while block := file.read(BLOCK):
            digest.update(block)
    return digest.hexdigest()
