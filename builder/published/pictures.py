"""A sample of the pictures, decoded: they are what a release of images is for, and a checksum knows nothing of them.

    row groups, dealt by their names ─▶ in each the pairs with the smallest keys ─▶ decoded, with limits

The same release gives the same sample, whoever checks it, and another release another one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple, TypeVar

import pyarrow as pa
import pyarrow.compute as compute

from ..disk.parquet import dictionaries
from ..errors import DanqingError
from ..hub.store import Store
from ..picture.container import recognised
from ..picture.header import check as check_header
from ..picture.limits import MAX_PIXELS
from .differences import Differences
from .shards import Footer, damage, opened

pc: Any = compute
T = TypeVar("T")

LARGEST = 1 << 30  # bytes of a row group; danqing writes 32 MiB
LOCAL, REMOTE = 1, 8  # pictures of one row group; a remote one costs as much for one picture as for all
COLUMNS = ("key", "image", "width", "height")


class SampledPicture(NamedTuple):
    """A picture of the sample. where: file and row; width, height: as the columns have them."""

    where: str
    key: str
    data: bytes | None
    width: int | None
    height: int | None


def dealt(places: Iterable[T], name: Callable[[T], str] = str) -> list[T]:
    """Places in an order of their own, which their names alone decide."""
    return sorted(places, key=lambda one: hashlib.blake2b(name(one).encode()).digest())


def sample(
    store: Store, footers: Iterable[Footer], count: int, differences: Differences
) -> Iterator[SampledPicture]:
    """`count` pictures out of Parquet shards, of fewer where there are not so many."""
    groups = [(foot, number) for foot in footers for number, rows in enumerate(foot.groups) if rows]
    groups = dealt(groups, lambda one: f"{one[0].path}:{one[1]}")
    each = max(LOCAL if store.local else REMOTE, -(-count // max(1, len(groups))))
    for footer, number in groups:
        if count <= 0:
            return
        with damage(footer.path, differences):
            found = _smallest(store, footer, number, min(each, count))
            count -= len(found)
            yield from found


def _smallest(store: Store, footer: Footer, group: int, count: int) -> list[SampledPicture]:
    """The pictures of a row group whose keys are the smallest."""
    names = [name for name in COLUMNS if name in footer.schema.names]
    if "image" not in names or "key" not in names:
        return []
    with opened(store, footer.path) as file:
        if file.metadata.row_group(group).total_byte_size > LARGEST or "image.bytes" in dictionaries(
            file.metadata
        ):
            raise ValueError(f"row group {group:,} is too large to be read")
        table = file.read_row_group(group, columns=names)
    first = sum(footer.groups[:group])
    rows = pc.sort_indices(table["key"]).slice(0, count).to_pylist()
    return [_picture(footer.path, first + row, table.slice(row, 1)) for row in rows]


def _picture(path: str, row: int, one: pa.Table) -> SampledPicture:
    pair = one.to_pylist()[0]
    image = pair["image"]
    data = image.get("bytes") if isinstance(image, dict) else None
    return SampledPicture(
        f"{path}: row {row:,}", str(pair["key"]), data, pair.get("width"), pair.get("height")
    )


def check(pictures: Iterable[SampledPicture], differences: Differences) -> int:
    """Decode pictures; the number that could be."""
    decoded = 0
    for picture in pictures:
        wrong = _fault(picture)
        decoded += wrong is None
        if wrong is not None:
            differences.add("picture", f"{picture.where}: picture of pair {picture.key}: {wrong}")
    return decoded


def _fault(picture: SampledPicture) -> str | None:
    """The fault of a picture; None where it has none."""
    if picture.data is None:
        return "no bytes"
    try:
        width, height = check_header(picture.data).upright
        if (width, height) != (picture.width, picture.height):
            wanted = f"{picture.width} × {picture.height} as the columns say"
            return f"width and height should be {wanted}, they are {width} × {height}"
        if width * height > MAX_PIXELS:
            return f"{width:,} × {height:,} pixels are too many to be decoded here"
        recognised(picture.data).load()
    except DanqingError:
        raise
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error ...
        return f"cannot be decoded: {' '.join(str(error).split())[:200]}"
    return None
