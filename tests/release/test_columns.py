"""The columns of a release: which, in which order, and what is in them."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.schema import said_by
from builder.release.columns import ReleaseColumns, columns_of
from builder.release.columns import read as read_rows
from tests.release.roots import opened, planned, scored_root
from tests.roots import CARRIED, make_root, pair, write_shard

PAIR = ["url", "alt_text", "recaption"]
VERIFIED = ["key", "width", "height", "sha256", "phash"]
JUDGED = ["code", "score", "score_model", "verdict", "suspect"]
PICTURE = [
    "image",
    "width",
    "height",
    "original_width",
    "original_height",
    "sha256",
    "phash",
    "format",
    "fetched_at",
]


def columns(root: Path, what: str) -> ReleaseColumns:
    return columns_of(opened(root)[1], what)


def with_caption(root: Path, caption: str) -> None:
    """Say of the scores of a root that they are of other captions."""
    for path in (root / "scores").iterdir():
        table = pq.read_table(path)
        said = said_by(table.schema) | {"caption": caption}
        from builder.disk.schema import saying

        pq.write_table(table.replace_schema_metadata(saying(table.schema, said).metadata), path)


def table(root: Path, what: str) -> pa.Table:
    """All pairs of a release."""
    found, plan = planned(root, what=what)
    parts = [
        part for shard in plan.shards for part in read_rows(found, columns_of(found, what), plan.place, shard)
    ]
    return pa.concat_tables(parts)


def test_a_verified_manifest(tmp_path: Path) -> None:
    names = columns(scored_root(tmp_path), "manifest").schema.names
    assert names == [*PAIR, *CARRIED.names, *VERIFIED, *JUDGED, "fetched_at"]


def test_a_manifest_that_is_not_validated(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=1)
    found = columns(tmp_path, "manifest")
    assert found.schema.names == [*PAIR, *CARRIED.names, *VERIFIED, "fetched_at"]
    assert said_by(found.schema) == {}


def test_released_images(tmp_path: Path) -> None:
    schema = columns(scored_root(tmp_path), "images").schema
    judged = ["score", "score_model", "p", "verdict", "suspect", "kept"]
    assert schema.names == ["key", *PAIR, *CARRIED.names, *PICTURE, *judged]
    assert b"Image" in schema.metadata[b"huggingface"]


def test_images_that_are_not_validated(tmp_path: Path) -> None:
    make_root(tmp_path, shards=1, rows=1)
    assert columns(tmp_path, "images").schema.names == ["key", *PAIR, *CARRIED.names, *PICTURE]


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_the_schema_names_the_checkpoint(tmp_path: Path, what: str) -> None:
    said = said_by(columns(scored_root(tmp_path), what).schema)
    assert set(said) == {"model", "name", "revision", "fingerprint", "preprocessing", "caption"}
    assert said["fingerprint"] == "f" * 32


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_of_both_captions_the_mean_of_the_scores_that_are_there(tmp_path: Path, what: str) -> None:
    root = scored_root(tmp_path)
    with_caption(root, "both")
    rows = table(root, what)
    one, other, mean = (
        np.array(rows[name].to_pylist(), float) for name in ("score_alt_text", "score_recaption", "score")
    )
    assert np.allclose(mean, np.nanmean([one, other], 0), atol=1e-6)
    assert np.isnan(other).sum() > 10


def test_of_the_recaption_its_own_score(tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    with_caption(root, "recaption")
    rows = table(root, "manifest")
    assert "score_recaption" not in rows.column_names
    assert rows["score"].null_count == rows["recaption"].null_count > 0


def test_a_manifest_has_the_size_of_the_picture_as_fetched(tmp_path: Path) -> None:
    rows = [
        pair(n) | {"width": 256, "height": 192, "original_width": 800, "original_height": 600}
        for n in range(3)
    ]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, 3)
    assert table(tmp_path, "manifest").select(["width", "height"]).to_pylist()[0] == {
        "width": 800,
        "height": 600,
    }
    assert table(tmp_path, "images").select(["width", "height"]).to_pylist()[0] == {
        "width": 256,
        "height": 192,
    }


def test_values_are_those_of_the_root_and_its_scores(tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    images, scores = (pq.read_table(root / folder).to_pylist() for folder in ("images", "scores"))
    wanted = [(one, other) for one, other in zip(images, scores, strict=True) if other["kept"]]
    rows = table(root, "manifest").to_pylist()
    assert [row["key"] for row in rows] == [one["key"] for one, _ in wanted]
    for row, (one, other) in zip(rows, wanted, strict=True):
        assert {
            name: row[name] for name in ("url", "similarity", "tags", "sha256", "fetched_at")
        }.items() <= one.items()
        assert (row["code"], row["verdict"], row["score"]) == (
            other["code"],
            other["verdict"],
            other["score_alt_text"],
        )
        assert row["score_model"] == "siglip2-base-patch16-256"


def carried(root: Path, *names: str) -> Path:
    """A root whose manifest had other columns."""
    schema = pa.schema([pa.field(name, pa.string()) for name in names])
    rows: list[dict[str, Any]] = [pair(n) | {name: f"{name} {n}" for name in names} for n in range(3)]
    write_shard(root / "images" / "train-00000-of-00001.parquet", rows, 3, schema)
    return root


def test_a_carried_column_gives_way_to_one_of_the_release(tmp_path: Path) -> None:
    from tests.scored import make_scored

    make_scored(carried(tmp_path, "score", "kept", "manifest_score", "lang"))
    names = columns(tmp_path, "images").carried
    assert names == {
        "manifest_manifest_score": "score",
        "manifest_kept": "kept",
        "manifest_score": "manifest_score",
        "lang": "lang",
    }
    assert columns(tmp_path, "manifest").carried["kept"] == "kept"


def test_what_a_verified_manifest_recorded_is_superseded(tmp_path: Path) -> None:
    recorded = [
        "manifest_key",
        "manifest_sha256",
        "manifest_fetched_at",
        "manifest_width",
        "score",
        "code",
        "lang",
    ]
    assert columns(carried(tmp_path, *recorded), "manifest").carried == {"lang": "lang"}


def test_a_column_of_the_first_manifest_is_not_taken_for_one_that_was_recorded(tmp_path: Path) -> None:
    """It had a width and a code: they are manifest_width and manifest_code in the release that was rebuilt."""
    recorded = ["manifest_key", "manifest_sha256", "manifest_fetched_at", "manifest_manifest_width", "code"]
    root = carried(tmp_path, *recorded, "manifest_width", "manifest_code")
    assert columns(root, "manifest").carried == {
        "manifest_width": "manifest_width",
        "manifest_code": "manifest_code",
    }
