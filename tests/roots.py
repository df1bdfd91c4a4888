"""Makes small roots for tests: real JPEG files with a number that can be read back from their pixels, real Parquet."""

from __future__ import annotations

import datetime
import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

from builder.disk.parquet import image_schema, writer
from builder.disk.schema import OUTCOMES, pair_key

CARRIED = pa.schema([pa.field("similarity", pa.float32()), pa.field("tags", pa.list_(pa.string()))])
FETCHED = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)


def jpeg(number: int, side: int = 16) -> bytes:
    """A picture whose colour tells its number."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (number % 256, number // 256 % 256, 128)).save(file, "JPEG", quality=95)
    return file.getvalue()


def pair(number: int, picture: bytes | None = None) -> dict[str, Any]:
    url, alt_text = f"http://images.test/{number}.jpg", f"第{number}张图片"
    return {
        "key": pair_key(url, alt_text),
        "url": url,
        "alt_text": alt_text,
        "recaption": None if number % 5 == 0 else f"重写的第{number}句",
        "similarity": number / 1000,
        "tags": ["图", str(number)],
        "image": {"bytes": jpeg(number) if picture is None else picture, "path": f"{number}.jpg"},
        **dict.fromkeys(("width", "height", "original_width", "original_height"), 16),
        "sha256": f"{number:064x}",
        "phash": f"{number:016x}",
        "format": "jpeg",
        "fetched_at": FETCHED,
    }


def outcome(number: int) -> dict[str, Any]:
    url, alt_text = f"http://images.test/{number}.jpg", f"第{number}张图片"
    kept = number % 3 != 0
    return {
        "key": pair_key(url, alt_text),
        "url": url,
        "outcome": "kept" if kept else "dropped",
        "reason": None if kept else "http_4xx",
        "http_status": 200 if kept else 404,
        "attempts": 1,
        "fetched_at": FETCHED,
    }


def write_shard(path: Path, rows: list[dict[str, Any]], row_group: int, carried: pa.Schema = CARRIED) -> None:
    """One file of images/."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = image_schema(carried)
    with writer(path, schema) as file:
        for start in range(0, len(rows), row_group):
            file.write_table(pa.Table.from_pylist(rows[start : start + row_group], schema))


def make_root(
    root: Path,
    shards: int = 4,
    rows: int = 25,
    row_group: int = 10,
    split: str = "train",
    carried: pa.Schema = CARRIED,
) -> list[str]:
    """A root of `shards` files of `rows` pairs each, numbered through; the keys, in the order of the rows."""
    keys = []
    for shard in range(shards):
        numbers = range(shard * rows, (shard + 1) * rows)
        pairs = [pair(number) for number in numbers]
        stem = f"{split}-{shard:05d}-of-{shards:05d}.parquet"
        write_shard(root / "images" / stem, pairs, row_group, carried)
        (root / "outcomes").mkdir(exist_ok=True)
        outcomes = pa.Table.from_pylist([outcome(number) for number in numbers], OUTCOMES)
        pq.write_table(outcomes, root / "outcomes" / stem)
        keys += [row["key"] for row in pairs]
    return keys
