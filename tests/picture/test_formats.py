"""Where and how a root is written: tars for WebDataset, and file systems that are not the local disk."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import webdataset
from PIL import Image

from tests.faulthost import FaultHost

from ..rebuild.runs import ledgers, names, reasons, rebuild, table, write_manifest

TARS = ("--format", "webdataset", "--shard-size", "50")


@pytest.fixture(scope="module")
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=4) as host:
        yield host


def manifest_of(web: FaultHost, folder: Path, name: str) -> str:
    urls = [web.url(f"/picture/{name}{i}.jpg", i % 4) for i in range(100)]
    urls[7], urls[60] = web.url(f"/status/404/{name}7"), web.url(f"/flaky/500/1/{name}60.jpg")
    return write_manifest(folder / "m.parquet", urls, similarity=[0.5] * 100)


@pytest.mark.filterwarnings("ignore::ResourceWarning")  # webdataset leaves its tars to the garbage collector
def test_tars_are_read_by_webdataset_as_open_clip_does(web: FaultHost, tmp_path: Path) -> None:
    assert rebuild(manifest_of(web, tmp_path, "tar"), tmp_path / "root", *TARS) == 0
    shards = sorted(str(path) for path in (tmp_path / "root" / "images").iterdir())
    assert [Path(shard).name for shard in shards] == ["train-00000-of-00002.tar", "train-00001-of-00002.tar"]
    pipeline = (
        webdataset.WebDataset(shards, shardshuffle=False)
        .decode("pil")
        .to_tuple("jpg;png;webp", "txt", "json")
    )
    pairs = list(pipeline)
    kept = [one for one in table(tmp_path / "root", "outcomes").to_pylist() if one["outcome"] == "kept"]
    assert [details["key"] for _, _, details in pairs] == [one["key"] for one in kept]
    assert all(isinstance(image, Image.Image) and text.startswith("第") for image, text, _ in pairs)
    assert {details["similarity"] for _, _, details in pairs} == {0.5}


def test_tars_of_two_runs_are_the_same_bytes_but_for_the_date(web: FaultHost, tmp_path: Path) -> None:
    manifest = manifest_of(web, tmp_path, "twice")
    for root in ("one", "two"):
        assert rebuild(manifest, tmp_path / root, *TARS) == 0
    for name in sorted(path.name for path in (tmp_path / "one" / "images").iterdir()):
        with (
            tarfile.open(tmp_path / "one" / "images" / name) as one,
            tarfile.open(tmp_path / "two" / "images" / name) as two,
        ):
            assert one.getnames() == two.getnames()
            for member in one.getnames():
                if not member.endswith(".json"):
                    assert one.extractfile(member).read() == two.extractfile(member).read()  # type: ignore[union-attr]


def test_retry_failed_works_on_tars(web: FaultHost, tmp_path: Path) -> None:
    manifest, root = manifest_of(web, tmp_path, "again"), tmp_path / "root"
    assert rebuild(manifest, root, *TARS, "--retries", "0") == 0
    assert [i for i, reason in enumerate(reasons(root)) if reason] == [7, 60]
    assert rebuild(manifest, root, *TARS, "--retries", "0", "--retry-failed", "http_5xx") == 0
    assert [i for i, reason in enumerate(reasons(root)) if reason] == [7]
    with tarfile.open(root / "images" / "train-00001-of-00002.tar") as tar:
        assert len(tar.getnames()) == 3 * 50


def test_a_root_behind_fsspec_is_the_same_root(
    web: FaultHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`local://` is a file system like any other to us: no rename, no lock, whole files put."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    manifest = manifest_of(web, tmp_path, "far")
    far, near = tmp_path / "far", tmp_path / "near"
    flags = ("--shard-size", "50", "--retries", "0")
    assert rebuild(manifest, f"local://{far}", *flags) == 0
    assert rebuild(manifest, near, *flags) == 0
    assert names(far) == names(near)
    assert not list((tmp_path / "cache").rglob("*.spool"))


def test_a_root_behind_fsspec_resumes_and_retries(
    web: FaultHost, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    manifest, root = manifest_of(web, tmp_path, "fsspec"), tmp_path / "root"
    url = f"local://{root}"
    flags = ("--shard-size", "50", "--retries", "0")
    assert rebuild(manifest, url, *flags) == 0
    before = web.count()
    assert rebuild(manifest, url, *flags) == 0
    assert web.count() == before
    assert rebuild(manifest, url, *flags, "--retry-failed", "all") == 0
    assert web.count() == before + 2
    assert [i for i, reason in enumerate(reasons(root)) if reason] == [7]
    assert sum(one["kept"] for one in ledgers(root).values()) == 99


ODD_TIMES = {
    "year": pa.array([6248642102400000000] * 100).view(pa.timestamp("us")),
    "day": pa.array([1 << 30] * 100, pa.int32()).view(pa.date32()),
    "nano": pa.array([1704164645000000001] * 100).view(pa.timestamp("ns", "Asia/Shanghai")),
    "nested": pa.ListArray.from_arrays(
        pa.array(range(101), pa.int32()), pa.array([1] * 100).view(pa.timestamp("ns"))
    ),
    "plain": pa.array([1704164645000000] * 100).view(pa.timestamp("us")),
    "counts": pa.array([[("a", 1)]] * 100, pa.map_(pa.string(), pa.int32())),
}


@pytest.mark.parametrize("form", ["webdataset", "parquet"])
def test_times_that_python_cannot_hold_go_through_a_run_and_a_retry(
    web: FaultHost, tmp_path: Path, form: str
) -> None:
    urls = [web.url(f"/picture/odd-{form}{i}.jpg", i % 4) for i in range(100)]
    urls[60] = web.url(f"/flaky/500/1/odd-{form}60.jpg")
    manifest, root = write_manifest(tmp_path / "m.parquet", urls, **ODD_TIMES), tmp_path / "root"
    flags = ("--format", form, "--shard-size", "50", "--retries", "0")
    assert rebuild(manifest, root, *flags) == 0
    assert rebuild(manifest, root, *flags, "--retry-failed", "http_5xx") == 0
    assert reasons(root) == [None] * 100
    if form == "parquet":
        read = pq.read_table(root / "images", columns=[*ODD_TIMES])
        assert read["year"].combine_chunks().view(pa.int64()).to_pylist() == [6248642102400000000] * 100
        assert read["counts"].to_pylist() == [[{"key": "a", "value": 1}]] * 100
        return
    with tarfile.open(root / "images" / "train-00001-of-00002.tar") as tar:
        details = [json.load(tar.extractfile(one)) for one in tar if one.name.endswith(".json")]  # type: ignore[arg-type]
    assert {str([one[name] for name in ODD_TIMES]) for one in details} == {
        str(
            [
                "6248642102400000000",
                "1073741824",
                "2024-01-02T03:04:05.000000001Z",
                ["1970-01-01T00:00:00.000000001"],
                "2024-01-02T03:04:05",
                [{"key": "a", "value": 1}],
            ]
        )
    }
