"""Shards are made once, whatever happens, and never more of them lie here than was allowed."""

import signal
from pathlib import Path

import pytest

from builder.console import Console
from builder.errors import Interrupted
from builder.release.staging import MadeShard, Staging
from tests.release.elsewhere import Elsewhere
from tests.release.roots import scored_root, staging_of, tree

QUIET = Console(quiet=True)
ALL = 0, 2  # no budget, two workers


@pytest.fixture
def staging(tmp_path: Path) -> Staging:
    """Of nine shards: eight of train, one of validation."""
    return staging_of(
        scored_root(tmp_path, rows=400), tmp_path / "work", Elsewhere(tmp_path / "there"), what="images"
    )


def inodes(staging: Staging) -> dict[str, int]:
    return {path.name: path.stat().st_ino for path in (staging.folder / "images").iterdir()}


def test_every_planned_shard_is_made_and_counted(staging: Staging) -> None:
    staging.make(*ALL, QUIET)
    assert set(staging.entries()) == {shard.path for shard in staging.plan.shards}
    counts = staging.counts()
    assert counts.kept == staging.plan.rows["kept"]
    assert counts.splits["train"]["shards"] == 8
    assert counts.splits["train"]["bytes"] == sum(
        one["bytes"] for path, one in staging.entries().items() if "train" in path
    )


@pytest.mark.parametrize("workers", [1, 4])
def test_the_number_of_workers_does_not_show(staging: Staging, tmp_path: Path, workers: int) -> None:
    staging.make(*ALL, QUIET)
    other = staging_of(tmp_path / "root", tmp_path / "other", what="images")
    other.make(0, workers, QUIET)
    assert tree(other.folder) == tree(staging.folder)


def test_what_is_made_is_not_made_again(staging: Staging) -> None:
    staging.make(*ALL, QUIET)
    before = inodes(staging)
    (staging.folder / "images" / "train-00002-of-00008.parquet").unlink()
    (staging.work / "done" / "train-00005-of-00008.json").unlink()
    staging.make(*ALL, QUIET)
    changed = {name for name, inode in inodes(staging).items() if before[name] != inode}
    assert changed <= {"train-00002-of-00008.parquet", "train-00005-of-00008.parquet"}
    assert set(inodes(staging)) == set(before)


def test_a_shard_of_another_size_than_its_marker_says_is_made_again(staging: Staging) -> None:
    staging.make(*ALL, QUIET)
    path = staging.folder / "images" / "train-00002-of-00008.parquet"
    whole = path.read_bytes()
    path.write_bytes(whole[:-10])
    staging.make(*ALL, QUIET)
    assert path.read_bytes() == whole


def test_no_more_lies_here_than_the_budget_and_one_shard(staging: Staging) -> None:
    there = staging.target
    assert isinstance(there, Elsewhere)
    there.watched = staging.folder
    sizes = [shard.bytes for shard in staging.plan.shards]
    budget = 3 * max(sizes)
    staging.make(budget, 4, QUIET)
    largest = max(path.stat().st_size for path in (there.folder / "staged" / "images").iterdir())
    assert len(there.seen) > 1
    assert max(there.seen) <= budget + largest
    assert staging.sent() == {path for kind, files in there.log if kind == "put" for path in files}  # type: ignore[attr-defined]


def test_a_budget_below_one_shard_sends_each_by_itself(staging: Staging) -> None:
    staging.make(1, 4, QUIET)
    puts = [files for kind, files in staging.target.log if kind == "put"]  # type: ignore[attr-defined]
    assert puts == [[shard.path] for shard in staging.plan.shards]
    assert not list((staging.folder / "images").iterdir())


def test_what_was_sent_is_neither_made_nor_sent_again(staging: Staging, tmp_path: Path) -> None:
    staging.make(1, 1, QUIET)
    there = Elsewhere(tmp_path / "there")
    staging.target = there
    staging.make(1, 1, QUIET)
    assert there.log == []
    assert staging.counts().kept == staging.plan.rows["kept"]


def test_shards_are_read_where_they_are(staging: Staging, tmp_path: Path) -> None:
    staging.make(max(shard.bytes for shard in staging.plan.shards) * 3, 1, QUIET)
    places = staging.places()
    assert all(Path(place).exists() for place in places)
    assert {str(place).startswith(str(tmp_path / "there")) for place in places} == {True, False}


def test_what_a_killed_run_left_half_written_is_swept(staging: Staging) -> None:
    left = staging.folder / "images" / ".train-00000-of-00008.parquet.tmp"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"half")
    staging.make(*ALL, QUIET)
    assert not left.exists()


@pytest.mark.parametrize("budget", [0, 1])
def test_the_first_signal_ends_after_the_shards_in_flight(
    staging: Staging, monkeypatch: pytest.MonkeyPatch, budget: int
) -> None:
    write = MadeShard.write

    def ask(made: MadeShard, marker: Path) -> None:
        write(made, marker)
        if made.path.endswith("train-00000-of-00008.parquet"):
            signal.raise_signal(signal.SIGINT) if budget else signal.pthread_kill(main, signal.SIGTERM)

    import threading

    main = threading.main_thread().ident or 0
    monkeypatch.setattr(MadeShard, "write", ask)
    with pytest.raises(Interrupted, match="the same command goes on"):
        staging.make(budget, 1, QUIET)
    made = list((staging.work / "done").iterdir())
    assert 1 <= len(made) < 9
    staging.make(budget, 1, QUIET)
    assert len(staging.entries()) == 9


def test_a_shard_that_fails_ends_the_run_and_the_others_are_kept(staging: Staging) -> None:
    path = Path(staging.root.parts[1].shard.url)
    whole = path.read_bytes()
    path.write_bytes(whole[:4] + bytes(4000) + whole[4004:])
    with pytest.raises(Exception, match="train-00001"):
        staging.make(0, 1, QUIET)
    done = len(list((staging.work / "done").iterdir()))
    assert 0 < done < 9
    path.write_bytes(whole)
    staging.make(*ALL, QUIET)
    assert len(staging.entries()) == 9
