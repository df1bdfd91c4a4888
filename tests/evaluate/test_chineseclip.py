"""Sets with captions as Chinese-CLIP has them: what is read, from which split, and what is refused."""

from __future__ import annotations

import base64
import json
import pickle
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest

from builder.errors import EnvironmentProblem, InputError
from builder.evaluate.archives import archive, folder
from builder.evaluate.chineseclip import read
from builder.evaluate.recipe import BENCHMARKS
from builder.evaluate.tasks import Captioned
from tests.evaluate import sets
from tests.evaluate.sets import picture

PICTURES = {17: picture(0), 5: picture(1)}
TEXTS = [("一只猫", [5]), ("两条狗", [17, 5, 5])]


def task_of(place: Path, name: str = "flickr30k-cn") -> Captioned:
    return read(BENCHMARKS[name], archive(place) if place.suffix == ".zip" else folder(place))


def test_pairs_are_unique_and_rows_have_the_order_of_the_tsv(tmp_path: Path) -> None:
    task = task_of(sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS))
    assert task.names == ["17", "5"]
    assert task.pairs.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert task.said == ["read from test", "2 captions, where the published set has 5,000"]


class Trap:
    """Unpickled, it would leave a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_an_lmdb_gives_the_same_pictures_unpickles_nothing_and_is_left_as_it_is(tmp_path: Path) -> None:
    made = sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS, lmdb=True)
    (made / "lmdb/test/imgs/lock.mdb").unlink()
    sets.database(made / "lmdb/test/pairs", {"0": pickle.dumps(Trap(tmp_path / "sprung"))})
    before = sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*"))
    task = task_of(made)
    assert dict(zip(task.names, task.pictures(), strict=True)) == {"17": picture(0), "5": picture(1)}
    assert task.pairs.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert sorted((path, path.stat().st_mtime_ns) for path in made.rglob("*")) == before
    assert not (tmp_path / "sprung").exists()


def test_a_tsv_is_preferred_to_an_lmdb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the package of LMDBs is needed only where there is nothing else."""
    made = sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS, lmdb=True)
    monkeypatch.setitem(sys.modules, "lmdb", None)
    with pytest.raises(EnvironmentProblem, match=r"^lmdb missing; pip install 'danqing\[evaluate\]'$"):
        task_of(made)
    sets.chinese_clip(made, PICTURES, TEXTS)
    assert [*task_of(made).pictures()] == [picture(0), picture(1)]


def test_an_lmdb_in_a_zip_is_to_be_unzipped(tmp_path: Path) -> None:
    made = sets.zipped(sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS, lmdb=True), inside=False)
    with pytest.raises(
        InputError, match=r"s\.zip: its pictures are in an LMDB, which is not read within a zip; unzip"
    ):
        task_of(made)


def test_an_lmdb_that_lost_pictures_is_refused(tmp_path: Path) -> None:
    made = sets.chinese_clip(tmp_path / "s", {}, TEXTS, lmdb=True)
    shutil.rmtree(made / "lmdb")
    sets.database(made / "lmdb/test/imgs", {"5": b"AAAA", "num_images": b"2"})
    with pytest.raises(InputError, match="1 pictures, where num_images says b'2'"):
        task_of(made)


def test_the_valid_split_is_read_where_the_test_has_no_labels(tmp_path: Path) -> None:
    sets.chinese_clip(tmp_path / "MUGE", {1: picture(3)}, [("无", []), ("无", [])])
    made = sets.chinese_clip(tmp_path / "MUGE", PICTURES, TEXTS, split="valid")
    task = task_of(made, "muge")
    assert task.texts == ["一只猫", "两条狗"]
    assert task.said[:2] == ["test_texts.jsonl has no labels", "read from valid"]


def test_no_split_with_labels_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"neither test_texts\.jsonl nor valid_texts\.jsonl has labels"):
        task_of(sets.chinese_clip(tmp_path / "s", PICTURES, [("无", [])]))


def test_captions_without_a_picture_and_pictures_without_a_caption_are_told(tmp_path: Path) -> None:
    task = task_of(sets.chinese_clip(tmp_path / "s", PICTURES, [("猫", [5]), ("狗", [])]))
    assert "1 of 2 captions belong to no picture, and are never found" in task.said
    assert "1 of 2 pictures belong to no caption, and are only in the way of others" in task.said


def lines(place: Path, *rows: Any) -> Path:
    place.write_text("".join(row if isinstance(row, str) else json.dumps(row) + "\n" for row in rows))
    return place


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("no JSON\n", r"test_texts\.jsonl: line 2: Expecting value"),
        ("[1]\n", "line 2: no object of JSON"),
        ('{"a":' * 100_000 + "\n", "line 2: maximum recursion"),
        ({"text_id": 1, "text": 7, "image_ids": [5]}, "line 2: no text with a list of image_ids"),
        ({"text_id": 1, "text": "猫", "image_ids": "5"}, "line 2: no text with a list of image_ids"),
        (
            {"text_id": 1, "text": "猫", "image_ids": [True]},
            "line 2: an image id is a whole number or a text",
        ),
        ({"text_id": 1, "text": "猫", "image_ids": [[5]]}, "line 2: an image id is a whole number or a text"),
        ({"text_id": 1, "text": "\ud800", "image_ids": [5]}, "line 2: .*surrogates not allowed"),
        ({"text_id": 1, "text": "猫", "image_ids": [6]}, r"test_texts\.jsonl: there is no picture '6'"),
        ({"text_id": 1, "text": "猫" * 20_001, "image_ids": [5]}, "a caption of 20,001 characters"),
        ("x" * (1 << 20) + "x\n", "a line of more than 1,048,576 bytes, from line 2 on"),
    ],
)
def test_a_line_that_is_no_caption_is_refused(tmp_path: Path, row: Any, said: str) -> None:
    made = sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS)
    lines(made / "test_texts.jsonl", {"text_id": 0, "text": "猫", "image_ids": [5]}, row)
    with pytest.raises(InputError, match=said):
        task_of(made)


@pytest.mark.parametrize(
    ("tsv", "said"),
    [
        (b"5 AAAA\n", r"test_imgs\.tsv: line 1: no tab; fetch it again"),
        (b"5\tAAAA\n\xff\xfe\tAAAA\n", "line 2: .*can't decode"),
        (b"5\tAAAA\n5\tAAAA\n", "1 ids of its pictures come twice"),
        (None, r"neither test_imgs\.tsv nor lmdb/test/imgs/data\.mdb"),
    ],
)
def test_a_tsv_that_is_none_is_refused(tmp_path: Path, tsv: bytes | None, said: str) -> None:
    made = sets.chinese_clip(tmp_path / "s", PICTURES, TEXTS[:1])
    (made / "test_imgs.tsv").unlink()
    if tsv is not None:
        (made / "test_imgs.tsv").write_bytes(tsv)
    with pytest.raises(InputError, match=said):
        task_of(made)


def test_base64_is_read_however_it_is_written_and_what_is_none_is_a_picture_without_bytes(
    tmp_path: Path,
) -> None:
    data = bytes(range(256))  # its base64 has + and /, or - and _, and ends with ==
    standard, urlsafe = base64.b64encode(data), base64.urlsafe_b64encode(data)
    assert standard != urlsafe
    forms = [standard, urlsafe, standard.rstrip(b"="), urlsafe + b"\r", b"!!!!", b""]
    made = sets.chinese_clip(tmp_path / "s", {}, [("猫", [0])])
    (made / "test_imgs.tsv").write_bytes(b"\n".join(b"%d\t%s" % (n, form) for n, form in enumerate(forms)))
    assert [*task_of(made).pictures()] == [data] * 4 + [b""] * 2


def captions(count: int) -> list[tuple[str, list[int]]]:
    return [(f"第{n}句", [5 if n % 2 else 17]) for n in range(count)]


def test_the_two_coco_cn_are_never_taken_for_each_other(tmp_path: Path) -> None:
    small = sets.chinese_clip(tmp_path / "small", PICTURES, captions(1053))
    large = sets.chinese_clip(tmp_path / "large", PICTURES, captions(5000))
    assert task_of(small, "coco-cn").said == ["read from test"]
    assert task_of(large, "coco-cn-5k").said == ["read from test"]
    with pytest.raises(InputError, match=r"5,000 captions, not 1,053, .* name its folder COCO-CN-5k"):
        task_of(large, "coco-cn")
    with pytest.raises(InputError, match=r"1,053 captions, not 5,000, .* name its folder COCO-CN,"):
        task_of(small, "coco-cn-5k")
    other = sets.chinese_clip(tmp_path / "other", PICTURES, captions(9))
    assert "9 captions, where the published set has 1,053" in task_of(other, "coco-cn").said


def test_a_value_that_is_far_too_large_for_a_picture_is_refused_unread(tmp_path: Path) -> None:
    made = sets.chinese_clip(tmp_path / "s", {}, TEXTS, lmdb=True)
    shutil.rmtree(made / "lmdb")
    sets.database(made / "lmdb/test/imgs", {"5": bytes(45_000_000), "num_images": b"1"})
    with pytest.raises(InputError, match=r"imgs: '5': more than 44,740,266 bytes, so it is no picture"):
        task_of(made)
