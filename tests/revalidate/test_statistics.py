"""The mathematics of the verdicts, against cases of four numbers worked by hand, and against chance."""

import numpy as np
import pytest

from builder.revalidate.config import RevalidateConfig
from builder.revalidate.decide import Verdicts
from builder.revalidate.judge import benjamini_hochberg, combine, least_level, storey

NAN = float("nan")


@pytest.mark.parametrize(
    ("p", "alpha", "kept", "threshold"),
    [
        # The line is alpha times 1/4, 2/4, 3/4, 4/4.
        ([0.01, 0.04, 0.20, 0.50], 0.10, [1, 1, 0, 0], 0.05),  # .01 <= .025, .04 <= .05, .20 > .075
        ([0.50, 0.04, 0.20, 0.01], 0.10, [0, 1, 0, 1], 0.05),  # the order does not matter
        ([0.03, 0.04, 0.07, 0.50], 0.10, [1, 1, 1, 0], 0.075),  # .03 > .025, yet .07 <= .075 takes it along
        ([0.03, 0.06, 0.08, 0.11], 0.10, [0, 0, 0, 0], 0.0),
        ([0.01, 0.01, 0.01, 0.01], 0.01, [1, 1, 1, 1], 0.01),  # equal to the line is below it
    ],
)
def test_benjamini_hochberg(p: list[float], alpha: float, kept: list[int], threshold: float) -> None:
    rejected, found = benjamini_hochberg(np.array(p), alpha)
    assert rejected.tolist() == [bool(one) for one in kept]
    assert found == pytest.approx(threshold)


def test_benjamini_hochberg_of_nothing_rejects_nothing() -> None:
    rejected, threshold = benjamini_hochberg(np.zeros(0), 0.01)
    assert (rejected.size, threshold) == (0, 0.0)


@pytest.mark.parametrize(("p", "level"), [([0.03, 0.04, 0.30, 0.50], 0.08), ([0.2], 0.2), ([], 1.0)])
def test_least_level(p: list[float], level: float) -> None:
    """4/1 x .03 = .12, 4/2 x .04 = .08, 4/3 x .30 = .4, .5: the least is .08, and just below it none is rejected."""
    assert least_level(np.array(p)) == pytest.approx(level)
    assert not benjamini_hochberg(np.array(p), 0.999 * level)[0].any()
    assert benjamini_hochberg(np.array(p), 1.001 * level)[0].any() == bool(p)


def test_benjamini_hochberg_holds_its_level() -> None:
    """300 times 80 p-values of junk among 400: of what is rejected alpha x 80 / 400 is junk, on average."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(300):
        p = np.concatenate([rng.random(80), rng.random(320) ** 8])
        rejected, _ = benjamini_hochberg(p, 0.2)
        shares.append(rejected[:80].sum() / max(1, rejected.sum()))
    assert np.mean(shares) == pytest.approx(0.2 * 80 / 400, abs=0.006)


@pytest.mark.parametrize(
    ("p", "share"),
    [
        ([0.1, 0.2, 0.3, 0.9], 1.0),  # (1 + 1) / (4 x .5)
        ([0.1, 0.2, 0.3, 0.4], 0.5),  # (1 + 0) / (4 x .5)
        ([0.6, 0.7, 0.8, 0.9], 1.0),  # 2.5, capped
        ([], 0.0),
    ],
)
def test_storey(p: list[float], share: float) -> None:
    assert storey(np.array(p)) == pytest.approx(share)


def test_storey_finds_the_share_of_junk() -> None:
    rng = np.random.default_rng(6)
    p = np.concatenate([rng.random(3000), rng.random(7000) / 100])
    assert storey(p) == pytest.approx(0.3, abs=0.02)


@pytest.mark.parametrize(
    ("p_code", "p_caption", "p"),
    [
        (0.01, 0.30, 0.02),
        (0.30, 0.01, 0.02),
        (0.60, 0.70, 1.0),
        (NAN, 0.30, 0.30),  # one test alone is not doubled
        (0.30, NAN, 0.30),
        (NAN, NAN, 1.0),
    ],
)
def test_combine(p_code: float, p_caption: float, p: float) -> None:
    assert combine(np.array([p_code]), np.array([p_caption])) == pytest.approx([p])


def test_combined_p_of_junk_is_no_smaller_than_chance() -> None:
    """However the two tests depend on each other: here they are the same, independent, or opposed."""
    rng = np.random.default_rng(7)
    one = rng.random(50_000)
    for other in (one, rng.random(50_000), 1 - one):
        p = combine(one, other)
        assert all((p <= level).mean() <= level * 1.1 for level in (0.01, 0.05, 0.2))


@pytest.mark.parametrize("p", [0.1649, 0.17, 0.011, 1e-5, 0.25, 0.499, 0.5])
def test_the_level_that_is_advised_keeps_some(p: float) -> None:
    values = np.array([p, 0.9, 0.95], np.float32)[: 1 if p > 0.16 else 3]
    document = {
        "kept": 1,
        "tested": values.size,
        "threshold": 0,
        "alpha": 1e-6,
        "least_level": least_level(values),
    }
    (said,) = Verdicts("root", document).warnings()
    level = said.rpartition("from --alpha ")[2].removesuffix(" on some are")
    RevalidateConfig(alpha=float(level)).check()
    assert benjamini_hochberg(values, float(level))[0].any()


@pytest.mark.parametrize("p", [0.501, 1.0])
def test_a_level_that_is_refused_is_never_advised(p: float) -> None:
    values = np.array([p], np.float32)
    document = {"kept": 1, "tested": 1, "threshold": 0, "alpha": 0.01, "least_level": least_level(values)}
    (said,) = Verdicts("root", document).warnings()
    assert said.endswith("no --alpha up to 0.5, the highest, keeps any")
