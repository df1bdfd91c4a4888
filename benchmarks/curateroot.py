"""A root of any size whose pairs have measures and embeddings already, for the benchmarks of `danqing curate`.

    python benchmarks/curateroot.py FOLDER --rows 1000000 --dim 512 [--searched]

In: sizes. Out: images/ (columns alone: nobody looks at a picture), measures/, embeddings/ and the markers by which the
stage takes them for its own; with --searched also what its search for duplicates leaves, so that --decide can go on.

Three of ten pictures are near an earlier one, at cosines of .86 to 1; a fiftieth has the embedding of another. The
others lie around 2,000 centres, as kinds of pictures do.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builder.curate.config import LEAST, CurateConfig
from builder.curate.deal import numbers_table
from builder.curate.plan import make_plan
from builder.curate.spool import (
    DEALT,
    EDGES,
    EMBEDDED,
    SEARCHED,
    STAGE,
    TWINS,
    CurateSetup,
    edges_of,
    mark,
    numbers_of,
    twins_of,
    write_found,
)  # fmt: skip
from builder.disk import ledger
from builder.disk.digests import hex_of
from builder.disk.ledger import Tally
from builder.disk.parquet import image_schema
from builder.stage.shards import find_shards
from builder.towers import find

SHARD, CENTRES = 100_000, 2000
CHECKPOINT = find("tiny")


@dataclass
class Made:
    """What was planted in a shard: rows, the rows that they are near, and the cosines."""

    rows: np.ndarray
    near: np.ndarray
    cos: np.ndarray


def lists(values: np.ndarray) -> Any:
    """Vectors as a column."""
    return pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1])


def unit(values: np.ndarray) -> np.ndarray:
    """Rows of length one."""
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def pictures(rng: np.random.Generator, rows: int, centres: np.ndarray) -> tuple[np.ndarray, Made]:
    """Embeddings of the pictures of a shard, and what is planted among them."""
    dim = centres.shape[1]
    found = unit(
        1.2 * centres[rng.integers(0, len(centres), rows)] + rng.standard_normal((rows, dim), np.float32)
    )
    near = np.flatnonzero(rng.random(rows) < 0.3)
    of = rng.integers(0, rows, len(near))
    cos = rng.uniform(0.86, 1, (len(near), 1)).astype(np.float32)
    aside = rng.standard_normal((len(near), dim), np.float32)
    aside = unit(aside - (aside * found[of]).sum(1, keepdims=True) * found[of])
    found[near] = cos * found[of] + np.sqrt(1 - cos**2) * aside
    same = rng.integers(0, rows, rows // 50)
    found[same] = found[rng.integers(0, rows, len(same))]
    return found, Made(near, of, cos[:, 0])


def write_images(path: Path, keys: Any, rng: np.random.Generator) -> None:
    """The columns of images/ that a curation reads; the others are null."""
    rows, schema = len(keys), image_schema(pa.schema([]))
    sides = {
        name: pa.array(rng.integers(90, 1500, rows), pa.int32())
        for name in ("original_width", "original_height")
    }
    phash = hex_of(rng.integers(0, 2**62, rows).astype(">u8"))
    made = {"key": keys, "phash": phash, "sha256": phash, **sides}
    columns = [made.get(one.name, pa.nulls(rows, one.type)) for one in schema]
    pq.write_table(
        pa.Table.from_arrays(columns, schema=schema), path, compression="zstd", row_group_size=10_000
    )


def make(root: Path, rows: int, dim: int, seed: int, searched: bool) -> None:
    """Make such a root."""
    rng = np.random.default_rng(seed)
    centres = rng.standard_normal((CENTRES, dim)).astype(np.float32)
    shards = max(1, rows // SHARD)
    folders = {name: root / name for name in ("images", "measures", f"embeddings/{CHECKPOINT.slug}")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    planted, numbers = [], []
    for shard in range(shards):
        count = (shard + 1) * rows // shards - shard * rows // shards
        name = f"train-{shard:05d}-of-{shards:05d}.parquet"
        raw = rng.integers(0, 256, (count, 16), dtype=np.uint8).view("S16").reshape(-1)
        keys = hex_of(raw)
        image, made = pictures(rng, count, centres)
        text = unit(image + rng.standard_normal((count, dim), np.float32) / np.float32(2 * dim**0.5))
        write_images(folders["images"] / name, keys, rng)
        measures = {one: rng.uniform(0, most, count).astype(np.float32)
                    for one, most in (("spread", 80), ("sharpness", 5000), ("entropy", 8))}  # fmt: skip
        pq.write_table(pa.table({"key": keys, **measures}), folders["measures"] / name)
        table = pa.table(
            {
                "key": keys,
                "image": lists(image.astype(np.float16)),
                "alt_text": lists(text.astype(np.float16)),
            }
        )
        pq.write_table(table, folders[f"embeddings/{CHECKPOINT.slug}"] / name, compression="none",
                       use_dictionary=False, row_group_size=16_384)  # fmt: skip
        planted.append(made)
        numbers.append(numbers_table(raw, np.ones(count, np.bool_), (image * text).sum(1).astype(np.float64)))
    rebuilt(root, rows, shards)
    if searched:
        write_searched(root, planted, numbers)


def rebuilt(root: Path, rows: int, shards: int) -> None:
    """The ledgers by which the stage takes measures and embeddings for made."""
    ledger.write_plan(
        str(root), "rebuild", {"stage": "rebuild", "rows": {"train": rows}, "shards": {"train": shards}}
    )
    for path in sorted((root / "images").iterdir()):
        count = pq.read_metadata(path).num_rows
        files = {
            f"{one}/{path.name}": ledger.entry(root / one / path.name, count)
            for one in ("images", "measures")
        }
        tally = Tally(count, count)
        ledger.ShardLedger.of("rebuild", path.stem, tally, outputs=files, config="c", seconds=1.0).write(
            str(root)
        )
    for one in find_shards(str(root), "curated"):
        path = f"embeddings/{CHECKPOINT.slug}/{one.stem}.parquet"
        outputs = {path: ledger.entry(root / path, one.rows)}
        mark(str(root), EMBEDDED, one, Tally(one.rows, one.rows), outputs, f"{CHECKPOINT.slug} alt_text")


def write_searched(root: Path, planted: list[Made], numbers: list[pa.Table]) -> None:
    """What the search would leave: the planted edges, in 16 parts."""
    config = CurateConfig(str(root), embedder="tiny")
    plan = make_plan(config, CHECKPOINT, {}, print)
    ledger.write_plan(str(root), STAGE, plan.document())
    setup = CurateSetup(str(root), root / ".curate", plan.config_hash, "", config, plan.sources, (), 16)
    for source, table in zip(plan.sources, numbers, strict=True):
        path = numbers_of(setup.part(source.number))
        setup.mark(DEALT, setup.part(source.number), Tally(counters={"visits": 4_000_000 // len(planted)}),
                   {path: setup.write(path, table)}, 0.0)  # fmt: skip
    for part in range(setup.parts):
        some = [(source.first, made) for source, made in zip(plan.sources, planted, strict=True)
                if source.number % setup.parts == part]  # fmt: skip
        ends = [np.sort(np.stack([first + made.rows, first + made.near]), axis=0) for first, made in some]
        cos = np.concatenate([np.empty(0), *(made.cos for _, made in some)])
        one, other = np.concatenate([np.empty((2, 0), np.int64), *ends], axis=1)
        apart = one != other
        edges = pa.table([one[apart], other[apart], cos[apart].astype(np.float64)], names=EDGES.names).cast(
            EDGES
        )
        name = setup.cell(part)
        outputs = {edges_of(name): setup.write(edges_of(name), edges),
                   twins_of(name): setup.write(twins_of(name), TWINS.empty_table())}  # fmt: skip
        setup.mark(SEARCHED, name, Tally(counters={"cells": 1}), outputs, 0.0)
    write_found(str(root), {"sample": 0, "recall": {}})
    (root / ".curate").rmdir()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--dim", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--searched", action="store_true")
    asked = parser.parse_args()
    print(f"edges from cosine {LEAST} on")
    make(asked.folder, asked.rows, asked.dim, asked.seed, asked.searched)
