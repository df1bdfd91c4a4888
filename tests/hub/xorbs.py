"""Reads what hf_xet wrote into a folder: the formats of Xet, as far as a file's own bytes need them.

    shard (*.mdb)  header of 48 bytes, then records of 48: each file's hash, its segments, its sha256 ─▶ `Content`
    xorb           chunks one after the other: 8 bytes of header, then the bytes, mostly compressed ─▶ `Content.pieces`

hf_xet reads them as well, but takes a lock that its writers hold for as long as an upload lasts. A file that is read
back is checked against its sha256 by the caller.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

RECORD = 48
_VERIFIED, _DESCRIBED = (
    0x80000000,
    0x40000000,
)  # flags of a file: verification records follow; one with its sha256
_END = b"\xff" * 32
_LZ4, _GROUPED = (
    1,
    2,
)  # how a chunk is compressed; grouped: first every byte 0 of four, then every byte 1, ...


def name_of(raw: bytes) -> str:
    """A hash as Xet writes it: four little-endian words."""
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", raw))


@dataclass(frozen=True, slots=True)
class Segment:
    """A run of chunks: of xorb `xorb` those from `first` to before `end`."""

    xorb: str
    first: int
    end: int


@dataclass(frozen=True, slots=True)
class Content:
    """A file that was written: its hash in Xet, its length, where its chunks lie. folder: holds xorbs/ and shards/."""

    xet: str
    size: int
    folder: Path
    segments: tuple[Segment, ...]

    def pieces(self) -> Iterator[bytes]:
        """The bytes of the file, a chunk at a time."""
        for segment in self.segments:
            yield from _chunks(self.folder / "xorbs" / f"default.{segment.xorb}", segment)


def read_shard(path: Path) -> dict[str, Content]:
    """The files of a shard by their sha256; struct.error for one that is not whole."""
    data, at, found = path.read_bytes(), RECORD, {}
    while data[at : at + 32] != _END:
        flags, count = struct.unpack_from("<II", data, at + 32)
        xet, segments, size = name_of(data[at : at + 32]), [], 0
        for start in range(at + RECORD, at + RECORD * (count + 1), RECORD):
            length, first, end = struct.unpack_from("<III", data, start + 36)
            segments.append(Segment(name_of(data[start : start + 32]), first, end))
            size += length
        at += RECORD * (1 + count * (2 if flags & _VERIFIED else 1))
        if flags & _DESCRIBED:
            found[name_of(data[at : at + 32])] = Content(xet, size, path.parent.parent, tuple(segments))
            at += RECORD
    return found


def _chunks(path: Path, segment: Segment) -> Iterator[bytes]:
    with path.open("rb") as file:
        for number in range(segment.end):
            head = file.read(8)
            packed, scheme = int.from_bytes(head[1:4], "little"), head[4]
            if number < segment.first:
                file.seek(packed, 1)
            else:
                yield _unpacked(file.read(packed), scheme, int.from_bytes(head[5:8], "little"))


def _unpacked(data: bytes, scheme: int, size: int) -> bytes:
    if scheme in (_LZ4, _GROUPED):
        import pyarrow as pa

        data = pa.decompress(data, size, "lz4", asbytes=True)
    if scheme != _GROUPED:
        return data
    whole, at = bytearray(size), 0
    for lane in range(4):
        count = len(range(lane, size, 4))
        whole[lane::4] = data[at : at + count]
        at += count
    return bytes(whole)
