"""Root and manifest are never in each other's way: what would be refused for good by the resume is refused at once."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from builder.cli import main
from builder.disk.root import REBUILD
from builder.errors import UsageError
from builder.stage.rows import check_apart
from tests.faulthost import FaultHost

from .runs import names, rebuild, write_manifest


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with manifests in `m`, `l` as another name of it, and a root in `root` that has images."""
    for name in ("m/a.csv", "m/deeper/b.csv", "root/images/x.csv", "root/kept/a.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("url,caption\nhttp://127.0.0.1:1/a.jpg,a\n")
    (tmp_path / "l").symlink_to(tmp_path / "m")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("m", "m"),
        ("m/", "./m"),
        ("l", "m"),
        ("m", "l"),
        ("{here}/m", "m"),
        ("file://{here}/m", "l/deeper/.."),
        ("m/**/*.parquet", "m"),
        ("m/**/*.parquet", "m/out"),
        ("{here}/l/**", "m/out"),
        ("m/*", "m"),  # README.md
        ("**/*.json", "m/out"),
        ("root/images", "root"),
        ("root/images/x.csv", "root"),
        ("root/images/*.csv", "root"),
        ("memory://a/m", "memory://a/m/"),
        ("memory://a/m/images/train.csv", "memory://a/m"),
    ],
)
def test_a_root_in_the_way_of_its_manifest_is_refused(place: Path, source: str, output: str) -> None:
    import fsspec

    fsspec.filesystem("memory").pipe_file("/a/m/images/train.csv", b"url,caption\n")
    with pytest.raises(UsageError, match="name another folder"):
        check_apart(source.format(here=place), output, REBUILD)


@pytest.mark.parametrize(
    ("source", "output"),
    [
        ("m", "root"),
        ("m", "m/out"),  # a root in the folder of its manifest is passed over there
        ("m/a.csv", "m"),
        ("m/*.csv", "m"),
        ("m/*.csv", "m/out"),
        ("root/kept", "root"),
        ("m", "memory://m"),
        ("https://host.invalid/m.parquet", "m"),
    ],
)
def test_a_root_beside_its_manifest_is_well(place: Path, source: str, output: str) -> None:
    check_apart(source, output, REBUILD)


def test_a_root_in_the_folder_of_its_manifest_goes_on(threaded_host: FaultHost, tmp_path: Path) -> None:
    write_manifest(tmp_path / "m.parquet", [threaded_host.url(f"/picture/{i}.jpg") for i in range(4)])
    for _ in range(2):
        assert rebuild(str(tmp_path), tmp_path / "out") == 0
    assert threaded_host.count() == 4


def test_the_folder_of_the_manifest_is_left_as_it_was(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = names(place)
    for flags in ((), ("--overwrite",), ("--dry-run",)):
        assert main(["rebuild", "m", os.path.relpath(place / "l"), *flags]) == 2
        assert "the root is the folder of the manifest" in capsys.readouterr().err
    assert names(place) == before


def test_what_overwrite_would_remove_is_told(
    threaded_host: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = write_manifest(tmp_path / "m.parquet", [threaded_host.url("/picture/1.jpg")])
    root = tmp_path / "root"
    assert rebuild(manifest, root) == 0
    for name in ("images/cat.jpg", "scores/mine.csv", "notes.txt"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text("mine")
    before = names(root)
    capsys.readouterr()
    assert rebuild(manifest, root, "--overwrite", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    ours = {
        "ledger/rebuild/train-00000.json",
        *(f"{kind}/train-00000-of-00001.parquet" for kind in ("images", "outcomes")),
        "README.md",
    }
    assert set(told["overwritten"]) == ours
    assert told["shards_to_do"] == 1
    assert rebuild(manifest, root, "--overwrite", "--dry-run") == 0
    assert "removes   4 files: ledger/rebuild/train-00000.json, " in capsys.readouterr().out
    assert rebuild(manifest, root, "--dry-run", "--json") == 0
    assert "overwritten" not in json.loads(capsys.readouterr().out)
    assert names(root) == before
    assert rebuild(manifest, root, "--overwrite", "--image-size", "32") == 0
    assert names(root) == before
    assert (root / "images" / "cat.jpg").read_text() == "mine"
