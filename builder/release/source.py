"""The root that is released: its pictures, what judges them where it was re-validated or curated, and that they belong
together.

    <root>/images/, scores/, curated/, ledger/ ─▶ Root: its parts, columns, row groups, and what its ledger counted

Footers and the ledger are read, no rows. A root that is half rebuilt, half judged or of two decisions is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import accumulate

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk import ledger
from ..disk.files import join
from ..disk.ledger import CurationDocument, DecisionDocument
from ..disk.parquet import parquet
from ..disk.schema import (
    CURATION,
    IMAGES,
    JUDGES,
    MEASURES,
    SCORING,
    JudgingStage,
    outdated,
    published,
    said_by,
    unlike,
)
from ..errors import InputError
from ..stage import shards as rebuilt

MEASURED = "measures"  # the folder of what curate judges pictures by
MODEL = ("model", "name", "revision", "fingerprint", "preprocessing", "caption")  # that a release tells
PARALLEL = 16  # footers read at once


@dataclass(frozen=True, slots=True)
class RowGroup:
    """One row group of a part. picture_bytes, other_bytes: compressed; plain_bytes: of the other columns, as text."""

    rows: int
    picture_bytes: int
    other_bytes: int
    plain_bytes: int


@dataclass(frozen=True, slots=True)
class Part:
    """One shard of the root. first: the number of its first row in the root.

    beside: the files with a row for each of its rows, by their folder; beside_bytes: of these, a row.
    """

    shard: rebuilt.Shard
    first: int
    groups: tuple[RowGroup, ...]
    beside: Mapping[str, str]
    beside_bytes: float

    @property
    def stop(self) -> int:
        """The number of the row after its last."""
        return self.first + self.shard.rows


@dataclass(frozen=True, slots=True)
class Root:
    """A root that can be released.

    schema: of images/; said: what its scores say of themselves, and decision: the document, None: not validated;
    curation: that of curate, None: not curated; folders: of the files beside those of images/.
    """

    url: str
    parts: tuple[Part, ...]
    schema: pa.Schema
    said: Mapping[str, object] = field(default_factory=dict)
    decision: DecisionDocument | None = None
    curation: CurationDocument | None = None
    folders: tuple[str, ...] = ()

    @property
    def rows(self) -> int:
        """Rows of images/."""
        return self.parts[-1].stop if self.parts else 0

    @property
    def splits(self) -> tuple[str, ...]:
        """The splits that it has shards of, in order."""
        return tuple(dict.fromkeys(part.shard.split for part in self.parts))

    @property
    def validated(self) -> bool:
        """Whether its pairs have scores and verdicts."""
        return self.decision is not None

    @property
    def judges(self) -> tuple[JudgingStage, ...]:
        """The judges whose word counts."""
        return tuple(judge for judge in JUDGES if judge.folder in self.folders)

    @property
    def captions(self) -> tuple[str, ...]:
        """The captions that were scored."""
        caption = str(self.said.get("caption", "alt_text"))
        return ("alt_text", "recaption") if caption == "both" else (caption,)

    @property
    def model(self) -> dict[str, object]:
        """The checkpoint that scored it, as a release tells it."""
        return published({name: self.said.get(name) for name in MODEL}) if self.validated else {}

    @property
    def fingerprint(self) -> str:
        """BLAKE2b-128 of the pictures and of what was judged."""
        checksums = [[part.shard.stem, part.shard.checksum] for part in self.parts]
        made_of: list[object] = [checksums, self.decision and self.decision["decision"], self.said]
        if self.curation is not None:
            made_of += [self.curation["decision"], self.folders]
        text = json.dumps(made_of, sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def open_root(url: str) -> Root:
    """Look at a root; InputError, naming the file and what to do, where it cannot be released."""
    shards = rebuilt.find_shards(url, "released")
    decision, curation = ledger.read_decision(url, SCORING.stage), ledger.read_curation(url)
    named = {
        judge.folder: document["decision"]
        for judge, document in ((SCORING, decision), (CURATION, curation))
        if document is not None
    }
    for judge in JUDGES:
        _check_judged(judge, url, shards, judge.folder in named)
    if curation is not None and curation["scores"] != (now := named.get(SCORING.folder)):
        raise InputError(f"{url}: {outdated(curation['scores'], now)}; run danqing curate {url} --decide")
    folders = (*named, *((MEASURED,) if curation is not None and _is_measured(url, shards) else ()))
    with ThreadPoolExecutor(PARALLEL) as pool:
        pictures = list(pool.map(_look, shards))
        sides = list(pool.map(lambda shard: [_look_beside(shard, one, named) for one in folders], shards))
    schema = pictures[0][0]
    for shard, (other, _), beside in zip(shards, pictures, sides, strict=True):
        _check_columns(shard, other, schema)
        for (said, _), (first, _), folder in zip(beside, sides[0], named, strict=False):
            if said | {"dtype": None} != first | {"dtype": None}:
                raise InputError(
                    f"{_at(shard, folder)}: was made in another way than {_at(shards[0], folder)}; "
                    f"{_again(judge_of(folder), url)}"
                )
    firsts = accumulate((shard.rows for shard in shards), initial=0)
    parts = [
        Part(shard, first, groups, {one: _at(shard, one) for one in folders}, sum(size for _, size in beside))
        for shard, first, (_, groups), beside in zip(shards, firsts, pictures, sides, strict=False)
    ]
    said = sides[0][0][0] if decision else {}
    return Root(url, tuple(parts), schema, said, decision, curation, folders)


def judge_of(folder: str) -> JudgingStage:
    """The judge whose files a folder holds, of measures that which goes by them."""
    return next((judge for judge in JUDGES if judge.folder == folder), CURATION)


def _again(judge: JudgingStage, root: str) -> str:
    return f"run danqing {judge.stage} {root} again"


def _at(shard: rebuilt.Shard, folder: str) -> str:
    """The file of a folder beside a shard."""
    return join(shard.root, folder, f"{shard.stem}.parquet")


def _is_measured(root: str, shards: Sequence[rebuilt.Shard]) -> bool:
    there = rebuilt.sizes_in(join(root, MEASURED))
    return all(f"{shard.stem}.parquet" in there for shard in shards)


def _check_judged(judge: JudgingStage, root: str, shards: Sequence[rebuilt.Shard], is_decided: bool) -> None:
    """Raise InputError where a judge has judged only some shards, or others than are there."""
    there, stage = rebuilt.sizes_in(join(root, judge.folder)), judge.stage
    if not is_decided:
        if not there and ledger.read_plan(root, stage) is None:
            return
        raise InputError(
            f"{root}: {judge.judged} in part, without verdicts; run danqing {stage} {root} to its end, or remove "
            f"{judge.folder}/ and ledger/{stage}/ to release it without"
        )
    marked = {one.shard: one for one in ledger.read_all(root, judge.marked)}
    for shard in shards:
        if f"{shard.stem}.parquet" not in there:
            raise InputError(
                f"{_at(shard, judge.folder)}: not there, though other shards are {judge.judged}; {_again(judge, root)}"
            )
        of = (
            marked[shard.stem].input_checksum(f"images/{shard.stem}.parquet")
            if shard.stem in marked
            else None
        )
        if of not in (None, shard.checksum) and ledger.read_plan(root, rebuilt.STAGE) is not None:
            raise InputError(f"{shard.url}: was made anew since it was {judge.judged}; {_again(judge, root)}")


def _look(shard: rebuilt.Shard) -> tuple[pa.Schema, tuple[RowGroup, ...]]:
    """The columns of a file of images/ and its row groups."""
    with parquet(shard.url) as file:
        metadata = file.metadata
        if metadata.num_rows != shard.rows:
            raise InputError(
                f"{shard.url}: {metadata.num_rows:,} rows, but {shard.rows:,} were written; make it anew with "
                "danqing rebuild"
            )
        groups = (metadata.row_group(number) for number in range(metadata.num_row_groups))
        return file.schema_arrow, tuple(map(_group, groups))


def _group(group: pq.RowGroupMetaData) -> RowGroup:
    """The sizes of a row group, by its footer."""
    columns = [group.column(place) for place in range(group.num_columns)]
    others = [one for one in columns if not one.path_in_schema.startswith("image.")]
    whole, other = (sum(one.total_compressed_size for one in some) for some in (columns, others))
    plain = sum(one.total_uncompressed_size for one in others)
    return RowGroup(group.num_rows, whole - other, other, plain)


def _look_beside(
    shard: rebuilt.Shard, folder: str, named: Mapping[str, str]
) -> tuple[dict[str, object], float]:
    """What a file beside a shard says of itself, and its bytes a row; InputError where it is not of the decision.

    named: the decisions by folder.
    """
    url, judge = _at(shard, folder), judge_of(folder)
    columns = judge.columns if folder in named else MEASURES
    with parquet(url) as file:
        said = said_by(file.schema_arrow)
        if folder in named and (
            unlike(file.schema_arrow, columns, columns.names) or said.get("decision") != named[folder]
        ):
            raise InputError(
                f"{url}: has no verdicts of the decision in ledger/{judge.stage}/; run danqing {judge.stage} "
                f"{shard.root} --decide"
            )
        if what := unlike(file.schema_arrow, columns, columns.names):
            raise InputError(f"{url}: {what}; {_again(judge, shard.root)}")
        if file.metadata.num_rows != shard.rows:
            raise InputError(
                f"{url}: {file.metadata.num_rows:,} rows, in images/ there are {shard.rows:,}; "
                f"{_again(judge, shard.root)}"
            )
        groups = range(file.metadata.num_row_groups)
        size = sum(file.metadata.row_group(number).total_byte_size for number in groups)
        return said, size / max(1, shard.rows)


def _check_columns(shard: rebuilt.Shard, schema: pa.Schema, first: pa.Schema) -> None:
    missing = [name for name in IMAGES.names if name not in schema.names]
    if missing:
        raise InputError(f"{shard.url}: no column {missing[0]}; it has {', '.join(schema.names)}")
    if schema.names != first.names or schema.types != first.types:
        raise InputError(
            f"{shard.url}: its columns are not those of the other shards; rebuild the root from one manifest"
        )
