"""The columns of what is released, and the rows of a planned shard as the root and its scores have them.

columns of images/ and scores/ ─▶ those of a verified manifest, or of released images
images/, scores/, place ─▶ Arrow tables of these columns, a row group of the root at a time
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa

from ..disk.digests import Bools
from ..disk.parquet import HUGGINGFACE, parquet
from ..disk.schema import IMAGES, PAIR, PICTURE, SCORE, SCORE_MODEL, SCORES, SERVED, saying, tested
from ..errors import InputError
from .layout import Places, PlannedShard
from .source import Part, Root

Field: TypeAlias = "pa.Field[Any]"

# Of the pair, and of the picture as fetched.
VERIFIED = [pa.field("key", pa.string()), *map(PICTURE.field, ("width", "height", "sha256", "phash"))]
# A root whose carried columns include these was rebuilt from a verified manifest: what that recorded is superseded.
_RECORDED = {"manifest_key", "manifest_sha256", "manifest_fetched_at"}
_BY_RELEASES = {*SERVED, "score", "score_model", "code", "kept", "fetched_at"}.union(
    field.name for field in VERIFIED
)
_FETCHED = {"width": "original_width", "height": "original_height"}


@dataclass(frozen=True, slots=True)
class ReleaseColumns:
    """The way from a root to what is released.

    schema: of the shards; carried: the name in images/ of each column that the manifest carried; images: the
    columns to read of images/; scores: those of scores/.
    """

    schema: pa.Schema
    carried: dict[str, str]
    images: tuple[str, ...]
    scores: tuple[str, ...]
    captions: tuple[str, ...]
    model: str

    def table(self, pairs: pa.Table, scores: pa.Table | None) -> pa.Table:
        """Rows of images/, and of scores/ the same rows, as the release has them."""
        arrays: list[Any] = []
        picture = "image" in self.schema.names
        for name in self.schema.names:
            if name in self.carried:
                arrays.append(pairs[self.carried[name]])
            elif scores is not None and name == "score":
                arrays.append(pa.array(tested(scores, self.captions), from_pandas=True))
            elif scores is not None and name == "score_model":
                arrays.append(pa.repeat(pa.scalar(self.model, pa.string()), pairs.num_rows))
            elif scores is not None and name in self.scores and name != "key":
                arrays.append(scores[name])
            else:
                arrays.append(pairs[name if picture else _FETCHED.get(name, name)])
        return pa.Table.from_arrays(arrays, schema=self.schema)


def columns_of(root: Root, what: str) -> ReleaseColumns:
    """The columns of a release of a root."""
    made, place = (_manifest(root), 3) if what == "manifest" else (_images(root), len(PAIR.names))
    own = {field.name for field in made}
    carried = _carried([name for name in root.schema.names if name not in IMAGES.names], own)
    moved = [root.schema.field(old).with_name(new) for new, old in carried.items()]
    metadata: Any = dict(HUGGINGFACE) if what == "images" else {}
    if root.validated:
        metadata |= saying(pa.schema([]), root.model).metadata or {}
    read = {"key", *own & {*IMAGES.names}, *carried.values()}
    if what == "manifest":
        read = {_FETCHED.get(name, name) for name in read}
    judged = sorted(own & {"code", "p", "verdict", "suspect", "kept"})
    return ReleaseColumns(
        schema=pa.schema([*made[:place], *moved, *made[place:]], metadata=metadata or None),
        carried=carried,
        images=tuple(name for name in root.schema.names if name in read),
        scores=("key", *(f"score_{one}" for one in root.captions), *judged) if root.validated else (),
        captions=root.captions,
        model=str(root.said.get("name", "")),
    )


def _manifest(root: Root) -> list[Field]:
    texts = map(PAIR.field, ("url", "alt_text", "recaption"))
    judged = [SCORES.field("code"), *_scored(root), *map(SCORES.field, ("verdict", "suspect"))]
    return [*texts, *VERIFIED, *(judged if root.validated else ()), PICTURE.field("fetched_at")]


def _images(root: Root) -> list[Field]:
    judged = [*_scored(root), *map(SCORES.field, ("p", "verdict", "suspect", "kept"))]
    return [*map(root.schema.field, IMAGES.names), *(judged if root.validated else ())]


def _scored(root: Root) -> list[Field]:
    """The score, of each caption where there are two, and the name of the checkpoint."""
    both = ("score_alt_text", "score_recaption") if len(root.captions) > 1 else ()
    return [SCORE, *map(SCORES.field, both), SCORE_MODEL]


def _carried(names: list[str], own: set[str]) -> dict[str, str]:
    """The carried columns, by the name they are released under: manifest_<name> where the release uses theirs."""
    if {*names} >= _RECORDED:
        superseded = {_recorded(name, names) for name in own | _BY_RELEASES}
        names = [name for name in names if name not in superseded]
    released: dict[str, str] = {}
    for name in names:
        new = name
        while new in own or (new != name and new in names):
            new = f"manifest_{new}"
        released[new] = name
    return released


def _recorded(name: str, names: list[str]) -> str:
    """The carried column with what a verified manifest recorded as `name`: manifest_<name> where that was not taken."""
    if name not in names:
        while (longer := f"manifest_{name}") in names:
            name = longer
    return name


def read(root: Root, columns: ReleaseColumns, place: Places, shard: PlannedShard) -> Iterator[pa.Table]:
    """The pairs of a shard in the order of the root, some at a time.

    Raises InputError where scores and pictures do not belong together.
    """
    for part in root.parts:
        if part.first < shard.stop and shard.start < part.stop:
            mine = np.asarray(place[part.first : part.stop]) == shard.number
            if mine.any():
                yield from _read_part(part, columns, mine)


def _read_part(part: Part, columns: ReleaseColumns, mine: Bools) -> Iterator[pa.Table]:
    scores = beside = None
    if part.scores is not None:
        with parquet(part.scores) as file:
            scores = file.read(columns=[*columns.scores], use_threads=False)
    start = 0
    with parquet(part.shard.url) as file:
        for number, group in enumerate(part.groups):
            chosen = mine[start : start + group.rows]
            if chosen.any():
                pairs = file.read_row_group(number, columns=[*columns.images], use_threads=False)
                if scores is not None:
                    beside = scores.slice(start, group.rows)
                    _check(part, pairs, beside, start)
                    beside = _chosen(beside, chosen)
                yield columns.table(_chosen(pairs, chosen), beside)
            start += group.rows


def _check(part: Part, pairs: pa.Table, scores: pa.Table, start: int) -> None:
    """InputError where row i of scores/ is not of the pair in row i of images/."""
    if not pairs["key"].equals(scores["key"]):
        rows = zip(pairs["key"].to_pylist(), scores["key"].to_pylist(), strict=True)
        row = [one == other for one, other in rows].index(False)
        raise InputError(
            f"{part.scores}: row {start + row} is of another pair than in images/: the shard was made anew since it "
            f"was scored; run danqing revalidate {part.shard.root} again"
        )


def _chosen(table: pa.Table, chosen: Bools) -> pa.Table:
    """The chosen rows of a table, at least one; those that lie in a row are not copied."""
    rows = np.flatnonzero(chosen)
    first, count = int(rows[0]), rows.size
    if int(rows[-1]) - first + 1 == count:
        return table.slice(first, count)
    mask: Any = pa.array(chosen)
    return table.filter(mask)
