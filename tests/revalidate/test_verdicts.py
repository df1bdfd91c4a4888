"""The verdicts against planted truth: the small version of benchmarks/verdicts.py, on real roots of real pictures.

One seed of 1,200 pairs, so the bounds leave room for chance beyond those of the benchmark.
"""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builder.reasons import Verdict
from tests.drift import Planted, figures, plant, write_manifest, write_root
from tests.revalidate.runs import revalidate

PAIRS, SEED = 1200, 3


@pytest.fixture(scope="module")
def pairs() -> list[Planted]:
    return [plant(SEED, number) for number in range(PAIRS)]


@pytest.fixture(scope="module")
def root(pairs: list[Planted], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What is served later, re-validated against what a release recorded."""
    folder = tmp_path_factory.mktemp("verdicts")
    write_root(folder / "release", pairs, later=False, shard=500)
    write_root(folder / "later", pairs, later=True, shard=500)
    assert revalidate(folder / "release", "--alpha", "0.01") == 0
    write_manifest(folder / "manifest.parquet", folder / "release")
    assert (
        revalidate(folder / "later", "--reference", str(folder / "manifest.parquet"), "--alpha", "0.01") == 0
    )
    return folder / "later"


def column(root: Path, name: str) -> list[Any]:
    return [
        value
        for path in sorted((root / "scores").glob("*"))
        for value in pq.read_table(path)[name].to_pylist()
    ]


def test_intact_pairs_stay_and_the_others_go(root: Path, pairs: list[Planted]) -> None:
    found = figures(pairs, column(root, "kept"))
    assert found["false_drops"] <= 1.0
    assert found["false_share"] <= 5.0
    assert found["placeholder"] >= 99.0
    assert found["replaced"] >= 96.0
    assert found["junk"] <= 1.0


def test_the_same_bytes_are_the_same_and_nothing_else_is(root: Path, pairs: list[Planted]) -> None:
    same = [verdict == Verdict.SAME for verdict in column(root, "verdict")]
    assert same == [pair.kind == "same" for pair in pairs]


def test_placeholders_are_called_so(root: Path, pairs: list[Planted]) -> None:
    kinds = [
        pair.kind
        for pair, verdict in zip(pairs, column(root, "verdict"), strict=True)
        if verdict == "placeholder"
    ]
    assert kinds.count("placeholder") >= 0.9 * sum(pair.kind == "placeholder" for pair in pairs)
    assert kinds.count("placeholder") == len(kinds)


def test_a_caption_wrong_from_the_start_is_no_drift(root: Path, pairs: list[Planted]) -> None:
    """The code knows the picture, though the caption does not fit it."""
    kept = column(root, "kept")
    wrong = [kept[i] for i, pair in enumerate(pairs) if pair.wrong_caption and pair.kind == "harmless"]
    assert len(wrong) >= 5
    assert sum(wrong) >= 0.8 * len(wrong)


def test_p_of_junk_is_no_smaller_than_chance(root: Path, pairs: list[Planted]) -> None:
    """The premise of the level: of junk at most a share t has p <= t, with room for 150 pairs."""
    for name in ("p_code", "p_caption"):
        p = column(root, name)
        junk = [p[i] for i, pair in enumerate(pairs) if pair.kind in ("placeholder", "replaced")]
        assert len(junk) >= 100
        for level in (0.02, 0.1, 0.3):
            assert sum(one <= level for one in junk) <= level * len(junk) + 2.5 * (level * len(junk)) ** 0.5


def test_fixed_rules_do_worse(root: Path, pairs: list[Planted]) -> None:
    """Dropping by a hash of the bytes loses what was only encoded anew; by the score, keeps much that was replaced."""
    scores = [1.0 if score is None else score for score in column(root, "score_alt_text")]
    released = sorted(pq.read_table(root.parent / "manifest.parquet")["score_alt_text"].to_pylist())
    by_bytes = figures(pairs, [pair.kind == "same" for pair in pairs])
    by_score = figures(pairs, [score >= released[len(released) // 100] for score in scores])
    ours = figures(pairs, column(root, "kept"))
    assert by_bytes["false_drops"] > 20 > 10 * ours["false_drops"]
    assert by_score["junk"] > 10 > 4 * ours["junk"]
