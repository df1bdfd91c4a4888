"""The funnel of a recipe, worked by hand: steps in their order, shares by the paper's rows."""

from __future__ import annotations

from itertools import pairwise

import pytest

from builder.crawl.recipe import RECIPE
from builder.errors import InputError
from builder.reasons import CRAWL_REASONS, Reason
from builder.stage.recipe import (
    PaperDocument,
    RecipeDocument,
    StepDocument,
    checked_recipe,
    funnel_lines,
    funnel_of,
    step,
)

TWO = RecipeDocument(
    steps=[
        StepDocument(name="long enough", reasons=["short"], row=2),
        StepDocument(name="Chinese", reasons=["other"], row=1),
        StepDocument(name="new", reasons=["copy", "twin"]),
    ],
    paper=[
        PaperDocument(row=1, name="language", pairs=800, share=0.2),
        PaperDocument(row=2, name="length", pairs=600, share=0.25),
    ],
)


def test_shares_are_those_that_the_rows_before_would_have_left() -> None:
    told = funnel_of(TWO, 100, {"short": 20, "other": 50, "copy": 5, "twin": 1})
    assert [(one["pairs"], one["dropped"], one["share"]) for one in told["steps"]] == [
        (100, 20, 0.2),
        (80, 50, 0.625),
        (30, 6, 0.2),
    ]
    assert told["kept"] == 24
    assert [one["found"] for one in told["paper"]] == [0.5, 0.4]  # 50 of 100, then 20 of the 50 left
    assert told["order"] == "steps of row 1 come after later rows here"
    assert ["1", "language", "50.00%", "20.00%"] in [line.split() for line in funnel_lines(told)]


def test_nothing_in_is_no_share() -> None:
    told = funnel_of(TWO, 0, {})
    assert [one["share"] for one in told["steps"]] == [0.0] * 3
    assert [one["found"] for one in told["paper"]] == [0.0] * 2


def test_the_recipe_of_a_crawl_answers_with_each_of_its_reasons_once() -> None:
    answers = [reason for step in RECIPE["steps"] for reason in step["reasons"]]
    assert sorted(answers) == sorted([*CRAWL_REASONS, Reason.INVALID_URL, Reason.BLOCKED_SCHEME])
    left = [one["pairs"] for one in RECIPE["paper"]]
    for (before, after), one in zip(pairwise(left), RECIPE["paper"][1:], strict=True):
        assert one["share"] == pytest.approx(1 - after / before, abs=5e-5)


@pytest.mark.parametrize(
    "document", [None, {}, {"steps": [{}], "paper": []}, {"steps": [], "paper": [{"row": "1"}]}]
)
def test_a_recipe_that_is_none_is_refused(document: object) -> None:
    with pytest.raises(InputError, match=r"plan\.json: its recipe is none"):
        checked_recipe(document)
    assert checked_recipe({**TWO}) == TWO


def test_the_papers_rows_are_of_what_a_revalidation_leaves() -> None:
    recipe = RecipeDocument(
        steps=[step("verdicts", None, Reason.VERDICT), step("sharp", 14, Reason.BLURRED)],
        paper=[PaperDocument(row=14, name="blur", pairs=5, share=0.05)],
    )
    found = funnel_of(recipe, 100, {"verdict": 60, "blurred": 4})
    assert (found["kept"], found["paper"][0]["found"]) == (36, 0.1)
