"""Measures of the stored pictures of a shard: rows in its order, null where there is none to decode."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from builder.curate.measures import ROWS, measured
from builder.disk.schema import IMAGE, MEASURES, said_by
from builder.errors import InputError
from builder.picture.measure import measure
from builder.stage.shards import Shard

from ..pictures import save

STEM = "train-00000-of-00001"


def shard_of(root: Path, table: pa.Table, rows: int = 50) -> Shard:
    (root / "images").mkdir()
    pq.write_table(table, root / "images" / f"{STEM}.parquet", row_group_size=rows)
    return Shard(0, str(root), STEM, len(table), "")


def images(bodies: list[bytes | None]) -> pa.Table:
    keys = pa.array([f"{i:032x}" for i in range(len(bodies))], pa.string())
    pictures = pa.array([{"bytes": body, "path": None} for body in bodies], IMAGE)
    return pa.table({"key": keys, "url": keys, "image": pictures})


def square(level: int) -> Image.Image:
    pixels = np.full((20, 20), 255 - level, np.uint8)
    pixels[5:15, 5:15] = level
    return Image.fromarray(pixels)


def test_each_row_has_the_measures_of_its_stored_picture(tmp_path: Path) -> None:
    levels = [i % 100 for i in range(2 * ROWS + 5)]
    table = images([save(square(level), "PNG") for level in levels])
    found = measured(shard_of(tmp_path, table, rows=ROWS + 1))
    assert found.schema.equals(MEASURES)
    assert said_by(found.schema) == {
        "measures": 1,
        "on": "stored",
        "decode": "simplejpeg GRAY, else cv2.COLOR_RGB2GRAY",
    }
    assert found["key"].equals(table["key"])
    wanted = np.float32([measure(np.asarray(square(level))) for level in levels])
    for name, column in zip(("spread", "sharpness", "entropy"), wanted.T, strict=True):
        assert found[name].to_pylist() == column.tolist()


def test_rows_without_a_picture_that_can_be_decoded_are_null(tmp_path: Path) -> None:
    good = save(square(7), "JPEG")
    found = measured(shard_of(tmp_path, images([None, good, b"", b"no picture", good[:300], good])))
    assert found["sharpness"].is_null().to_pylist() == [True, False, True, True, True, False]
    assert found.drop(["key"]).slice(0, 1).to_pylist() == [
        {"spread": None, "sharpness": None, "entropy": None}
    ]
    assert found["key"].null_count == 0


def test_a_shard_without_rows_has_no_measures(tmp_path: Path) -> None:
    found = measured(shard_of(tmp_path, images([])))
    assert len(found) == 0
    assert found.schema.equals(MEASURES)


def test_a_file_that_is_no_shard_is_named(tmp_path: Path) -> None:
    shard = shard_of(tmp_path, pa.table({"key": ["0" * 32], "image": ["a path"]}))
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet: column image is string"):
        measured(shard)
    Path(shard.url).write_bytes(b"PAR1 and nothing else")
    with pytest.raises(InputError, match=r"train-00000-of-00001\.parquet"):
        measured(shard)
