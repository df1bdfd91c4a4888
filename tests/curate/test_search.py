"""The search for duplicates and what is decided by it, held against all products of a small world."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.errors import InputError, UsageError
from tests.curate.world import Root, units, world

DUPLICATES = ("copy", "near_duplicate", "cross_batch")
PLAIN = {"blur": "0", "entropy": "0"}


def test_no_two_kept_pictures_are_duplicates_and_each_dropped_one_is_of_what_stands_for_it(
    tmp_path: Path,
) -> None:
    vectors = world(400)
    root = Root(tmp_path, vectors)
    found = root.curate(**PLAIN)
    number = {root.key(row): row for row in range(400)}
    wide = vectors.astype(np.float64)
    cos = wide @ wide.T
    kept = [number[key] for key, row in found.items() if row["reason"] is None]
    among = cos[np.ix_(kept, kept)] - np.eye(len(kept))
    assert among.max() <= 0.9
    gone = [row for row in found.values() if row["reason"] in DUPLICATES]
    assert len(gone) > 50
    for row in gone:
        assert cos[number[row["key"]], number[row["nearest"]]] > 0.9
        assert found[row["nearest"]]["reason"] is None
        assert row["dup_count"] == found[row["nearest"]]["dup_count"] > 1
        assert row["dup_cluster"] is not None
    assert sum(found[root.key(row)]["dup_count"] for row in kept) == 400
    decision = json.loads((tmp_path / "ledger/curate/decision.json").read_text())
    assert decision["recall"].keys() == {"0.85-0.90", "0.90-0.95", "0.95-0.98", "0.98-1.00"}
    assert all(pairs == those and pairs for pairs, those in decision["recall"].values())
    pairs = np.triu(cos, 1)
    of = [int(np.count_nonzero((pairs >= low) & (pairs < high))) for low, high in ((0.85, 0.9), (0.9, 0.95))]
    assert [pairs for pairs, _ in list(decision["recall"].values())[:2]] == of
    assert decision["rows"] == 400 == decision["kept"] + sum(decision["reasons"].values())


def test_the_order_of_pairs_and_shards_decides_nothing(tmp_path: Path) -> None:
    vectors = world(300, seed=1)
    order = np.random.default_rng(5).permutation(300).tolist()
    one = Root(tmp_path / "one", vectors).curate(**PLAIN)
    other = Root(tmp_path / "other", vectors, shards=5, order=order).curate(**PLAIN)
    assert one == other


def test_new_thresholds_need_no_search(tmp_path: Path) -> None:
    root = Root(tmp_path, world(300, seed=2))
    root.curate(**PLAIN)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger/curate/edges").iterdir()}
    assert before
    again = root.curate(decide=True, dedup_cosine=0.95, **PLAIN)
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / "ledger/curate/edges").iterdir()}
    fresh = Root(tmp_path / "fresh", world(300, seed=2)).curate(dedup_cosine=0.95, **PLAIN)
    assert again == fresh
    with pytest.raises(UsageError, match=r"--dedup-cosine 0\.84: must be from 0\.85"):
        root.curate(decide=True, dedup_cosine=0.84)


def test_nothing_to_decide_by_is_one_line(tmp_path: Path) -> None:
    root = Root(tmp_path, world(30))
    with pytest.raises(InputError, match=r"nothing to decide by yet; run danqing curate .* without --decide"):
        root.curate(decide=True)


def test_a_pair_that_another_step_drops_stands_for_none(tmp_path: Path) -> None:
    """Of two equal pictures the blurred one drops for that, and the other stays, whichever is the larger."""
    vectors = units(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]]))
    sharpness = [10.0, 900.0, 900.0]
    wide = {"original_width": [900, 300, 300]}
    root = Root(tmp_path, vectors, 1, measures={"sharpness": sharpness}, columns=wide)
    assert root.reasons(blur="100", entropy="0") == ["blurred", None, None]
    assert root.reasons(blur="0", entropy="0", decide=True) == [None, "near_duplicate", None]


def test_in_the_papers_order_a_picture_that_drops_later_takes_its_duplicates_along(tmp_path: Path) -> None:
    """Row 16 comes before row 18: the larger of two equal pictures stays, and then drops for its caption."""
    vectors = units(np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0]]))
    captions = units(np.array([[0, 0, 1], [1, 0, 0.5], [0, 1, 0.5]]))
    root = Root(tmp_path, vectors, 1, captions, columns={"original_width": [900, 300, 300]})
    how = {"align": "0.2,1", **PLAIN}
    assert root.reasons(**how) == ["weak_match", None, None]
    assert root.reasons(order="paper", decide=True, **how) == ["weak_match", "near_duplicate", None]


def test_copies_have_one_perceptual_hash_too(tmp_path: Path) -> None:
    vectors = units(np.array([[1, 0.0], [1, 0.01], [1, 0.02], [0, 1]]))
    root = Root(tmp_path, vectors, 1, columns={"phash": ["0" * 16, "0" * 16, "f" * 16, "0" * 16]})
    assert root.reasons(**PLAIN).count("copy") == 1
    assert root.reasons(skip="duplicates", decide=True, **PLAIN) == [
        "copy",
        None,
        None,
        None,
    ] or root.reasons(skip="duplicates", decide=True, **PLAIN) == [None, "copy", None, None]


def test_batches_are_judged_by_themselves_first(tmp_path: Path) -> None:
    vectors = units(np.array([[1, 0.0], [1, 0.1], [1, 0.05], [0, 1]]))
    root = Root(
        tmp_path, vectors, 1, columns={"crawl": ["a", "a", "b", "b"], "original_width": [500, 300, 300, 300]}
    )
    assert root.reasons(**PLAIN) == [None, "near_duplicate", "cross_batch", None]
    assert root.reasons(batch="none", decide=True, **PLAIN) == [
        "near_duplicate",
        "near_duplicate",
        None,
        None,
    ]
    with pytest.raises(UsageError, match="--batch lot: images/ has no such column"):
        root.curate(batch="lot", decide=True)


def test_a_picture_without_embedding_has_a_reason_and_no_cell(tmp_path: Path) -> None:
    vectors = world(60)
    vectors[7] = np.nan
    root = Root(tmp_path, vectors, missing=frozenset({3}), measures={"spread": [None] + [40.0] * 59})
    reasons = root.reasons(**PLAIN)
    assert (reasons[0], reasons[3], reasons[7]) == ("corrupt", "no_embedding", "no_embedding")
    dealt = json.loads((tmp_path / "ledger/curate/5-deal/part-00000.json").read_text())
    assert dealt["counters"]["visits"] == 18


def test_files_that_do_not_belong_together_are_named(tmp_path: Path) -> None:
    root = Root(tmp_path, world(60))
    root.curate(**PLAIN)
    path = tmp_path / "measures" / "train-00001-of-00003.parquet"
    table = pq.read_table(path)
    pq.write_table(table.slice(1), path)
    with pytest.raises(InputError, match=r"measures/train-00001.*rows are not those of images/"):
        root.curate(decide=True)


@pytest.mark.parametrize("option", [{"embedder": "tiny", "caption": "recaption"}, {"against": "other"}])
def test_another_search_than_the_one_that_was_made_is_refused(tmp_path: Path, option: dict[str, Any]) -> None:
    root = Root(tmp_path / "root", world(60))
    Root(tmp_path / "other", world(30)).curate(**PLAIN)
    root.curate(**PLAIN)
    if "against" in option:
        option = {"against": str(tmp_path / "other")}
    with pytest.raises(UsageError, match="was curated with --"):
        root.curate(**option)


def test_a_search_that_misses_some_says_how_many(tmp_path: Path) -> None:
    from builder.curate.decide import Curated

    document: Any = {"recall": {"0.90-0.95": [1000, 994], "0.95-0.98": [1000, 995], "0.98-1.00": [100, 1]}}
    (line,) = Curated("r", document).warnings()
    assert line.startswith("of pictures of cosine 0.90-0.95 only 99.40% were found")
