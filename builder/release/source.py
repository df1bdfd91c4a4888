"""The root that is released: its pictures, its scores where it has been re-validated, and their belonging together.

    <root>/images/, scores/, ledger/ ─▶ Root: its parts, columns, row groups, and what its ledger counted

Footers and the ledger are read, no rows. A root that is half rebuilt, half scored or of two decisions is refused.
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
from ..disk.ledger import DecisionDocument
from ..disk.parquet import parquet
from ..disk.schema import IMAGES, SCORES, published, said_by, unlike
from ..errors import InputError
from ..stage import shards as rebuilt

SCORING = "revalidate"  # the stage whose ledger and files are joined
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
    """One shard of the root. first: the number of its first row in the root; score_bytes: compressed, a row."""

    shard: rebuilt.Shard
    first: int
    groups: tuple[RowGroup, ...]
    scores: str | None
    score_bytes: float

    @property
    def stop(self) -> int:
        """The number of the row after its last."""
        return self.first + self.shard.rows


@dataclass(frozen=True, slots=True)
class Root:
    """A root that can be released.

    schema: of images/; said: what its scores say of themselves, and decision: the document; None: not validated.
    """

    url: str
    parts: tuple[Part, ...]
    schema: pa.Schema
    said: Mapping[str, object] = field(default_factory=dict)
    decision: DecisionDocument | None = None

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
        """BLAKE2b-128 of the pictures and the verdicts."""
        checksums = [[part.shard.stem, part.shard.checksum] for part in self.parts]
        text = json.dumps([checksums, self.decision and self.decision["decision"], self.said], sort_keys=True)
        return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def open_root(url: str) -> Root:
    """Look at a root; InputError, naming the file and what to do, where it cannot be released."""
    shards = rebuilt.find_shards(url, "released")
    decision = _decision(url, shards)
    with ThreadPoolExecutor(PARALLEL) as pool:
        pictures = list(pool.map(_look, shards))
        scores = list(pool.map(lambda shard: _look_scores(shard, decision), shards)) if decision else []
    schema = pictures[0][0]
    for shard, (other, _) in zip(shards, pictures, strict=True):
        _check_columns(shard, other, schema)
    said = scores[0][0] if scores else {}
    for shard, (one, _) in zip(shards, scores, strict=False):
        if one | {"dtype": None} != said | {"dtype": None}:
            raise InputError(
                f"{_scores(shard)}: was scored in another way than {_scores(shards[0])}; {_again(url)}"
            )
    firsts = accumulate((shard.rows for shard in shards), initial=0)
    parts = [
        Part(
            shard, first, groups, _scores(shard) if decision else None, scores[number][1] if decision else 0.0
        )
        for number, (shard, first, (_, groups)) in enumerate(zip(shards, firsts, pictures, strict=False))
    ]
    return Root(url, tuple(parts), schema, said, decision)


def _again(root: str) -> str:
    return f"run danqing revalidate {root} again"


def _scores(shard: rebuilt.Shard) -> str:
    return join(shard.root, "scores", f"{shard.stem}.parquet")


def _decision(root: str, shards: Sequence[rebuilt.Shard]) -> DecisionDocument | None:
    """The decision that is in force, None for a root that was never scored; InputError for one scored in part."""
    there = rebuilt.sizes_in(join(root, "scores"))
    decision = ledger.read_decision(root, SCORING)
    if decision is None:
        if not there and ledger.read_plan(root, SCORING) is None:
            return None
        raise InputError(
            f"{root}: scored in part, without verdicts; run danqing revalidate {root} to its end, or remove scores/ "
            f"and ledger/{SCORING}/ to release it without scores"
        )
    scored = {one.shard: one for one in ledger.read_all(root, SCORING)}
    for shard in shards:
        name = f"images/{shard.stem}.parquet"
        if f"{shard.stem}.parquet" not in there:
            raise InputError(f"{_scores(shard)}: not there, though other shards are scored; {_again(root)}")
        of = scored[shard.stem].input_checksum(name) if shard.stem in scored else None
        if of not in (None, shard.checksum) and ledger.read_plan(root, rebuilt.STAGE) is not None:
            raise InputError(f"{shard.url}: was made anew since it was scored; {_again(root)}")
    return decision


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


def _look_scores(shard: rebuilt.Shard, decision: DecisionDocument) -> tuple[dict[str, object], float]:
    """The metadata of a file of scores/, and its bytes a row; InputError where it is not of the decision."""
    url = _scores(shard)
    with parquet(url) as file:
        said = said_by(file.schema_arrow)
        if unlike(file.schema_arrow, SCORES, SCORES.names) or said.get("decision") != decision["decision"]:
            raise InputError(
                f"{url}: has no verdicts of the decision in ledger/{SCORING}/; run danqing revalidate {shard.root} "
                "--decide"
            )
        if file.metadata.num_rows != shard.rows:
            raise InputError(
                f"{url}: {file.metadata.num_rows:,} rows, in images/ there are {shard.rows:,}; {_again(shard.root)}"
            )
        size = sum(
            file.metadata.row_group(number).total_byte_size for number in range(file.metadata.num_row_groups)
        )
        return said, size / max(1, shard.rows)


def _check_columns(shard: rebuilt.Shard, schema: pa.Schema, first: pa.Schema) -> None:
    missing = [name for name in IMAGES.names if name not in schema.names]
    if missing:
        raise InputError(f"{shard.url}: no column {missing[0]}; it has {', '.join(schema.names)}")
    if schema.names != first.names or schema.types != first.types:
        raise InputError(
            f"{shard.url}: its columns are not those of the other shards; rebuild the root from one manifest"
        )
