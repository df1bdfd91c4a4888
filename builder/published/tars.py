"""WebDataset shards: read from end to end once, for the hash and the pairs; the pictures are passed over.

    images/train-00000-of-00016.tar ─▶ (columns, place of the picture) of each pair ─▶ Scan ─▶ the sample of pictures

A pair is three members in a row, <key>.<format>, <key>.txt and <key>.json, as builder/disk/tars.py writes them. Of what
anybody wrote little is held: the text of one pair, and the columns that are looked at of some thousands.
"""

from __future__ import annotations

import datetime
import tarfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from typing import Any, NamedTuple

import pyarrow as pa

from ..card.counts import COLUMNS
from ..disk import documents
from ..disk.release import split_of
from ..disk.schema import CURATED, PICTURE
from ..disk.tars import PLAIN, TarReader
from ..errors import DanqingError
from ..hub.store import Store
from .differences import Differences, shown
from .pictures import SampledPicture
from .rows import Rules, Scan
from .shards import BATCH

LARGEST = 256 << 20  # bytes of a picture
TEXT = 4 << 20  # bytes of a caption, or of the columns of a pair
HELD = 2 << 20  # bytes of columns that wait to be looked at together
ALONE = (
    1 << 18
)  # bytes of columns from which on they are parsed alone: in Python they take thirty times as many
MOST = 16  # members of one name that are remembered, to say what it has
_TYPES = {
    **{field.name: field.type for field in PICTURE if field.name != "image"},
    **{name: CURATED.field(name).type for name in ("cos", "dup_count", "dup_cluster")},
    **dict.fromkeys(
        ("key", "url", "alt_text", "recaption", "score_model", "verdict", "cos_model"), pa.string()
    ),
    **dict.fromkeys(("score", "score_alt_text", "score_recaption", "p"), pa.float32()),
    **dict.fromkeys(("suspect", "kept"), pa.bool_()),
}
_one_large = threading.Lock()


class Place(NamedTuple):
    """Place of the picture of a pair. row: of the tar; offset, bytes: of the file."""

    path: str
    row: int
    key: str
    offset: int
    bytes: int
    width: int | None
    height: int | None


class Pair(NamedTuple):
    """A pair of a tar. columns: of its JSON those that are looked at; text: bytes of the JSON."""

    place: Place
    columns: dict[str, Any]
    text: int


class _Members(NamedTuple):
    """The members of one name so far. kinds: of each its ending, offset and bytes; texts: what those two hold."""

    name: str
    kinds: list[tuple[str, int, int]]
    texts: dict[str, bytes]


def scan(store: Store, path: str, rules: Rules, sample: int) -> tuple[Scan, str, list[Place]]:
    """Findings in all pairs of a tar, the hash of its bytes, and the pictures of the `sample` smallest keys."""
    found = Scan(path)
    found.counts.file(split_of(path), store.entries[path].bytes)
    best: list[Place] = []
    waiting: list[dict[str, Any]] = []
    held = 0
    with store.open(path) as raw:
        tar = TarReader(raw)
        for pair in _guarded(tar, path, found.differences):
            waiting.append(pair.columns)
            held += pair.text
            if len(waiting) == BATCH // 8 or held > HELD:
                found.add(_table(waiting, path, found.differences), rules)
                waiting, held = [], 0
            if len(best) < sample or (best and best[-1].key > pair.place.key):
                best = sorted([*best, pair.place], key=lambda one: one.key)[:sample]
        if waiting:
            found.add(_table(waiting, path, found.differences), rules)
        if not tar.finish() and "damaged" not in found.differences.kinds:
            found.differences.add("damaged", f"{path}: damaged: something lies behind the end of the tar")
    return found, tar.digest.hexdigest(), best


def first(store: Store, path: str, count: int, differences: Differences) -> list[Place]:
    """The first pictures of a tar, for a check that does not read it all."""
    found: list[Place] = []
    with store.open(path) as raw:
        for pair in _guarded(TarReader(raw), path, differences):
            found.append(pair.place)
            if len(found) >= count:
                break
    return found


def keys(store: Store, path: str) -> Iterator[Any]:
    """The keys of a tar, in parts."""
    with store.open(path) as raw:
        for pair in _guarded(TarReader(raw), path, Differences()):
            yield pa.array([pair.place.key], pa.string())


def read(store: Store, places: Iterable[Place]) -> Iterator[SampledPicture]:
    """The pictures at these places, one held at a time."""
    for one in places:
        with store.open(one.path) as file:
            file.seek(one.offset)
            data = file.read(one.bytes)
        yield SampledPicture(f"{one.path}: row {one.row:,}", one.key, data, one.width, one.height)


def _guarded(tar: TarReader, path: str, differences: Differences) -> Iterator[Pair]:
    """The pairs up to the first place where the tar is broken, which is a difference."""
    try:
        for row, members in enumerate(_pairs(tar, path, differences)):
            if pair := _whole(path, row, members, differences):
                yield pair
    except DanqingError:
        raise
    except (tarfile.TarError, OSError, ValueError, EOFError) as error:
        differences.add("damaged", f"{path}: damaged or truncated: {' '.join(str(error).split())[:200]}")


def _pairs(tar: TarReader, path: str, differences: Differences) -> Iterator[_Members]:
    """The members of each name."""
    now = None
    for member in tar:
        name, _, kind = member.name.partition(".")
        is_text = kind in ("txt", "json")
        if member.type not in PLAIN or "/" in member.name or not kind:
            differences.add("member", f"{path}: {member.name!r} is no member of a pair")
            continue
        if member.size > (TEXT if is_text else LARGEST):
            differences.add("member", f"{path}: {member.name!r} has {member.size:,} bytes: too large")
            continue
        if now is None or name != now.name:
            if now is not None:
                yield now
            now = _Members(name, [], {})
        if len(now.kinds) < MOST:
            now.kinds.append((kind, tar.place, member.size))
            if is_text:
                now.texts[kind] = tar.read(member)
    if now is not None:
        yield now


def _whole(path: str, row: int, members: _Members, differences: Differences) -> Pair | None:
    """The pair that the members of one name make; None, and a difference, where they make none."""
    name, where = members.name, f"{path}: row {row:,}"
    pictures = [one for one in members.kinds if one[0] not in members.texts]
    if len(members.texts) < 2 or len(members.kinds) != 3 or len(pictures) != 1:
        has = ", ".join(sorted(kind for kind, _, _ in members.kinds))
        wanted = f"pair {name} should have a picture, txt and json"
        differences.add("member", f"{where}: {wanted}, it has {shown(has)}")
        return None
    text = members.texts["json"]
    with _one_large if len(text) > ALONE else nullcontext():
        try:
            columns = documents.parse(text, finite=False)
        except ValueError as error:
            differences.add("member", f"{where}: {name}.json: {' '.join(str(error).split())[:200]}")
            return None
        if columns.get("key") != name:
            differences.add("member", f"{where}: {name}.json should be of key {name}")
            return None
        columns = {
            column: _sound(where, column, columns[column], differences)
            for column in _TYPES
            if column in columns
        }
    if (columns.get("alt_text") or "").encode("utf-8", "surrogatepass") != members.texts["txt"]:
        differences.add("member", f"{where}: {name}.txt should be the alt_text of {name}.json")
    _, offset, size = pictures[0]
    place = Place(path, row, name, offset, size, columns.get("width"), columns.get("height"))
    return Pair(place, columns, len(text))


def _sound(where: str, column: str, value: Any, differences: Differences) -> Any:
    """A value of JSON; None, and a difference, where it cannot be one of its column."""
    kind: Any = _TYPES[column]
    wanted: Any = str
    if pa.types.is_boolean(kind):
        wanted = bool
    elif pa.types.is_integer(kind):
        wanted = int
    elif pa.types.is_floating(kind):
        wanted = (int, float)
    if value is None or (isinstance(value, wanted) and (wanted is bool or not isinstance(value, bool))):
        return value
    differences.add("shape", f"{where}: {column} should be {kind}, it is {type(value).__name__}")
    return None


def _table(rows: list[dict[str, Any]], path: str, differences: Differences) -> pa.Table:
    """Rows as the columns that are looked at; values that do not fit their type are a difference, and null."""
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
