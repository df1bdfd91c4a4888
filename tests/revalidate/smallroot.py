"""A root of 180 pairs in three shards and two splits, as pass 1 leaves it: real files, figures made by NumPy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from builder.console import Console
from builder.disk import ledger
from builder.disk.ledger import ShardLedger, Tally
from builder.disk.parquet import writer
from builder.disk.schema import SCORED, pair_key
from builder.revalidate.config import RevalidateConfig
from builder.revalidate.decide import decide
from builder.web.hostname import host_of

STEMS = ("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")
ROWS = 60  # a shard, in row groups of 25
SAID = {"model": "m", "name": "m", "fingerprint": "f", "panel": "p", "caption": "alt_text", "reference": None}


def scored(stem: str) -> dict[str, Any]:
    """Sixty rows: 30 with the same bytes, 2 that cannot be decoded, 2 of a banner, 20 intact, 6 of junk."""
    rng = np.random.default_rng(STEMS.index(stem))
    same = np.arange(ROWS) < 30
    good, banner = (np.arange(ROWS) >= 34) & (np.arange(ROWS) < 54), np.isin(np.arange(ROWS), (32, 33))
    p = np.where(good, 0.0003, rng.uniform(0.2, 1, ROWS))
    code = [None if i in (30, 31) else bytes([7]) * 32 if banner[i] else rng.bytes(32) for i in range(ROWS)]
    numbers = np.arange(1, ROWS + 1) + ROWS * STEMS.index(stem)
    urls = [f"http://图片{n % 4}.test/{n}.jpg" for n in numbers]
    return {
        "key": [pair_key(url, "x") for url in urls],
        "host": [host_of(url) for url in urls],
        "score_alt_text": rng.uniform(0, 0.3, ROWS),
        "code": code,
        "p_code": np.where(np.arange(ROWS) % 2, p, 0.9),
        "p_caption": p,
        "same": same,
        "phash": np.where(banner, 77, 1000 + numbers).astype(np.uint64),
        "caption_hash": numbers.astype(np.uint64),
    }


def write(path: Path, columns: dict[str, Any], said: dict[str, Any] | None = None) -> None:
    """One file of scores/, with nulls in the columns that are not given."""
    rows = len(columns["key"])
    values = [
        pa.array(columns[f.name], from_pandas=True).cast(f.type)
        if f.name in columns
        else pa.nulls(rows, f.type)
        for f in SCORED
    ]
    schema = SCORED.with_metadata({b"danqing": json.dumps(SAID if said is None else said).encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with writer(path, schema) as file:
        file.write_table(pa.Table.from_arrays(values, schema=schema), row_group_size=25)


def shard(root: Path, stem: str, columns: dict[str, Any]) -> None:
    """One shard of a root: its images, of which only the keys count here, its scores and its marker."""
    (root / "images").mkdir(exist_ok=True)
    rows = len(columns["key"])
    pq.write_table(
        pa.table({"key": pa.array(columns["key"], pa.string())}), root / "images" / f"{stem}.parquet"
    )
    write(root / "scores" / f"{stem}.parquet", columns)
    tally = Tally(rows=rows, kept=rows)
    made = ShardLedger.of("revalidate", stem, tally, outputs={}, config="c", seconds=1.0)
    made.write(str(root))


def make(root: Path) -> Path:
    """The whole root, scored and not decided."""
    for stem in STEMS:
        shard(root, stem, scored(stem))
    plan: ledger.PlanDocument = {
        "stage": "revalidate", "rows": {"train": 2 * ROWS, "validation": ROWS}, "shards": {"train": 2, "validation": 1}
    }  # fmt: skip
    ledger.write_plan(str(root), "revalidate", plan)
    return root


def run(root: Path, **options: Any) -> dict[str, Any]:
    return decide(RevalidateConfig(root=str(root), **options), Console(quiet=True)).as_dict()


def rows_of(root: Path) -> list[dict[str, Any]]:
    return [row for stem in STEMS for row in pq.read_table(root / "scores" / f"{stem}.parquet").to_pylist()]


def files_of(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()}
