"""Tables of several checkpoints: what stands where, what is averaged, and when a figure is left out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pytest

from builder.evaluate.recipe import BENCHMARKS, LONG, SHORT, ZERO_SHOT
from builder.evaluate.results import Answers
from builder.evaluate.tables import Contender, ResultTable, family_table, scaling_table

from .test_results import labelled, retrieved


def scored(
    name: str,
    answers: Mapping[str, Answers],
    *,
    size: str | None = None,
    baseline: bool = False,
    draws: int = 0,
) -> Contender:
    drawn = {one: found.drawn(draws, 0) for one, found in answers.items()}
    return Contender(name, size, baseline, answers, drawn)


def right(share: float, name: str = "cifar10", rows: int = 40) -> Answers:
    """Answers of which such a share is right."""
    return labelled(name, [0 if row < share * rows else 1 for row in range(rows)], [[0]] * rows)


def rows_of(table: ResultTable | None) -> dict[str, list[str]]:
    assert table is not None
    return {row[0]: row[1:] for row in table.rows}


def test_a_difference_is_to_the_baseline_and_has_an_interval() -> None:
    after = scored("after", {"cifar10": right(0.9)}, draws=200)
    before = scored("before", {"cifar10": right(0.5)}, baseline=True, draws=200)
    table = family_table(ZERO_SHOT, [after, before])
    assert table is not None
    assert table.columns == ["", "after", "before", "difference"]
    name, one, two, difference = table.rows[0]
    assert (name, one, two) == ("CIFAR10", "90.0", "50.0")
    gained, low, high = (float(word.strip("[],")) for word in difference.split())
    assert gained == 40
    assert 20 < low < 40 < high < 60
    # 40 of the 100 differ: their share in a draw has a deviation of 7.7, the two alone 8 and 4.7 beside it.
    assert high - low < 1.96 * 2 * 9


def test_without_draws_or_a_baseline_nothing_is_claimed() -> None:
    after, before = (
        scored(name, {"cifar10": right(0.5)}, baseline=name == "before") for name in ("after", "before")
    )
    assert rows_of(family_table(ZERO_SHOT, [after, before]))["CIFAR10"] == ["50.0", "50.0", "+0.0"]
    assert rows_of(family_table(ZERO_SHOT, [after]))["CIFAR10"] == ["50.0"]
    assert family_table(LONG, [after]) is None


def test_of_several_checkpoints_each_has_a_difference_of_its_own() -> None:
    some = [
        scored(name, {"cifar10": right(share)}, baseline=name == "c")
        for name, share in (("a", 1), ("b", 0.75), ("c", 0.5))
    ]
    table = family_table(ZERO_SHOT, some)
    assert table is not None
    assert table.columns[-2:] == ["a − c", "b − c"]
    assert table.rows[0][-2:] == ["+50.0", "+25.0"]


def everything(family: str, share: float) -> dict[str, Answers]:
    """Answers to all that the paper averages."""
    found = {}
    for one in BENCHMARKS.values():
        if one.family != family or not one.averaged:
            continue
        if family == ZERO_SHOT:
            scores = [[0.5, 0.1]] * 20 + [[0.1, 0.5]] * 20
            answers = [int(row >= 20) for row in range(40)]
            wrong = int(40 * (1 - share))
            truths = [[1 - one if row < wrong else one] for row, one in enumerate(answers)]
            found[one.name] = labelled(one.name, answers, truths, scores)
        else:
            ranks = [1 if row < share * 40 else 7 for row in range(40)]
            found[one.name] = retrieved(one.name, ranks, ranks)
    return found


def test_the_averages_are_formed_as_the_paper_forms_them() -> None:
    one = scored("b16", everything(ZERO_SHOT, 0.75), size="B/16")
    found = rows_of(family_table(ZERO_SHOT, [one]))
    assert found["average of 12, top-1"] == ["75.0", "59.9 → 67.7 (+7.8)"]
    assert found["CIFAR10"] == ["75.0", "85.4 → 93.2 (+7.8)"]
    assert {"Caltech101, mean per class", "Hateful Memes, AUC", "VOC2007, 11-point mAP"} <= found.keys()
    mean = np.mean(
        [
            one.drawn[name][benchmark.elevater][0]
            for name, benchmark in BENCHMARKS.items()
            if name in one.drawn
        ]
    )
    assert found["average of 12, measures of ELEVATER"][0] == f"{100 * mean:.1f}"
    short = rows_of(family_table(SHORT, [scored("b16", everything(SHORT, 0.5), size="B/16")]))
    assert short["average of 18"] == [f"{(50 + 50 + 100) / 3:.1f}", "71.3 → 80.1 (+8.8)"]
    assert short["MUGE, text to image"] == ["50.0 50.0 100.0", "41.6/64.6/73.4 → 60.4/81.3/87.3"]
    long = rows_of(family_table(LONG, [scored("b16", everything(LONG, 0.5), size="B/16")]))
    assert long["average of 12"][1] == "24.6 → 34.8 (+10.2)"


def test_an_average_of_some_is_none_of_the_paper_s() -> None:
    some = {**everything(SHORT, 0.5)}
    del some["muge"]
    found = rows_of(family_table(SHORT, [scored("b16", some, size="B/16")]))
    assert found["average of 12 of the paper's 18"][1] == "–"


def test_sets_that_the_paper_lacks_are_part_of_no_average() -> None:
    answers = {"gtsrb": right(0.5, "gtsrb"), "mine": right(0.25, "mine"), "cifar10": right(1)}
    table = family_table(ZERO_SHOT, [scored("a", answers)])
    assert table is not None
    assert [row[:2] for row in table.rows] == [
        ["CIFAR10", "100.0"], ["GTSRB", "50.0"], ["mine", "25.0"],
        ["average of 1 of the paper's 12, top-1", "100.0"],
    ]  # fmt: skip


def test_an_average_is_over_what_all_answered() -> None:
    one = scored("a", {"cifar10": right(0.5), "mnist": right(1, "mnist")})
    two = scored("b", {"cifar10": right(0.25)})
    found = rows_of(family_table(ZERO_SHOT, [one, two]))
    assert found["MNIST"] == ["100.0", "–"]
    assert found["average of 1 of the paper's 12, top-1"] == ["50.0", "25.0"]


def test_what_was_said_of_a_benchmark_is_a_note_once() -> None:
    table = family_table(ZERO_SHOT, [scored("a", {"cifar10": right(1)}), scored("b", {"cifar10": right(1)})])
    assert table is not None
    assert table.notes == ["CIFAR10: a line"]
    assert table.lines()[0] == "Zero-shot classification, %"
    assert table.lines()[-2:] == ["  CIFAR10: a line", ""]


def test_a_figure_that_is_none_is_a_dash() -> None:
    answers = retrieved("muge", [1, 1], [1, 1])
    gone = {"muge": answers.drawn(0, 0, np.zeros(2, np.bool_))}
    table = family_table(SHORT, [Contender("a", None, False, {"muge": answers}, gone)])
    assert rows_of(table)["MUGE, text to image"] == ["– – –"]


def test_scaling_is_told_of_runs_beside_the_paper_s() -> None:
    whole = {**everything(ZERO_SHOT, 0.75), **everything(SHORT, 0.5), **everything(LONG, 1)}
    runs = [
        (scored("30m", whole, size="B/32"), 29_970_000),
        (scored("10m", {"cifar10": right(1)}, size="B/32"), 10_000_000),
    ]
    assert scaling_table(runs[:1]) is None
    table = scaling_table(runs)
    assert table is not None
    retrieval = np.mean([(50 + 50 + 100) / 3, 100])
    assert table.rows == [
        ["10m", "B/32", "10,000,000", "–", "–", "61.8", "52.0"],
        ["30m", "B/32", "29,970,000", "75.0", f"{retrieval:.1f}", "62.5", "52.8"],
    ]


@pytest.mark.parametrize(("family", "rows"), [(ZERO_SHOT, 12 + 2), (SHORT, 6 + 1), (LONG, 4 + 1)])
def test_the_figures_of_the_paper_stand_beside_every_benchmark_that_it_has(family: str, rows: int) -> None:
    table = family_table(family, [scored("a", everything(family, 0.5), size="L/16")])
    assert table is not None
    assert len([row for row in table.rows if "→" in row[-1]]) == rows
    assert {row[0].partition(", ")[2] for row in table.rows if row[-1] == "–"} <= {
        "mean per class",
        "AUC",
        "11-point mAP",
    }
