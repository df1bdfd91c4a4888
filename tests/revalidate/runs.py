"""Running `danqing revalidate` on small roots with the checkpoint that comes with danqing, and reading what it made."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.cli import main
from builder.console import Console
from builder.disk.schema import SCORED
from builder.stage.shards import Shard, find_shards
from builder.towers import DualEncoder, Options, find
from builder.towers.checkpoint import TINY
from tests.drift import Planted, plant

CHECKPOINT = str(TINY)
SEED = 11


@functools.cache
def planted(count: int) -> tuple[Planted, ...]:
    """Pairs of a small world; drawn once."""
    return tuple(plant(SEED, number) for number in range(count))


def revalidate(root: Path | str, *flags: str) -> int:
    """Run the command in this process, at a level at which few pairs suffice; its exit code."""
    words = ["--model", CHECKPOINT, "--device", "cpu", "--quiet", "--alpha", "0.2"]
    return main(["revalidate", str(root), *words, *flags])


def scored(root: Path) -> dict[str, dict[str, Any]]:
    """The rows of scores/ as pass 1 made them, by key; keys that come twice are not for this."""
    rows = [row for file in sorted((root / "scores").glob("*")) for row in read(file).to_pylist()]
    return {row["key"]: row for row in rows}


def read(file: Path) -> pa.Table:
    """A file of scores without the verdicts."""
    return pq.read_table(file, columns=SCORED.names)


def made(root: Path) -> dict[str, bytes]:
    """Every file that a run makes, by name, without what tells the time."""
    files = [*(root / "scores").glob("*"), *(root / "embeddings").glob("*/*")]
    ledger = root / "ledger" / "revalidate"
    files += [ledger / "panel.npz", ledger / "plan.json", ledger / "decision.json"]
    return {str(file.relative_to(root)): file.read_bytes() for file in files if file.exists()}


def column(table: pa.Table, name: str) -> list[Any]:
    """The values of a column."""
    return table[name].to_pylist()


def shards(root: Path) -> tuple[Shard, ...]:
    return find_shards(str(root), "scored")


def rewrite(file: Path, table: pa.Table) -> None:
    """Replace a Parquet file."""
    pq.write_table(table, file, row_group_size=20)


@functools.cache
def siglip() -> DualEncoder:
    """The checkpoint of the demo, loaded once."""
    return DualEncoder.load(find(CHECKPOINT), Options(device="cpu"), Console(quiet=True))
