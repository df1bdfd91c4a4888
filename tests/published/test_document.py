"""release.json, as it may come from anyone, and where a release is."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from builder.disk.location import Repository, address, repository, repository_of, which
from builder.disk.release import LIMIT, Release, parse, read
from builder.errors import InputError

FILE = {"rows": 3, "bytes": 10, "sha256": "a" * 64}
RELEASE: dict[str, Any] = {
    "what": "manifest",
    "version": "v2026.11",
    "created_at": "2026-11-22T10:00:00+00:00",
    "validated": True,
    "license": "cc-by-nc-4.0",
    "source": "DeepGlint-AI/DanQing100M",
    "files": {"manifest/train-00000-of-00001.parquet": FILE, "README.md": FILE | {"rows": None}},
    "counts": {"rows": 3},
    "funnel": {},
}


def text(**fields: Any) -> bytes:
    return json.dumps(RELEASE | fields).encode()


def test_there_and_back(tmp_path: Path) -> None:
    release = parse(text(previous="v2026.10", dropped={"dead": 2}, removed=1), "x")
    (tmp_path / "release.json").write_bytes(release.as_json())
    assert read(str(tmp_path)) == release
    assert release.as_json() == read(str(tmp_path)).as_json()
    assert list(release.shards()) == ["manifest/train-00000-of-00001.parquet"]


@pytest.mark.parametrize("place", ["", "none", "file/x"])
def test_no_release_is_none(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    assert read(str(tmp_path / place)) is None


def file(**fields: Any) -> dict[str, Any]:
    return {"manifest/train-00000-of-00001.parquet": FILE | fields}


BAD = {
    "empty": (b"", "Expecting value"),
    "list": (b"[]", "no object of JSON"),
    "cut": (text()[:-5], "Expecting"),
    "not-utf8": (b"\xff\xfe\x00", "utf-?(8|16)"),
    "deep": (b"[" * 200_000, "recursion"),
    "nan": (text(counts={"rows": float("nan")}), "NaN is no number of JSON"),
    "digits": (b'{"format": ' + b"9" * 10_000 + b"}", "digits"),
    "lacking": (json.dumps({"format": 1}).encode(), "without counts, created_at, files"),
    "unknown": (text(more=1), "with an unknown more"),
    "what": (text(what="outcomes"), "what: 'outcomes' is none of manifest, images"),
    "version-path": (text(version="../../x"), "version: '../../x' is no version"),
    "version-empty": (text(version=""), "version: '' is no version"),
    "version-long": (text(version="v" * 200), "is no version"),
    "version-type": (text(version=2026), "version: '2026' is no str"),
    "previous": (text(previous="a/b"), "previous: 'a/b' is no version"),
    "created-at": (text(created_at="today"), "Invalid isoformat string: 'today'"),
    "validated": (text(validated="yes"), "validated: 'yes' is no bool"),
    "removed": (text(removed=-1), "removed: '-1' is no int"),
    "removed-bool": (text(removed=True), "removed: 'True' is no int"),
    "dropped": (text(dropped={"dead": 1.5}), "dropped: .* is no dict"),
    "counts": (text(counts=[1]), "counts: .* is no dict"),
    "files": (text(files=[FILE]), "files: .* is no dict"),
    "file": (text(files={"a": "b"}), "files: a: without bytes"),
    "bytes": (text(files=file(bytes=-1)), "without bytes"),
    "bytes-float": (text(files=file(bytes=1.0)), "without bytes"),
    "bytes-huge": (text(files=file(bytes=1 << 70)), "without bytes"),
    "sha256": (text(files=file(sha256="A" * 64)), "without sha256"),
    "rows": (text(files=file(rows="3")), "'3' is no number of rows"),
    "format": (text(format=0), "format: 0, not 1"),
    "format-bool": (text(format=True), "format: 'True' is no int"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_release_is_told_in_one_line(name: str) -> None:
    data, words = BAD[name]
    with pytest.raises(InputError, match=f"(?s)^here: no release of danqing: .*{words}") as caught:
        parse(data, "here")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400


PATHS = ["", "/etc/passwd", "../x", "images/../../x", "images//x", "images/", "./x", "a\\b", ".git/config"]
PATHS += ["images/.x", "C:/x", "a\x00b", "a\nb", "a\u202eb", "x/" * 600 + "x", "release.json"]


@pytest.mark.parametrize("path", PATHS, ids=[str(number) for number in range(len(PATHS))])
def test_paths_stay_inside(path: str) -> None:
    with pytest.raises(InputError, match="is no path inside a release"):
        parse(text(files={path: FILE}), "here")


def test_a_later_format_asks_for_an_update() -> None:
    with pytest.raises(InputError, match=r"^here: of format 2, this danqing reads 1: update danqing$"):
        parse(json.dumps({"format": 2, "unknown": []}).encode(), "here")


def test_megabytes_are_not_read(tmp_path: Path) -> None:
    assert LIMIT < 1 << 27
    (tmp_path / "release.json").write_bytes(text(source="x" * 2000))
    os.truncate(tmp_path / "release.json", LIMIT + 1)
    with pytest.raises(InputError, match=f"more than {LIMIT:,} bytes"):
        read(str(tmp_path))


def test_fields_are_those_of_the_class() -> None:
    assert RELEASE.keys() <= {*Release.__slots__}


ADDRESSES = {
    "org/name": "hf://datasets/org/name",
    "org/name@v2026.11": "hf://datasets/org/name@v2026.11",
    "org/name@refs/pr/1": "hf://datasets/org/name@refs%2Fpr%2F1",
    "https://huggingface.co/datasets/org/name": "hf://datasets/org/name",
    "https://huggingface.co/datasets/org/name/tree/v1/": "hf://datasets/org/name@v1",
    "https://huggingface.co/datasets/org/name/blob/main/x": "https://huggingface.co/datasets/org/name/blob/main/x",
    "hf://datasets/org/name@v1": "hf://datasets/org/name@v1",
    "s3://bucket/x": "s3://bucket/x",
    "../name": "../name",
    "./name": "./name",
    "name": "name",
    "folder/pairs.tsv": "folder/pairs.tsv",
    "folder/pairs.jsonl.gz": "folder/pairs.jsonl.gz",
    f"org/{'x' * 5000}": f"hf://datasets/org/{'x' * 5000}",
    "a/b/c": "a/b/c",
    "数据/发布": "数据/发布",
    "x" * 5000: "x" * 5000,
}


@pytest.mark.parametrize("typed", ADDRESSES, ids=[name[:30] for name in ADDRESSES])
def test_what_is_typed(typed: str) -> None:
    assert address(typed) == ADDRESSES[typed]


def test_a_folder_that_is_there_is_meant(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "org/name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert address("org/name") == "org/name"
    assert which("org/name") == "org/name: read from this machine; hf://datasets/org/name would be of the Hub"
    assert which("org/other").startswith("org/other: read from the Hub, hf://datasets/org/other")
    assert which("./org/name") == which("hf://datasets/org/name") == ""


def test_the_repository_that_a_file_lies_in() -> None:
    assert repository_of("hf://datasets/org/name@v1/manifest/x.parquet") == Repository("org/name", "v1")
    assert repository_of("/home/org/name/x.parquet") is None


REPOSITORIES = {
    "hf://datasets/org/name": Repository("org/name", None),
    "hf://datasets/org/name/": Repository("org/name", None),
    "hf://datasets/org/name@v1": Repository("org/name", "v1"),
    "hf://datasets/org/name@refs%2Fpr%2F1": Repository("org/name", "refs/pr/1"),
    "hf://datasets/org/name/images": None,
    "hf://datasets/org/name@v1/images": None,
    "hf://datasets/name": None,
    "hf://org/name": None,
    "/org/name": None,
}


@pytest.mark.parametrize("url", REPOSITORIES)
def test_repository(url: str) -> None:
    found = repository(url)
    assert found == REPOSITORIES[url]
    if found is not None:
        assert repository(found.url) == found
        assert found.at("a/b").url.endswith("@a%2Fb")
