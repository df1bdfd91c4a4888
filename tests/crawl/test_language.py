"""Which language a page is in, and which texts are Chinese, by captions that were labelled before any rule saw them."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.crawl.language import garbled, page_language, passes
from builder.crawl.page import PageFacts
from builder.stage.chinese import CHINESE_ALONE, JAPANESE_ALONE, has_han, is_chinese

FILE = Path(__file__).with_name("captions.tsv")
CAPTIONS = [line.split("\t") for line in FILE.read_text("utf-8").splitlines() if not line.startswith("#")]
NONE = PageFacts()
PAGES = {"zh": "zho", "yue": "zho", "ja": "jpn", "ko": "kor", "en": "eng"}


def page_of(label: str) -> str:
    """The language of a page that has captions of this label."""
    return PAGES[label.partition("-")[0]]


def confusion(pages: Callable[[str], str | None]) -> tuple[float, float, str]:
    """Precision, recall, and of each label how many were called Chinese, with what was called wrongly.

    pages: the language of the page of a caption, by its label.
    """
    asked, found, wrong = Counter[str](), Counter[str](), list[str]()
    for label, caption in CAPTIONS:
        if label == "both":
            continue
        said, true = is_chinese(caption, pages(label)), page_of(label) == "zho"
        asked[label] += 1
        found[label] += said
        wrong += [] if said == true else [f"{label} {caption}"]
    right = sum(found[label] for label in asked if page_of(label) == "zho")
    total = sum(asked[label] for label in asked if page_of(label) == "zho")
    lines = [f"{label}: {found[label]} of {asked[label]} called Chinese" for label in asked]
    return right / found.total(), right / total, "\n".join([*lines, *wrong])


def test_the_captions_are_enough_and_of_every_kind() -> None:
    labels = Counter(label for label, _ in CAPTIONS)
    assert labels.total() - labels["both"] >= 300
    assert set(labels) == {
        "zh-Hans", "zh-Hant", "yue", "zh-mixed", "zh-kana", "ja-kana", "ja-kanji", "ja-mixed", "ko", "en", "both",
    }  # fmt: skip
    assert len({caption for _, caption in CAPTIONS}) == len(CAPTIONS)


def test_chinese_captions_of_a_page_whose_language_is_known() -> None:
    precision, recall, table = confusion(page_of)
    assert (precision >= 0.99, recall >= 0.98) == (True, True), f"{precision:.4f} {recall:.4f}\n{table}"


def test_captions_of_pages_that_say_nothing_but_their_captions() -> None:
    """Six captions of one label each to a page, in the order of the file."""
    asked, right, wrong = Counter[bool](), Counter[bool](), list[str]()
    for label, group in itertools.groupby(
        (one for one in CAPTIONS if one[0] != "both"), key=lambda one: one[0]
    ):
        captions, true = [caption for _, caption in group], page_of(label) == "zho"
        for page in (captions[start : start + 6] for start in range(0, len(captions), 6)):
            language = page_language(None, NONE, page)
            for caption in page:
                said = is_chinese(caption, language)
                asked[said] += 1
                right[true] += said
                wrong += [] if said == true else [f"{label} {caption}"]
    total = sum(page_of(label) == "zho" for label, _ in CAPTIONS if label != "both")
    precision, recall = right[True] / asked[True], right[True] / total
    table = "\n".join(wrong)
    assert (precision >= 0.99, recall >= 0.97) == (True, True), f"{precision:.4f} {recall:.4f}\n{table}"


def test_a_caption_that_stands_alone() -> None:
    """Of captions that two languages could write, as much of traditional Chinese is, CLD2 finds three quarters."""
    precision, recall, table = confusion(lambda label: None)
    assert (precision >= 0.99, recall >= 0.89) == (True, True), f"{precision:.4f} {recall:.4f}\n{table}"


@pytest.mark.parametrize("page", ["zho", "jpn", "kor", "eng", None])
@pytest.mark.parametrize(
    ("text", "chinese"),
    [
        ("苏州园林", True),  # 苏: GB2312 alone
        ("你說什麼", True),  # 你 and 說: not in Shift_JIS
        ("佢喺度", True),
        ("新宿駅", False),  # 駅: Shift_JIS alone
        ("中文说明書 売", True),  # of both kinds: Chinese is asked for first
        ("中国製のお茶", False),
        ("说明の说明", False),  # kana comes before all
        ("한국 음식 说明", False),
        ("ｱﾆﾒ 说明", False),
        ("red cup", False),
        ("", False),
        ("。、・ー", False),
    ],
)
def test_characters_decide_whatever_the_page_is_in(text: str, chinese: bool, page: str | None) -> None:
    assert is_chinese(text, page) is chinese


def test_a_word_of_several_languages_is_of_that_of_its_page() -> None:
    assert is_chinese("東京", "zho")
    assert not any(is_chinese("東京", page) for page in ("jpn", "kor", "eng"))


def test_dots_and_dashes_that_chinese_borrows_are_no_kana() -> None:
    assert is_chinese("列奥纳多・达芬奇", None)
    assert is_chinese("周一ー周五", "zho")
    assert is_chinese("・中山", "zho")


def test_latin_letters_do_not_outweigh_the_characters_of_a_text_that_stands_alone() -> None:
    assert is_chinese("Adobe Photoshop教程", None)
    assert not is_chinese("Tokyo Station Hotel 採用情報", None)


def test_characters_are_told_by_the_codecs() -> None:
    for character in "苏説說駅東你":
        written = {codec: _writes(codec, character) for codec in ("gb2312", "big5", "shift_jis")}
        chinese = written["gb2312"] or written["big5"]
        assert (character in CHINESE_ALONE) is (chinese and not written["shift_jis"])
        assert (character in JAPANESE_ALONE) is (written["shift_jis"] and not chinese)


def _writes(codec: str, character: str) -> bool:
    try:
        return bool(character.encode(codec))
    except UnicodeEncodeError:
        return False


@given(st.text(st.characters(codec=None) | st.sampled_from("中東\x00\x0c\x85\ufffe\U0010ffff\ud800")))
def test_any_text_of_the_web_is_answered(text: str) -> None:
    assert is_chinese(text, None) <= has_han(text)


def test_the_record_of_the_crawl_comes_first() -> None:
    facts = PageFacts(html_lang="ja", charset="gbk")
    assert page_language(("zho",), facts, []) == "zho"
    assert page_language(("eng", "zho"), facts, []) == "zho"  # the pages that the gate lets pass are Chinese
    assert page_language(("jpn", "zho"), facts, []) == "jpn"
    assert page_language(("deu", "fra"), facts, []) == "deu"


@pytest.mark.parametrize(
    ("lang", "language"),
    [
        ("zh", "zho"), ("zh-CN", "zho"), ("zh_CN", "zho"), ("zh-Hant-HK", "zho"), (" ZH-tw ", "zho"), ("cn", "zho"),
        ("yue", "zho"), ("zh-yue", "zho"), ("cmn-Hans", "zho"), ("zho", "zho"), ("ja", "jpn"), ("ja-JP", "jpn"),
        ("jp", "jpn"), ("ko-KR", "kor"), ("en", "eng"), ("en-US", "eng"), ("vi", "vie"), ("gsw", "gsw"),
        ("zz", None), ("chinese", None), ("", None), ("-", None), ("中文", None), (None, None),
    ],
)  # fmt: skip
def test_the_html_attribute(lang: str | None, language: str | None) -> None:
    assert page_language(None, PageFacts(html_lang=lang), []) == language


@pytest.mark.parametrize(
    ("charset", "language"),
    [
        ("euc-jp", "jpn"), ("x-euc-jp", "jpn"), ("shift_jis", "jpn"), ("x-sjis", "jpn"), ("windows-31j", "jpn"),
        ("iso-2022-jp", "jpn"), ("cp932", "jpn"), ("euc-kr", "kor"), ("ks_c_5601-1987", "kor"), ("cp949", "kor"),
        ("gb2312", "zho"), ("gbk", "zho"), ("gb18030", "zho"), ("big5", "zho"), ("big5-hkscs", "zho"),
        ("utf-8", None), ("iso-8859-1", None), ("windows-1251", None), ("", None), (None, None),
    ],
)  # fmt: skip
def test_the_charset(charset: str | None, language: str | None) -> None:
    assert page_language(None, PageFacts(charset=charset), []) == language


def test_evidence_is_asked_in_its_order() -> None:
    texts = ["お問い合わせ"]
    assert page_language(None, PageFacts(html_lang="ko", charset="gbk"), texts) == "kor"
    assert page_language(None, PageFacts(html_lang="??", charset="gbk"), texts) == "zho"
    assert page_language(None, PageFacts(charset="utf-8"), texts) == "jpn"
    assert page_language((), NONE, ["고객센터"]) == "kor"


def test_kana_and_hangul_tell_where_they_are_more_than_an_ornament() -> None:
    assert page_language(None, PageFacts(title="会社案内 | サンプル"), ["会社概要", "採用情報"]) == "jpn"
    assert page_language(None, NONE, ["会社概要", "採用情報"]) is None
    assert page_language(None, NONE, ["会社概要", "採用情報", "新宿駅"]) == "jpn"
    assert page_language(None, NONE, ["优の良品", "数据线", "耳机", "收纳"]) == "zho"
    assert page_language(None, NONE, ["お茶", "东京", "東京", "京都"]) == "jpn"
    assert page_language(None, NONE, []) is None


def test_gates() -> None:
    chinese, japanese = PageFacts(html_lang="zh-CN"), PageFacts(charset="euc-jp")
    assert [passes("none", languages, japanese) for languages in (None, (), ("jpn",))] == [True] * 3
    assert [passes("html-lang", ("jpn",), facts) for facts in (chinese, japanese, NONE)] == [
        True,
        False,
        False,
    ]
    assert [passes("cld2", languages, japanese) for languages in (("eng", "zho"), ("jpn",), ())] == [
        True,
        False,
        False,
    ]
    assert [passes("cld2", None, facts) for facts in (chinese, japanese, NONE)] == [True, False, True]


# A Japanese shop as it writes, and as one that takes EUC-JP for another charset reads it.
SHOP = [
    "当店一番の人気商品",
    "新着のアイテム",
    "送料無料キャンペーン",
    "革の財布と名刺入れ",
    "会社概要",
    "特集一覧",
]


def misread(charset: str) -> list[str]:
    return [text.encode("euc-jp").decode(charset, "replace") for text in SHOP]


@pytest.mark.parametrize("charset", ["gb18030", "gb2312", "big5", "utf-8", "euc-kr", "cp1252"])
def test_of_a_japanese_page_that_was_decoded_wrongly_nothing_is_chinese(charset: str) -> None:
    for facts in (PageFacts(charset="euc-jp"), PageFacts(charset="shift_jis", html_lang="ja")):
        texts = misread(charset)
        page = page_language(None, facts, texts)
        assert page == "jpn"
        assert garbled(facts, texts) or not any(is_chinese(text, page) for text in texts)


def test_kana_survive_where_japanese_was_taken_for_gb2312() -> None:
    texts = misread("gb18030")
    assert any(is_chinese(text, "jpn") for text in texts)
    assert garbled(NONE, texts)
    assert garbled(PageFacts(charset="gb2312"), texts)


def test_many_replaced_characters_make_a_page_unreadable_and_one_does_not() -> None:
    assert garbled(NONE, ["手机\ufffd", "充\ufffd", "数据线"])
    assert not garbled(NONE, ["手机\ufffd", "充电器", "数据线"])
    assert not garbled(NONE, [])


def test_pages_that_were_read_well() -> None:
    assert not garbled(PageFacts(charset="euc-jp"), SHOP)
    assert not garbled(PageFacts(charset="utf-8", html_lang="ja"), [*SHOP, "简体中文"])
    assert not garbled(PageFacts(charset="gbk"), ["手机壳", "充电器", "优の良品"])
