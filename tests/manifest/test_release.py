"""A release as a manifest: its shards alone, the columns it adds under names that nothing else uses, hashes found."""

from __future__ import annotations

from pathlib import Path

import fsspec
import pyarrow as pa
import pytest

from builder.disk.release import NAME
from builder.disk.removals import PATH
from builder.disk.schema import IMAGES, SERVED
from builder.errors import InputError
from builder.manifest import ManifestOptions, open_manifest
from builder.manifest.find import find
from tests.releases import files_of, listed, pairs, write_release

URLS = [f"http://a.test/{i}.jpg" for i in range(9)]
NAMES = [f"manifest/{split}-0000{i}-of-00002.parquet" for split in ("train", "validation") for i in range(2)]


def release(folder: Path) -> str:
    """A release of four shards beside a removal list, a diff and figures."""
    (folder / "figures").mkdir(parents=True)
    (folder / "figures" / "score.png").write_bytes(b"x")
    (folder / "README.md").write_text("# Card")
    (folder / "croissant.json").write_text("{}")
    write_release(folder, "v0", {"changes/v0.parquet": pa.table({"key": ["0" * 32]})})
    write_release(folder, "v1", dict.fromkeys(NAMES, pairs(URLS)), listed(("host", "b.test")))
    return str(folder)


def test_the_shards_of_a_release_count_alone_and_name_their_splits(tmp_path: Path) -> None:
    entries = find(release(tmp_path / "test-set"))[1]
    assert [entry.name for entry in entries] == NAMES
    assert [entry.split for entry in entries] == ["train", "train", "validation", "validation"]
    assert open_manifest(str(tmp_path / "test-set"), ManifestOptions()).rows == {
        "train": 18,
        "validation": 18,
    }


def test_files_of_other_releases_in_the_folder_do_not_count(tmp_path: Path) -> None:
    source = release(tmp_path / "r")
    (tmp_path / "r" / "manifest" / "train-00002-of-00003.parquet").write_bytes(b"left behind")
    assert [entry.name for entry in find(source)[1]] == NAMES


def test_a_shard_that_is_missing_is_named(tmp_path: Path) -> None:
    source = release(tmp_path / "r")
    (tmp_path / "r" / NAMES[1]).unlink()
    with pytest.raises(
        InputError, match=rf"release v1 without {NAMES[1]}, which its release.json lists: get it again"
    ):
        find(source)


def test_a_release_of_images_is_refused(tmp_path: Path) -> None:
    write_release(tmp_path, "v1", {"images/train-00000-of-00001.parquet": pairs(URLS)})
    with pytest.raises(InputError, match="a release of images, which has the pictures already: load it with"):
        find(str(tmp_path))


def test_a_release_json_that_is_none_is_refused(tmp_path: Path) -> None:
    source = release(tmp_path / "r")
    (tmp_path / "r" / NAME).write_text("{}")
    with pytest.raises(InputError, match=r"release\.json: no release of danqing"):
        find(source)


def test_a_release_in_a_store_is_one_too(tmp_path: Path) -> None:
    release(tmp_path / "r")
    fs = fsspec.filesystem("memory")
    fs.pipe({f"/released/{path}": data for path, data in files_of(tmp_path / "r").items()})
    fs.pipe({"/released/.cache/manifest/x.parquet": b""})
    assert [entry.name for entry in find("memory://released")[1]] == NAMES
    assert PATH not in [entry.name for entry in find("memory://released")[1]]


def test_what_a_release_says_of_a_pair_is_carried_under_names_of_its_own(tmp_path: Path) -> None:
    said = {
        "similarity": [0.5] * 9,
        **dict.fromkeys(("width", "height"), [7] * 9),
        **dict.fromkeys(("sha256", "phash", "score_model", "verdict"), ["x"] * 9),
        "code": [b"c" * 32] * 9,
        **dict.fromkeys(("score", "score_alt_text", "score_recaption", "p"), [0.1] * 9),
        **dict.fromkeys(("suspect", "kept"), [True] * 9),
        "fetched_at": [1] * 9,
    }
    write_release(tmp_path, "v1", {NAMES[0]: pairs(URLS, **said)})
    manifest = open_manifest(str(tmp_path), ManifestOptions())
    assert manifest.hash_column == ("manifest_sha256", "sha256")
    carried = manifest.schema.names[3:]
    assert not {*carried} & {*IMAGES.names, *SERVED, "kept"}
    own = ("similarity", "score_model", "code", "score")
    names = [name if name in own else f"manifest_{name}" for name in ("key", *said)]
    assert carried == names
