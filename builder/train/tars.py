"""WebDataset tars as what is trained on: `<name>.jpg` with `<name>.txt` or `<name>.json`, as others publish pairs.

    a.tar ─▶ look: the headers and texts, from end to end once ─▶ ranges of some hundred pairs ─▶ read: one of them

A pair is members in a row whose paths are equal up to the first dot of their last part. Its alt_text is that of the
JSON, else the .txt, else `caption` in the JSON. Its key is `key` in the JSON where that is one; else that of url and
alt_text, as in a manifest; without a url, of its place (tar and name) instead. No byte of it is believed: what is no
plain file is passed over, sizes are bounded, and a text that cannot be read is no text.
"""

from __future__ import annotations

import contextlib
import io
import re
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor
from dataclasses import dataclass, field
from multiprocessing import get_context
from typing import Any, BinaryIO, NamedTuple

import numpy as np
import pyarrow as pa

from ..disk import documents
from ..disk.digests import keys_of
from ..disk.files import filesystem, is_local, local_path
from ..disk.reading import opened, reading
from ..disk.schema import EXTENSIONS, SPLITS, STORED, pair_key
from ..disk.tars import RECORD
from ..errors import InputError
from .looked import PAIRS, Looked, cores

SUFFIX = ".tar"
MEMBERS, BYTES = 1024, 32 << 20  # of a range, at least: about a row group of a root
MANY = 64  # tars that are looked through in processes: 46 us a pair, of 10,000 pairs half a minute
LARGEST = 256 << 20  # bytes of a member
TEXT = 1 << 20  # bytes of a caption, or of a JSON
NAMED = 1 << 16  # bytes of what names the member behind it
CLOSING = 2 * RECORD  # bytes of zeros that end a tar, at least
BUFFER = 4096  # bytes read at a header: the texts of a pair are mostly among them
_PICTURES = {*STORED, *EXTENSIONS.values(), "tif"}
_KEY = re.compile("[0-9a-f]{32}")
# Types of members: files; links, devices and folders, behind which there are no bytes whatever their size; what names
# the next member; files with holes, which may have further headers.
_PLAIN, _EMPTY, _NAMES, _SPARSE = b"0\x007", b"123456", b"xL", b"S"


class Member(NamedTuple):
    """A plain file in a tar. begins: where what belongs to it begins; at: where its bytes do."""

    name: str
    begins: int
    at: int
    size: int


@dataclass(slots=True)
class TarPair:
    """Members of one name. kinds: what they are by their extensions; ends: where the last of them does."""

    name: str
    begins: int
    kinds: dict[str, Member] = field(default_factory=dict)
    ends: int = 0


class Tars:
    """The tars that a glob names; as `Shards`. Raises InputError where there are none."""

    decisions: dict[str, str] = {}  # noqa: RUF012 - nothing judges tars
    judged = ""

    def __init__(self, pattern: str, tell: Callable[[str], None] = lambda _: None) -> None:
        fs, path = filesystem(pattern)
        with reading(pattern):
            found = sorted(str(one) for one in fs.glob(path))
        local = is_local(pattern)
        urls = [one if local else fs.unstrip_protocol(one) for one in found]
        splits = [url.rpartition("/")[2].partition("-")[0] for url in urls]
        places = [(url, split) for url, split in zip(urls, splits, strict=True) if split != "test"]
        if not places:
            raise InputError(f"{pattern}: no such tars; write the glob in quotes")
        self.names = [url for url, _ in places]
        self.splits = [split if split in SPLITS else "train" for _, split in places]
        self._spans: list[list[int]] = []
        self._tell = tell
        if len(urls) >= MANY:
            tell(f"{pattern}: looking through {len(urls):,} tars, from end to end")

    def checksums(self) -> dict[str, str]:
        """The ledger of tars: nothing."""
        return {}

    def looked(self) -> list[Looked]:
        """What each tar holds. Raises what `look` raises."""
        # It is Python that takes the time, in processes that take a second to begin.
        few = len(self.names) < MANY
        pool: Executor = (
            ThreadPoolExecutor(1) if few else ProcessPoolExecutor(cores(), get_context("forkserver"))
        )
        with pool:
            found = [*pool.map(look, self.names, chunksize=1 if few else 8)]
        self._spans = [spans for _, spans, _ in found]
        # Some writers leave the end out, so that it is no error; of what else there was nobody knows.
        if endless := [url for url, (_, _, ended) in zip(self.names, found, strict=True) if not ended]:
            self._tell(
                f"{endless[0]}: {len(endless):,} such tars have no end; they may be cut off between two pairs"
            )
        return [looked for looked, _, _ in found]

    def read(self, number: int, group: int) -> pa.Table:
        """The pairs of a range, as PAIRS. Raises InputError where the tar is not what it was."""
        url, (start, stop) = self.names[number], self._spans[number][group : group + 2]
        with _open(url) as file:
            file.seek(start)
            part = io.BytesIO(file.read(stop - start))
        rows = []
        for pair in pairs_of(part, url):
            picture = next((one for kind, one in pair.kinds.items() if kind in _PICTURES), None)
            image = None if picture is None else _read(part, picture, LARGEST)
            rows.append({**_told(part, pair, url), "image": image})
        return pa.Table.from_pylist(rows, PAIRS)


def look(url: str) -> tuple[Looked, list[int], bool]:
    """The pairs of a tar; where in it each range of them begins, and the last one ends; whether it has an end.

    Raises InputError where it is none, is cut off, or has two members of one name.
    """
    keys, starts, spans, members, ends = list[str](), [0], [0], 0, 0
    with _open(url) as file:
        for pair in pairs_of(file, url):
            if members >= MEMBERS or pair.begins - spans[-1] >= BYTES:
                starts.append(len(keys))
                spans.append(pair.begins)
                members = 0
            members += len(pair.kinds)
            keys.append(str(_told(file, pair, url)["key"]))
            ends = pair.ends
        file.seek(max(0, file.seek(0, io.SEEK_END) - CLOSING))
        ended = not any(file.read(CLOSING))
    starts, spans = ([*starts, len(keys)], [*spans, ends]) if keys else (starts, spans)
    return Looked(np.array(starts, np.int64), np.arange(len(keys)), keys_of(keys)[0]), spans, ended


@contextlib.contextmanager
def _open(url: str) -> Iterator[BinaryIO]:
    with reading(url), contextlib.ExitStack() as stack:
        if is_local(url):
            yield stack.enter_context(local_path(url).open("rb", buffering=BUFFER))
        else:
            yield stack.enter_context(opened(*filesystem(url), ahead=True))


def pairs_of(file: BinaryIO, url: str) -> Iterator[TarPair]:
    """The pairs of a tar, or of a part of one, in order; members of other kinds, and hidden ones, belong to none.

    Raises InputError, naming the tar and the member, where members of one name lie apart or are two of a kind.
    """
    pair, seen = TarPair("", 0), set[str]()
    for member in members_of(file, url):
        folder, _, last = member.name.rpartition("/")
        stem, _, kind = last.partition(".")
        kind = kind.lower()
        if not stem or not (kind in ("txt", "json") or kind in _PICTURES):
            continue
        name = f"{folder}/{stem}" if folder else stem
        if name != pair.name:
            if pair.kinds:
                yield pair
            if name in seen:
                raise InputError(
                    f"{url}: members of {_shown(name)} lie apart; sort the tar by name, with tar --sort=name"
                )
            seen.add(name)
            pair = TarPair(name, member.begins)
        if kind in pair.kinds:
            raise InputError(f"{url}: two members {_shown(member.name)}; each pair needs a name of its own")
        pair.kinds[kind], pair.ends = member, member.at + member.size
    if pair.kinds:
        yield pair


def members_of(file: BinaryIO, url: str) -> Iterator[Member]:
    """The plain files of a tar. Raises InputError where it is none, ends within a member, or has one beyond LARGEST."""
    total = file.seek(0, io.SEEK_END)
    begins = at = 0
    longer = ""
    while block := _block(file, at, url):
        size, kind = _size(block, at, url), block[156:157]
        more, at = kind in _SPARSE and block[482], at + RECORD
        while more:
            more, at = (_block(file, at, url) or bytes(RECORD))[504], at + RECORD
        ends = at if kind in _EMPTY else at + size
        if ends > total:
            raise InputError(f"{url}: ends within the member at byte {begins:,}: truncated, fetch it again")
        if kind in _NAMES:
            longer = _longer(file, at, size, kind == b"x") or longer
        else:
            if kind in _PLAIN:
                yield Member(longer or _name(block), begins, at, size)
            longer = ""
        at = -(-ends // RECORD) * RECORD
        begins = begins if kind in _NAMES else at


def _block(file: BinaryIO, at: int, url: str) -> bytes:
    """The header at a place, or nothing where the tar ends."""
    file.seek(at)
    block = file.read(RECORD)
    if 0 < len(block) < RECORD:
        raise InputError(f"{url}: ends within the header at byte {at:,}: truncated, fetch it again")
    return b"" if block.count(0) == len(block) else block


def _size(block: bytes, at: int, url: str) -> int:
    """The size that a header says; InputError where it is no header, or says more than LARGEST."""
    try:
        if _octal(block[148:156]) != sum(block[:148]) + sum(block[156:]) + 8 * ord(" "):
            raise ValueError
        size = LARGEST + 1 if block[124] & 128 else _octal(block[124:136])
    except ValueError:
        raise InputError(
            f"{url}: no header of a tar at byte {at:,}: no tar, damaged, or compressed"
        ) from None
    if size > LARGEST:
        raise InputError(
            f"{url}: the member at byte {at:,} has more than {LARGEST:,} bytes; leave it out of the tar"
        )
    return size


def _octal(digits: bytes) -> int:
    number = int(digits.strip(b" \0") or b"0", 8)
    if number < 0:
        raise ValueError
    return number


def _name(block: bytes) -> str:
    name, prefix = block[:100].partition(b"\0")[0], block[345:500].partition(b"\0")[0]
    posix = block[257:263] == b"ustar\0"  # elsewhere there are dates in its place
    return (prefix + b"/" + name if posix and prefix else name).decode("utf-8", "surrogateescape")


def _longer(file: BinaryIO, at: int, size: int, posix: bool) -> str:
    """The name that a member gives to the one behind it; empty where it gives none, or one beyond LONGEST."""
    if size > NAMED:
        return ""
    file.seek(at)
    name = file.read(size)
    if posix:  # records as `30 path=a/b.jpg`, each with its length in front
        found = re.search(rb"(?:^|\n)\d+ path=([^\n]*)\n", name)
        name = found[1] if found else b""
    return name.partition(b"\0")[0][: documents.LONGEST].decode("utf-8", "surrogateescape")


def _told(file: BinaryIO, pair: TarPair, url: str) -> dict[str, str | None]:
    """The key of a pair and its captions; a text of more than TEXT bytes, or that is none, is left out."""
    texts = {kind: _read(file, pair.kinds[kind], TEXT) for kind in ("json", "txt") if kind in pair.kinds}
    said: documents.Document = {}
    with contextlib.suppress(ValueError):
        said = documents.parse(texts.get("json") or b"{}", finite=False)
    plain = None
    with contextlib.suppress(UnicodeDecodeError):
        plain = (texts.get("txt") or b"").decode("utf-8-sig").strip()
    alt_text = _text(said.get("alt_text")) or plain or _text(said.get("caption"))
    key = said.get("key")
    if not (isinstance(key, str) and _KEY.fullmatch(key)):
        key = pair_key(_text(said.get("url")) or f"{url.rpartition('/')[2]}/{pair.name}", alt_text)
    return {"key": key, "alt_text": alt_text or None, "recaption": _text(said.get("recaption"))}


def _text(value: Any) -> str | None:
    """The value where it is a text that UTF-8 can write."""
    if isinstance(value, str) and value.strip():
        with contextlib.suppress(UnicodeEncodeError):
            value.encode()
            return value
    return None


def _read(file: BinaryIO, member: Member, most: int) -> bytes | None:
    """The bytes of a member; None where there are more than `most`."""
    if member.size > most:
        return None
    file.seek(member.at)
    return file.read(member.size)


def _shown(name: str) -> str:
    return ascii(name[: documents.SHOWN])
