"""Makes what benchmarks/revalidate.py scores: pictures, roots of them, and what an earlier release recorded."""

from __future__ import annotations

import io
import json
import random
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.demo.scene import attributes, captions, draw
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import pair_key
from builder.towers.checkpoint import find

ROW_GROUP = 256


def picture(index: int, size: tuple[int, int]) -> tuple[bytes, str]:
    """A JPEG of a scene with grain, of some 2 bits a pixel as photographs on the web have, and its caption."""
    shown = attributes(index)
    rng = np.random.default_rng(index)
    image = draw(replace(shown, size=size), rng)
    noise = rng.normal(0, 5, (size[1], size[0], 1))
    pixels = (np.asarray(image, np.float32) + noise).clip(0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=85)
    return file.getvalue(), captions(shown, rng)[0]


def pictures(count: int, size: tuple[int, int]) -> list[tuple[bytes, str]]:
    """So many different pictures with their captions, drawn on all cores."""
    with ProcessPoolExecutor() as pool:
        return list(pool.map(picture, range(count), [size] * count, chunksize=16))


def root(folder: Path, drawn: list[tuple[bytes, str]], rows: int, shards: int) -> list[str]:
    """A root of `rows` pairs, each url and caption once, the pictures over and over; the keys in order."""
    (folder / "images").mkdir(parents=True)
    keys = []
    for shard in range(shards):
        numbers = range(shard * rows // shards, (shard + 1) * rows // shards)
        path = folder / "images" / f"train-{shard:05d}-of-{shards:05d}.parquet"
        with writer(path, image_schema()) as file:
            for start in range(0, len(numbers), ROW_GROUP):
                pairs = [
                    pair(number, *drawn[number % len(drawn)]) for number in numbers[start : start + ROW_GROUP]
                ]
                file.write_table(pa.Table.from_pylist(pairs, image_schema()))
                keys += [one["key"] for one in pairs]
    return keys


def pair(number: int, data: bytes, caption: str) -> dict[str, Any]:
    """A row of images/."""
    url, alt_text = f"http://images.test/{number}.jpg", f"{caption} {number}"
    sides = dict.fromkeys(("width", "height", "original_width", "original_height"), 256)
    found = {"sha256": f"{number:064x}", "phash": f"{number:016x}", "format": "jpeg", "fetched_at": number}
    texts = {"key": pair_key(url, alt_text), "url": url, "alt_text": alt_text, "recaption": None}
    return {**texts, "image": {"bytes": data, "path": None}, **sides, **found}


def reference(folder: Path, keys: list[str], same: float, model: Path) -> None:
    """A verified manifest of these keys; a share `same` of its hashes is that of `root`, dealt at random."""
    rng = random.Random(0)
    hashes = [f"{number if rng.random() < same else number + 2**40:064x}" for number in range(len(keys))]
    table = pa.table(
        {
            "key": keys,
            "sha256": hashes,
            "code": [rng.randbytes(32) for _ in keys],
            "score_alt_text": pa.array([0.1] * len(keys), pa.float32()),
        }
    )
    meta = json.dumps(find(str(model)).as_dict()).encode()
    folder.mkdir()
    pq.write_table(table.replace_schema_metadata({b"danqing": meta}), folder / "part-0.parquet")
