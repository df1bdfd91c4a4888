"""WebDataset shards: read from end to end once, for the hash, the pairs and the sample of pictures alike.

    images/train-00000-of-00016.tar ─▶ (number, columns, picture) of each pair ─▶ Scan

A pair is three members in a row, <key>.<format>, <key>.txt and <key>.json, as builder/tars.py writes them.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import tarfile
from collections.abc import Iterator
from typing import Any, BinaryIO, NamedTuple

import pyarrow as pa

from ..errors import DanqingError
from ..schema import PICTURE
from .counts import COLUMNS
from .differences import Differences
from .pictures import Picture
from .rows import BATCH, Rules, Scan
from .shards import split_of
from .store import BLOCK, Store

LARGEST = 256 << 20  # bytes of a member that is held in memory
END = 1024  # zeros at the end of a tar
_TYPES = {
    **{field.name: field.type for field in PICTURE if field.name != "image"},
    **dict.fromkeys(("key", "url", "alt_text", "recaption", "score_model", "verdict"), pa.string()),
    **dict.fromkeys(("score", "score_alt_text", "score_recaption", "p"), pa.float32()),
    **dict.fromkeys(("suspect", "kept"), pa.bool_()),
}


class Pair(NamedTuple):
    """One pair of a tar. columns: of its JSON; picture: the bytes of the file."""

    number: int
    columns: dict[str, Any]
    picture: bytes


class _Hashed:
    """A file that is read in one go, and its hash on the way."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.digest = hashlib.sha256()
        self.tail = b""  # the last bytes so far

    def read(self, size: int = -1) -> bytes:
        """Bytes from here on."""
        data = self._file.read(size)
        self.digest.update(data)
        if data:
            self.tail = (self.tail + data)[-END:] if len(data) < END else data[-END:]
        return data


def scan(store: Store, path: str, rules: Rules, sample: int) -> tuple[Scan, str, list[Picture]]:
    """All pairs of a tar, the hash of its bytes, and the pictures of the `sample` smallest keys."""
    found = Scan(path)
    found.counts.file(split_of(path), store.entries[path].bytes)
    best: list[Picture] = []
    waiting: list[dict[str, Any]] = []
    with store.open(path) as raw:
        file = _Hashed(raw)
        for pair in _guarded(file, path, found.differences):
            waiting.append(pair.columns)
            if len(waiting) == BATCH // 8:
                found.add(_table(waiting, path, found.differences), rules)
                waiting = []
            if len(best) < sample or best[-1].key > pair.columns["key"]:
                best = sorted([*best, _picture(path, pair)], key=lambda one: one.key)[:sample]
        if waiting:
            found.add(_table(waiting, path, found.differences), rules)
        while file.read(BLOCK):
            pass
        if file.tail != bytes(END):  # to tarfile, one that ends between two members is whole
            found.differences.add("damaged", f"{path}: damaged or truncated: it has no end of a tar")
    return found, file.digest.hexdigest(), best


def first(store: Store, path: str, count: int, differences: Differences) -> list[Picture]:
    """The first pictures of a tar, for a check that does not read it all."""
    found: list[Picture] = []
    with store.open(path) as raw:
        for pair in _guarded(raw, path, differences):
            found.append(_picture(path, pair))
            if len(found) >= count:
                break
    return found


def keys(store: Store, path: str) -> Iterator[Any]:
    """The keys of a tar, in parts."""
    with store.open(path) as raw:
        for pair in _guarded(raw, path, Differences()):
            yield pa.array([pair.columns["key"]], pa.string())


def _picture(path: str, pair: Pair) -> Picture:
    width, height = pair.columns.get("width"), pair.columns.get("height")
    return Picture(f"{path}: row {pair.number:,}", str(pair.columns["key"]), pair.picture, width, height)


def _guarded(file: Any, path: str, differences: Differences) -> Iterator[Pair]:
    """The pairs up to the first place where the tar is broken, which is a difference."""
    try:
        yield from _pairs(file, path, differences)
    except DanqingError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        differences.add("damaged", f"{path}: damaged or truncated: {' '.join(str(error).split())[:200]}")


def _pairs(file: Any, path: str, differences: Differences) -> Iterator[Pair]:
    number = 0
    parts: dict[str, bytes] = {}
    name = None
    with tarfile.open(fileobj=file, mode="r|", bufsize=BLOCK) as tar:
        for member in tar:
            stem, _, kind = member.name.partition(".")
            if not member.isfile() or "/" in member.name or not kind or member.size > LARGEST:
                differences.add("member", f"{path}: {member.name!r} is no member of a pair")
                continue
            if stem != name:
                if parts:
                    yield from _whole(number, name, parts, path, differences)
                    number += 1
                name, parts = stem, {}
            held = tar.extractfile(member)
            parts[kind] = held.read() if held is not None else b""
    if parts:
        yield from _whole(number, name, parts, path, differences)


def _whole(
    number: int, name: str | None, parts: dict[str, bytes], path: str, differences: Differences
) -> Iterator[Pair]:
    """The pair that the members of one name make, where they do."""
    pictures = [kind for kind in parts if kind not in ("txt", "json")]
    if {"txt", "json"} - parts.keys() or len(pictures) != 1:
        has = ", ".join(sorted(parts))
        differences.add(
            "member", f"{path}: row {number:,}: pair {name} should have a picture, txt and json, it has {has}"
        )
        return
    columns = json.loads(parts["json"])
    if not isinstance(columns, dict) or columns.get("key") != name:
        differences.add("member", f"{path}: row {number:,}: {name}.json should be of key {name}")
        return
    if (columns.get("alt_text") or "").encode() != parts["txt"]:
        differences.add("member", f"{path}: row {number:,}: {name}.txt should be the alt_text of {name}.json")
    yield Pair(number, columns, parts[pictures[0]])


def _table(rows: list[dict[str, Any]], path: str, differences: Differences) -> pa.Table:
    """Rows of JSON as the columns that are looked at; values of another type are a difference, and null."""
    names = [name for name in dict.fromkeys([*_TYPES, *COLUMNS]) if any(name in row for row in rows)]
    arrays = []
    for name in names:
        kind = _TYPES[name]
        values = [row.get(name) for row in rows]
        try:
            if pa.types.is_timestamp(kind):
                values = [None if one is None else datetime.datetime.fromisoformat(one) for one in values]
            arrays.append(pa.array(values, kind))
        except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
            differences.add("shape", f"{path}: {name} should be {kind}: {' '.join(str(error).split())[:120]}")
            arrays.append(pa.nulls(len(rows), kind))
    return pa.Table.from_arrays(arrays, names=names)
