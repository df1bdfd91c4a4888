"""What every format shares: tags in captions, and identities."""

from __future__ import annotations

import pytest

from builder.evaluate.recipe import BENCHMARKS
from builder.evaluate.tasks import Captioned, captioned, identity


def made(*texts: str) -> Captioned:
    pairs = [(0, text) for text in range(len(texts))]
    return captioned(BENCHMARKS["dci-cn"], [("a", 1)], lambda: iter([b"a"]), [*texts], pairs, [])


@pytest.mark.parametrize("sign", [":", "/"])
def test_tags_of_parts_of_speech_are_found_stripped_and_said(sign: str) -> None:
    tagged = [
        text.replace(":", sign) for text in ("两:m 个:q 男人:n 在:p New:nx York:nx 。:wp", "一:m 只:q 猫:NN")
    ]
    task = made(*tagged)
    assert task.texts == ["两个男人在New York。", "一只猫"]
    assert task.said == [f"captions have tags of parts of speech, such as 两{sign}m, which are taken out"]
    assert task.identity != made(*tagged[:1]).identity
    assert task.identity == made("两个男人在New York。", "一只猫").identity


@pytest.mark.parametrize(
    "texts",
    [
        ("时钟指向 10:55", "比分 3:2"),  # numbers are no tags
        ("两:m 个:q 男人:n", "一只猫 坐在 窗边 晒 太阳", "一 条 狗"),  # one caption is not the file
        ("狗/dog", "猫/cat"),  # a word a caption
        ("一只猫", ""),
        (),
    ],
)
def test_captions_without_tags_stay_as_they_are(texts: tuple[str, ...]) -> None:
    task = made(*texts)
    assert task.texts == [*texts]
    assert not [line for line in task.said if "tags" in line]


def test_words_of_too_many_kinds_are_no_tags() -> None:
    texts = [" ".join(f"词{n}:{chr(97 + n % 26)}{chr(97 + n // 26)}" for n in range(200))]
    assert made(*texts).texts == texts


def test_an_identity_keeps_its_parts_apart() -> None:
    assert (
        len({identity(["a", "b"]), identity(["a"], ["b"]), identity(["ab"]), identity(["a", "b"], [])}) == 4
    )
