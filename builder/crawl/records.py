"""The records of a WARC or WAT file that lies here, whatever is damaged in it.

file, every record a gzip member of its own or none compressed ─▶ Record: WARC headers, content, offset ...

No reader of WARC tells of a truncated file, and FastWARC, which is the fastest, ends at the first damaged member with
an error and at an empty one without. So a record is given only once the next has begun, and where the reader stops,
the member that it read last is inflated again, by zlib, to see what it was: whole, damaged, or cut off.
Digests are not compared: the metadata records of Common Crawl have none, and FastWARC leaves out such records.
"""

from __future__ import annotations

import re
import zlib
from collections import Counter
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

from fastwarc.warc import ArchiveIterator, HeaderMap, WarcRecord

from ..errors import InputError

LARGEST = 64 << 20  # bytes of a record's content; Common Crawl cuts pages at 5 MiB
DAMAGED, TOO_LARGE = "damaged members", "records too large"  # what `damage` counts

_BLOCK = 1 << 18
_MAGIC = re.compile(rb"\x1f\x8b\x08[\x00-\x1f]")
_HEAD = 1 << 16  # FastWARC refuses longer headers of a record


class Record(NamedTuple):
    """A record of a WARC, and its content."""

    found: WarcRecord
    content: bytes

    @property
    def headers(self) -> HeaderMap:
        """The WARC headers."""
        return self.found.headers

    @property
    def offset(self) -> int:
        """Where in the file its member begins."""
        return self.found.stream_pos


class _Last(NamedTuple):
    """The record that the reader met last: None where it is too large, or its content not complete."""

    record: Record | None
    offset: int
    length: int
    complete: bool


class _Member(NamedTuple):
    """A member of a gzip file: where it ends, -1 where it does not; whether it is damaged; what it holds."""

    end: int
    damaged: bool
    length: int
    head: bytes


def records(path: str | Path, damage: Counter[str], largest: int = LARGEST) -> Iterator[Record]:
    """The records of a file, in order; what is left out is counted in `damage`, by DAMAGED and TOO_LARGE.

    A damaged member costs its own records. Raises InputError where the file is no WARC or ends inside a record, which
    names file and offset.
    """
    with Path(path).open("rb") as file:
        first = file.read(5)
        if first == b"WARC/":
            yield from _plain(file, damage, largest)
        elif first.startswith(b"\x1f\x8b"):
            yield from _members(file, damage, largest)
        else:
            raise InputError(f"{path}: neither a WARC file nor one compressed by gzip")


def _members(file: BinaryIO, damage: Counter[str], largest: int) -> Iterator[Record]:
    size, start, found = file.seek(0, 2), 0, False
    while start < size:
        last, failed = yield from _run(file, start, damage, largest)
        found = found or last is not None
        at, member = _again(file, start, last)
        if member.end >= 0 and (last is None or _fits(last, at, member, failed)):
            if last is not None and last.record is not None:
                yield last.record
            elif last is None and member.head.strip():
                damage[DAMAGED] += 1
            start = member.end
            continue
        start = member.end if member.end >= 0 else _next(file, at + 1, size)
        if start == size and not member.damaged:
            raise _cut(file, at)
        damage[DAMAGED] += 1
    if not found:
        raise InputError(f"{file.name}: holds no WARC record")


def _again(file: BinaryIO, start: int, last: _Last | None) -> tuple[int, _Member]:
    """The member that holds the last record, or begins at `start` where there is none, and where it begins.

    FastWARC does not tell where the member of its second record begins: such files are inflated from `start` on.
    """
    at = start
    if last is not None:
        file.seek(last.offset)
        at = last.offset if _MAGIC.match(file.read(4)) else start
    member = _inflate(file, at)
    while last is not None and 0 <= member.end < last.offset:
        at, member = member.end, _inflate(file, member.end)
    return at, member


def _plain(file: BinaryIO, damage: Counter[str], largest: int) -> Iterator[Record]:
    last, failed = yield from _run(file, 0, damage, largest)
    if last is None or failed:
        at = last.offset if last else 0
        raise InputError(f"{file.name}: no WARC record behind the one at byte {at:,}; fetch the file again")
    file.seek(last.offset)
    head = file.read(_HEAD).partition(b"\r\n\r\n")[0]
    if last.offset + len(head) + 4 + last.length > file.seek(0, 2):
        raise _cut(file, last.offset)
    if last.record is not None:
        yield last.record


def _cut(file: BinaryIO, at: int) -> InputError:
    return InputError(f"{file.name}: ends inside the record at byte {at:,}; fetch the file again")


def _run(
    file: BinaryIO, start: int, damage: Counter[str], largest: int
) -> Generator[Record, None, tuple[_Last | None, bool]]:
    """The records from `start` on, as far as the reader comes, but the last; that, and whether an error ended it."""
    file.seek(start)
    held: Record | None = None
    found: WarcRecord | None = None
    length, failed = 0, False
    try:
        for found in ArchiveIterator(file, parse_http=False):
            if held is not None:
                yield held
            held, length = None, found.content_length
            if length > largest:
                damage[TOO_LARGE] += 1
                continue
            content = found.reader.read()
            if len(content) == length:
                held = Record(found, content)
    except OSError as error:
        if error.errno is not None:  # of the disk, not of the reader
            raise
        failed = True
    if found is None:
        return None, failed
    return _Last(held, found.stream_pos, length, held is not None or length > largest), failed


def _inflate(file: BinaryIO, at: int) -> _Member:
    """The member that begins at `at`, or what there is of it."""
    file.seek(at)
    inflater, length, head = zlib.decompressobj(wbits=31), 0, b""
    while not inflater.eof:
        data = inflater.unconsumed_tail or file.read(_BLOCK)
        try:
            piece = inflater.decompress(data, _BLOCK)
        except zlib.error:
            return _Member(-1, True, length, head)
        if not data and not piece:
            return _Member(-1, False, length, head)
        length += len(piece)
        head += piece[: _HEAD - len(head)]
    return _Member(file.tell() - len(inflater.unused_data), False, length, head)


def _fits(last: _Last, at: int, member: _Member, failed: bool) -> bool:
    """Whether the last record lies in its member, and where an error followed, nothing else does."""
    if not last.complete or at != last.offset:
        return last.complete
    rest = member.length - (member.head.find(b"\r\n\r\n") + 4) - last.length
    return 0 <= rest <= 4 if failed else rest >= 0


def _next(file: BinaryIO, start: int, size: int) -> int:
    """Where the next member begins that is empty or holds a record; `size` where none does."""
    while start < size:
        file.seek(start)
        block = file.read(_BLOCK)
        for magic in _MAGIC.finditer(block):
            at = start + magic.start()
            if _begins(file, at):
                return at
        start += max(len(block) - 3, 1)  # a magic may lie across the edge
    return size


def _begins(file: BinaryIO, at: int) -> bool:
    file.seek(at)
    inflater = zlib.decompressobj(wbits=31)
    try:
        head = inflater.decompress(file.read(_HEAD), 5)
    except zlib.error:
        return False
    return head == b"WARC/" or (not head and inflater.eof)
