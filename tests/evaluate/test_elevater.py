"""Sets with classes: what truth they give, and what is refused or told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from builder.errors import InputError
from builder.evaluate.archives import folder
from builder.evaluate.elevater import read
from builder.evaluate.recipe import BENCHMARKS
from builder.evaluate.tasks import Labelled
from tests.evaluate import sets
from tests.evaluate.sets import picture


def task_of(place: Path, name: str = "cifar10") -> Labelled:
    return read(BENCHMARKS[name], folder(place, without="train"))


def test_three_digits_name_the_classes_of_a_large_set_and_order_follows_them(tmp_path: Path) -> None:
    classes = [f"类{n}" for n in range(102)]
    task = task_of(
        sets.elevater(tmp_path / "s", classes, [(picture(n), 101 - n) for n in range(3)]), "caltech101"
    )
    assert task.names == ["test/099/00002.jpg", "test/100/00001.jpg", "test/101/00000.jpg"]
    assert task.truth.nonzero()[1].tolist() == [99, 100, 101]
    assert task.said == [f"99 classes without a picture: {', '.join(classes[:5])}, ..."]


def test_a_picture_of_several_classes_is_one(tmp_path: Path) -> None:
    """Known by its bytes, whatever its name; a picture of as many bytes is another."""
    made = sets.elevater(
        tmp_path / "voc",
        ["猫", "狗", "人"],
        [(b"same size 1", [0, 2]), (b"same size 2", 1), (b"longer, alone", 2)],
    )
    (made / "test/2/00000.jpg").rename(made / "test/2/another name.jpg")
    task = task_of(made, "voc2007")
    assert task.names == ["test/0/00000.jpg", "test/1/00001.jpg", "test/2/00002.jpg"]
    assert task.truth.tolist() == [[True, False, True], [False, True, False], [False, False, True]]
    assert "1 of 3 pictures are of several classes" in task.said
    assert [*task.pictures()] == [b"same size 1", b"same size 2", b"longer, alone"]


def test_equal_pictures_of_a_set_of_single_classes_stay_two(tmp_path: Path) -> None:
    task = task_of(sets.elevater(tmp_path / "memes", ["普通", "仇恨"], [(picture(0), [0, 1])]), "memes")
    assert task.truth.tolist() == [[True, False], [False, True]]


def test_another_number_of_classes_and_files_that_are_no_pictures_are_told(tmp_path: Path) -> None:
    made = sets.elevater(tmp_path / "s", ["猫", "狗"], [(picture(0), 0), (picture(1), 1)])
    (made / "test/0/notes.txt").write_text("mine")
    (made / "test/list.jpg").write_bytes(picture(2))
    (made / "test/.DS_Store").write_bytes(b"hidden")
    assert task_of(made).said == [
        "label_cn.txt has 2 classes, where the published set has 10",
        "2 files in test/ that are no pictures of a class are passed over",
    ]


def test_train_is_not_looked_at(tmp_path: Path) -> None:
    made = sets.elevater(tmp_path / "s", ["猫", "狗"], [(picture(0), 0), (picture(1), 1)])
    (made / "train/9").mkdir(parents=True)
    (made / "train/9/a.jpg").write_bytes(picture(3))
    assert len(task_of(made).names) == 2
    assert not [path for path in folder(made, without="train").sizes if path.startswith("train")]


def test_labels_with_windows_ends_a_mark_in_front_and_empty_lines_behind(tmp_path: Path) -> None:
    made = sets.elevater(tmp_path / "s", ["猫", "狗"], [(picture(0), 0), (picture(1), 1)])
    (made / "label_cn.txt").write_bytes("猫\r\n 狗\r\n\r\n\r\n".encode("utf-8-sig"))
    assert task_of(made).classes == ["猫", "狗"]


@pytest.mark.parametrize(
    ("folder_name", "said"),
    [
        ("3", "no such class; label_cn.txt has 3 lines"),
        ("dog", "'dog': no such class"),
        ("１", r"'\\uff11': no such class"),
        ("01", "'01': no such class"),
        ("001", "1 and 001 are one class"),
    ],
)
def test_a_folder_of_no_class_is_refused(tmp_path: Path, folder_name: str, said: str) -> None:
    made = sets.elevater(tmp_path / "s", ["猫", "狗", "人"], [(picture(0), 1)])
    (made / "test" / folder_name).mkdir()
    (made / "test" / folder_name / "a.jpg").write_bytes(picture(1))
    with pytest.raises(InputError, match=said):
        task_of(made)


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ("猫\n\n狗\n".encode(), "line 2 is empty, so class 1 has no name"),
        (b"", "line 1 is empty"),
        ("飞机\n汽车\n".encode("gb18030"), "line 1 is not UTF-8"),
        (b"x" * 5000, "a line of more than 1,024 bytes"),
    ],
)
def test_labels_that_are_none_are_refused(tmp_path: Path, labels: bytes, said: str) -> None:
    made = sets.elevater(tmp_path / "s", ["猫", "狗"], [(picture(0), 1)])
    (made / "label_cn.txt").write_bytes(labels)
    with pytest.raises(InputError, match=said):
        task_of(made)


def test_a_set_without_pictures_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no pictures in test/<class>"):
        task_of(sets.elevater(tmp_path / "s", ["猫"], []))


def test_a_picture_that_is_far_too_large_is_refused_unread(tmp_path: Path) -> None:
    made = sets.elevater(tmp_path / "s", ["猫"], [(picture(0), 0)])
    with (made / "test/0/large.jpg").open("wb") as file:
        file.truncate(33 << 20)
    with pytest.raises(InputError, match=r"test/0/large\.jpg: more than 33,554,432 bytes"):
        task_of(made)


def test_identity_follows_what_decides_the_figures(tmp_path: Path) -> None:
    def made(name: str, classes: list[str], first: bytes, label: int) -> str:
        place = sets.elevater(tmp_path / name, classes, [(first, label), (picture(1), 1)])
        return task_of(place).identity

    first = made("a", ["猫", "狗"], picture(0), 0)
    assert first == made("b", ["猫", "狗"], picture(0), 0)
    others = [
        made("c", ["猫", "犬"], picture(0), 0),
        made("d", ["猫", "狗"], picture(0), 1),
        made("e", ["猫", "狗"], picture(0) + b"longer", 0),
    ]
    assert len({first, *others}) == 4
    assert np.array_equal(task_of(tmp_path / "a").truth, np.eye(2, dtype=bool))


@pytest.mark.parametrize("classes", [["善意"], ["善意", "恶意", "无关"]])
def test_memes_are_of_two_classes(tmp_path: Path, classes: list[str]) -> None:
    place = sets.elevater(tmp_path / "hateful-memes", classes, [(picture(0), 0)])
    with pytest.raises(
        InputError, match=f"{len(classes)} classes, where an area under the ROC curve is of two"
    ):
        read(BENCHMARKS["memes"], folder(place))
