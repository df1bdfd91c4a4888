"""What of a shard has to be embedded: images/ in; pieces, with the pictures that have to be seen, out.

A row whose bytes are the recorded ones is never decoded nor embedded, and a row of the panel was embedded when
the panel was made. Where no row of a row group is left, its pictures are not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from ..disk.digests import keys_of, pc
from ..stage.shards import Shard
from .panel import Panel, caption_hashes, finder, identities, texts_of
from .plan import NEEDED, opened
from .reference import FOUND, Reference

ROWS = 1024  # pictures in a piece from which on no further row group is added to it
BYTES = 64 << 20  # ... or so many bytes of them
Indices = npt.NDArray[np.intp]
Pictures = list[bytes | None]


# What is known of a row before it is seen: what the reference records; a hash of its caption, and whether it has one;
# its place in the panel, -1 where it is not in it.
ROW = np.dtype([*FOUND.descr, ("caption_hash", "<u8"), ("captioned", "?"), ("place", "<i8")])


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows of a shard, n of them. last: the shard ends with it; table: url, captions and what else is small.

    rows: as ROW (n,).
    """

    shard: Shard
    last: bool
    table: pa.Table
    rows: npt.NDArray[np.void]

    @property
    def forward(self) -> Indices:
        """The rows that have to be embedded."""
        return to_embed(self.rows)


def to_embed(rows: npt.NDArray[np.void]) -> Indices:
    """Which rows, as ROW, have to be embedded: neither the recorded bytes, nor embedded when the panel was made."""
    return np.flatnonzero(~rows["same"] & (rows["place"] < 0))


class PieceCutter:
    """Cuts shards into pieces. captions: names of the columns to score."""

    def __init__(self, reference: Reference, panel: Panel, captions: tuple[str, ...]) -> None:
        self._reference, self.captions = reference, captions
        self._by_key, self._by_identity = finder(panel.keys), finder(panel.identities)

    def pieces(self, shard: Shard) -> Iterator[tuple[Piece, Pictures]]:
        """The rows of a shard in order, with the pictures of those to embed; at least one piece.

        InputError where the file is damaged or lacks a column.
        """
        with opened(shard, (*NEEDED, *self.captions)) as file:
            columns = ("key", "url", "sha256", "phash", *self.captions)
            small = [name for name in columns if name in file.schema_arrow.names]
            tables: list[pa.Table] = []
            parts: list[npt.NDArray[np.void]] = []
            pictures: Pictures = []
            for group in range(file.num_row_groups):
                tables.append(file.read_row_group(group, columns=small))
                parts.append(self._rows(tables[-1]))
                pictures += _pictures(file, group, to_embed(parts[-1]))
                full = len(pictures) >= ROWS or sum(len(picture or b"") for picture in pictures) >= BYTES
                if full and group + 1 < file.num_row_groups:
                    yield Piece(shard, False, pa.concat_tables(tables), np.concatenate(parts)), pictures
                    tables, parts, pictures = [], [], []
            tables = tables or [file.read(columns=small)]
            rows = np.concatenate(parts or [self._rows(tables[0])])
            yield Piece(shard, True, pa.concat_tables(tables), rows), pictures

    def _rows(self, table: pa.Table) -> npt.NDArray[np.void]:
        """The rows of a table as ROW."""
        rows = np.zeros(len(table), ROW)
        keys, _ = keys_of(table["key"])
        found, digests = self._reference.compare(keys, table)
        for name in FOUND.names or ():
            rows[name] = found[name]
        rows["key"] = keys
        rows["caption_hash"], rows["captioned"] = caption_hashes(texts_of(table, self.captions))
        rows["place"] = -1
        known = np.flatnonzero(self._by_key(keys) >= 0)  # a few: hashing every row would cost more
        rows["place"][known] = self._by_identity(
            identities(keys[known], digests[known], rows["caption_hash"][known])
        )
        return rows


def _pictures(file: pq.ParquetFile, group: int, rows: Indices) -> Pictures:
    if not len(rows):
        return []
    image = file.read_row_group(group, columns=["image.bytes"])["image"]
    found: Pictures = pc.struct_field(image, "bytes").take(pa.array(rows)).to_pylist()
    return found
