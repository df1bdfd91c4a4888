"""The files of a scored shard: scores/ and, where they are wanted, embeddings/, with a marker that is written last.

pieces in order ─▶ ScoreWriter ─▶ scores/ without verdicts ─▶ ShardScores: numbers to decide by, then the verdicts in it

Everything that a file must be is checked while it is read, before any is overwritten.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from ..disk import ledger
from ..disk.digests import blobs, pc
from ..disk.files import fetched, join, publish, write_atomic
from ..disk.ledger import ShardLedger, Tally, WrittenFile
from ..disk.parquet import writer
from ..disk.schema import CODE_BITS, DECIDED, SCORED, SCORES, floats, said_by, saying, tested, unlike
from ..errors import InputError
from ..stage.embeddings import FOLDER, EmbeddingFile, embeddings_of
from ..stage.engine import Done
from ..stage.shards import Shard
from ..towers.checkpoint import slug_of
from .clusters import NONE, hash_codes
from .judge import Pairs
from .pieces import Piece
from .plan import STAGE, ScoringPlan, opened

_FLOATS = ("p_code", "p_caption", "score_change")
_NULLS = {"same": False, "phash": 0, "caption_hash": 0, "code_distance": -1}  # what stands for null in PAIR
_READ = ["key", "code", "score_alt_text", "score_recaption", *_FLOATS, *_NULLS]


class ScoreWriter:
    """Takes the pieces of shards in order, and publishes each shard when its last piece came.

    panel: the digest of the one that they are ranked in.
    """

    def __init__(self, root: str, temporary: Path, plan: ScoringPlan, panel: str) -> None:
        self._root, self._temporary, self._made_from = root, temporary, plan.made_with(panel)
        self._said = {
            **plan.checkpoint,
            "caption": plan.made_from["caption"],
            "projection": "danqing code 1",
            "panel": panel,
            "reference": plan.made_from["reference"],
        }
        self._slug = slug_of(*(str(plan.checkpoint[name]) for name in ("name", "fingerprint")))
        self._parts: dict[str, list[pa.Table]] = {}
        self._began = time.monotonic()

    def add(self, piece: Piece, tables: Mapping[str, pa.Table]) -> Done | dict[str, Tally]:
        """Take the rows of a piece, by their folder; how many the shard has so far, or that it is done."""
        for folder, table in tables.items():
            self._parts.setdefault(folder, []).append(table)
        rows = sum(map(len, self._parts["scores"]))
        tally = Tally(rows, rows)
        return self._published(piece.shard, tally) if piece.last else {piece.shard.stem: tally}

    def _published(self, shard: Shard, tally: Tally) -> Done:
        outputs: dict[str, WrittenFile] = {}
        for folder, parts in sorted(self._parts.items(), reverse=True):
            if folder == FOLDER:
                name, rows = embeddings_of(self._slug, shard.stem), self._write_embeddings(parts)
            else:
                name, rows = f"{folder}/{shard.stem}.parquet", self._write_scores(parts)
            outputs[name] = ledger.entry(self._temporary, rows)
            publish(self._temporary, join(self._root, name))
        marker = ShardLedger.of(
            STAGE,
            shard.stem,
            tally,
            inputs={f"images/{shard.stem}.parquet": {"rows": shard.rows, "xxh3_128": shard.checksum}},
            outputs=outputs,
            config=self._made_from,
            seconds=round(time.monotonic() - self._began, 3),
        )
        marker.write(self._root)
        self._parts, self._began = {}, time.monotonic()
        return Done(shard.number, shard.stem, [marker])

    def _write_scores(self, parts: list[pa.Table]) -> int:
        """Write the rows of scores/; how many."""
        table = pa.concat_tables(parts).combine_chunks()
        with writer(self._temporary, saying(table.schema, self._said)) as file:
            file.write_table(table.replace_schema_metadata(saying(table.schema, self._said).metadata))
        return len(table)

    def _write_embeddings(self, parts: list[pa.Table]) -> int:
        """Write the rows of embeddings/; how many."""
        captions = parts[0].column_names[2:]
        dim = parts[0].schema.field("image").type.list_size
        with EmbeddingFile(self._temporary, captions, dim, self._said) as file:
            for part in parts:
                key, image, *each = part.columns
                file.add(key, image, each)
        return file.rows


@dataclass(frozen=True, slots=True)
class ShardScores:
    """The scores of one shard."""

    shard: Shard

    @property
    def name(self) -> str:
        """The path below the root."""
        return f"scores/{self.shard.stem}.parquet"

    @property
    def path(self) -> str:
        """The path or URL of the file."""
        return join(self.shard.root, self.name)

    def read(self, pairs: Pairs) -> Mapping[str, Any]:
        """Fill `pairs` with its rows as numbers, and return what its metadata say.

        InputError when it cannot be read, is no file of scores, or its keys are not those of images/.
        """
        with opened(self.shard, folder="scores") as file:
            said = said_by(file.schema_arrow)
            what = unlike(file.schema_arrow, SCORED, SCORED.names) or (
                None if said else "it names no checkpoint"
            )
            if what:
                raise InputError(f"{self.path}: no scores of this version: {what}")
            table = file.read(columns=_READ)
            self._check_keys(table["key"])
            self._fill(pairs, table)
            return said

    def _check_keys(self, keys: Any) -> None:
        with opened(self.shard, ("key",)) as file:
            of_images = file.read(columns=["key"])["key"]
        if len(keys) != len(of_images):
            raise InputError(f"{self.path}: {len(keys):,} rows, but images/ has {len(of_images):,}")
        if not keys.equals(of_images):
            raise InputError(f"{self.path}: its keys are not those of images/")

    def _fill(self, pairs: Pairs, table: pa.Table) -> None:
        for name in _FLOATS:
            pairs[name] = floats(table[name])
        for name, null in _NULLS.items():
            pairs[name] = pc.fill_null(table[name], null).to_numpy()
        codes, there = blobs(table["code"], CODE_BITS // 8)
        pairs["decoded"] = table["code"].is_valid().to_numpy()
        if not np.array_equal(there, pairs["decoded"]):
            raise InputError(f"{self.path}: a code that has not {CODE_BITS} bits")
        pairs["code"] = np.where(codes.any(axis=1), hash_codes(codes), NONE)
        pairs["score"] = tested(table, ("alt_text", "recaption"))
        # So does a caption without a score: builds up to 0.1.0 gave such pairs p-values all the same.
        pairs["code"][(pairs["caption_hash"] != NONE) & np.isnan(pairs["score"]) & ~pairs["same"]] = NONE

    def rewrite(self, decided: pa.Table, decision: str) -> WrittenFile:
        """Publish the file anew with `decided`, the columns DECIDED, under the name of the decision; its entry.

        The rows, their groups and the other metadata stay as they are, so the same decision gives the same bytes.
        """
        with opened(self.shard, folder="scores") as file:
            said = said_by(file.schema_arrow) | {"decision": decision}
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            table = file.read(columns=SCORED.names)
        schema = saying(SCORES, said)
        table = pa.Table.from_arrays([*table.columns, *decided.select(DECIDED.names).columns], schema=schema)
        sink = pa.BufferOutputStream()
        with writer(sink, schema) as out:
            for start, rows in zip(accumulate(groups, initial=0), groups, strict=False):
                out.write_table(table.slice(start, rows))
        data = sink.getvalue().to_pybytes()
        write_atomic(self.path, data)
        return {"rows": len(table), "bytes": len(data), "xxh3_128": xxhash.xxh3_128_hexdigest(data)}

    def entry(self) -> WrittenFile:
        """What the marker says of the file: rows, bytes and checksum."""
        with tempfile.TemporaryDirectory() as work, fetched(self.path, Path(work)) as local:
            return ledger.entry(local, self.shard.rows)

    def hosts(self) -> Any:
        """The column host."""
        with opened(self.shard, folder="scores") as file:
            return file.read(columns=["host"])["host"]
