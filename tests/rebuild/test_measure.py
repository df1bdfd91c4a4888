"""`danqing rebuild --measure`: measures/ beside images/, of the originals, and nothing else changed by it."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.ledger import read_plan
from builder.disk.schema import MEASURES, said_by
from builder.picture.decode import decode
from builder.picture.header import check
from builder.picture.measure import measure
from builder.picture.measures import LUMA, RGB_TO_GRAY
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make
from tests.faulthost import FaultHost

from ..picture.photos import photo_jpeg
from ..pictures import PICTURES
from .runs import Launcher, kill_all, ledgers, names, reasons, rebuild, table, write_manifest

EXACT = RebuildConfig(image_size=64, measure=True)
FAST = replace(EXACT, decode="fast")
ORIGINAL = replace(EXACT, resize="none", encode="original")
FLAGS = ("--shard-size", "40", "--concurrency", "8", "--per-host", "32", "--validation", "0.2", "--measure")
ROWS = 160


@pytest.fixture
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=4) as host:
        yield host


@pytest.fixture
def manifest(web: FaultHost, tmp_path: Path) -> str:
    urls = [web.url(f"/picture/{i}.jpg", i % 4) for i in range(ROWS)]
    urls[9] = web.url("/status/410/9")
    return write_manifest(tmp_path / "m.parquet", urls)


@pytest.mark.parametrize("kind", PICTURES)
def test_exact_measures_the_pixels_that_are_decoded_anyway(kind: str) -> None:
    body = PICTURES[kind]()
    assert make(body, EXACT).measures == measure(decode(body, check(body)).array)


@pytest.mark.parametrize("options", [FAST, ORIGINAL, replace(ORIGINAL, decode="fast")])
@pytest.mark.parametrize("kind", PICTURES)
def test_where_less_may_be_decoded_a_jpeg_is_measured_by_its_whole_luma(
    kind: str, options: RebuildConfig
) -> None:
    body = PICTURES[kind]()
    found, header = make(body, options).measures, check(body)
    if header.format == "jpeg" and header.channels == 3:
        luma = cv2.imdecode(
            np.frombuffer(body, np.uint8), cv2.IMREAD_GRAYSCALE | cv2.IMREAD_IGNORE_ORIENTATION
        )
        assert found == measure(np.asarray(luma, np.uint8))
    assert found == pytest.approx(make(body, EXACT).measures, rel=0.1, abs=0.05)


def test_a_picture_is_the_same_with_measures_and_without() -> None:
    for options in (EXACT, FAST, ORIGINAL):
        made = make(photo_jpeg(1), options)
        assert replace(made, measures=None) == make(photo_jpeg(1), replace(options, measure=False))
        assert made.measures is not None


def test_what_is_stored_unseen_and_cannot_be_decoded_whole_has_no_measures() -> None:
    body = bytearray(photo_jpeg(2))
    body[len(body) // 2 : len(body) // 2 + 60] = b"\x55" * 60  # within the only scan
    made = make(bytes(body), replace(ORIGINAL, decode="fast"))
    assert made.measures is None
    assert made.data == body


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), RGB_TO_GRAY),
        (("--decode", "fast"), LUMA),
        (("--encode", "original", "--resize", "none"), LUMA),
    ],
)
def test_measures_stand_beside_images_row_by_row(
    manifest: str, tmp_path: Path, flags: tuple[str, ...], said: str
) -> None:
    root = tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS, *flags) == 0
    stems = sorted(path.stem for path in (root / "images").iterdir())
    assert sorted(path.stem for path in (root / "measures").iterdir()) == stems
    assert {stem.partition("-")[0] for stem in stems} == {"train", "validation"}
    for stem in stems:
        images = pq.read_table(root / "images" / f"{stem}.parquet")
        measures = pq.read_table(root / "measures" / f"{stem}.parquet")
        assert measures.schema.equals(MEASURES)
        assert said_by(measures.schema) == {"measures": 1, "on": "original", "decode": said}
        assert measures["key"].equals(images["key"])
        assert measures["spread"].null_count == 0
        assert pa.compute.min(measures["spread"]).as_py() > 0
    markers = ledgers(root)
    for stem, marker in markers.items():
        (path,) = [path for path in marker["outputs"] if path.startswith("measures/")]
        assert path.startswith(f"measures/{stem}-of-")
        assert marker["outputs"][path]["rows"] == marker["kept"]


def test_without_the_flag_nothing_is_measured(manifest: str, tmp_path: Path) -> None:
    assert rebuild(manifest, tmp_path / "root", *FLAGS[:-1]) == 0
    assert not [name for name in names(tmp_path / "root") if "measures" in name]
    plan = read_plan(str(tmp_path / "root"), "rebuild")
    assert plan is not None
    assert "measure" not in plan["config"]  # as in the plans of older builds


@pytest.mark.parametrize("seen", [20, 100, ROWS - 1])
def test_kill_9_leaves_the_same_measures(web: FaultHost, manifest: str, tmp_path: Path, seen: int) -> None:
    with contextlib.closing(Launcher()) as started:
        process = started(manifest, tmp_path / "root", *FLAGS)
        web.wait_for(seen)
        kill_all(process)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    assert rebuild(manifest, tmp_path / "whole", *FLAGS) == 0
    measures = [name for name in names(tmp_path / "whole") if name.startswith("measures/")]
    assert len(measures) == len(ledgers(tmp_path / "whole"))
    for name in measures:
        assert (tmp_path / "root" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


def test_rows_fetched_again_leave_the_measures_of_the_others(web: FaultHost, tmp_path: Path) -> None:
    urls = [web.url(f"/{'flaky/500/1' if i % 5 == 3 else 'picture'}/{i}.jpg", i % 4) for i in range(40)]
    urls[7] = urls[0]  # a pair that comes twice
    manifest = write_manifest(tmp_path / "m.parquet", urls, alt_text=["同一个"] * 40)
    root, whole = tmp_path / "root", tmp_path / "whole"
    flags = (*FLAGS, "--retries", "0")
    assert rebuild(manifest, root, *flags) == 0
    assert "http_5xx" in reasons(root)
    before = web.count()
    assert rebuild(manifest, root, *flags, "--retry-failed", "all") == 0
    assert web.count() == before + 8
    assert rebuild(manifest, whole, *flags) == 0
    for name in names(whole):
        if name.startswith("measures/"):
            assert (root / name).read_bytes() == (whole / name).read_bytes()
    assert sum(len(table(root, "measures", split)) for split in ("train", "validation")) == 40


def test_measures_of_other_rows_are_not_taken_for_those_of_a_shard(
    web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.url(f"/{'status/500' if i == 3 else 'picture'}/{i}.jpg") for i in range(9)]
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    flags = (*FLAGS[:-3], "--measure", "--retries", "0")
    assert rebuild(manifest, root, *flags) == 0
    (path,) = (root / "measures").iterdir()
    whole = pq.read_table(path)
    for rows in (whole.slice(1), whole.take([1, 0, 2, 3, 4, 5, 6, 7]), whole.drop_columns(["entropy"])):
        pq.write_table(rows, path)
        marker = root / "ledger" / "rebuild" / "train-00000.json"
        said = marker.read_text()
        marker.write_text(
            said.replace(
                str(ledgers(root)["train-00000"]["outputs"][f"measures/{path.name}"]["bytes"]),
                str(path.stat().st_size),
            )
        )
        assert rebuild(manifest, root, *flags, "--retry-failed", "all") == 3
        assert f"measures/{path.name}" in capsys.readouterr().err


def test_a_finished_root_is_told_who_measures_what_it_has(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS[:-1]) == 0
    assert rebuild(manifest, root, *FLAGS) == 2
    said = capsys.readouterr().err
    assert "--measure False then, True now" in said
    assert "danqing curate" in said
    assert rebuild(manifest, root, *FLAGS, "--overwrite") == 0
    assert rebuild(manifest, root, *FLAGS[:-1]) == 2
    said = capsys.readouterr().err
    assert "--measure True then, False now" in said
    assert "danqing curate" not in said


def test_what_overwrite_removes_holds_the_measures(manifest: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS) == 0
    assert rebuild(manifest, root, *FLAGS[:-1], "--overwrite") == 0
    assert not (root / "measures").exists()


def test_tars_are_not_measured(manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert rebuild(manifest, tmp_path / "root", *FLAGS, "--format", "webdataset") == 2
    assert "--measure: needs --format parquet" in capsys.readouterr().err


def test_what_plans_a_rebuild_loads_no_decoder() -> None:
    """Workers decode; the process that plans would only start later for them."""
    said = "import builder.rebuild.runner, sys; print({'cv2', 'PIL', 'simplejpeg'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", said], text=True) == "set()\n"
