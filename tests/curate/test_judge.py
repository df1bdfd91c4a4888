"""The steps by a pair's own numbers, each on both sides of its edge, and thresholds as the paper's shares have them."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.curate.config import CurateConfig
from builder.curate.judge import NUMBERS, REASONS, PairJudge, highest, lowest
from builder.curate.recipe import ORDERS, PAPER, STEPS
from builder.reasons import CURATE_REASONS, Reason

PLAIN = {
    "kept": True, "width": 400, "height": 300, "spread": 40, "sharpness": 900, "entropy": 7, "embedded": True,
    "cos": 0.3, "risk": 0.1, "text": 0.1,
}  # fmt: skip


def numbers(*rows: dict[str, float]) -> npt.NDArray[np.void]:
    made = np.zeros(len(rows), NUMBERS)
    for place, row in enumerate(rows):
        for name, value in (PLAIN | row).items():
            made[name][place] = value
    return made


def judged(step: str, *rows: dict[str, float], embedder: str = "x", **options: object) -> list[Reason | None]:
    judge = PairJudge(CurateConfig("r", **options), numbers(*rows), embedder)  # type: ignore[arg-type]
    judge.step(step)
    return [REASONS[code] for code in judge.reasons]


@pytest.mark.parametrize(
    ("step", "options", "in_", "out", "reason"),
    [
        ("verdict", {}, {"kept": True}, {"kept": False}, Reason.VERDICT),
        ("geometry", {}, {"height": 101, "width": 303}, {"height": 100}, Reason.TOO_SMALL),
        ("geometry", {}, {"height": 133}, {"height": 133, "width": 400}, None),
        ("geometry", {}, {"height": 400, "width": 134}, {"height": 400, "width": 133}, Reason.ASPECT),
        ("measures", {}, {}, {"spread": np.nan}, Reason.CORRUPT),
        ("texture", {}, {"spread": 2}, {"spread": np.nextafter(np.float32(2), np.float32(0))}, Reason.FLAT),
        ("blur", {"blur": "1000"}, {"sharpness": 1000}, {"sharpness": 999}, Reason.BLURRED),
        ("entropy", {"entropy": "3"}, {"entropy": 3}, {"entropy": 2.99}, Reason.LOW_DETAIL),
        ("embedding", {}, {}, {"embedded": False, "cos": np.nan}, Reason.NO_EMBEDDING),
        ("embedding", {}, {}, {"cos": np.nan}, Reason.NO_TEXT),
        ("safety", {"risk": "0.5"}, {"risk": 0.5}, {"risk": 0.51}, Reason.UNSAFE_IMAGE),
        ("alignment", {"align": "0.2,0.4"}, {"cos": 0.2}, {"cos": np.nextafter(0.2, 0)}, Reason.WEAK_MATCH),
        ("alignment", {"align": "0.2,0.4"}, {"cos": 0.4}, {"cos": np.nextafter(0.4, 1)}, Reason.TEXT_PICTURE),
        ("text", {}, {"text": 0.5}, {"text": 0.51}, Reason.TEXT_IN_IMAGE),
    ],
)
def test_a_step_has_two_sides(
    step: str, options: dict[str, object], in_: dict[str, float], out: dict[str, float], reason: Reason | None
) -> None:
    if reason is None:  # 3 to 1 is within, whatever the rounding
        assert judged(step, {"width": 399, "height": 133}, **options) == [None]
    else:
        assert judged(step, in_, out, **options) == [None, reason]


def test_the_papers_cosines_are_of_the_papers_embedder() -> None:
    """1.24 and 1.06 apart, vectors of length one have cosines of 1 - d * d / 2."""
    rows = [{"cos": one} for one in (0.2311, 0.2313, 0.4381, 0.4383)]
    kept = [Reason.WEAK_MATCH, None, None, Reason.TEXT_PICTURE]
    assert judged("alignment", *rows, embedder="chinese-clip-vit-large-patch14") == kept
    assert pytest.approx((0.2312, 0.4382), abs=1e-4) == (1 - 1.24**2 / 2, 1 - 1.06**2 / 2)
    many = [{"cos": one / 1000} for one in range(1000)]
    reasons = judged("alignment", *many, embedder="another")
    assert reasons.count(Reason.WEAK_MATCH) == 100
    assert reasons.count(Reason.TEXT_PICTURE) == 36
    assert reasons[:100] == [Reason.WEAK_MATCH] * 100


@pytest.mark.parametrize(
    ("step", "name", "reason", "share"),
    [
        ("blur", "sharpness", Reason.BLURRED, 0.0538),
        ("entropy", "entropy", Reason.LOW_DETAIL, 0.0507),
        ("safety", "risk", Reason.UNSAFE_IMAGE, 0.0399),
    ],
)
def test_a_calibrated_threshold_drops_the_papers_share_of_what_comes(
    step: str, name: str, reason: Reason, share: float
) -> None:
    rng = np.random.default_rng(1)
    made = numbers(*[{}] * 10_000)
    made[name] = rng.permutation(10_000)
    made["spread"][:2000] = np.nan
    judge = PairJudge(CurateConfig("r"), made, "x")
    judge.step("measures")
    judge.step(step)
    left = int(8000 * share)
    assert [REASONS[code] for code in judge.reasons].count(reason) == left
    used = {"blur": "sharpness", "entropy": "entropy", "safety": "risk"}[step]
    ranked = np.sort(made[name][2000:])
    assert judge.used[used] == (ranked[-1 - left] if step == "safety" else ranked[left])


def test_where_all_are_equal_none_drops() -> None:
    assert judged("blur", *[{"sharpness": 7}] * 50) == [None] * 50


def test_the_first_step_that_drops_a_pair_says_so() -> None:
    judge = PairJudge(CurateConfig("r"), numbers({"spread": 0, "height": 10}), "x")
    judge.step("geometry")
    judge.step("texture")
    assert REASONS[judge.reasons[0]] == Reason.TOO_SMALL


@given(st.lists(st.floats(-1e6, 1e6, width=32), min_size=1), st.floats(0, 0.99))
def test_quantiles_are_values_that_are_there(values: list[float], share: float) -> None:
    array = np.array(values, np.float32)
    least, most = lowest(array, share), highest(array, share)
    assert least in array
    assert most in array
    assert np.count_nonzero(array < least) <= share * len(array)
    assert np.count_nonzero(array > most) <= share * len(array)


def test_every_reason_of_the_stage_has_a_step_and_every_row_of_the_paper_too() -> None:
    reasons = [reason for step in STEPS.values() for reason in step["reasons"]]
    assert len(reasons) == len(set(reasons))
    assert {*CURATE_REASONS} | {Reason.TOO_SMALL, Reason.ASPECT, Reason.CORRUPT, Reason.NO_TEXT} == {*reasons}
    assert {step["row"] for step in STEPS.values() if "row" in step} == {*range(12, 20)}
    assert [row["row"] for row in PAPER] == [*range(12, 20)]
    assert all(sorted(order) == sorted(STEPS) for order in ORDERS.values())
