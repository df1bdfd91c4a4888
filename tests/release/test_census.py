"""Which rows of a root may be in a release: by verdict, removal list, and each key once."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.disk.removals import Removals, parse_file
from builder.errors import InputError
from builder.reasons import Cause
from builder.release.census import take
from builder.release.source import open_root
from tests.release.roots import NONE, scored_root
from tests.roots import make_root, pair, write_shard
from tests.scored import Scoring, make_scored

KEY = pair(4)["key"]


def test_a_root_without_scores_keeps_every_pair(tmp_path: Path) -> None:
    make_root(tmp_path, shards=2, rows=30)
    assert take(open_root(str(tmp_path)), NONE).wanted.all()


def test_verdicts_decide(tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    kept = pq.read_table(root / "scores", columns=["kept"])["kept"].to_numpy()
    census = take(open_root(str(root)), NONE)
    assert (census.wanted == kept).all()
    assert 0 < census.wanted.sum() < 140


@pytest.mark.parametrize("entry", ["key", "url", "host"])
def test_the_removal_list_takes_out_keys_urls_and_hosts(tmp_path: Path, entry: str) -> None:
    make_root(tmp_path / "root", shards=1, rows=30)
    (tmp_path / "out.txt").write_text(
        {"key": KEY, "url": pair(4)["url"], "host": "images.test"}[entry] + "\n"
    )
    census = take(open_root(str(tmp_path / "root")), parse_file(tmp_path / "out.txt"))
    gone = np.flatnonzero(census.removed).tolist()
    assert gone == ([*range(30)] if entry == "host" else [4])
    assert census.counts() == {"removed": len(gone), "duplicates": 0}


def test_of_equal_keys_the_first_kept_one_stays(tmp_path: Path) -> None:
    numbers = [1, 2, 3, 2, 2, 1, 4]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", [pair(n) for n in numbers], 3)
    drifted, kept = Cause.UNRELATED, Cause.HASH
    make_scored(tmp_path, Scoring(mix=[kept, drifted, kept, kept, kept, kept, kept]))
    census = take(open_root(str(tmp_path)), NONE)
    assert census.repeated.tolist() == [False, True, False, False, True, True, False]
    assert census.wanted.tolist() == [True, False, True, True, False, False, True]
    assert census.counts() == {"removed": 0, "duplicates": 2}


def test_a_pair_that_is_removed_does_not_count_as_repeated_too(tmp_path: Path) -> None:
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", [pair(4), pair(4), pair(5)], 3)
    census = take(open_root(str(tmp_path)), Removals.of([("key", KEY, None)]))
    assert census.wanted.tolist() == [False, False, True]
    assert census.counts() == {"removed": 2, "duplicates": 0}


def test_a_key_that_is_none(tmp_path: Path) -> None:
    rows = [pair(1), pair(2) | {"key": "two"}]
    write_shard(tmp_path / "images" / "train-00000-of-00001.parquet", rows, 1)
    with pytest.raises(InputError, match=r"train-00000-of-00001.parquet: row 1: its key is none"):
        take(open_root(str(tmp_path)), NONE)
