"""New concepts: what a folder of them may hold, and how sure a checkpoint is of a label, by hand."""

from __future__ import annotations

import math
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import InputError
from builder.evaluate.concepts import Concept, Confidence, FloatArray, find, judged


def concept(root: Path, name: str = "car", label: str = "小米SU7\n", others: str = "轿车\n卡车\n") -> Path:
    folder = root / name
    folder.mkdir(parents=True)
    (folder / "label.txt").write_text(label, encoding="utf-8")
    (folder / "distractors.txt").write_text(others, encoding="utf-8")
    (folder / "b.JPG").write_bytes(b"second")
    (folder / "a.png").write_bytes(b"first")
    return folder


def vectors(*cosines: float) -> FloatArray:
    """Unit vectors in the plane that have these cosines with (1, 0)."""
    return np.array([[one, math.sqrt(1 - one * one)] for one in cosines], np.float32)


CAR = Concept("car", [], lambda: iter(()), ["小米SU7", "轿车", "卡车"])


# -- folders --------------------------------------------------------------------------------------------------------


def test_each_folder_is_a_concept_with_its_label_first(tmp_path: Path) -> None:
    folder = concept(tmp_path, "game", "\ufeff黑神话：悟空\r\n", "\n西游记\n\n  塞尔达传说 \n")
    (folder / "notes.md").write_text("not a picture")
    (folder / "._a.png").write_text("what another system knows of a.png")
    (folder / "more").mkdir()
    concept(tmp_path, "car")
    (tmp_path / ".git").mkdir()
    (tmp_path / "README.md").write_text("not a concept")
    car, game = find(str(tmp_path))
    assert (car.name, car.texts) == ("car", ["小米SU7", "轿车", "卡车"])
    assert (game.name, game.texts) == ("game", ["黑神话：悟空", "西游记", "塞尔达传说"])
    assert game.names == ["a.png", "b.JPG"]
    assert [*game.pictures()] == [*game.pictures()] == [b"first", b"second"]


def test_a_picture_that_is_too_large_is_there_without_bytes(tmp_path: Path) -> None:
    os.truncate(concept(tmp_path) / "a.png", (64 << 20) + 1)
    assert [*find(str(tmp_path))[0].pictures()] == [b"", b"second"]


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("label.txt", None, "label.txt: no file of names"),
        ("label.txt", "", "label.txt: 0 names"),
        ("label.txt", "小米SU7\n问界M9\n", "label.txt: 2 names; write the one"),
        ("label.txt", "长" * 201, "of at most 200 characters"),
        ("distractors.txt", None, "distractors.txt: no file of names"),
        ("distractors.txt", " \n", "distractors.txt: 0 names"),
        ("distractors.txt", "\n".join(map(str, range(1001))), "1,001 names, not 1 to 1,000"),
        ("distractors.txt", "名" * 800_001, "no file of names"),
        ("distractors.txt", "轿车\n小米su7\n", "小米su7 stands 2 times"),
        ("distractors.txt", "轿车\n卡车\n轿车", "轿车 stands 2 times"),
    ],
)
def test_a_concept_that_cannot_be_judged_is_refused_in_a_line(
    tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    folder = concept(tmp_path)
    (folder / name).unlink()
    if text is not None:
        (folder / name).write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=rf"^{folder}[^\n]*{said}[^\n]*$"):
        find(str(tmp_path))


def test_names_in_another_encoding_and_a_folder_without_pictures_are_refused(tmp_path: Path) -> None:
    folder = concept(tmp_path)
    (folder / "label.txt").write_bytes("小米".encode("gb18030"))
    with pytest.raises(InputError, match="not in UTF-8"):
        find(str(tmp_path))
    (folder / "label.txt").write_text("小米", encoding="utf-8")
    (folder / "a.png").unlink()
    (folder / "b.JPG").unlink()
    (folder / "c.png").mkdir()
    with pytest.raises(InputError, match="0 pictures"):
        find(str(tmp_path))


def test_no_concepts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="0 concepts; make a folder of each"):
        find(str(tmp_path))
    with pytest.raises(InputError, match="no folder of concepts"):
        find(str(tmp_path / "gone"))


# -- how sure -------------------------------------------------------------------------------------------------------


def test_confidence_is_the_softmax_of_scaled_cosines() -> None:
    texts, image = vectors(0.8, 0.6, 0.0), np.array([[1, 0]], np.float32)
    found = judged(CAR, image, texts, 10.0)
    assert found.confidence == pytest.approx(math.exp(8) / (math.exp(8) + math.exp(6) + 1), rel=1e-5)
    assert (found.top1, found.pictures, found.lost) == (1.0, 1, 0)


def test_two_pictures_and_three_texts_by_hand() -> None:
    texts = np.eye(3, dtype=np.float32)
    image = np.array([[1, 0, 0], [0, 0.6, 0.8]], np.float32)
    first = math.e / (math.e + 2)
    second = 1 / (1 + math.exp(0.6) + math.exp(0.8))
    found = judged(CAR, image, texts, 1.0)
    assert found.confidence == pytest.approx((first + second) / 2, rel=1e-6)
    assert found.top1 == 0.5


def test_a_tie_is_not_known() -> None:
    texts = np.array([[1, 0], [1, 0]], np.float32)
    assert judged(CAR, texts[:1], texts, 50.0) == Confidence(0.5, 0.0, 1, 0)


def test_a_broken_picture_is_lost_and_counts_as_not_known() -> None:
    texts = np.eye(2, dtype=np.float32)
    image = np.array([[1, 0], [np.nan, np.nan]], np.float32)
    assert judged(CAR, image, texts, 1000.0) == Confidence(0.5, 0.5, 2, 1)
    assert judged(CAR, image[1:], texts, 1000.0) == Confidence(0.0, 0.0, 1, 1)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.inf, math.nan])
def test_a_scale_that_is_none_is_refused(scale: float) -> None:
    with pytest.raises(InputError, match="car: the checkpoint gives"):
        judged(CAR, vectors(1.0), vectors(1.0, 0.5), scale)


def test_a_text_without_direction_is_refused() -> None:
    with pytest.raises(InputError, match="car: the checkpoint gives"):
        judged(CAR, vectors(1.0), vectors(1.0, math.nan), 10.0)


@given(st.lists(st.floats(-1, 1), min_size=2, max_size=6), st.floats(1e-3, 1e4))
def test_confidence_is_a_share_and_largest_of_the_nearest(cosines: list[float], scale: float) -> None:
    texts, image = vectors(*cosines), vectors(1.0)
    found = [judged(CAR, image, np.roll(texts, -at, axis=0), scale) for at in range(len(cosines))]
    assert math.fsum(one.confidence for one in found) == pytest.approx(1)
    assert sum(one.top1 for one in found) <= 1
    assert all(one.confidence == max(each.confidence for each in found) for one in found if one.top1)
