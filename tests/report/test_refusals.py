"""What `danqing report` refuses, in one line, before anything is written."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from tests.scored import Scoring

from . import planted
from .conftest import Made

SHARD = "train-00001-of-00002.parquet"


@pytest.fixture
def root(made: Made, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made.root, tmp_path / "root"))


def refused(root: Path, code: int, capsys: pytest.CaptureFixture[str]) -> str:
    """The line that stands for an error, with nothing written."""
    page = root.parent / "page.html"
    assert main(["report", str(root), str(page), "--quiet"]) == code
    out, err = capsys.readouterr()
    assert not page.exists()
    assert out == ""
    assert err.count("\n") == 1
    return err


def test_a_root_that_is_not_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    err = refused(tmp_path / "none", 3, capsys)
    assert (
        err
        == f"danqing: {tmp_path}/none: neither a root nor a run; give the OUTPUT of danqing rebuild or train\n"
    )
    planted.plant(tmp_path / "root", planted.pairs(4), [])
    shutil.rmtree(tmp_path / "root" / "ledger")
    err = refused(tmp_path / "root", 3, capsys)
    root = tmp_path / "root"
    assert err == f"danqing: {root}: no scores yet; run danqing revalidate {root}, or danqing curate {root}\n"


def test_a_root_that_is_not_decided(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planted.plant(tmp_path / "root", planted.pairs(4), [], Scoring(decided=False))
    assert f"run danqing revalidate {tmp_path}/root --decide" in refused(tmp_path / "root", 3, capsys)


@pytest.mark.parametrize("document", ["[]", "{}", "{", '{"decision": "d"}'])
def test_what_is_no_decision(root: Path, capsys: pytest.CaptureFixture[str], document: str) -> None:
    (root / "ledger/revalidate/decision.json").write_text(document)
    assert "decision.json: no decision" in refused(root, 3, capsys)


def test_a_shard_with_the_verdicts_of_another_decision(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = root / "ledger/revalidate/decision.json"
    path.write_text(json.dumps({**json.loads(path.read_bytes()), "decision": "another"}))
    assert "train-00000-of-00002.parquet: has no verdicts of the last decision" in refused(root, 3, capsys)


@pytest.mark.parametrize("name", ["verdict", "kept"])
@pytest.mark.parametrize("kind", ["null", "int8", None])
def test_a_shard_whose_verdicts_were_changed(
    root: Path, capsys: pytest.CaptureFixture[str], name: str, kind: str | None
) -> None:
    path = root / "scores" / SHARD
    table = pq.read_table(path)
    at, field = table.schema.get_field_index(name), table.schema.field(name)
    column = pa.nulls(len(table), field.type if kind == "null" else pa.int8())
    table = table.set_column(at, field.with_type(column.type), column) if kind else table.drop_columns([name])
    pq.write_table(table, path)
    said = refused(root, 3, capsys)
    assert f"{SHARD}: " in said
    assert said.endswith(f"; run danqing revalidate {root} --decide\n")


@pytest.mark.parametrize("folder", ["scores", "outcomes", "images"])
def test_a_shard_cut_short(root: Path, capsys: pytest.CaptureFixture[str], folder: str) -> None:
    path = root / folder / SHARD
    path.write_bytes(path.read_bytes()[:-100])
    assert f"{folder}/{SHARD}: no whole Parquet file" in refused(root, 3, capsys)


def test_a_shard_of_pictures_that_is_gone(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "images" / SHARD).unlink()
    assert f"images/{SHARD}: no such file" in refused(root, 3, capsys)


def test_pictures_that_are_not_those_that_were_scored(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, second = (root / "images" / f"train-0000{n}-of-00002.parquet" for n in (0, 1))
    shutil.copy(first, second)
    assert "is not the pair that scores/ has there" in refused(root, 3, capsys)


def test_a_column_that_is_missing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(root / "scores" / SHARD)
    pq.write_table(table.drop_columns(["cause", "p"]), root / "scores" / SHARD)
    assert f"scores/{SHARD}: column p is missing; run danqing revalidate {root} --decide" in refused(
        root, 3, capsys
    )


def test_scores_of_more_pairs_than_were_rebuilt(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table = pq.read_table(root / "outcomes" / SHARD)
    pq.write_table(table.slice(5), root / "outcomes" / SHARD)
    assert "they are of different rebuilds" in refused(root, 3, capsys)


@pytest.mark.parametrize("left", [0, 1])
def test_scores_of_fewer_pairs_than_were_judged(
    root: Path, capsys: pytest.CaptureFixture[str], left: int
) -> None:
    path = root / "scores" / SHARD
    with pq.ParquetFile(path) as file:
        table = file.read()
    if left:
        pq.write_table(table.slice(0, left), path)
    else:
        path.unlink()
    assert "files are missing or cut short; restore them" in refused(root, 3, capsys)


def test_a_panel_that_is_none(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = root / "ledger/revalidate/panel.npz"
    for data in (b"PK\x03\x04 cut short", b"", pa.array([1]).buffers()[1].to_pybytes()):
        path.write_bytes(data)
        assert "panel.npz: no panel of scored pairs" in refused(root, 3, capsys)


@pytest.mark.parametrize("module", ["matplotlib", "jinja2"])
def test_an_extra_that_is_missing(
    made: Made,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    module: str,
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    page = tmp_path / "page.html"
    assert main(["report", str(made.root), str(page)]) == 4
    assert capsys.readouterr().err == f"danqing: {module} missing; pip install 'danqing[report]'\n"
    assert not page.exists()


def test_a_file_of_somebody_else(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    page = tmp_path / "thesis.html"
    page.write_text("<title>Mine</title>")
    assert main(["report", str(made.root), str(page)]) == 2
    assert capsys.readouterr().err == f"danqing: {page}: is no report; name another file, or --overwrite\n"
    assert page.read_text() == "<title>Mine</title>"
    assert main(["report", str(made.root), str(page), "--overwrite", "--quiet", "--samples", "0"]) == 0
    assert page.read_text().startswith("<!DOCTYPE html>")


def test_a_folder_for_a_page(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(made.root), str(tmp_path), "--overwrite"]) == 2
    assert "is a folder; name an HTML file" in capsys.readouterr().err


def test_samples_below_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "a", "b", "--samples", "-1"]) == 2
    assert capsys.readouterr().err == "danqing: --samples -1: must be from 0 to 1000\n"


@pytest.mark.parametrize("flags", [[], ["--overwrite"]])
def test_a_pipe_is_neither_waited_for_nor_replaced(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], flags: list[str]
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    assert main(["report", str(made.root), str(pipe), *flags]) == 2
    said = "is a pipe or a device; name an HTML file to write"
    assert capsys.readouterr().err == f"danqing: {pipe}: {said}\n"
    assert pipe.is_fifo()
