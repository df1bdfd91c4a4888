"""The recipe of the paper, and the learning rate that follows from it."""

from __future__ import annotations

import math
from dataclasses import fields

import pytest

from builder.train.config import TrainConfig
from builder.train.recipe import OURS, PAPER, SCHEDULES, SOURCES, TrainingRecipe

RECIPE = TrainingRecipe(learning_rate=1e-3, warmup=10)


def test_the_paper_s_values_are_those_that_nobody_has_to_say() -> None:
    recipe = TrainConfig("in", "out").recipe
    assert recipe == TrainingRecipe()
    assert (recipe.batch_size, recipe.epochs, recipe.warmup) == (768 * 16, 2, 1000)
    assert (recipe.learning_rate, recipe.weight_decay, recipe.beta1, recipe.beta2) == (1e-5, 0.1, 0.9, 0.98)


def test_every_value_has_a_source() -> None:
    assert {one.name for one in fields(TrainingRecipe)} <= {*SOURCES}
    assert all(PAPER in source or OURS in source for source in SOURCES.values())


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_the_warm_up_is_a_line_to_the_rate(schedule: str) -> None:
    recipe = TrainingRecipe(learning_rate=1e-3, warmup=10, schedule=schedule)
    assert [recipe.rate(step, 100) for step in range(10)] == pytest.approx([1e-4 * n for n in range(1, 11)])
    assert recipe.rate(10, 100) == pytest.approx(1e-3)


def test_after_it_the_schedule_falls_to_nothing() -> None:
    assert RECIPE.rate(55, 100) == pytest.approx(1e-3 * (1 + math.cos(math.pi * 0.5)) / 2)
    assert RECIPE.rate(99, 100) == pytest.approx(1e-3 * (1 + math.cos(math.pi * 89 / 90)) / 2)
    line = TrainingRecipe(learning_rate=1e-3, warmup=10, schedule="linear")
    assert line.rate(55, 100) == pytest.approx(0.5e-3)
    assert TrainingRecipe(learning_rate=1e-3, warmup=0, schedule="constant").rate(7, 8) == 1e-3


def test_a_run_shorter_than_its_warm_up_only_grows() -> None:
    rates = [RECIPE.rate(step, 5) for step in range(5)]
    assert rates == sorted(rates)
    assert rates[-1] == pytest.approx(5e-4)
