"""What a scored shard leaves on disk: scores/, embeddings/ where they are wanted, and its marker, written last."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..disk.files import join, publish
from ..disk.ledger import ShardLedger, Tally, entry
from ..disk.parquet import writer
from ..disk.schema import saying
from .plan import STAGE, Shard


class Output:
    """Takes the pieces of shards in order, and publishes each shard when its last piece came.

    said: metadata of the files, which name checkpoint, panel and reference; made_from: `config` of the markers.
    """

    def __init__(self, root: str, temporary: Path, said: dict[str, Any], made_from: str) -> None:
        self._root, self._temporary, self._made_from = root, temporary, made_from
        self._said = said
        self._parts: dict[str, list[pa.Table]] = {}
        self._began = time.monotonic()

    def add(self, shard: Shard, tables: dict[str, pa.Table], *, last: bool) -> None:
        """Take the rows of one piece, by the folder that they belong to; with the last, the shard is done."""
        for folder, table in tables.items():
            self._parts.setdefault(folder, []).append(table)
        if last:
            self._publish(shard)

    def _publish(self, shard: Shard) -> None:
        files = {}
        for folder, parts in sorted(self._parts.items(), reverse=True):
            name = f"{folder}/{shard.stem}.parquet"
            table = pa.concat_tables(parts).combine_chunks()
            table = table.replace_schema_metadata(saying(table.schema, self._said).metadata)
            with writer(self._temporary, table.schema) as file:
                file.write_table(table)
            files[name] = entry(self._temporary, len(table))
            publish(self._temporary, join(self._root, name))
        rows = sum(map(len, self._parts["scores"]))
        ShardLedger.of(
            STAGE,
            shard.stem,
            Tally(rows=rows, kept=rows),
            inputs={f"images/{shard.stem}.parquet": {"rows": shard.rows, "xxh3_128": shard.checksum}},
            outputs=files,
            config=self._made_from,
            seconds=round(time.monotonic() - self._began, 3),
        ).write(self._root)
        self._parts, self._began = {}, time.monotonic()
