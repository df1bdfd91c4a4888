"""Pairs as WebDataset tars: `<name>.jpg`, `<name>.txt` (alt_text) and `<name>.json` (every other column).

A pair's name is its number in the root, or its key.

The `webdataset` library and open_clip read them as they are. Members carry no time and no owner, so the same
pairs make the same bytes.
"""

from __future__ import annotations

import hashlib
import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pyarrow as pa

from ..errors import InputError
from . import documents
from .schema import EXTENSIONS, IMAGE, is_list

RECORD = 512  # bytes; all of a tar is a multiple
BLOCK = 16 << 20  # bytes read at once
PLAIN = (tarfile.REGTYPE, tarfile.AREGTYPE)  # types of members that are a file, and nothing else


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def tar_schema(columns: pa.Schema, kinds: Sequence[str]) -> pa.Schema:
    """The columns that stock `datasets` makes of a tar of pairs with these, and with pictures of these formats.

    A pair has its picture by the extension, `txt` and `json`; `datasets` adds two more.
    """
    others = pa.struct([pa.field(one.name, _in_json(one.type)) for one in columns if one.name != "image"])
    pictures = [pa.field(EXTENSIONS.get(kind, kind), IMAGE) for kind in kinds]
    text = [pa.field(name, pa.string()) for name in ("txt", "__key__", "__url__")]
    return pa.schema([*pictures, text[0], pa.field("json", others), *text[1:]])


def _in_json(kind: Any) -> pa.DataType:
    """The type that values of a column have in JSON: text where it has none for them, such as dates."""
    if pa.types.is_struct(kind):
        return pa.struct([(kind.field(i).name, _in_json(kind.field(i).type)) for i in range(kind.num_fields)])
    if is_list(kind):
        return pa.list_(_in_json(kind.value_type))
    if pa.types.is_dictionary(kind):
        return _in_json(kind.value_type)
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind) or kind in (pa.float32(), pa.float64()):
        return kind  # type: ignore[no-any-return]
    return pa.float32() if kind == pa.float16() else pa.string()


def _values(column: pa.ChunkedArray[Any]) -> list[Any]:
    """The values of a column; times that Python cannot hold as text."""
    try:
        return column.to_pylist()
    except (ValueError, OverflowError, KeyError):  # KeyError: a time zone that is not in the database
        return [_value(scalar) for chunk in column.chunks for scalar in chunk]


def _value(scalar: Any) -> Any:
    try:
        return scalar.as_py()
    except (ValueError, OverflowError, KeyError):
        if pa.types.is_struct(scalar.type):
            return {name: _value(one) for name, one in scalar.items()}
        if pa.types.is_nested(scalar.type):
            return [_value(one) for one in scalar.values]
        return _time(scalar)


def _time(scalar: Any) -> str:
    """Nanoseconds as ISO text, in UTC; of other units years before 1 or past 9999, as the number on disk.

    Arrow has no text for those either: it writes "<value out of range>", and with a time zone another year.
    """
    kind = scalar.type
    if pa.types.is_duration(kind) or getattr(kind, "unit", "") != "ns":
        return str(scalar.value)
    zoned = pa.types.is_timestamp(kind) and kind.tz is not None
    text = scalar.cast(pa.timestamp("ns", "UTC") if zoned else kind).cast(pa.string())
    return str(text.as_py()).replace(" ", "T")


class TarWriter:
    """Takes the same tables as the Parquet writer.

    stem: of a shard whose number begins the names of its pairs; None: their keys are their names.
    """

    def __init__(self, path: Path, stem: str | None = None) -> None:
        self._tar = tarfile.open(path, "w", format=tarfile.USTAR_FORMAT)  # noqa: SIM115 - closed by close()
        self._index = None if stem is None else stem.split("-")[1]
        self._count = 0

    def write_table(self, table: pa.Table) -> None:
        """Append the pairs of a table in the schema of images/."""
        columns = {name: _values(table[name]) for name in table.column_names}
        for row in range(len(table)):
            pair = {name: values[row] for name, values in columns.items()}
            image = pair.pop("image") or {}
            if image.get("bytes") is None:
                raise InputError(
                    f"pair {pair['key']}: has no picture, so it cannot be in a tar; use --format parquet"
                )
            name = pair["key"] if self._index is None else f"{self._index}{self._count:06d}"
            extension = (image["path"] or "").rpartition(".")[2] or "jpg"
            self._add(f"{name}.{extension}", image["bytes"])
            self._add(f"{name}.txt", (pair["alt_text"] or "").encode())
            self._add(f"{name}.json", json.dumps(pair, ensure_ascii=False, default=_plain).encode())
            self._count += 1

    def _add(self, name: str, data: bytes) -> None:
        member = tarfile.TarInfo(name)
        member.size = len(data)
        self._tar.addfile(member, io.BytesIO(data))

    def close(self) -> None:
        """Write the end of the archive."""
        self._tar.close()


def read_pairs(path: Path) -> Iterator[tuple[documents.Document, str, bytes]]:
    """The columns, the picture's file name and its bytes, of every pair of a tar, in order.

    InputError where it is damaged, or ends within a member.
    """
    try:
        with tarfile.open(path, "r:") as tar:
            name, picture = "", b""
            for member in tar:
                file = tar.extractfile(member)
                data = file.read() if file is not None else b""
                if member.name.endswith(".json"):
                    yield documents.parse(data, finite=False), name, picture
                elif not member.name.endswith(".txt"):
                    name, picture = member.name, data
    except (tarfile.TarError, ValueError) as error:
        raise InputError(f"{path}: {error}: damaged or truncated") from error


def read_columns(file: BinaryIO) -> Iterator[dict[str, Any]]:
    """The columns of every pair of a tar of ours, in order; the pictures are passed over."""
    with tarfile.open(fileobj=file, mode="r:") as tar:
        for member in tar:
            columns = tar.extractfile(member) if member.name.endswith(".json") else None
            if columns is not None:
                yield documents.parse(columns.read(documents.LIMIT + 1), finite=False)


class TarReader:
    """The members of a tar of anybody's, from its beginning on: a block of it is held, and what is read of a member.

    tarfile would believe what a header says: a kilobyte can be a sparse file of gigabytes, or a name of as many. Here a
    member is its header and the bytes behind it, and whatever is not PLAIN can be passed over.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._block, self._at, self._left = b"", 0, 0
        self.place = 0  # bytes passed so far
        self.digest = hashlib.sha256()  # of the blocks so far

    def __iter__(self) -> Iterator[tarfile.TarInfo]:
        """The headers. EOFError where the tar has no end, tarfile.TarError where it is none."""
        while True:
            self._pass(self._left)
            head = self._take(RECORD)
            if head == bytes(RECORD):
                return
            member = tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
            if member.size < 0:
                raise tarfile.ReadError("a member has less than no bytes")
            self._left = -(-member.size // RECORD) * RECORD
            yield member

    def read(self, member: tarfile.TarInfo) -> bytes:
        """The present member, which begins at `place`."""
        self._left -= member.size
        return self._take(member.size)

    def finish(self) -> bool:
        """Pass whatever is left; whether it was nothing but zeros, as behind the end of a tar."""
        empty = True
        while self._more():
            rest = self._block[self._at :]
            empty = empty and rest.count(0) == len(rest)
            self._at = len(self._block)
        return empty

    def _take(self, size: int) -> bytes:
        return b"".join(self._parts(size))

    def _pass(self, size: int) -> None:
        for _ in self._parts(size):
            pass

    def _parts(self, size: int) -> Iterator[bytes]:
        """The next bytes, as they lie in blocks; EOFError where there are fewer."""
        while size:
            if not self._more():
                raise EOFError("it ends within a member, or without the end of a tar")
            part = self._block[self._at : self._at + size]
            self._at += len(part)
            self.place += len(part)
            size -= len(part)
            yield part

    def _more(self) -> bool:
        """Whether there is anything left; if so, the block has some of it."""
        if self._at == len(self._block):
            self._block, self._at = self._file.read(BLOCK), 0
            self.digest.update(self._block)
        return self._block != b""
