"""The pass that embeds the pictures and captions of a root, and what an earlier revalidate embedded of it.

    shards ─▶ row groups ─▶ DualEncoder.embed, which decodes ahead ─▶ embeddings/<slug>/<stem>.parquet ─▶ marker

One process and one device; a machine of several runs a rank on each.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..disk import ledger
from ..disk.files import join, publish
from ..disk.ledger import ShardLedger, Tally
from ..disk.parquet import parquet, pc
from ..errors import InputError
from ..stage.embeddings import FOLDER, EmbeddingFile, embeddings_of, lists_of
from ..stage.engine import Done, Tell, Units
from ..stage.shards import Shard, lost_files, markers
from ..towers.checkpoint import slug_of
from .spool import EMBEDDED

if TYPE_CHECKING:
    from ..towers import DualEncoder, Embedded, ToEmbed

SCORED = "revalidate"


@dataclass(frozen=True, slots=True)
class Embedding:
    """What shards are embedded with. temporary: where a file is written before it is published.

    caption: the column of the captions; config: what a marker says that its shard was made with.
    """

    root: str
    temporary: Path
    encoder: DualEncoder
    caption: str
    config: str

    @property
    def said(self) -> dict[str, Any]:
        """What a file says of itself."""
        known = {"dtype": self.encoder.dtype_name, "preprocessing": self.encoder.preprocessing}
        return {**self.encoder.checkpoint.as_dict(), **known, "caption": self.caption}


@dataclass(frozen=True, slots=True)
class Rows:
    """Some rows of a shard. keys: an Arrow array; last: the shard ends with them."""

    shard: Shard
    keys: Any
    last: bool


def embeddings(setup: Embedding, units: Units, tell: Tell) -> Iterator[Done]:
    """Embed the shards that come; once asked to stop, the one in work is the last.

    InputError where a file is damaged or lacks a column.
    """
    answers: Any = setup.encoder.embed(work for shard in units for work in _works(shard, setup.caption))
    with closing(answers):
        for first in answers:
            yield _shard(setup, first, answers, tell)
            if units.stopping:
                return


def _shard(setup: Embedding, first: Embedded, answers: Iterator[Embedded], tell: Tell) -> Done:
    """Write the embeddings of a shard, and its marker. first: those of its first rows; the others come next."""
    began, shard = time.monotonic(), first.tag.shard
    with EmbeddingFile(setup.temporary, [setup.caption], setup.encoder.dim, setup.said) as file:
        for made in itertools.chain([first], answers):
            vectors = [lists_of(one.half().cpu().numpy()) for one in (made.image, *made.captions)]
            file.add(made.tag.keys, vectors[0], vectors[1:])
            if made.tag.last:
                break
            tell({shard.stem: Tally(file.rows, file.rows)})
    path = embeddings_of(setup.encoder.checkpoint.slug, shard.stem)
    told = ledger.entry(setup.temporary, file.rows)
    publish(setup.temporary, join(setup.root, path))
    marker = ShardLedger.of(
        EMBEDDED,
        shard.stem,
        Tally(file.rows, file.rows),
        inputs={f"images/{shard.stem}.parquet": {"rows": shard.rows, "xxh3_128": shard.checksum}},
        outputs={path: told},
        config=setup.config,
        seconds=round(time.monotonic() - began, 3),
    )
    marker.write(setup.root)
    return Done(shard.number, shard.stem, [marker])


def _works(shard: Shard, caption: str) -> Iterator[ToEmbed]:
    """What to embed of a shard, a row group at a time; one work of no rows where it has none."""
    from ..towers import ToEmbed

    with parquet(shard.url) as file:
        names = file.schema_arrow.names
        if missing := [name for name in ("key", "image", caption) if name not in names]:
            raise InputError(f"{shard.url}: no column {missing[0]}; it has {', '.join(names)}")
        columns = ["key", "image.bytes", caption]
        count = file.num_row_groups
        for number in range(max(count, 1)):
            table = file.read_row_group(number, columns=columns) if count else file.read(columns=columns)
            pictures = pc.struct_field(table["image"], "bytes").to_pylist()
            texts = [text if text and not text.isspace() else None for text in table[caption].to_pylist()]
            yield ToEmbed(Rows(shard, table["key"], number + 1 >= count), pictures, (texts,))


def made_with(slug: str, caption: str, dtype: str) -> str:
    """What markers say that a shard was embedded with; what is not asked for is left out behind."""
    return f"{slug} {caption} {dtype}".rstrip()


def embedded(
    root: str, shards: Sequence[Shard], checkpoint: Mapping[str, Any], caption: str = "", dtype: str = ""
) -> Mapping[str, str]:
    """The files, by the URL of their pictures, that hold embeddings by a checkpoint of the pictures that are there.

    caption: the column that is needed beside, dtype: the precision they were made in, if any is asked for. Those that
    curate made, else those that revalidate did, wherever its build put them. A file of another size than its marker
    says was written over since, maybe with less in it.
    """
    slug = slug_of(str(checkpoint.get("name")), str(checkpoint.get("fingerprint")))
    mine = [
        one
        for one in markers(root, EMBEDDED).values()
        if one.config.startswith(made_with(slug, caption, dtype))
    ]
    found = {}
    for done in (_of_revalidate(root, str(checkpoint.get("fingerprint")), caption, dtype), mine):
        lost = {path for _, path, _ in lost_files(root, done)}
        paths = {one.shard: [path for path in one.outputs if path.startswith(f"{FOLDER}/")] for one in done}
        sums = {one.shard: one.input_checksum(f"images/{one.shard}.parquet") for one in done}
        for shard in shards:
            some = paths.get(shard.stem)
            if some and some[0] not in lost and sums[shard.stem] == shard.checksum:
                found[shard.url] = join(root, some[0])
    return found


def _of_revalidate(root: str, fingerprint: str, caption: str, dtype: str) -> list[ShardLedger]:
    """The markers of shards that revalidate scored by a checkpoint.

    None where it had a reference: it embedded nothing of pairs whose bytes were the recorded ones.
    """
    plan = ledger.read_plan(root, SCORED)
    made = plan.get("made_from", {}) if plan else {}
    of = plan.get("checkpoint", {}) if plan else {}
    if (
        of.get("fingerprint") != fingerprint
        or made.get("reference") is not None
        or (caption and made.get("caption") not in (caption, "both"))
        or (dtype and made.get("dtype") != dtype)
    ):
        return []
    return list(markers(root, SCORED).values())
