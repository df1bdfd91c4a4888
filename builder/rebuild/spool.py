"""The rows of an unfinished shard, one appended record a row: what survives a kill.

Each record is written by one call as soon as its row has ended, so a killed worker loses only what was in
flight. A row that will be asked again leaves a small one too: how often it was asked, and when it is due. A torn
record at the end, after a power cut or a full disk, fails its hash and is cut off when the spool is opened again.
Records stand in order of arrival; `read` finds them by row.
"""

from __future__ import annotations

import dataclasses
import json
import math
import mmap
import os
import struct
from pathlib import Path
from typing import NamedTuple

import xxhash

from ..disk import documents
from ..disk.files import leave_if_orphaned
from ..picture.measures import Measures
from ..reasons import Reason
from .outcome import Outcome, Picture

_HEAD = struct.Struct("<4sIIIQ")  # magic, row, bytes of meta, bytes of data, XXH3-64 of both
_MAGIC = b"DQs1"
_AGAIN = b"DQa1"  # the magic of a row that will be asked again; its meta is a Tried
_TRIED = struct.Struct("<Id?")
_OUTCOME = tuple(f.name for f in dataclasses.fields(Outcome) if f.name != "picture")
_PICTURE = tuple(f.name for f in dataclasses.fields(Picture) if f.name not in ("data", "measures"))


class Tried(NamedTuple):
    """How a row stands that was asked and has not ended. due: seconds since the epoch; unescaped: at url.fallback."""

    attempts: int = 0
    due: float = 0.0
    unescaped: bool = False


def _digest(meta: bytes, data: bytes) -> int:
    hasher = xxhash.xxh3_64(meta)
    hasher.update(data)
    return hasher.intdigest()


def _sound(meta: bytes) -> bool:
    """Whether a record says of a row what one of ours would; else the row is asked for again."""
    try:
        said = json.loads(meta)
        documents.check(dict(zip(_OUTCOME, said[0], strict=True)), Outcome)
        if len(said) > 1:
            documents.check({"data": b"", **dict(zip(_PICTURE, said[1], strict=True))}, Picture)
        measures = Measures(*said[2]) if len(said) > 2 else ()
        if not all(isinstance(one, float) and math.isfinite(one) for one in measures):
            return False
    except (ValueError, TypeError, LookupError, RecursionError):
        return False
    return (said[0][0] is None) == (len(said) > 1)  # kept: without a reason, with a picture


class Spool:
    """An append-only file of outcomes, indexed by row. `owner` binds it to one configuration and shard."""

    def __init__(self, path: Path, owner: str) -> None:
        """Open or make it; a spool of another owner is discarded, a torn end is cut off. OSError as the disk has it."""
        self.path = path
        self._owner = owner.encode()
        self._index: dict[
            int, tuple[int, int, int]
        ] = {}  # row -> offset of meta, bytes of meta, bytes of data
        self._tried: dict[int, Tried] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("a+b", buffering=0)
        self._end = self._scan()
        leave_if_orphaned()
        self._file.truncate(self._end)
        if self._end == 0:
            self._write([_HEAD.pack(_MAGIC, 0, len(self._owner), 0, _digest(self._owner, b"")), self._owner])

    def __contains__(self, row: int) -> bool:
        return row in self._index

    def __len__(self) -> int:
        return len(self._index)

    def _scan(self) -> int:
        size = os.fstat(self._file.fileno()).st_size
        if size == 0:
            return 0
        with mmap.mmap(self._file.fileno(), 0, prot=mmap.PROT_READ) as view:
            offset = 0
            while offset + _HEAD.size <= size:
                magic, row, meta_size, data_size, digest = _HEAD.unpack_from(view, offset)
                start = offset + _HEAD.size
                end = start + meta_size + data_size
                if magic not in (_MAGIC, _AGAIN) or end > size:
                    break
                meta = view[start : start + meta_size]
                if _digest(meta, view[start + meta_size : end]) != digest:
                    break
                if offset == 0:
                    if meta != self._owner:
                        return 0
                elif magic == _AGAIN and meta_size == _TRIED.size:
                    tried = Tried(*_TRIED.unpack(meta))
                    self._tried[row] = tried if math.isfinite(tried.due) else Tried(tried.attempts)
                elif magic == _MAGIC and _sound(meta):
                    self._index[row] = (start, meta_size, data_size)
                offset = end
        return offset

    def _write(self, parts: list[bytes]) -> None:
        leave_if_orphaned()
        want = sum(map(len, parts))
        try:
            wrote = os.writev(self._file.fileno(), parts)
            if wrote < want:  # a nearly full disk: the rest raises ENOSPC, or is written
                rest = memoryview(b"".join(parts))[wrote:]
                while rest:
                    rest = rest[os.write(self._file.fileno(), rest) :]
        except OSError:
            self._file.truncate(self._end)
            raise
        self._end += want

    def append(self, row: int, outcome: Outcome) -> None:
        """Record that `row` has ended."""
        picture = outcome.picture
        fields = [[getattr(outcome, name) for name in _OUTCOME]]
        if picture is not None:
            fields.append([getattr(picture, name) for name in _PICTURE])
            if picture.measures is not None:
                fields.append([*picture.measures])
        meta = json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode("utf-8", "replace")
        data = picture.data if picture is not None else b""
        start = self._end + _HEAD.size
        self._write([_HEAD.pack(_MAGIC, row, len(meta), len(data), _digest(meta, data)), meta, data])
        self._index[row] = (start, len(meta), len(data))

    def append_tried(self, row: int, tried: Tried) -> None:
        """Record that `row` was asked, and will be asked again."""
        meta = _TRIED.pack(*tried)
        self._write([_HEAD.pack(_AGAIN, row, len(meta), 0, _digest(meta, b"")), meta])
        self._tried[row] = tried

    def tried(self, row: int) -> Tried:
        """How often `row`, which has not ended, was asked by this run or one before, and when it is due."""
        return self._tried.get(row, Tried())

    def read(self, row: int, *, picture: bool = True) -> Outcome:
        """The outcome of `row`, with its picture if that is wanted; KeyError when the row has not ended."""
        start, meta_size, data_size = self._index[row]
        record = os.pread(self._file.fileno(), meta_size + data_size * picture, start)
        fields = json.loads(record[:meta_size])
        outcome = Outcome(**dict(zip(_OUTCOME, fields[0], strict=True)))
        outcome.reason = Reason(outcome.reason) if outcome.reason is not None else None
        if picture and len(fields) > 1:
            measures = Measures(*fields[2]) if len(fields) > 2 else None
            shown = dict(zip(_PICTURE, fields[1], strict=True))
            outcome.picture = Picture(data=record[meta_size:], measures=measures, **shown)
        return outcome

    def close(self) -> None:
        """Close the file; what was appended stays."""
        self._file.close()

    def discard(self) -> None:
        """Close and remove: the shard is done."""
        leave_if_orphaned()
        self.close()
        self.path.unlink(missing_ok=True)
