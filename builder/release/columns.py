"""The columns of what is released, and the rows of a planned shard as the root and what judges it have them.

columns of images/, scores/, curated/ and measures/ ─▶ those of a verified manifest, or of released images
these, place ─▶ Arrow tables of these columns, a row group of the root at a time
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.digests import Bools
from ..disk.parquet import HUGGINGFACE, parquet
from ..disk.schema import (
    COS_MODEL,
    CURATED,
    CURATION,
    IMAGES,
    JUDGES,
    LUMINANCE,
    MEASURES,
    PAIR,
    PICTURE,
    SCORE,
    SCORE_MODEL,
    SCORES,
    SCORING,
    SERVED,
    saying,
    tested,
)
from ..disk.sidecar import kept
from ..errors import InputError
from .layout import Places, PlannedShard
from .source import MEASURED, Part, Root, judge_of

pc: Any = compute  # its stubs know no mix of column and constant
Field: TypeAlias = "pa.Field[Any]"

# Of the pair, and of the picture as fetched.
VERIFIED = [pa.field("key", pa.string()), *map(PICTURE.field, ("width", "height", "sha256", "phash"))]
# A root whose carried columns include these was rebuilt from a verified manifest: what that recorded is superseded.
_RECORDED = {"manifest_key", "manifest_sha256", "manifest_fetched_at"}
_BY_RELEASES = {
    *(*SERVED, "score", "score_model", "code", "kept", "fetched_at", "cos_model", *CURATED.names, *LUMINANCE),
    *(field.name for field in VERIFIED),
}
_FETCHED = {"width": "original_width", "height": "original_height"}


@dataclass(frozen=True, slots=True)
class ReleaseColumns:
    """The way from a root to what is released.

    schema: of the shards; carried: the name in images/ of each column that the manifest carried; images: the
    columns to read of images/; beside: those of the files beside it, by folder; models: the names of checkpoints, by
    the column that tells them.
    """

    schema: pa.Schema
    carried: dict[str, str]
    images: tuple[str, ...]
    beside: dict[str, tuple[str, ...]]
    captions: tuple[str, ...]
    models: dict[str, str]

    def table(self, pairs: pa.Table, beside: Mapping[str, pa.Table]) -> pa.Table:
        """Rows of images/, and the same rows of the files beside it by their folder, as the release has them."""
        picture = "image" in self.schema.names
        known = {
            name: table[name] for table in beside.values() for name in table.column_names if name != "key"
        }
        arrays: list[Any] = []
        for name in self.schema.names:
            if name in self.carried:
                arrays.append(pairs[self.carried[name]])
            elif name in self.models:
                arrays.append(pa.repeat(pa.scalar(self.models[name], pa.string()), pairs.num_rows))
            elif name == SCORE.name and SCORING.folder in beside:
                arrays.append(pa.array(tested(beside[SCORING.folder], self.captions), from_pandas=True))
            elif name == "kept" and beside:
                arrays.append(_kept(beside))
            elif (there := LUMINANCE.get(name, name)) in known:
                arrays.append(known[there])
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
    if (
        root.judges
    ):  # by this the loader knows what `kept` is; of a root that was curated alone it names no checkpoint
        said = root.model or {"curated": root.curation and root.curation["decision"]}
        metadata |= saying(pa.schema([]), said).metadata or {}
    read = {"key", *own & {*IMAGES.names}, *carried.values()}
    if what == "manifest":
        read = {_FETCHED.get(name, name) for name in read}
    models = {SCORE_MODEL.name: str(root.said.get("name", ""))} if root.validated else {}
    if root.curation is not None:
        models[COS_MODEL.name] = str(root.curation["embedder"].get("name"))
    return ReleaseColumns(
        schema=pa.schema([*made[:place], *moved, *made[place:]], metadata=metadata or None),
        carried=carried,
        images=tuple(name for name in root.schema.names if name in read),
        beside={folder: ("key", *names) for folder, names in _beside(root, own).items()},
        captions=root.captions,
        models=models,
    )


def _beside(root: Root, own: set[str]) -> dict[str, list[str]]:
    """The columns to read of each file beside one of images/, but for the key."""
    whole = {SCORING.folder: SCORES, CURATION.folder: CURATED, MEASURED: MEASURES}
    needed = {
        *own, *(LUMINANCE.get(name, name) for name in own), *(f"score_{one}" for one in root.captions), "reason",
    }  # fmt: skip
    return {
        folder: [name for name in whole[folder].names if name in needed and name not in IMAGES.names]
        for folder in root.folders
    }


def _manifest(root: Root) -> list[Field]:
    texts = map(PAIR.field, ("url", "alt_text", "recaption"))
    judged = [SCORES.field("code"), *_scored(root), *map(SCORES.field, ("verdict", "suspect"))]
    measured = [MEASURES.field(there).with_name(name) for name, there in LUMINANCE.items()]
    return [
        *(*texts, *VERIFIED, *(judged if root.validated else ()), *_curated(root)),
        *(*(measured if MEASURED in root.folders else ()), PICTURE.field("fetched_at")),
    ]


def _images(root: Root) -> list[Field]:
    judged = [*_scored(root), *map(SCORES.field, ("p", "verdict", "suspect"))]
    return [
        *(*map(root.schema.field, IMAGES.names), *(judged if root.validated else ()), *_curated(root)),
        *([SCORES.field("kept")] if root.judges else ()),
    ]


def _curated(root: Root) -> list[Field]:
    """What curate found, and the name of the checkpoint."""
    found = [CURATED.field("cos"), COS_MODEL, *map(CURATED.field, ("dup_count", "dup_cluster"))]
    return found if root.curation is not None else []


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
    whole = {}
    for folder, names in columns.beside.items():
        with parquet(part.beside[folder]) as file:
            whole[folder] = file.read(columns=[*names], use_threads=False)
    start = 0
    with parquet(part.shard.url) as file:
        for number, group in enumerate(part.groups):
            chosen = mine[start : start + group.rows]
            if chosen.any():
                pairs = file.read_row_group(number, columns=[*columns.images], use_threads=False)
                beside = {folder: table.slice(start, group.rows) for folder, table in whole.items()}
                for folder, table in beside.items():
                    _check(part, folder, pairs, table, start)
                yield columns.table(
                    _chosen(pairs, chosen),
                    {folder: _chosen(table, chosen) for folder, table in beside.items()},
                )
            start += group.rows


def _check(part: Part, folder: str, pairs: pa.Table, beside: pa.Table, start: int) -> None:
    """InputError where row i of a file beside one of images/ is not of the pair in its row i."""
    if not pairs["key"].equals(beside["key"]):
        rows = zip(pairs["key"].to_pylist(), beside["key"].to_pylist(), strict=True)
        row = [one == other for one, other in rows].index(False)
        judge = judge_of(folder)
        raise InputError(
            f"{part.beside[folder]}: row {start + row} is of another pair than in images/: the shard was made anew "
            f"since it was {judge.judged}; run danqing {judge.stage} {part.shard.root} again"
        )


def _kept(beside: Mapping[str, pa.Table]) -> Any:
    """Which rows all judges keep."""
    judges = [judge for judge in JUDGES if judge.folder in beside]
    return functools.reduce(pc.and_, [kept(judge, beside[judge.folder]) for judge in judges])


def _chosen(table: pa.Table, chosen: Bools) -> pa.Table:
    """The chosen rows of a table, at least one; those that lie in a row are not copied."""
    rows = np.flatnonzero(chosen)
    first, count = int(rows[0]), rows.size
    if int(rows[-1]) - first + 1 == count:
        return table.slice(first, count)
    mask: Any = pa.array(chosen)
    return table.filter(mask)
