"""Files of a benchmark, whatever they lie in: a folder, a zip, or an LMDB of pictures, none of which is believed.

path ─▶ Tree: names and sizes, and a way to read any of them ─▶ blocks of bytes

A zip or an LMDB is read by a process of its own with bounded memory: whatever its bytes do to the reader, here it is
one line. What comes back over the pipe is bytes and JSON, and nothing is unpickled. Nothing is ever written.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import multiprocessing
import os
import resource
import signal
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path

from ..disk.documents import SHOWN, is_inside, parse
from ..errors import DanqingError, InputError, first_line

BLOCK = 1 << 20  # bytes that are read, or come over the pipe, at once
MEMBERS = 1_000_000  # files of a set; COCO, the largest that pictures come from, has 123,287
TEXT = 1 << 28  # bytes of a file of class names or captions; 5,000 long captions have 10 MB
MEMORY = 1 << 30  # bytes of a process that reads
WHOLE = 128  # blocks of what is held at once: a picture in base64, or the names and sizes of all files
RATIO = 200  # that a member may grow to when unpacked; pictures grow by 1, captions by 10, zeros by 1,032
SMALL = 1 << 20  # bytes that a member may grow to whatever its size
SILENCE = 600.0  # seconds without an answer, after which a reader hangs
PLAIN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
DATA, FAILED = b"d", b"f"  # first byte of what comes over the pipe; no data: the end of a file

Read = Callable[[str], Iterator[bytes]]


@dataclass(frozen=True, slots=True)
class Tree:
    """Files below a place. sizes: bytes of each by its path; reading: opens a way to read them, one after the other."""

    where: str
    sizes: Mapping[str, int]
    reading: Callable[[], AbstractContextManager[Read]]

    def below(self, folder: str) -> Tree:
        """The files in a folder of these."""
        lead = f"{folder}/"

        @contextlib.contextmanager
        def reading() -> Iterator[Read]:
            with self.reading() as read:
                yield lambda path: read(lead + path)

        sizes = {path[len(lead) :]: size for path, size in self.sizes.items() if path.startswith(lead)}
        return Tree(f"{self.where}/{folder}", sizes, reading)


def whole(blocks: Iterator[bytes]) -> bytes:
    """A file in one piece, of which no more than WHOLE blocks are read: its size was checked, or it grew since."""
    return b"".join(itertools.islice(blocks, WHOLE))


def lines(blocks: Iterator[bytes], most: int, where: str) -> Iterator[bytes]:
    """The lines of a file, without their ends. InputError where one has more than `most` bytes, or for too many."""
    parts: list[bytes] = []
    held, number = 0, 1
    for block in blocks:
        first, *others = block.split(b"\n")
        parts.append(first)
        held += len(first)
        if max(held, *map(len, others), 0) > most:
            raise InputError(f"{where}: a line of more than {most:,} bytes, from line {number:,} on")
        if number + len(others) > MEMBERS:
            raise InputError(f"{where}: more than {MEMBERS:,} lines, so it is of no benchmark")
        if others:
            yield b"".join(parts)
            yield from others[:-1]
            parts, held = [others[-1]], len(others[-1])
            number += len(others)
    if held:
        yield b"".join(parts)


def texts(tree: Tree, path: str, most: int) -> Iterator[str]:
    """The lines of a text in UTF-8, stripped. InputError where one is not, or has over `most` bytes."""
    where = f"{tree.where}/{path}"
    if tree.sizes[path] > TEXT:
        raise InputError(f"{where}: more than {TEXT:,} bytes, so it is of no benchmark")
    with tree.reading() as read:
        for number, line in enumerate(lines(read(path), most, where)):
            try:
                yield line.decode("utf-8" if number else "utf-8-sig").strip()
            except UnicodeDecodeError:
                raise InputError(f"{where}: line {number + 1:,} is not UTF-8; convert the file") from None


def _listed(path: str, where: str) -> bool:
    """Whether a file counts: hidden ones do not. InputError where its path leads elsewhere, or cannot be shown."""
    parts = path.split("/")
    if any(part == "__MACOSX" or (part.startswith(".") and part != "..") for part in parts):
        return False
    if not is_inside(path):
        raise InputError(
            f"{where}: {path[:SHOWN]!a} is no path within a set; it is damaged, or meant to do harm"
        )
    return True


# ---- a folder


def folder(place: Path, without: str = "") -> Tree:
    """The files below a folder. without: name of folders that are passed over. InputError for a link that leads out."""
    root = os.path.realpath(place)
    sizes: dict[str, int] = {}
    waiting = [""]
    while waiting:
        lead = waiting.pop()
        with os.scandir(f"{root}/{lead}") as entries:
            for entry in entries:
                path = lead + entry.name
                if entry.name == without or not _listed(path, str(place)):
                    continue
                if entry.is_symlink():
                    _refuse_leading_out(entry, root, f"{place}/{path}")
                if entry.is_dir():
                    waiting.append(f"{path}/")
                elif entry.is_file():
                    sizes[path] = entry.stat().st_size
        if len(sizes) > MEMBERS:
            raise InputError(f"{place}: more than {MEMBERS:,} files, so it is no benchmark")

    @contextlib.contextmanager
    def reading() -> Iterator[Read]:
        yield lambda path: _blocks(Path(root, path))

    return Tree(str(place), dict(sorted(sizes.items())), reading)


def _refuse_leading_out(entry: os.DirEntry[str], root: str, path: str) -> None:
    if entry.is_dir() or not os.path.realpath(entry.path).startswith(f"{root}/"):
        raise InputError(
            f"{path}: is a link out of the set, or to a folder, and danqing follows none; copy there what it leads to"
        )


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(BLOCK):
            yield block


# ---- a zip or an LMDB, from outside


def archive(place: Path) -> Tree:
    """The files of a zip, or the values of an LMDB where `place` is a folder. InputError where it is not to be read."""
    file = place / "data.mdb" if place.is_dir() else place
    if not file.is_file():
        raise InputError(f"{file}: is no file, but a folder, a pipe or a device; move it away")
    with reader(place) as read:
        try:
            sizes = sorted((path, int(size)) for path, size in parse(whole(read("")), WHOLE * BLOCK).items())
        except ValueError as error:
            raise InputError(f"{place}: the names of its files are too many: {error}") from None
    return Tree(str(place), dict(sizes), lambda: reader(place))


@contextlib.contextmanager
def reader(place: Path, memory: int = MEMORY, silence: float = SILENCE) -> Iterator[Read]:
    """A process that reads an archive, for as long as the context lasts; for no path it gives the sizes as JSON.

    memory: bytes that it may take; silence: seconds without an answer, after which it counts as hanging.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(str(place), memory, theirs), daemon=True)
    process.start()
    theirs.close()

    def read(path: str) -> Iterator[bytes]:
        with contextlib.suppress(BrokenPipeError):  # it has died, or left word why it cannot go on
            ours.send_bytes(path.encode())
        while answer := _answer(ours, process, place, silence):
            yield answer

    try:
        yield read
    finally:
        ours.close()
        process.kill()
        process.join()


def _answer(pipe: Connection, process: BaseProcess, place: Path, silence: float) -> bytes:
    """The next block of a file, or nothing at its end; InputError where the reader says why not, or has died."""
    if not pipe.poll(silence):
        raise InputError(f"{place}: no answer from its reader in {silence:g} s; damaged, fetch it again")
    try:
        answer = pipe.recv_bytes(BLOCK + 1)
    except (EOFError, OSError):
        pipe.close()
        process.join(silence)
        code = process.exitcode or 0
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        raise InputError(f"{place}: reading it ended its process by {how}; damaged, fetch it again") from None
    if answer[:1] == FAILED:
        raise InputError(answer[1:].decode())
    return answer[1:]


# ---- in the process that reads


def _serve(place: str, memory: int, pipe: Connection) -> None:
    """The entry point: opens the archive, and sends what it is asked for."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends Ctrl-C to all; the parent decides
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    most = resource.getrlimit(resource.RLIMIT_DATA)[1]  # of the heap: an LMDB is mapped
    memory = memory if most == resource.RLIM_INFINITY else min(memory, most)
    resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
    with contextlib.suppress(ConnectionError):  # the parent is gone
        try:
            sizes, read = (_lmdb if Path(place).is_dir() else zipped)(place)
            listing = json.dumps(sizes).encode()
            while True:
                path = pipe.recv_bytes().decode()
                for block in read(path) if path else _cut(listing):
                    pipe.send_bytes(DATA + block)
                pipe.send_bytes(DATA)
        except Exception as error:  # every library raises kinds of its own, and the parent is to say one line
            pipe.send_bytes(FAILED + _why(error, place, memory).encode())


def _why(error: Exception, place: str, memory: int) -> str:
    if isinstance(error, DanqingError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{place}: takes more than {memory:,} bytes of memory to read; damaged, fetch it again"
    return f"{place}: {first_line(error)}: damaged, fetch it again"


def _cut(value: bytes | memoryview) -> Iterator[bytes]:
    return (bytes(value[at : at + BLOCK]) for at in range(0, len(value), BLOCK))


def zipped(place: str) -> tuple[dict[str, int], Read]:
    """The sizes of the files of a zip, and their blocks. Raises InputError, and what zipfile and zlib do."""
    packed = zipfile.ZipFile(place)
    sizes: dict[str, int] = {}
    for member in packed.infolist():
        path, size = member.filename, member.file_size
        if member.is_dir() or not _listed(path, place):
            continue
        if reason := _wrong(member, path in sizes or len(sizes) >= MEMBERS):
            raise InputError(f"{place}: {path[:SHOWN]!a} {reason}")
        sizes[path] = size
    if sum(sizes.values()) > RATIO * Path(place).stat().st_size + SMALL:
        raise InputError(
            f"{place}: unpacks to over {RATIO} times its size, as what is made to fill memory does"
        )

    def read(path: str) -> Iterator[bytes]:
        with packed.open(path) as file:
            while block := file.read(BLOCK):
                yield block

    return sizes, read


def _wrong(member: zipfile.ZipInfo, much: bool) -> str:
    """Why a member of a zip is not read, or nothing. much: it comes a second time, or after too many."""
    if stat.S_ISLNK(member.external_attr >> 16):
        return "is a link; zip what it leads to"
    if member.flag_bits & 1:
        return "is encrypted; zip it again without a password"
    if member.compress_type not in PLAIN:
        return "is packed in a way that is not read; zip it again by deflate"
    if member.file_size > RATIO * max(member.compress_size, 1) + SMALL:
        return f"unpacks to over {RATIO} times its size, as what is made to fill memory does"
    return f"is there twice, or there are over {MEMBERS:,} files" if much else ""


def _lmdb(place: str) -> tuple[dict[str, int], Read]:
    """The sizes of the values of an LMDB, and the values. Raises InputError, and what lmdb does."""
    import lmdb

    opened = lmdb.open(place, readonly=True, lock=False, create=False, max_dbs=0)
    view = opened.begin(buffers=True)
    if view.stat()["entries"] > MEMBERS:
        raise InputError(f"{place}: over {MEMBERS:,} entries, so it is no benchmark")
    sizes: dict[str, int] = {}
    for key, value in view.cursor():
        name = bytes(key).decode()
        if name in sizes or len(sizes) >= MEMBERS:
            raise InputError(
                f"{place}: {name[:SHOWN]!a} is there twice, or there are over {MEMBERS:,} entries"
            )
        sizes[name] = len(value)
    return sizes, lambda path: _cut(view.get(path.encode()) or b"")
