"""Paths and writes that survive a crash, on a local disk and on any fsspec file system.

`root` arguments are a folder or an fsspec URL (`s3://bucket/x`, `hf://datasets/org/name`). A file appears under
its final name whole or not at all: locally by write, fsync, rename; on an object store by a single put.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import hashlib
import multiprocessing
import os
import re
import select
import shutil
import stat
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import fsspec
import xxhash
from fsspec.core import url_to_fs

from ..errors import EnvironmentProblem, InputError, UsageError
from ..web.tokens import third_host

# What is not finished is called .NAME.PID.tmp by write_atomic, .NAME.PID-THREAD.tmp by Lock.clear, and a shard of
# scores .NAME.tmp while its verdicts are written.
TEMPORARY = re.compile(r"\.(?:.+\.\d+(?:-\d+)?|\w+-\d{5,}(?:-of-\d+)?\.parquet)\.tmp")
CLEARED = 100  # tries to remove a folder into which another process may just be writing


def is_local(url: str) -> bool:
    """Whether `url` is a path of this machine."""
    return "://" not in url or url.startswith("file://")


def filesystem(url: str) -> tuple[fsspec.AbstractFileSystem, str]:
    """The file system of `url` and the path inside it; InputError for a protocol that is not installed."""
    # Of its own accord huggingface_hub would show its token to whatever HF_ENDPOINT names.
    shown = {"token": False} if url.startswith("hf://") and third_host(os.environ) else {}
    try:
        fs, path = url_to_fs(url, **shown)
    except (ValueError, ImportError) as error:
        raise InputError(
            f"{url}: {error}; install the fsspec package of this protocol or use a local path"
        ) from error
    return fs, str(path)


def local_path(url: str) -> Path:
    """The path of a local url."""
    return Path(url.removeprefix("file://"))


def join(root: str, *names: str) -> str:
    """`root` with `names` appended, whatever the file system."""
    return "/".join([root.rstrip("/") or "/", *names]) if root != "/" else "/" + "/".join(names)


def resolved(url: str) -> str:
    """Where `url` leads whatever it is spelt like: through links and dots, with the name of the file system."""
    fs, path = filesystem(url)
    protocol = fs.protocol if isinstance(fs.protocol, str) else fs.protocol[0]
    return f"{protocol}:{os.path.realpath(path) if is_local(url) else path.rstrip('/')}"


def is_within(url: str, folder: str) -> bool:
    """Whether `url` is that folder or lies in it; both as `resolved` gives them."""
    return url == folder or url.startswith(f"{folder.rstrip('/')}/")


def inside(folder: Path, path: str) -> Path:
    """Where `path` lies in a local folder; UsageError where a folder on the way is a link, which is not followed."""
    place = folder
    for part in path.split("/")[:-1]:
        place = place / part
        if place.is_symlink():
            raise UsageError(
                f"{place}: is a link, and danqing follows none; name another folder, or remove the link"
            )
    return place / path.rpartition("/")[2]


def refuse_links(folder: Path) -> None:
    """UsageError where a folder in a local folder, however deep, is a link."""
    for place, names, _ in os.walk(folder):
        for name in names:
            inside(Path(place), f"{name}/file")


def read_bytes(url: str) -> bytes | None:
    """The whole file, or None where there is none; InputError for a folder or a pipe."""
    fs, path = filesystem(url)
    if is_local(url):
        return local_bytes(Path(path))
    try:
        return bytes(fs.cat_file(path))
    except FileNotFoundError:
        return None


def local_bytes(path: Path) -> bytes | None:
    """The whole file, or None where there is none; InputError for a folder, or a pipe, which would be waited for."""
    if path.exists() and not path.is_file():
        raise InputError(f"{path}: is no file, but a folder, a pipe or a device; move it away")
    with contextlib.suppress(FileNotFoundError):
        return path.read_bytes()
    return None


def work_folder(root: str, name: str, cached: str = "") -> Path:
    """A local folder for the unfinished files of a root: inside a local one, so that a rename publishes; else cached.

    name: of the folder in a local root, where it may not be a link (UsageError); cached: what its name in the cache
    begins with.
    """
    if is_local(root):
        return inside(local_path(root).absolute(), f"{name}/lock").parent
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "danqing" / (cached + root.replace("://", "-").replace("/", "-"))


def listdir(url: str) -> list[str]:
    """Names in a folder, sorted; empty where the folder is missing."""
    fs, path = filesystem(url)
    fs.invalidate_cache()
    try:
        return sorted(str(name).rstrip("/").rsplit("/", 1)[-1] for name in fs.ls(path, detail=False))
    except FileNotFoundError:
        return []


def tables_in(root: str, folder: str) -> list[str]:
    """Names of the Parquet files in a folder of a root, sorted; empty where there is none."""
    return [name for name in listdir(join(root, folder)) if name.endswith(".parquet") and name[0] != "."]


def fsync_folder(path: Path) -> None:
    """Make the renames in a local folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def environment(what: str) -> Iterator[None]:
    """Turn an OSError of the disk or the store into one line that says what was being done, and where."""
    try:
        yield
    except OSError as error:
        cause = error.strerror or str(error)
        where = f"{error.filename}: " if error.filename and str(error.filename) not in what else ""
        raise EnvironmentProblem(
            f"{what}: {where}{cause}; nothing is lost, mend it and run the same command again"
        ) from error


def publish(local: Path, url: str) -> None:
    """Move a finished local file to its final place: fsync and rename, or one put and unlink."""
    with local.open("rb") as file:
        os.fsync(file.fileno())
    leave_if_orphaned()
    if is_local(url):
        target = local_path(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        local.replace(target)
        fsync_folder(target.parent)
        return
    fs, path = filesystem(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.put_file(str(local), path)
    local.unlink()


def file_digest(path: Path) -> str:
    """The XXH3-128 of a file in hex: finds rot and torn writes at memory speed; it is no defence against forgery."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, xxhash.xxh3_128).hexdigest()


@contextlib.contextmanager
def fetched(url: str, work: Path) -> Iterator[Path]:
    """The file as a local path: itself, or a copy in `work` that is removed afterwards. InputError when missing."""
    fs, path = filesystem(url)
    if not fs.exists(path):
        raise InputError(
            f"{url}: no such file, though the ledger says it was written; restore it, or remove the marker of its "
            "shard in ledger/rebuild: the shard is then made anew"
        )
    if is_local(url):
        yield local_path(url)
        return
    copy = work / ("-".join(path.split("/")[-2:]) + ".copy")  # images/x and outcomes/x are open together
    fs.get_file(path, str(copy))
    try:
        yield copy
    finally:
        copy.unlink(missing_ok=True)


def write_atomic(url: str, data: bytes) -> None:
    """Write a small file so that a reader sees the old one or the new one."""
    leave_if_orphaned()
    if is_local(url):
        target = local_path(url)
        target.parent.mkdir(parents=True, exist_ok=True)
        temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
        try:
            temporary.write_bytes(data)
            publish(temporary, url)
        except OSError:  # on a full disk what is left takes room, and beside a report nobody sweeps
            temporary.unlink(missing_ok=True)
            raise
        return
    fs, path = filesystem(url)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    fs.pipe_file(path, data)


def sweep(folder: str) -> None:
    """Remove what writes that were killed left in a local folder; nobody may be writing there meanwhile."""
    if is_local(folder) and local_path(folder).is_dir():
        for left in local_path(folder).iterdir():
            if TEMPORARY.fullmatch(left.name):
                shutil.rmtree(left) if left.is_dir() and not left.is_symlink() else left.unlink()


def remove(url: str) -> None:
    """Remove a file if it is there."""
    folder, _, name = url.rpartition("/")
    remove_files(folder, [name])


def remove_files(folder: str, names: Sequence[str]) -> None:
    """Remove files of a folder; of a link, the link. One that is gone already is no error."""
    leave_if_orphaned()
    if is_local(folder):
        for name in names:
            (local_path(folder) / name).unlink(missing_ok=True)
        return
    fs, path = filesystem(folder)
    with contextlib.suppress(FileNotFoundError):
        fs.rm([f"{path.rstrip('/')}/{name}" for name in names])


def remove_if_empty(folder: str) -> None:
    """Remove a folder that holds nothing; of a store without folders there is nothing to do."""
    fs, path = filesystem(folder)
    if not listdir(folder) and fs.isdir(path):
        fs.rmdir(path)


class Lock:
    """An advisory lock on a local file; freed by the kernel when the process ends, however it ends."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: Any = None

    def acquire(self, *, shared: bool = False, wait: bool = False) -> bool:
        """Take the lock, or change its kind; False when another process holds it and `wait` is not set."""
        while True:
            if self._file is None:
                self._file = self._open()
            try:
                kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
                fcntl.flock(self._file, kind if wait else kind | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            with contextlib.suppress(FileNotFoundError):
                if self.path.stat().st_ino == os.fstat(self._file.fileno()).st_ino:
                    return True
            self.release()  # the last holder removed the file meanwhile: a lock on it locks nobody out

    def _open(self) -> Any:
        folder = self.path.parent
        folder.parent.mkdir(parents=True, exist_ok=True)  # stays, so what fails here fails for good
        while True:  # the last holder may remove the folder between any two of these steps
            try:
                folder.mkdir()
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):
                    if not stat.S_ISDIR(folder.lstat().st_mode):
                        raise
            try:
                return self.path.open("a+b")
            except FileNotFoundError:
                if self.path.is_symlink():  # the folder is there: the link leads nowhere
                    raise

    def clear(self) -> None:
        """Remove the lock's folder while holding the lock alone: renamed first, so no newcomer's file goes with it.

        What cannot be removed stays under a name that `sweep` removes: network disks keep the files that are open.
        """
        folder = self.path.parent
        gone = folder.with_name(f".{folder.name}.{os.getpid()}-{threading.get_ident()}.tmp")
        with contextlib.suppress(FileNotFoundError):
            folder.rename(gone)
        for _ in range(CLEARED):
            if not gone.exists():
                break
            try:
                shutil.rmtree(gone)
            except OSError as error:  # who had found the folder before it was renamed makes its file only now
                if error.errno not in (errno.ENOTEMPTY, errno.EBUSY):
                    raise

    def release(self) -> None:
        """Give the lock back."""
        if self._file is not None:
            self._file.close()
            self._file = None


def leave_if_orphaned() -> None:
    """End this process at once where its parent is gone: what lies on the disk is the next run's. 1 µs.

    Nothing happens in a process that multiprocessing did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is not None:
        pipe = select.poll()  # one of its own for each call: two threads may not wait on one
        pipe.register(parent.sentinel)  # nobody writes to it, and only the parent holds the other end
        if pipe.poll(0):
            os._exit(1)
