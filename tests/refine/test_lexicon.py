"""The word lists: how long they may be, what they find, and that each word of theirs is needed."""

from __future__ import annotations

from collections import Counter

import numpy as np
import opencc
import pytest
import rjieba

from builder.reasons import Reason
from builder.refine.blocked import Blocked
from builder.refine.lexicon import ADVERTS, INTERFACE, NO_THINGS, PICTURES, UNSAFE

from .labelled import CAPTIONS, wanted

BLOCKED = Blocked({Reason.UNSAFE_TEXT: UNSAFE, Reason.ADVERT: ADVERTS})
NOUNS = ("vn", "an")
SIMPLE = opencc.OpenCC("t2s")


def listed(text: str) -> set[str]:
    """The reasons of the lists for which a text, in simplified script, would be dropped."""
    simple = SIMPLE.convert(text)
    borders = np.cumsum([0, *map(len, rjieba.cut(simple))])
    return {reason.value for reason, hits in BLOCKED.found(simple, borders).items() if len(hits)}


def is_noun(word: str) -> bool:
    """Whether the dictionary has a word as one, and as a noun."""
    ((_, tag),) = rjieba.tag(word)
    return tag[0] == "n" or tag in NOUNS


def test_the_captions_are_enough_and_of_every_kind() -> None:
    labels = Counter(caption.wanted for caption in CAPTIONS)
    assert labels.total() >= 320
    assert labels["kept"] >= 200
    reasons = {
        "not_chinese", "short_text", "long_text", "boilerplate", "pii", "unsafe_text", "advert", "no_noun",
    }  # fmt: skip
    assert set(labels) == {"kept", *reasons}
    assert min(labels[reason] for reason in reasons) >= 12
    assert len({caption.text for caption in CAPTIONS}) == len(CAPTIONS)


def test_the_lists_are_short_and_each_word_stands_once() -> None:
    words = UNSAFE + ADVERTS + INTERFACE
    assert len(words) == len(set(words)) <= 150
    assert 100 <= len(PICTURES) <= 250
    assert len(NO_THINGS) <= 40


@pytest.mark.parametrize("word", UNSAFE + ADVERTS)
def test_each_listed_word_is_found_between_borders_of_its_own(word: str) -> None:
    """A word that the dictionary never ends where the list does would find nothing."""
    assert listed(word)
    assert listed(f"专业{word}的网站")


@pytest.mark.parametrize("reason", ["unsafe_text", "advert"])
def test_what_is_unsafe_or_advertising_is_found(reason: str) -> None:
    assert [text for text in wanted(reason) if reason not in listed(text)] == []


def test_no_caption_that_is_right_is_found() -> None:
    assert [text for text in wanted("kept") if listed(text)] == []


@pytest.mark.parametrize("word", sorted(PICTURES))
def test_each_picture_word_is_one_that_the_dictionary_has_as_no_noun(word: str) -> None:
    assert not is_noun(word)


@pytest.mark.parametrize("word", sorted(NO_THINGS))
def test_each_word_that_names_nothing_is_one_that_the_dictionary_has_as_a_noun(word: str) -> None:
    assert is_noun(word)


@pytest.mark.parametrize(
    "text",
    [
        "澳门银河娱乐城夜景", "明星私服搭配街拍", "冰毒检测试剂盒", "仿真枪玩具模型", "反洗钱宣传折页",
        "防范刷单诈骗海报",
        "办证大厅外景", "添加微信好友的步骤图", "黑色情侣装", "替考者被抓", "可开发票的打印机", "特价包邮的毛巾",
    ],
)  # fmt: skip
def test_captions_with_words_like_those_are_kept(text: str) -> None:
    assert listed(text) == set()
