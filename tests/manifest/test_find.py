"""Files found, their order and their splits."""

from __future__ import annotations

import os
from pathlib import Path

import fsspec
import pytest

from builder.errors import EnvironmentProblem, InputError
from builder.manifest.find import find, natural, split_of


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(b"x")
    return root


def names_of(source: str) -> list[str]:
    return [entry.name for entry in find(source)[1]]


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("data/train-00000-of-00042.parquet", "train"),
        ("data/validation-00000-of-00001.parquet", "validation"),
        ("valid.csv", "validation"),
        ("my_val_urls.csv", "validation"),
        ("dev2.jsonl", "validation"),
        ("test-00000-of-00001.parquet", "test"),
        ("eval/part-1.parquet", "test"),
        ("test/train-1.parquet", "train"),  # the file name goes before the folder
        ("latest.parquet", "train"),  # a word inside another is none
        ("contest-1.csv", "train"),
        ("part-0.parquet", "train"),
    ],
)
def test_split_is_told_by_file_then_folder(name: str, split: str) -> None:
    assert split_of(name) == split


def test_natural_order_reads_numbers() -> None:
    names = ["part-10", "part-2", "part-02", "a1b", "part-1"]
    assert sorted(names, key=natural) == ["a1b", "part-1", "part-02", "part-2", "part-10"]


def test_folder_takes_data_files_by_split_in_natural_order(tmp_path: Path) -> None:
    touch(tmp_path, "b/part-10.parquet", "b/part-9.parquet", "test-0.parquet", "valid/x.parquet", "a.PARQUET")
    entries = find(str(tmp_path))[1]
    assert [(e.split, e.name) for e in entries] == [
        ("train", "a.PARQUET"),
        ("train", "b/part-9.parquet"),
        ("train", "b/part-10.parquet"),
        ("validation", "valid/x.parquet"),
        ("test", "test-0.parquet"),
    ]


def test_folder_passes_over_hidden_files_documents_and_roots(tmp_path: Path) -> None:
    touch(tmp_path, "a.csv", ".b.csv", ".cache/c.csv", "__x/d.csv", "README.md", "info.json", "_SUCCESS")
    touch(tmp_path / "out", "images/train-0.parquet", "ledger/rebuild/plan.json")
    assert names_of(str(tmp_path)) == ["a.csv"]


def test_folder_without_extensions_offers_what_is_there(tmp_path: Path) -> None:
    touch(tmp_path, "part-00001", "part-00000", "_SUCCESS", "README.md")
    assert names_of(str(tmp_path)) == ["part-00000", "part-00001"]


def test_links_to_files_are_followed(tmp_path: Path) -> None:
    touch(tmp_path, "blobs/0f3a")
    (tmp_path / "snapshot").mkdir()
    (tmp_path / "snapshot/a.parquet").symlink_to(tmp_path / "blobs/0f3a")
    assert names_of(str(tmp_path / "snapshot")) == ["a.parquet"]


@pytest.mark.parametrize("kind", ["pipe", "device", "link to nothing"])
def test_what_is_no_file_is_refused_before_it_is_opened(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "m.csv"
    if kind == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to("/dev/null" if kind == "device" else tmp_path / "none")
    for source in (tmp_path, tmp_path / "*.csv", *([path] if kind != "link to nothing" else [])):
        with pytest.raises(
            InputError, match=r"m\.csv: a pipe, device, socket or broken link; .* save it to a file"
        ):
            find(str(source))


def test_glob_is_named_from_its_fixed_part_and_told_its_splits(tmp_path: Path) -> None:
    touch(tmp_path, "data/train-2.parquet", "data/train-10.parquet", "data/test-0.parquet", "data/x.csv")
    entries = find(f"{tmp_path}/data/*.parquet")[1]
    assert [(e.name, e.split) for e in entries] == [
        ("train-2.parquet", "train"),
        ("train-10.parquet", "train"),
        ("test-0.parquet", "test"),
    ]


def test_glob_goes_down_folders(tmp_path: Path) -> None:
    touch(tmp_path, "a/b/x.csv", "a/y.csv", "a/b/.z.csv")
    assert names_of(f"{tmp_path}/**/*.csv") == ["a/b/x.csv", "a/y.csv"]


def test_one_file_is_train_whatever_its_name(tmp_path: Path) -> None:
    touch(tmp_path, "test[1].csv")
    assert [(e.name, e.split) for e in find(str(tmp_path / "test[1].csv"))[1]] == [("test[1].csv", "train")]


def test_url_is_found_by_its_file_system() -> None:
    fs = fsspec.filesystem("memory")
    fs.pipe({"/found/data/train-1.parquet": b"x", "/found/README.md": b"x"})
    assert names_of("memory://found") == ["data/train-1.parquet"]
    assert names_of("memory://found/data/*.parquet") == ["train-1.parquet"]


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none", "no such file or folder; there: docs, m1.csv, m2.csv"),
        ("*.parquet", "no file matches; there: docs, m1.csv"),
        ("docs", "no Parquet, CSV, TSV or JSON Lines file in it; there: README.md"),
        ("no/such/*.csv", "no file matches; its folder cannot be listed"),
        ("root", "a rebuilt root, not a manifest"),
    ],
)
def test_nothing_found_names_what_is_there(tmp_path: Path, source: str, said: str) -> None:
    touch(
        tmp_path,
        "m1.csv",
        "m2.csv",
        "docs/README.md",
        "root/ledger/rebuild/train-00000.json",
        "root/a.parquet",
    )
    with pytest.raises(InputError) as caught:
        find(f"{tmp_path}/{source}")
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_unknown_protocol_is_an_input_error() -> None:
    with pytest.raises(InputError, match="s4://bucket/x: Protocol not known"):
        find("s4://bucket/x")


def test_unreachable_host_is_a_problem_of_the_environment() -> None:
    with pytest.raises(EnvironmentProblem, match=r"cannot be read: .*127\.0\.0\.1"):
        find("http://127.0.0.1:1/a.parquet")
