"""The contract of every stage, kept by a toy: whatever happens to a run, the same command goes on to the same bytes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.disk.ledger import marker, read_all
from builder.errors import EnvironmentProblem, Interrupted, UsageError
from builder.stage.hold import hold

from .toy import COUNT, ROWS, SHARDS, WRITE, files, toy

PROCESSES = pytest.mark.parametrize("workers", [0, 2])


@pytest.fixture
def whole(tmp_path: Path) -> dict[str, bytes]:
    """What a run without trouble makes."""
    assert toy(tmp_path / "whole") == SHARDS
    return files(tmp_path / "whole")


@PROCESSES
def test_passes_come_one_after_the_other_and_only_once(
    tmp_path: Path, whole: dict[str, bytes], workers: int
) -> None:
    root = tmp_path / "root"
    assert toy(root, workers=workers) == SHARDS
    assert files(root) == whole
    assert [len(list(read_all(str(root), name))) for name in (COUNT, WRITE)] == [SHARDS, SHARDS]
    assert (root / "toys" / "total.txt").read_text() == str(SHARDS * ROWS * len("toy"))
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*-0*")}
    assert toy(root, workers=workers) == SHARDS
    assert before == {path: path.stat().st_mtime_ns for path in root.rglob("*-0*")}


@PROCESSES
def test_what_ends_a_run_costs_nothing_that_is_done(
    tmp_path: Path, whole: dict[str, bytes], workers: int
) -> None:
    root = tmp_path / "root"
    with pytest.raises(EnvironmentProblem, match=r"cannot use .*: No space left on device; nothing is lost"):
        toy(root, workers=workers, trouble="enospc")
    assert not Path(marker(str(root), WRITE, "train-00001-of-00004")).exists()
    assert toy(root, workers=workers) == SHARDS
    assert files(root) == whole


@PROCESSES
def test_the_first_signal_ends_what_is_in_flight(
    tmp_path: Path, whole: dict[str, bytes], workers: int
) -> None:
    root = tmp_path / "root"
    with pytest.raises(Interrupted, match="everything finished is kept"):
        toy(root, workers=workers, trouble="sigint")
    assert Path(marker(str(root), WRITE, "train-00001-of-00004")).exists()
    assert toy(root) == SHARDS
    assert files(root) == whole


def test_a_unit_whose_process_died_comes_again_with_the_row(tmp_path: Path) -> None:
    assert toy(tmp_path, workers=1, trouble="sigsegv") == SHARDS
    assert [one.reasons for one in read_all(str(tmp_path), WRITE)] == [{}, {"corrupt": 1}, {}, {}]


def test_ranks_make_what_one_run_makes(tmp_path: Path, whole: dict[str, bytes]) -> None:
    root = tmp_path / "root"
    assert toy(root, rank=1, world_size=2) == 0  # the other rank has not counted yet
    assert toy(root, rank=0, world_size=2) == SHARDS // 2
    assert toy(root, rank=1, world_size=2) == SHARDS
    assert files(root) == whole


def test_one_run_a_rank_and_one_world_size_at_a_time(tmp_path: Path) -> None:
    root = tmp_path / "root"
    with hold(root / ".toy", "", (0, 2)):
        with pytest.raises(EnvironmentProblem, match=r"another danqing toy is at work on .* as rank 0"):
            toy(root, rank=0, world_size=2)
        with pytest.raises(EnvironmentProblem, match="with another --world-size"):
            toy(root)
        toy(root, rank=1, world_size=2)
    assert not (root / ".toy").exists()


def test_other_options_are_refused_by_name_and_one_that_a_plan_lacks_was_the_default(tmp_path: Path) -> None:
    toy(tmp_path)
    plan = tmp_path / "ledger" / "toy" / "plan.json"
    assert json.loads(plan.read_text())["config"] == {"word": "toy"}
    before = files(tmp_path)
    with pytest.raises(UsageError, match="was made with --word 'toy' then, 'x' now; --loud False then, True"):
        toy(tmp_path, word="x", loud=True)
    assert files(tmp_path) == before


def test_a_dry_run_touches_nothing(tmp_path: Path) -> None:
    assert toy(tmp_path / "root", dry_run=True) == 0
    assert not (tmp_path / "root").exists()
