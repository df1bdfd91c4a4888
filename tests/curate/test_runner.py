"""The contract of a curation: whatever ends a run, the same command goes on to the same bytes."""

from __future__ import annotations

import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.curate.world import Root, curate, world
from tests.forked import Forked
from tests.passes import KILLED, full_disk_at

POINTS = [
    "ledger/curate/plan.json",
    "spool/centroids.parquet",
    "4-centroids/centroids-00000.json",
    "cells/part-00001-of-00003.arrow",
    "numbers/part-00002-of-00003.parquet",
    "5-deal/part-00001.json",
    "edges/cell-00000-of-00001.parquet",
    "6-cells/cell-00000.json",
    "found.json",
    "curated/train-00001-of-00003.parquet",
    "7-shards/train-00001.json",
    "ledger/curate/decision.json",
]


def here(source: str, output: str) -> None:
    """A run in this process, as tests.passes asks for it: source is not read."""
    curate(output, blur="100")


def made(root: Path) -> dict[str, bytes]:
    """What a run leaves, but for the time of it."""
    files = [path for path in root.rglob("*") if path.is_file() and "/ledger/" not in str(path)]
    files += [root / "ledger/curate" / name for name in ("decision.json", "found.json", "plan.json")]
    files += (root / "ledger/curate/edges").iterdir()
    return {str(path.relative_to(root)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def forked() -> Iterator[Forked]:
    with Forked("builder.curate.runner", "tests.curate.world") as run:
        yield run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated root that nothing disturbed."""
    root = Root(tmp_path_factory.mktemp("whole") / "root", world(240, seed=3)).path
    here("", str(root))
    return root


@pytest.fixture
def fresh(whole: Path, tmp_path: Path) -> Path:
    """The same root before it was curated."""
    root = tmp_path / "root"
    shutil.copytree(whole, root)
    shutil.rmtree(root / "curated")
    for path in (root / "ledger/curate").iterdir():
        if path.name != "2-embeddings":
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    return root


@pytest.mark.parametrize("point", POINTS)
def test_kill_9_at_any_point_ends_in_the_same_bytes(
    forked: Forked, whole: Path, fresh: Path, point: str
) -> None:
    ended = forked(KILLED.format(module="tests.curate.test_runner"), ["", str(fresh), point])
    assert ended.returncode == -signal.SIGKILL
    here("", str(fresh))
    assert made(fresh) == made(whole)


@pytest.mark.parametrize("point", ["5-deal/part-00001.json", "curated/train-00001-of-00003.parquet"])
def test_a_full_disk_is_one_line_and_loses_nothing(whole: Path, fresh: Path, point: str) -> None:
    with full_disk_at(point):
        here("", str(fresh))
    here("", str(fresh))
    assert made(fresh) == made(whole)


def test_a_second_run_writes_nothing_and_leaves_nothing_about(fresh: Path) -> None:
    here("", str(fresh))
    before = {path: path.stat().st_mtime_ns for path in fresh.rglob("*") if path.name != "decision.json"}
    here("", str(fresh))
    after = {path: path.stat().st_mtime_ns for path in fresh.rglob("*") if path.name != "decision.json"}
    assert {path for path in before if path.is_file()} == {path for path in after if path.is_file()}
    changed = [path for path, time in before.items() if path.is_file() and after[path] != time]
    assert changed == []
    assert not (fresh / ".curate").exists()
    assert not (fresh / "ledger/curate/spool").exists()


def test_ranks_share_a_root_and_the_last_one_decides(whole: Path, fresh: Path) -> None:
    from builder.curate.plan import Uncurated

    ended = []
    for rank in (0, 1, 0, 1):
        ended.append(curate(str(fresh), blur="100", rank=rank, world_size=2))
    assert isinstance(ended[0], Uncurated)
    assert ended[0].as_dict()["left"] == dict.fromkeys(
        ("shards to measure", "shards to embed", "shards to look at"), 0
    )
    assert made(fresh) == made(whole)


def test_overwrite_removes_what_a_run_made_and_nothing_else(whole: Path, fresh: Path) -> None:
    curate(str(fresh), blur="300")
    mine = [fresh / "curated/mine.parquet", fresh / "ledger/curate/edges/mine.parquet", fresh / "notes.txt"]
    for path in mine:
        path.write_bytes(b"mine")
    before = {path: path.stat().st_mtime_ns for path in (fresh / "embeddings").rglob("*.parquet")}
    curate(str(fresh), blur="100", overwrite=True)
    assert before == {path: path.stat().st_mtime_ns for path in (fresh / "embeddings").rglob("*.parquet")}
    for path in mine:
        assert path.read_bytes() == b"mine"
        path.unlink()
    assert made(fresh) == made(whole)


def test_overwriting_a_rebuild_takes_what_was_found_of_its_pictures_along(fresh: Path) -> None:
    from builder.disk.root import REBUILD, earlier

    here("", str(fresh))
    earlier(str(fresh), REBUILD).remove()
    left = {path.relative_to(fresh).as_posix() for path in fresh.rglob("*") if path.is_file()}
    assert left <= {"ledger/rebuild/plan.json"}


def test_a_dry_run_says_what_is_to_do_and_writes_nothing(fresh: Path) -> None:
    before = set(fresh.rglob("*"))
    told = curate(str(fresh), dry_run=True)
    assert "to do     the verdicts" in told.lines()
    assert told.lines()[-1] == "nothing was written: --dry-run"
    assert before == set(fresh.rglob("*"))


def test_a_shard_that_was_made_anew_is_compared_anew(whole: Path, fresh: Path, tmp_path: Path) -> None:
    """Another picture in one shard: the verdicts are those of a root that had it from the beginning."""
    import numpy as np

    here("", str(fresh))
    vectors = world(240, seed=3)
    vectors[5] = np.roll(vectors[5], 1)
    other = Root(
        tmp_path / "other", vectors, columns={"phash": [f"{row + (row == 5):016x}" for row in range(240)]}
    )
    here("", str(other.path))
    patterns = (
        "*/train-00000*",
        "embeddings/*/train-00000*",
        "ledger/rebuild/train-00000*",
        "ledger/curate/2-*/*00000*",
    )
    for path in [path for one in patterns for path in other.path.glob(one)]:
        shutil.copy(path, fresh / path.relative_to(other.path))
    (fresh / "curated/train-00000-of-00003.parquet").unlink()
    here("", str(fresh))
    assert made(fresh) == made(other.path)


def test_everything_dropped_is_no_success(tmp_path: Path) -> None:
    root = Root(tmp_path, world(120), measures={"spread": [1.0] * 120})
    told = curate(str(root.path))
    assert told.failure == (  # type: ignore[attr-defined]
        f"{root.path}: none of 120 rows is kept, 120 of them flat: the threshold is high; "
        f"danqing curate {root.path} --decide --spread N"
    )
