"""Classes of characters, cleaning and simplified script, by hand and against rules that look at one text at a time."""

from __future__ import annotations

import unicodedata

import opencc
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.refine.alphabet import Class, classes_in, cleaned, simplified
from builder.stage.chinese import told_by

TEXTS = st.lists(st.text(max_size=30), max_size=8)
HAN = st.lists(st.text("北京駅說说円おカ가a1 \n★東昇", max_size=8), max_size=8)


@given(HAN)
def test_classes_tell_the_language_as_a_look_at_each_text_does(texts: list[str]) -> None:
    for text, held in zip(texts, classes_in(texts).tolist(), strict=True):
        if held & Class.KANA:
            told = "jpn"
        elif held & Class.HANGUL:
            told = "kor"
        elif held & Class.CHINESE:
            told = "zho"
        elif held & Class.JAPANESE:
            told = "jpn"
        else:
            told = "und" if held & Class.HAN else None
        assert told == told_by(text)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("a  b\n c ", "a b c"),
        ("★新品★上市♥", "新品 上市"),
        ("\U0001f468‍\U0001f469‍\U0001f467一家人\U0001f3fb", "一家人"),  # a family, and a colour of skin
        ("❤️我爱你", "我爱你"),
        ("1️⃣第一名", "1第一名"),
        ("春​节\x00快\x7f乐\ufeff", "春节快乐"),
        ("\ue000私用区", "私用区"),
        ("【正品】ＡＢＣ（１２）～《书》“好”……——、·", "【正品】ＡＢＣ（１２）～《书》“好”……——、·"),
        ("25㎡ 10℃ 90° №5 耐克® ⅡⅢ ①② ￥99 ㎏", "25㎡ 10℃ 90° №5 耐克® ⅡⅢ ①② ￥99 ㎏"),
        ("a+b=c <d> x^2 | ~", "a+b=c <d> x^2 | ~"),
        ("■产品□介绍▲", "产品 介绍"),
        ("　全角　空格　", "全角 空格"),
        ("\U0002a6d6\U00030000", "\U0002a6d6\U00030000"),  # rare Han, of which a Python may know none
        ("★", ""),
        ("", ""),
    ],
)
def test_what_cleaning_takes_and_leaves(text: str, clean: str) -> None:
    assert cleaned([text]) == [clean]


@given(TEXTS)
def test_cleaning_is_of_each_text_by_itself_and_done_once(texts: list[str]) -> None:
    once = cleaned(texts)
    assert once == [cleaned([text])[0] for text in texts]
    assert cleaned(once) == once
    for raw, text in zip(texts, once, strict=True):
        assert text == " ".join(text.split())
        assert not any(unicodedata.category(one) in ("Cc", "Cf", "Co") for one in text)
        assert {*text} <= {*raw, " "}


@given(TEXTS)
def test_blanks_alone_are_made_one_as_split_and_join_do(texts: list[str]) -> None:
    assert cleaned(texts, whole=False) == [" ".join(text.split()) for text in texts]


@pytest.mark.parametrize(
    "text", ["昇腾处理器", "毕昇印刷术", "文徵明的画", "乾隆年间的瓷器", "乾坤", "香菸", "芸薹", "皇后"]
)
def test_simplified_texts_hold_no_character_that_calls_for_conversion(text: str) -> None:
    (held,) = classes_in([text]).tolist()
    assert not held & Class.TRADITIONAL


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("紅燒牛肉麵", "红烧牛肉面"),
        ("然後", "然后"),
        ("於是", "于是"),
        ("頭髮", "头发"),
        ("發財", "发财"),
        ("臺灣", "台湾"),
    ],
)
def test_traditional_texts_are_converted(text: str, simple: str) -> None:
    (held,) = classes_in([text]).tolist()
    assert held & Class.TRADITIONAL
    assert simplified([text]) == [simple]


@given(st.lists(st.text("頭髮發財後天乾燥 ，", max_size=12), max_size=8))
def test_texts_are_converted_together_as_each_by_itself(texts: list[str]) -> None:
    alone = opencc.OpenCC("t2s")
    assert simplified(texts) == [alone.convert(text) for text in texts]
