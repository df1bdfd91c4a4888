"""The verdicts of arrays of pairs: which rule applies, in which order."""

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from builder.revalidate.judge import CAUSES, PAIR, VERDICTS, Judged

NAN = float("nan")


def pairs(count: int, **fields: Any) -> npt.NDArray[np.void]:
    """Changed pairs, each with a picture, code and caption of its own, that neither test knows."""
    made = np.zeros(count, PAIR)
    own = np.arange(1, count + 1)
    usual = {"decoded": True, "p_code": 0.5, "p_caption": 0.5, "phash": own, "code": own, "caption_hash": own}
    for name, value in (usual | {"code_distance": -1, "score_change": NAN, "score": 0.1} | fields).items():
        made[name] = value
    return made


def words(judged: Judged) -> list[str]:
    return [f"{VERDICTS[v]} {CAUSES[c]}" for v, c in zip(judged.verdict, judged.cause, strict=True)]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"decoded": False}, "dead no_picture"),
        ({"decoded": False, "same": True}, "same hash"),  # never decoded: the bytes say it
        ({"same": True, "p_code": NAN, "p_caption": NAN}, "same hash"),
        ({"phash": 9}, "placeholder phash_cluster"),
        ({"code": 9}, "placeholder code_cluster"),
        ({"phash": 9, "code": 9}, "placeholder phash_cluster"),
        ({"phash": 9, "same": True}, "same hash"),
        ({"phash": 9, "p_caption": 0.001}, "matching caption"),
        ({"p_code": 0.001}, "moved code"),
        ({"p_code": 0.001, "p_caption": 0.0005}, "moved code"),
        ({"p_caption": 0.001}, "matching caption"),
        ({}, "drifted unrelated"),
        ({"p_code": NAN, "p_caption": NAN}, "drifted unrelated"),
        ({"p_code": NAN, "p_caption": 0.009}, "matching caption"),  # not doubled where it is the only one
        ({"p_code": 0.009, "p_caption": NAN}, "moved code"),
        ({"p_code": 0.009, "p_caption": 0.5}, "drifted unrelated"),  # .018 is above the level
    ],
)
def test_the_first_rule_that_applies(fields: dict[str, Any], expected: str) -> None:
    assert words(Judged.of(pairs(4, **fields), 0.01)) == [expected] * 4


def test_a_good_caption_does_not_make_a_pair_moved() -> None:
    """Rejected by its caption at p = .002; 2 x .006 alone would be above the threshold."""
    judged = Judged.of(pairs(2, p_code=0.006, p_caption=0.001), 0.01)
    assert words(judged) == ["matching caption"] * 2


def test_only_changed_pairs_without_placeholders_are_tested() -> None:
    every = pairs(12)
    every["same"][:4] = True
    every["phash"][4:8] = 99
    every["decoded"][8] = False
    judged = Judged.of(every, 0.01)
    assert judged.tested == 3
    assert np.isnan(judged.p).tolist() == [True] * 9 + [False] * 3


def test_p_is_that_of_both_tests() -> None:
    judged = Judged.of(pairs(3, p_code=[0.1, 0.4, NAN], p_caption=[0.3, 0.2, 0.3]), 0.01)
    assert judged.p.tolist() == pytest.approx([0.2, 0.4, 0.3])


def test_a_suspect_fell_by_more_than_nearly_equal_pictures_do() -> None:
    change = np.full(202, -0.01)
    change[:100] = -np.arange(100) / 1000  # down to -.099; their first percentile is near -.098
    change[200:] = -0.0975, -0.15
    distance = np.r_[np.full(100, 16), np.full(102, 17)]
    judged = Judged.of(pairs(202, score_change=change, code_distance=distance), 0.01)
    assert np.flatnonzero(judged.suspect).tolist() == [99, 201]


@pytest.mark.parametrize("known", [0, 99])
def test_too_few_known_changes_make_no_suspects(known: int) -> None:
    distance = np.r_[np.full(known, 3), np.full(150 - known, -1)]
    change = np.r_[np.full(known, -0.01), np.full(150 - known, -0.5)]
    assert not Judged.of(pairs(150, code_distance=distance, score_change=change), 0.01).suspect.any()


def test_no_pairs_at_all() -> None:
    judged = Judged.of(pairs(0), 0.01)
    assert (judged.tested, judged.pi0, judged.threshold, len(judged.verdict)) == (0, 0.0, 0.0, 0)
