"""croissant.json is valid, deterministic, lists every shard with its checksum, and its records can be read."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.card.croissant import _version, checked, document
from builder.disk.release import Release
from builder.errors import VerificationError

from .published import Made, publish


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    """Reading is mlcroissant's business here, and so are its warnings."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def made(folder: Path, what: Made = Made("manifest")) -> tuple[Release, pa.Schema, dict[str, Any]]:  # noqa: B008
    release, schema = publish(folder, what)
    data = document(release, schema, "A title", "acme/danqing")
    (folder / "croissant.json").write_text(data, encoding="utf-8")
    return release, schema, json.loads(data)


def records(folder: Path, what: str) -> list[dict[str, Any]]:
    import mlcroissant

    dataset = mlcroissant.Dataset(jsonld=str(folder / "croissant.json"))
    assert not dataset.metadata.issues.errors
    assert not dataset.metadata.issues.warnings
    return list(dataset.records(what))


def test_every_shard_with_its_checksum(tmp_path: Path) -> None:
    release, schema, told = made(tmp_path)
    files = {one["contentUrl"]: one for one in told["distribution"] if one["@type"] == "cr:FileObject"}
    assert {path: one["sha256"] for path, one in files.items()} == {
        path: file["sha256"] for path, file in release.shards().items()
    }
    assert told["version"] == "2026.11.0"
    assert told["license"] == "cc-by-nc-4.0"
    (record_set,) = told["recordSet"]
    assert [field["name"] for field in record_set["field"]] == [
        "manifest/split",
        *(f"manifest/{n}" for n in schema.names),
    ]


def test_the_same_release_gives_the_same_bytes(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    assert document(release, schema, "T", "a/b") == document(release, schema, "T", "a/b")


def test_mlcroissant_reads_the_rows_of_a_manifest(tmp_path: Path) -> None:
    made(tmp_path)
    found = records(tmp_path, "manifest")
    files = sorted((tmp_path / "manifest").iterdir())
    wanted = [(row, path.name.split("-")[0]) for path in files for row in pq.read_table(path).to_pylist()]
    assert len(found) == len(wanted) == 80
    by_key = {row["manifest/key"].decode(): row for row in found}
    for row, split in wanted:
        one = by_key[row["key"]]
        assert one["manifest/split"] == split.encode()
        assert one["manifest/alt_text"].decode() == row["alt_text"]
        assert one["manifest/width"] == row["width"]
        assert [tag.decode() for tag in one["manifest/tags"]] == row["tags"]
        assert one["manifest/score"] == pytest.approx(row["score"])


def test_mlcroissant_reads_the_pictures(tmp_path: Path) -> None:
    made(tmp_path, Made("images", rows=(("train", 6),), shards=1))
    found = records(tmp_path, "images")
    assert [row["images/image"].size for row in found] == [(16, 16)] * 6


def test_tars_are_listed(tmp_path: Path) -> None:
    _, _, told = made(tmp_path, Made("images", tars=True))
    assert {one["encodingFormat"] for one in told["distribution"]} == {"application/x-tar"}
    assert "recordSet" not in told


def test_nested_columns_are_left_out(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    nested = schema.insert(3, pa.field("box", pa.struct([("x", pa.int32())])))
    told = json.loads(document(release, nested, "T", "a/b"))
    names = [field["name"] for field in told["recordSet"][0]["field"]]
    assert "manifest/box" not in names
    assert "manifest/tags" in names


@pytest.mark.parametrize(
    ("tag", "version"),
    [
        ("v2026.11", "2026.11.0"),
        ("v2026.04.1", "2026.4.1"),
        ("3", "3.0.0"),
        ("nightly", "nightly"),
        ("v1.2.3.4", "v1.2.3.4"),
    ],
)
def test_versions(tag: str, version: str) -> None:
    assert _version(tag) == version


def test_what_is_not_valid_fails(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    with pytest.raises(VerificationError, match=r"croissant\.json: not valid: .*license"):
        checked(document(replace(release, license=""), schema, "T", "a/b"))


def test_any_tag_will_do(tmp_path: Path) -> None:
    release, schema = publish(tmp_path)
    told = json.loads(document(replace(release, version="nightly"), schema, "T", "a/b"))
    assert told["version"] == "nightly"
