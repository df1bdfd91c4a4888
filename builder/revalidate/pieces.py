"""What of a shard has to be embedded: images/ in; pieces, with the pictures that have to be seen, out.

A row whose bytes are the recorded ones is never decoded nor embedded, and a row of the panel was embedded when
the panel was made. Where no row of a row group is left, its pictures are not read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.digests import keys_of, unhex
from .panel import Panel, identities, texts_of
from .plan import Shard
from .reference import Found, Reference
from .values import Bools, caption_hashes, pc

ROWS = 1024  # pictures in a piece from which on no further row group is added to it
BYTES = 64 << 20  # ... or so many bytes of them
Indices = npt.NDArray[np.intp]
Pictures = list[bytes | None]


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a shard, n of them. last: the shard ends with it.

    rows: url, captions and what else is small; forward: which rows have to be embedded; places: of each row in
    the panel, -1 where it is not in it; same: the bytes are the recorded ones; hashed: it is known whether.
    """

    shard: Shard
    last: bool
    rows: pa.Table
    keys: npt.NDArray[np.bytes_]
    found: Found
    same: Bools
    hashed: Bools
    caption_hash: npt.NDArray[np.uint64]
    captioned: Bools
    places: Indices
    forward: Indices


class Cutter:
    """Cuts shards into pieces. captions: names of the columns to score."""

    def __init__(self, reference: Reference, panel: Panel, captions: tuple[str, ...]) -> None:
        self._reference, self._panel, self.captions = reference, panel, captions
        self._sorter = np.argsort(panel.identities)
        self._keys = np.sort(panel.keys)

    def pieces(self, shard: Shard) -> Iterator[tuple[Piece, Pictures]]:
        """The rows of a shard in order, with the pictures of those to embed; at least one piece.

        InputError where the file is damaged or lacks a column.
        """
        with shard.opened(self.captions) as file:
            columns = ("key", "url", "sha256", "phash", *self.captions)
            small = [name for name in columns if name in file.schema_arrow.names]
            parts: list[Piece] = []
            pictures: Pictures = []
            for group in range(file.num_row_groups):
                parts.append(self._piece(shard, file.read_row_group(group, columns=small)))
                pictures += _pictures(file, group, parts[-1].forward)
                full = len(pictures) >= ROWS or sum(len(picture or b"") for picture in pictures) >= BYTES
                if full and group + 1 < file.num_row_groups:
                    yield _joined(parts, last=False), pictures
                    parts, pictures = [], []
            yield _joined(parts or [self._piece(shard, file.read(columns=small))], last=True), pictures

    def _piece(self, shard: Shard, rows: pa.Table) -> Piece:
        keys, _ = keys_of(rows["key"])
        found = self._reference.lookup(keys)
        digests, digested = np.zeros((len(keys), 32), np.uint8), np.zeros(len(keys), np.bool_)
        if "sha256" in rows.column_names:
            digests, digested = unhex(rows["sha256"], 32)
        hashed = found.hashed & digested
        same = hashed & (digests == found.sha256).all(axis=1)
        caption_hash, captioned = caption_hashes(texts_of(rows, self.captions))
        places = self._places(keys, digests, caption_hash)
        forward = np.flatnonzero(~same & (places < 0))
        return Piece(shard, True, rows, keys, found, same, hashed, caption_hash, captioned, places, forward)

    def _places(
        self, keys: npt.NDArray[np.bytes_], digests: Any, captions: npt.NDArray[np.uint64]
    ) -> Indices:
        places = np.full(len(keys), -1, np.intp)
        if not len(self._keys):
            return places
        # np.isin would sort the panel anew for each row group: a fifth of the time where most bytes are the same.
        at = np.minimum(np.searchsorted(self._keys, keys), len(self._keys) - 1)
        known = np.flatnonzero(self._keys[at] == keys)
        if len(known):
            wanted = identities(keys[known], digests[known], captions[known])
            at = np.searchsorted(self._panel.identities, wanted, sorter=self._sorter)
            index = self._sorter[np.minimum(at, len(self._sorter) - 1)]
            places[known] = np.where(self._panel.identities[index] == wanted, index, -1)
        return places


def _pictures(file: pq.ParquetFile, group: int, rows: Indices) -> Pictures:
    if not len(rows):
        return []
    image = file.read_row_group(group, columns=["image.bytes"])["image"]
    found: Pictures = pc.struct_field(image, "bytes").take(pa.array(rows)).to_pylist()
    return found


def _joined(parts: Sequence[Piece], *, last: bool) -> Piece:
    """The parts, which follow each other in one shard, as one piece."""
    starts = np.cumsum([0, *(len(part.same) for part in parts)])

    def together(name: str) -> Any:
        return np.concatenate([getattr(part, name) for part in parts])

    names = ("keys", "same", "hashed", "caption_hash", "captioned", "places")
    founds = [part.found for part in parts]
    return Piece(
        shard=parts[0].shard,
        last=last,
        rows=pa.concat_tables(part.rows for part in parts),
        found=Found(*(np.concatenate([getattr(one, f.name) for one in founds]) for f in fields(Found))),
        forward=np.concatenate([part.forward + start for part, start in zip(parts, starts, strict=False)]),
        **{name: together(name) for name in names},
    )
