"""The pairs of a root of any stage: all of them counted, and a sample for what takes longer.

    images/ and what judges it, or a manifest ─▶ RootPairs: lengths, sizes, hosts; a sample in the order of its keys

Of a root with pictures these are the pairs that all who judged it keep; of candidates, or of any other manifest, its
rows. The sample has the smallest keys: a fair draw, as a key is a hash, the same whatever the shards, and the first
half of it is the sample of half that size.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import reduce
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..card.counts import Counts
from ..console import Console
from ..disk.batches import with_key
from ..disk.files import join, listdir, tables_in
from ..disk.parquet import parquet
from ..disk.schema import CURATED, IMAGES, SCORES
from ..errors import InputError
from ..manifest import Manifest, ManifestOptions, open_manifest
from .columns import ROWS, abreast, numbered, pc, rows_in
from .curated import find_curated
from .samples import DAMAGED, as_bytes, decoded
from .scored import find_scored

SHAPES = (0.0, 1 / 3, 3 / 4, 4 / 3, 3.0, np.inf)  # width over height; the paper drops both ends
CLIP = 512  # characters of a caption of the sample that are looked at
SCORE = "score_alt_text"
_SIZES = ("original_width", "original_height")
_IMAGES = pa.schema([IMAGES.field(name) for name in ("key", "url", "alt_text", *_SIZES)])
_SCORES = pa.schema([SCORES.field(name) for name in ("key", "kept", SCORE)])
_CURATED = pa.schema([CURATED.field(name) for name in ("key", "reason")])
_SAMPLE = ("key", "alt_text", "shard", "row", SCORE)
_ANY = pc.CastOptions(target_type=pa.string(), allow_invalid_utf8=True)

Places = npt.NDArray[np.int64]


@dataclass(slots=True)
class RootPairs:
    """The pairs of a root. counts: of all; shapes: of all that have a picture, by SHAPES; sample: `size` of them.

    sample: key, alt_text, shard, row and score_alt_text, this null where there is none; text as bytes.
    """

    root: str
    size: int
    pictured: bool
    counts: Counts = field(default_factory=Counts)
    shapes: Places = field(default_factory=lambda: np.zeros(len(SHAPES) - 1, np.int64))
    sample: pa.Table = field(default_factory=lambda: pa.table({}))
    _waiting: list[pa.Table] = field(default_factory=list)

    @property
    def total(self) -> int:
        """The number of pairs."""
        return self.counts.rows

    def captions(self) -> list[str]:
        """The captions of the sample, "" where there is none, what is no UTF-8 replaced."""
        return [decoded(raw or b"")[:CLIP] for raw in self.sample["alt_text"].to_pylist()]

    def shards(self) -> Iterator[tuple[str, Places, Places]]:
        """Each shard that the sample is from, the places of its pairs in the sample (m,), and their rows, ascending."""
        shards = np.array([decoded(one or b"") for one in self.sample["shard"].to_pylist()])
        rows = self.sample["row"].to_numpy()
        for shard in np.unique(shards).tolist():
            places = np.flatnonzero(shards == shard)
            places = places[np.argsort(rows[places], kind="stable")]
            yield shard, places, rows[places]

    def add(self, shard: str, table: pa.Table) -> None:
        """Count a batch of rows, and offer them to the sample."""
        known = {"url": table["url"], "alt_text": pc.cast(table["alt_text"], options=_ANY)}
        if self.pictured:
            known |= {name.removeprefix("original_"): table[name] for name in _SIZES}
            width, height = (pc.fill_null(table[name], 0).to_numpy().astype(np.float64) for name in _SIZES)
            sound = (width > 0) & (height > 0)
            self.shapes += np.histogram(width[sound] / height[sound], SHAPES)[0]
        self.counts.add("pairs", pa.table(known))
        if self.sample.num_rows == self.size:
            table = table.filter(pc.less_equal(table["key"], self.sample["key"][-1]))
        table = table.append_column("shard", pa.array([shard.encode()] * table.num_rows, pa.binary()))
        cut = pc.binary_slice(table["alt_text"], 0, 4 * CLIP)  # UTF-8 has four bytes a character at most
        self._waiting.append(table.select(_SAMPLE).set_column(1, "alt_text", cut))
        if sum(one.num_rows for one in self._waiting) >= self.size:
            self.settle()

    def settle(self) -> None:
        """Make the sample of what has been offered so far."""
        parts = [one for one in (self.sample, *self._waiting) if one.num_rows]
        if parts:
            table, order = pa.concat_tables(parts), [(name, "ascending") for name in ("key", "shard", "row")]
            first = pc.select_k_unstable(table, min(self.size, table.num_rows), order)
            self.sample = table.take(first).combine_chunks()
        self._waiting = []


def counted(root: str, size: int, console: Console) -> RootPairs:
    """Count the pairs of a root, and draw a sample of `size`.

    InputError where it is neither root nor manifest, has no pair, or its files do not belong together.
    """
    pairs = RootPairs(root, size, "images" in listdir(root))
    if pairs.pictured:
        tables, total = _kept(root), rows_in(root, "images")
    else:
        manifest = open_manifest(root, ManifestOptions())
        tables, total = _rows(manifest), sum(manifest.rows.values())
    with console.progress(total, unit="rows") as bar:
        for shard, table in tables:
            pairs.add(shard, table)
            bar.update(table.num_rows)
    pairs.settle()
    if not pairs.total:
        raise InputError(f"{root}: has no pair that is kept, so there is nothing to analyse")
    return pairs


def _rows(manifest: Manifest) -> Iterator[tuple[str, pa.Table]]:
    """The rows of a manifest by split, with a key each, made of url and alt_text as anywhere."""
    for split, rows in manifest.rows.items():
        ranges = [*pairwise([*range(0, rows, ROWS), rows])]
        for (start, _), table in zip(ranges, manifest.tables(split, ranges), strict=True):
            table = as_bytes(numbered(with_key(table.select(["url", "alt_text"])), start))
            yield split, table.append_column(SCORE, pa.nulls(table.num_rows, pa.float32()))


def _kept(root: str) -> Iterator[tuple[str, pa.Table]]:
    """The pairs of each shard that all who judged the root keep, of the shards that all have judged."""
    wanted = {"images": _IMAGES}
    wanted |= {"scores": _SCORES} if find_scored(root) else {}
    wanted |= {"curated": _CURATED} if find_curated(root) else {}
    for name in sorted(set.intersection(*({*tables_in(root, folder)} for folder in wanted))):
        for first, tables in abreast(root, name, wanted):
            table, score = numbered(tables["images"], first), tables.get("scores")
            column = pa.nulls(table.num_rows, pa.float32()) if score is None else score[SCORE]
            masks = [] if score is None else [pc.fill_null(score["kept"], False)]
            masks += [pc.is_null(tables["curated"]["reason"])] if "curated" in tables else []
            table = table.append_column(SCORE, column)
            yield name, table.filter(reduce(pc.and_, masks)) if masks else table


def rows_of(root: str, shard: str) -> int:
    """How many rows a shard of images/ has."""
    with parquet(join(root, "images", shard), DAMAGED) as file:
        return file.metadata.num_rows
