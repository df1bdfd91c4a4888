"""Answers on disk, and the figures and draws that are made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.errors import InputError
from builder.evaluate.recipe import AUC, BENCHMARKS, MAP, PER_CLASS, SHORT, TOP1, ZERO_SHOT, own
from builder.evaluate.results import LABELLED, NONE, RETRIEVED, Answers, load, stored

IDENTITY = {"checkpoint": "c", "task": "t"}


def labelled(
    name: str,
    answers: Sequence[int],
    truths: Sequence[Sequence[int]],
    scores: Sequence[Sequence[float] | None] | None = None,
) -> Answers:
    """Answers to pictures of classes."""
    columns = {
        "picture": [f"{row}.jpg" for row in range(len(answers))],
        "answer": answers,
        "scores": scores or [None] * len(answers),
        "truth": truths,
    }
    rows = pa.table({one: columns[one] for one in LABELLED.names}, schema=LABELLED)
    return Answers(BENCHMARKS.get(name) or own(name, ZERO_SHOT), rows, IDENTITY, ("a line",), 1)


def retrieved(name: str, texts: Sequence[int | None], pictures: Sequence[int | None]) -> Answers:
    """Answers to as many texts as pictures, the n-th of the n-th."""
    ranks = [*texts, *pictures]
    rows = {
        "way": ["text_to_image"] * len(texts) + ["image_to_text"] * len(pictures),
        "query": list(map(str, range(len(ranks)))),
        "pictures": [[row] for row in (*range(len(texts)), *range(len(pictures)))],
        "rank": ranks,
        "tied": [rank == 2 for rank in ranks],
    }
    return Answers(BENCHMARKS.get(name) or own(name, SHORT), pa.table(rows, schema=RETRIEVED), IDENTITY)


def figures(answers: Answers, keep: Sequence[bool] | None = None) -> dict[str, float]:
    mask = None if keep is None else np.array(keep)
    return {name: values[0] for name, values in answers.drawn(0, 0, mask).items()}


def test_top_1_is_the_share_of_answers_that_are_a_class_of_the_picture() -> None:
    answers = labelled("cifar10", [0, 1, NONE, 2], [[0], [0], [1], [1, 2]])
    assert figures(answers) == {TOP1: 0.5}
    assert figures(answers, [True, False, False, True]) == {TOP1: 1}


def test_elevater_takes_the_mean_over_classes_of_some_sets() -> None:
    found = figures(labelled("pets", [0, 0, 0, 0], [[0], [0], [0], [1]]))
    assert found == {TOP1: 0.75, PER_CLASS: 0.5}


def test_elevater_takes_the_roc_of_memes_by_the_difference_of_both_cosines() -> None:
    scores = [[0.5, 0.1], [0.2, 0.3], [0.9, 0.95], [0.4, 0.3]]  # differences -.4, .1, .05, -.1
    found = figures(labelled("memes", [0, 1, 1, 0], [[0], [1], [0], [1]], scores))
    assert found == {TOP1: 0.5, AUC: 0.75}


def test_elevater_takes_the_11_point_precision_of_voc() -> None:
    scores = [[0.9, 0.1], [0.8, 0.9], [0.1, 0.7]]
    found = figures(labelled("voc2007", [0, 1, 1], [[0], [0, 1], [1]], scores))
    assert found == {TOP1: 1, MAP: 1}


def test_recall_counts_both_ways_apart_and_what_is_never_found() -> None:
    answers = retrieved("muge", [1, 2, 6, None], [1, 1, 10, 11])
    assert figures(answers) == {
        "text_to_image R@1": 0.25, "text_to_image R@5": 0.5, "text_to_image R@10": 0.75,
        "image_to_text R@1": 0.5, "image_to_text R@5": 0.5, "image_to_text R@10": 0.75,
    }  # fmt: skip
    assert answers.tied == 1
    kept = figures(answers, [False, True, True, False])
    assert kept["text_to_image R@5"] == kept["image_to_text R@1"] == 0.5


def test_a_query_with_one_picture_that_leaked_is_left_out() -> None:
    answers = retrieved("muge", [1, 1, 2], [1, 1, 1])
    rows = answers.rows.to_pylist()
    rows[2]["pictures"] = [1, 2]
    several = Answers(answers.benchmark, pa.Table.from_pylist(rows, schema=RETRIEVED), IDENTITY)
    assert figures(several, [True, True, True])["text_to_image R@1"] == pytest.approx(2 / 3)
    assert figures(several, [True, True, False])["text_to_image R@1"] == 1
    assert figures(several, [False, True, True])["text_to_image R@1"] == 0.5


def test_a_set_of_which_nothing_is_kept_has_no_figure() -> None:
    found = figures(retrieved("muge", [1, 2], [1, 1]), [False, False])
    assert np.isnan([*found.values()]).all()


def test_draws_are_the_same_for_every_checkpoint() -> None:
    right, wrong = labelled("cifar10", [0] * 60, [[0]] * 60), labelled("cifar10", [1] * 60, [[0]] * 60)
    mixed = labelled("cifar10", [0, 1] * 30, [[0]] * 60)
    other = labelled("cifar10", [1, 0] * 30, [[0]] * 60)
    drawn = mixed.drawn(200, 7)[TOP1]
    assert drawn.shape == (201,)
    assert 0.3 < np.quantile(drawn, 0.05) < 0.5 < np.quantile(drawn, 0.95) < 0.7
    np.testing.assert_allclose(drawn + other.drawn(200, 7)[TOP1], 1)
    np.testing.assert_allclose(right.drawn(200, 7)[TOP1] - wrong.drawn(200, 7)[TOP1], 1)
    assert not np.array_equal(drawn, mixed.drawn(200, 8)[TOP1])


@pytest.mark.parametrize(
    "answers",
    [
        labelled("cifar10", [0, NONE], [[0], [1]]),
        labelled("memes", [0, 1], [[0], [1]], [[0.5, float("nan")], [0.1, 0.2]]),
        retrieved("muge", [1, None], [3, 2]),
        labelled("my set", [0], [[0]]),
        retrieved("my texts", [1], [1]),
    ],
)
def test_what_was_saved_is_found_again(tmp_path: Path, answers: Answers) -> None:
    answers.save(str(tmp_path))
    (found,) = stored(str(tmp_path)).values()
    assert found.benchmark == answers.benchmark
    assert found.rows.to_pylist().__repr__() == answers.rows.to_pylist().__repr__()
    assert (found.identity, found.said, found.lost) == (answers.identity, answers.said, answers.lost)
    same = load(str(tmp_path), answers.benchmark, IDENTITY)
    assert same is not None
    assert load(str(tmp_path), answers.benchmark, {**IDENTITY, "task": "another"}) is None
    assert load(str(tmp_path / "nowhere"), answers.benchmark) is None


def test_the_benchmarks_of_the_paper_come_first(tmp_path: Path) -> None:
    for name in ("apples", "cifar10", "caltech101"):
        labelled(name, [0], [[0]]).save(str(tmp_path))
    assert [*stored(str(tmp_path))] == ["caltech101", "cifar10", "apples"]


def edited(table: pa.Table, **columns: object) -> pa.Table:
    return pa.table({name: columns.get(name, table[name]) for name in table.column_names})


@pytest.mark.parametrize("kind", ["text", "columns", "no class", "cosines", "way", "metadata"])
def test_a_file_that_is_no_result_is_named(tmp_path: Path, kind: str) -> None:
    name = {"cosines": "memes", "way": "muge"}.get(kind, "cifar10")
    answers = retrieved("muge", [1], [1]) if kind == "way" else labelled(name, [0, 1], [[0], [1]])
    answers.save(str(tmp_path))
    path = tmp_path / f"{name}.parquet"
    table = pq.read_table(path)
    if kind == "text":
        path.write_text("a diary")
    elif kind == "columns":
        pq.write_table(table.drop_columns(["answer"]), path)
    elif kind == "no class":
        pq.write_table(edited(table, truth=[[0], []]).replace_schema_metadata(table.schema.metadata), path)
    elif kind == "way":
        told = edited(table, way=["up", "down"]).replace_schema_metadata(table.schema.metadata)
        pq.write_table(told, path)
    elif kind == "metadata":
        pq.write_table(table.replace_schema_metadata({}), path)
    with pytest.raises(InputError, match=r"parquet: no result of danqing evaluate"):
        stored(str(tmp_path))


def test_a_result_of_a_later_format_is_made_anew(tmp_path: Path) -> None:
    answers = labelled("cifar10", [0], [[0]])
    answers.save(str(tmp_path))
    table = pq.read_table(tmp_path / "cifar10.parquet")
    said = {**json.loads(table.schema.metadata[b"danqing evaluate"]), "format": 2}
    later = table.replace_schema_metadata({b"danqing evaluate": json.dumps(said)})
    pq.write_table(later, tmp_path / "cifar10.parquet")
    assert load(str(tmp_path), answers.benchmark) is None
