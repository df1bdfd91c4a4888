"""Benchmarks in a folder: found by name, unpacked or zipped; what is missing or unknown is told."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from builder.errors import InputError
from builder.evaluate.found import find
from builder.evaluate.tasks import Captioned, Labelled
from tests.evaluate import sets
from tests.evaluate.sets import picture

CLASSES = ["飞机", "汽车", "鸟"]
PICTURES = [(picture(0), 0), (picture(1), 2), (picture(2), 2)]


def only(place: Path, name: str) -> Labelled | Captioned:
    tasks, missing, _ = find(str(place), frozenset([name]))
    assert missing == []
    assert isinstance(tasks[0], Labelled | Captioned)
    assert len(tasks) == 1
    return tasks[0]


@pytest.mark.parametrize(
    ("form", "name"),
    [
        ("folder", "cifar10"), ("folder", "CIFAR-10"), ("inner folder", "Cifar_10"),
        ("bare zip", "CIFAR-10"), ("inner zip", "cifar-10"),
    ],
)  # fmt: skip
def test_a_benchmark_is_found_by_its_letters_and_digits(tmp_path: Path, form: str, name: str) -> None:
    place = tmp_path / "ELEVATER_all" if form.startswith("inner") else tmp_path
    made = sets.elevater(place / name, CLASSES, PICTURES)
    if form.endswith("zip"):
        sets.zipped(made, inside=form != "bare zip")
    task = only(tmp_path, "cifar10")
    assert isinstance(task, Labelled)
    assert task.classes == CLASSES
    assert task.names == ["test/0/00000.jpg", "test/2/00001.jpg", "test/2/00002.jpg"]
    assert np.array_equal(task.truth, np.eye(3, dtype=bool)[[0, 2, 2]])
    assert [*task.pictures()] == [data for data, _ in PICTURES]


def test_what_is_missing_and_what_nobody_knows_are_told(tmp_path: Path) -> None:
    sets.elevater(tmp_path / "dtd", CLASSES, PICTURES)
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "my pictures").mkdir()
    (tmp_path / "more/mnist").mkdir(parents=True)
    (tmp_path / "more/imagenet").mkdir()
    (tmp_path / "ELEVATER_all.zip").write_bytes(b"PK")
    tasks, missing, unknown = find(str(tmp_path), frozenset(["dtd", "muge", "cars"]))
    assert [task.benchmark.name for task in tasks] == ["dtd"]
    assert [one.name for one in missing] == ["cars", "muge"]
    assert unknown == [
        f"{tmp_path}/ELEVATER_all.zip: unzip it once; the zips in it are read as they are",
        f"{tmp_path}/more/imagenet",
        f"{tmp_path}/my pictures",
        f"{tmp_path}/notes.txt",
    ]


def test_two_of_one_name_are_refused_by_both_names(tmp_path: Path) -> None:
    sets.zipped(sets.elevater(tmp_path / "CIFAR-10", CLASSES, PICTURES))
    sets.elevater(tmp_path / "cifar10", CLASSES, PICTURES)
    with pytest.raises(InputError, match=r"CIFAR-10\.zip and .*/cifar10 are both CIFAR10"):
        find(str(tmp_path), frozenset(["cifar10"]))
    assert find(str(tmp_path), frozenset(["dtd"])).tasks == []


@pytest.mark.parametrize("form", ["tsv", "standard", "tianchi", "zip"])
def test_captions_of_chinese_clip(tmp_path: Path, form: str) -> None:
    pictures = {17: picture(0), 5: picture(1), 101: picture(2)}
    texts = [("一只猫", [5]), ("猫和狗", [17, 5]), ("红色的车", [101])]
    made = sets.chinese_clip(
        tmp_path / "MUGE",
        pictures,
        texts,
        tianchi=form == "tianchi",
        urlsafe=form != "standard",
    )
    if form == "zip":
        sets.zipped(made)
    task = only(tmp_path, "muge")
    assert isinstance(task, Captioned)
    assert task.texts == ["一只猫", "猫和狗", "红色的车"]
    assert {task.names[row]: data for row, data in enumerate(task.pictures())} == {
        str(name): data for name, data in pictures.items()
    }
    assert [(int(task.names[row]), text) for row, text in task.pairs] == sorted(
        [(5, 0), (17, 1), (5, 1), (101, 2)], key=lambda one: (task.names.index(str(one[0])), one[1])
    )
    assert "read from test" in task.said


@pytest.mark.parametrize(
    ("name", "said"), [("mnist", "no label_cn.txt"), ("muge", "neither <split>_texts.jsonl nor")]
)
def test_a_folder_of_a_known_name_without_a_known_format_is_refused(
    tmp_path: Path, name: str, said: str
) -> None:
    (tmp_path / name / "inner").mkdir(parents=True)
    (tmp_path / name / "inner/README.txt").write_text("a.jpg\tno caption file")
    with pytest.raises(InputError, match=f"{name}: {said}.*, so it is no "):
        find(str(tmp_path), frozenset([name]))


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        find(str(tmp_path / "nothing"), frozenset(["dtd"]))
    shutil.rmtree(tmp_path)


def test_sets_of_ones_own_are_found_by_their_files(tmp_path: Path) -> None:
    sets.elevater(tmp_path / "我的图-1", CLASSES, PICTURES)
    sets.chinese_clip(tmp_path / "my_texts", {7: picture(0)}, [("一只猫", [7])])
    sets.elevater(tmp_path / "with blanks", CLASSES, PICTURES)  # no name for a file of results
    tasks, _, unknown = find(str(tmp_path), frozenset())
    assert [(task.benchmark.name, task.benchmark.family) for task in tasks] == [
        ("my_texts", "short"), ("我的图-1", "zero-shot"),
    ]  # fmt: skip
    assert not any(task.benchmark.averaged for task in tasks)
    assert unknown == [f"{tmp_path}/with blanks"]
    assert [task.benchmark.name for task in find(str(tmp_path), frozenset(["my_texts"])).tasks] == [
        "my_texts"
    ]
