"""A finished shard from its spool: images/, outcomes/ and, last, the ledger's JSON.

Rows are written in the manifest's order, one row group at a time, so memory does not grow with the shard.
A kill in between costs nothing: the spool goes only after the ledger is written, and writing again gives the
same bytes.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..disk.files import join, leave_if_orphaned, publish
from ..disk.ledger import ShardLedger, Tally, entry
from ..disk.parquet import image_schema, writer
from ..disk.schema import IMAGE, MEASURES, OUTCOMES, carried, measures_schema, pair_key, validation_share
from ..disk.tars import TarWriter
from ..picture.measures import LUMA, RGB_TO_GRAY, Measures
from ..stage.counts import HostCounts
from ..stage.rows import ManifestShard
from ..web.hostname import host_of
from .config import RebuildConfig
from .outcome import SHOWN, TOLD, Outcome
from .spool import Spool
from .units import STAGE

ROW_GROUP_ROWS = 1000
ROW_GROUP_BYTES = 32 << 20  # of pictures; a reader that decodes one row group holds no more


@dataclass(frozen=True, slots=True)
class Setup:
    """What every worker is started with, and where it puts a shard.

    work: a local folder on the root's file system where that is local; digest: column of the manifest, and its
    algorithm; threads: that decode.
    """

    config: RebuildConfig
    work: Path
    config_hash: str
    digest: tuple[str, str] | None = None
    threads: int = 1

    @property
    def root(self) -> str:
        """The root that is rebuilt."""
        return self.config.output

    def images(self, stem: str) -> str:
        """The path of the pictures of `stem` below the root."""
        return f"images/{stem}.{'tar' if self.config.format == 'webdataset' else 'parquet'}"

    def spool(self, shard: ManifestShard) -> Path:
        """Where the rows of an unfinished shard are."""
        return self.work / f"{shard.stem}.spool"

    def owner(self, shard: ManifestShard) -> str:
        """What a spool must have been made for."""
        return f"{self.config_hash} {shard.stem}"


def keys_of(table: pa.Table) -> list[str]:
    """The key of every row of a manifest."""
    columns = table["url"].to_pylist(), table["alt_text"].to_pylist()
    return [pair_key(url, text) for url, text in zip(*columns, strict=True)]


def carve(shard: ManifestShard, keys: list[str], validation: float) -> dict[str, list[int]]:
    """Which rows of a shard go to which split; the shard's own split is the last."""
    rows = range(len(keys))
    if not validation or shard.split != "train":
        return {shard.split: list(rows)}
    held_out = [validation_share(key) < validation for key in keys]
    return {"validation": [i for i in rows if held_out[i]], "train": [i for i in rows if not held_out[i]]}


def assemble(
    shard: ManifestShard, table: pa.Table, spool: Spool, setup: Setup, started: float
) -> list[ShardLedger]:
    """Write every file of `shard` and return what the ledger says of them.

    table: the shard's rows of the manifest; started: when the shard was opened, seconds since the epoch.
    The shard's own marker is written last, after those of the pairs carved out for validation.
    """
    keys = keys_of(table)
    ledgers = []
    for split, rows in carve(shard, keys, setup.config.validation).items():
        part = _Part(f"{split}-{shard.numbers}", rows, keys, table, spool, setup)
        ledgers.append(part.write(started))
    return ledgers


@dataclass(frozen=True, slots=True)
class _Part:
    """The rows of a shard that go to one split."""

    stem: str
    rows: list[int]
    keys: list[str]
    table: pa.Table
    spool: Spool
    setup: Setup

    def write(self, started: float) -> ShardLedger:
        names = {"images": self.setup.images(self.stem), "outcomes": f"outcomes/{self.stem}.parquet"}
        if self.setup.config.measure:
            names["measures"] = f"measures/{self.stem}.parquet"
        local = {kind: self.setup.work / f"{self.stem}.{kind}.tmp" for kind in names}
        leave_if_orphaned()
        tally, hosts, tables = self._write_pairs(local["images"])
        for kind in names.keys() & tables.keys():
            with writer(local[kind], tables[kind].schema) as out:
                out.write_table(tables[kind])
        counts = {"images": tally.kept, "outcomes": len(self.rows), "measures": tally.kept}
        files = {}
        for kind, name in names.items():
            files[name] = entry(local[kind], counts[kind])
            publish(local[kind], join(self.setup.root, name))
        ledger = ShardLedger.of(
            STAGE,
            self.stem,
            tally,
            outputs=files,
            hosts=hosts,
            config=self.setup.config_hash,
            seconds=round(time.time() - started, 3),
        )
        ledger.write(self.setup.root)
        return ledger

    def _write_pairs(self, path: Path) -> tuple[Tally, dict[str, list[int]], dict[str, pa.Table]]:
        """Write the kept pairs; return the tally, the worst hosts, all outcomes, and the measures of the pairs."""
        tally, kept_at, lost_at = Tally(), Counter[str](), Counter[str]()
        schema = image_schema(carried(self.table.schema))
        columns: dict[str, list[Any]] = {name: [] for name in OUTCOMES.names}
        measures: dict[str, list[Any]] = {name: [] for name in MEASURES.names}
        urls = self.table["url"].to_pylist()
        tar = self.setup.config.format == "webdataset"
        pairs = TarWriter(path, self.stem) if tar else writer(path, schema)
        try:
            for group in self._groups():
                for row, outcome in group:
                    _add_outcome(columns, self.keys[row], urls[row], outcome)
                    tally.add(outcome.reason, outcome.counters)
                    if outcome.picture is not None:
                        _add_measures(measures, self.keys[row], outcome.picture.measures)
                    if (host := host_of(urls[row])) is not None:
                        (lost_at if outcome.reason else kept_at)[host] += 1
                kept = [(row, outcome) for row, outcome in group if outcome.picture is not None]
                leave_if_orphaned()
                if kept:
                    pairs.write_table(pair_table(self.table, self.keys, kept, schema))
        finally:
            leave_if_orphaned()
            pairs.close()
        hosts = HostCounts()
        hosts.add(kept_at)
        hosts.add(lost_at, "dropped", kept=False)
        tables = {
            "outcomes": pa.table(columns, schema=OUTCOMES),
            "measures": pa.table(
                measures, schema=measures_schema("original", LUMA if self.setup.config.skims else RGB_TO_GRAY)
            ),
        }
        return tally, hosts.told(), tables

    def _groups(self) -> Iterator[list[tuple[int, Outcome]]]:
        """The rows in order, cut where a row group is full."""
        group: list[tuple[int, Outcome]] = []
        size = kept = 0
        for row in self.rows:
            outcome = self.spool.read(row)
            group.append((row, outcome))
            if outcome.picture is not None:
                size += len(outcome.picture.data)
                kept += 1
            if kept >= ROW_GROUP_ROWS or size >= ROW_GROUP_BYTES:
                yield group
                group, size, kept = [], 0, 0
        if group:
            yield group


def pair_table(
    source: pa.Table, keys: list[str], kept: list[tuple[int, Outcome]], schema: pa.Schema
) -> pa.Table:
    """The kept rows of a manifest as a table in the schema of images/.

    source: rows of the manifest, with their keys; kept: (row of source, its outcome with a picture).
    """
    rows = source.take(pa.array([row for row, _ in kept], pa.int64()))
    pictures = [outcome.picture for _, outcome in kept if outcome.picture is not None]
    names = [keys[row] for row, _ in kept]
    paths = [f"{key}.{picture.extension}" for key, picture in zip(names, pictures, strict=True)]
    data = pa.array([picture.data for picture in pictures], pa.binary())
    made: dict[str, Any] = {
        "key": names,
        "image": pa.StructArray.from_arrays([data, pa.array(paths, pa.string())], fields=list(IMAGE)),
        "sha256": [outcome.sha256 for _, outcome in kept],
        "fetched_at": [outcome.fetched_at for _, outcome in kept],
        **{name: [getattr(picture, name) for picture in pictures] for name in SHOWN},
        **dict(zip(rows.column_names, rows.columns, strict=True)),
    }
    return pa.table(made, schema=schema)


def _add_outcome(columns: dict[str, list[Any]], key: str, url: str | None, outcome: Outcome) -> None:
    columns["key"].append(key)
    columns["url"].append(url)
    columns["outcome"].append("dropped" if outcome.reason else "kept")
    columns["reason"].append(outcome.reason.value if outcome.reason else None)
    columns["decoder"].append(outcome.picture.decoder if outcome.picture else None)
    for name in TOLD:
        columns[name].append(getattr(outcome, name))


def _add_measures(columns: dict[str, list[Any]], key: str, measures: Measures | None) -> None:
    columns["key"].append(key)
    for name in Measures._fields:
        columns[name].append(getattr(measures, name, None))
