"""The paper's figures as they were typed in: their averages are those that it prints."""

from __future__ import annotations

import pytest

from builder.evaluate import recipe as published
from builder.evaluate.recipe import BENCHMARKS, LONG, RANKS, SHORT, TOP1, WAYS, ZERO_SHOT

# R@10 of COCO-CN, image to text, is printed below R@5; with 93.2 the printed average comes out.
MISPRINT = ("B/32", "Wukong", "short")


@pytest.mark.parametrize(("family", "count"), [(ZERO_SHOT, 12), (SHORT, 18), (LONG, 12), ("lmm", 5)])
def test_the_averages_are_those_of_the_figures(family: str, count: int) -> None:
    for row in published.rows(family):
        figures = {**row["figures"]}
        if (row["size"], row["data"], family) == MISPRINT:
            figures["coco-cn image_to_text R@10"] += 10
        assert len(figures) == count
        assert sum(figures.values()) / count == pytest.approx(row["average"], abs=0.06)


@pytest.mark.parametrize("family", [ZERO_SHOT, SHORT, LONG])
def test_the_figures_are_of_what_the_recipe_averages(family: str) -> None:
    averaged = [one.name for one in BENCHMARKS.values() if one.family == family and one.averaged]
    measures = [TOP1] if family == ZERO_SHOT else [f"{way} R@{most}" for way in WAYS for most in RANKS]
    wanted = {f"{name} {measure}" for name in averaged for measure in measures}
    assert {frozenset(row["figures"]) for row in published.rows(family)} == {frozenset(wanted)}
    assert {(row["size"], row["data"]) for row in published.rows(family)} == {
        (size, data)
        for size in ("B/32", "B/16", "L/16")
        for data in ("none", "Wukong", "Zero", "TaiSu", "DanQing")
    }


def test_recall_grows_with_the_rank() -> None:
    for family in (SHORT, LONG):
        for row in published.rows(family):
            names = {name.rpartition("@")[0] for name in row["figures"]}
            falls = [n for n in names if row["figures"][f"{n}@10"] < row["figures"][f"{n}@5"]]
            assert falls == (
                ["coco-cn image_to_text R"] if (row["size"], row["data"], family) == MISPRINT else []
            )


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("siglip2-base-patch16-256", "B/16"),
        ("siglip2-base-patch32-256", "B/32"),
        ("siglip2-large-patch16-256", "L/16"),
        ("siglip2-so400m-patch16-256", "So400m/16"),
        ("siglip2-giant-opt-patch16-256", "g-opt/16"),
        ("siglip2-base-patch16-224", None),
        ("siglip2-base-patch16-naflex", None),
        ("tiny", None),
    ],
)
def test_a_checkpoint_is_called_as_the_paper_calls_it(name: str, size: str | None) -> None:
    assert published.size_of(name) == size


def test_a_gain_is_what_training_on_danqing_gave() -> None:
    gain = published.gain(ZERO_SHOT, "B/16", "average")
    assert str(gain) == "59.9 → 67.7 (+7.8)"
    assert str(published.gain(LONG, "L/16", "docci-cn text_to_image R@1")) == "29.3 → 48.7 (+19.4)"
    assert published.gain(ZERO_SHOT, None, "average") is None
    assert published.gain(ZERO_SHOT, "B/16", "gtsrb top1") is None


def test_papers_that_do_not_agree_are_told_of() -> None:
    (line,) = published.disagreements("B/16", {"dci-cn image_to_text R@1"})
    assert "dci-cn image_to_text R@1 10.4 and 5.0" in line
    assert "Compare gains" in line
    assert published.disagreements("B/32", {"dci-cn image_to_text R@1"}) == []
    assert published.disagreements("B/16", {"muge image_to_text R@1"}) == []
