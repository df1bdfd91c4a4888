"""Sets with a caption a line: where their pictures are found, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import InputError
from builder.evaluate.archives import folder
from builder.evaluate.fgclip import caption_file, read
from builder.evaluate.found import find
from builder.evaluate.recipe import BENCHMARKS
from builder.evaluate.tasks import Captioned
from tests.evaluate import sets
from tests.evaluate.sets import picture


def task_of(place: Path, name: str = "dci-cn") -> Captioned:
    tree = folder(place)
    return read(BENCHMARKS[name], tree, caption_file(tree))


@pytest.mark.parametrize(
    "written", ["images", "docci/images", "/somebody/elsewhere/docci/images", ".", "./images"]
)
def test_pictures_are_found_wherever_their_owners_ran_the_script(tmp_path: Path, written: str) -> None:
    """Only ever within the set: a path that begins elsewhere is looked for by its end."""
    captions = [(f"{written}/b.jpg", "一只猫坐在窗边"), (f"{written}/a.jpg", "两条狗")]
    made = sets.fg_clip(
        tmp_path / "DOCCI-CN", captions, {"images/a.jpg": picture(0), "images/b.jpg": picture(1)}
    )
    tasks, _, _ = find(str(tmp_path), frozenset(["docci-cn"]))
    task = tasks[0]
    assert isinstance(task, Captioned)
    assert task.names == ["images/b.jpg", "images/a.jpg"]
    assert task.texts == ["一只猫坐在窗边", "两条狗"]
    assert task.pairs.tolist() == [[0, 0], [1, 1]]
    assert [*task.pictures()] == [picture(1), picture(0)]
    assert task.said == []
    assert made.is_dir()


def test_pair_txt_names_pictures_of_coco(tmp_path: Path) -> None:
    first, second = "val2014/COCO_val2014_000000000007.jpg", "train2014/COCO_train2014_000000000009.jpg"
    made = sets.pair_txt(
        tmp_path / "s", [("val", 7, "一只猫。"), ("train", 9, "指向10:55 的钟"), ("val", 7, "猫")],
        {first: picture(0), second: picture(1)},
    )  # fmt: skip
    task = task_of(made, "coco-cn-5k")
    assert task.names == [first, second]
    assert task.texts == ["一只猫。", "指向10:55 的钟", "猫"]
    assert task.pairs.tolist() == [[0, 0], [0, 2], [1, 1]]
    assert task.said == ["3 captions, where the published set has 5,000"]


def test_captions_of_clip_benchmark_lose_their_tags(tmp_path: Path) -> None:
    made = sets.fg_clip(tmp_path / "s", [], {"flickr30k-images/7.jpg": picture(0)})
    (made / "captions.txt").write_text(
        "image,caption\n7.jpg,一个:m 穿:v T:x 恤:n 的:u 男人:n 。:wp\n7.jpg,男人:n 走路:v\n"
    )
    task = task_of(made, "flickr30k-cn")
    assert task.texts == ["一个穿T恤的男人。", "男人走路"]
    assert task.names == ["flickr30k-images/7.jpg"]


def test_pictures_that_are_not_there_are_told_and_have_no_bytes(tmp_path: Path) -> None:
    captions = [("images/a.jpg", "猫"), ("images/lost.jpg", "狗"), ("images/lost.jpg", "犬"), ("b.jpg", "人")]
    task = task_of(sets.fg_clip(tmp_path / "s", captions, {"images/a.jpg": picture(0)}))
    assert task.names == ["images/a.jpg", "images/lost.jpg", "b.jpg"]
    assert [*task.pictures()] == [picture(0), b"", b""]
    assert task.pairs.tolist() == [[0, 0], [1, 1], [1, 2], [2, 3]]
    assert task.said == ["2 of 3 pictures are not there, the first images/lost.jpg: they count as not found"]


def test_a_set_of_which_no_picture_is_there_is_refused(tmp_path: Path) -> None:
    made = sets.pair_txt(tmp_path / "s", [("val", 7, "猫")], {})
    with pytest.raises(
        InputError, match=r"none of its 1 pictures is there; put val2014/COCO_val2014_000000000007\.jpg"
    ):
        task_of(made, "coco-cn-5k")


@pytest.mark.parametrize(
    "path", ["../secret.jpg", "images/../../secret.jpg", "/../secret.jpg", "im\x1bage.jpg", "x" * 2000]
)
def test_a_path_that_leads_out_is_refused(tmp_path: Path, path: str) -> None:
    (tmp_path / "secret.jpg").write_bytes(picture(0))
    made = sets.fg_clip(tmp_path / "s", [("a.jpg", "猫"), (path, "狗")], {"a.jpg": picture(0)})
    with pytest.raises(InputError, match=r"captions\.txt: line 2: '.*' is no path within a set"):
        task_of(made)


def test_a_line_that_is_no_caption_is_refused(tmp_path: Path) -> None:
    made = sets.fg_clip(tmp_path / "s", [("a.jpg", "猫")], {"a.jpg": picture(0)})
    with (made / "captions.txt").open("a") as file:
        file.write("\nno picture\n")
    with pytest.raises(InputError, match=r"line 3: no picture and caption: 'no picture'"):
        task_of(made)


def test_two_files_of_captions_are_refused_by_both_names(tmp_path: Path) -> None:
    made = sets.fg_clip(tmp_path / "s", [("a.jpg", "猫")], {"a.jpg": picture(0)})
    (made / "README.txt").write_text("a.jpg\t图片的说明\n", encoding="gb18030")
    (made / "names.txt").write_text("a.jpg\nb.jpg\n")
    assert caption_file(folder(made)) == "captions.txt"
    (made / "more.txt").write_text("a.jpg\t狗\n")
    with pytest.raises(InputError, match=r"captions\.txt and more\.txt are both captions"):
        task_of(made)
