"""The steps of a text by itself, over captions that were labelled before any rule saw them, and by hand."""

from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from builder.reasons import REFINE_REASONS, Reason
from builder.refine.config import STEPS as NAMES
from builder.refine.config import RefineConfig
from builder.refine.recipe import LONGEST_READ, PAPER, STEPS
from builder.refine.steps import Refined, Steps
from tests.refine.labelled import CAPTIONS

WHOLE = Steps(RefineConfig())


def refined(texts: list[str | None], lang: str | None = None, **options: object) -> Refined:
    steps = Steps(RefineConfig(**options)) if options else WHOLE  # type: ignore[arg-type]
    return steps.refine(texts, [lang] * len(texts))


def one(text: str | None, **options: object) -> str | Reason:
    """What becomes of a text: itself refined, or the reason why it is dropped."""
    found = refined([text], **options)
    return found.reasons[0] or found.texts[0]


def test_captions_meet_the_fate_that_they_were_labelled_with() -> None:
    found = WHOLE.refine([one.text for one in CAPTIONS], [one.page_lang for one in CAPTIONS])
    texts = iter(found.texts)
    became = [(reason, "") if reason else ("kept", next(texts)) for reason in found.reasons]
    wanted = [(one.wanted, one.refined if one.wanted == "kept" else "") for one in CAPTIONS]
    assert not [(one.text, is_) for one, is_, was in zip(CAPTIONS, became, wanted, strict=True) if is_ != was]
    assert len(CAPTIONS) >= 300
    assert Counter(one.wanted for one in CAPTIONS)["kept"] >= 200


@pytest.mark.parametrize(
    ("text", "fate"),
    [
        (None, Reason.NO_TEXT),
        ("", Reason.NO_TEXT),
        (" \n\u3000", Reason.NO_TEXT),
        ("北京\ufffd春天的公园", Reason.BROKEN_TEXT),
        ("春" * (LONGEST_READ + 1), Reason.LONG_TEXT),
        ("春" * 61, Reason.LONG_TEXT),
        ("★★★★★★★★", Reason.SHORT_TEXT),  # nothing is left of it
        ("北京★公园", "北京 公园"),
        ("北京★园", Reason.SHORT_TEXT),
        ("東京駅の写真です", Reason.NOT_CHINESE),
        ("서울의 봄 풍경", Reason.NOT_CHINESE),
        ("a house by the sea", Reason.NOT_CHINESE),
        ("昇腾处理器的照片", "昇腾处理器的照片"),
        ("紅燒牛肉麵的做法", "红烧牛肉面的做法"),
        ("华为昇腾與鯤鵬處理器", "华为升腾与鲲鹏处理器"),
        ("　ＡＢＣ　【正品】　红花图片　", "ＡＢＣ 【正品】 红花图片"),
        ("非常非常好看", Reason.NO_NOUN),
        ("高清高清高清", Reason.NO_NOUN),
        ("看不清？换一换", Reason.BOILERPLATE),
        ("房东直租，手机13800138000", Reason.PII),
        ("房东直租，手机１３８００１３８０００", Reason.PII),
        ("春节北京的天坛公园", "春节北京的天坛公园"),
    ],
)
def test_what_becomes_of_a_text(text: str | None, fate: str | Reason) -> None:
    assert one(text) == fate


def test_what_lies_on_a_cut_is_told_by_the_page() -> None:
    """Its Han are of several languages alike, so the page decides, however a manifest writes its language."""
    for lang in ("zho", "zh", "zh-CN", "ZH_tw", "cmn", "yue", "Chinese"):
        assert refined(["東京大学正門"], lang).reasons == [None]
    for lang in ("jpn", "ja", "en"):
        assert refined(["東京大学正門"], lang).reasons == [Reason.NOT_CHINESE]
    for unknown in (None, "", "und", " unknown "):
        assert refined(["中山公园门口"], unknown).reasons == [None]


@pytest.mark.parametrize(
    ("step", "text", "made"),
    [
        ("cleaning", "★北京 \n 公园★", "★北京 公园★"),
        ("length", "红花", "红花"),
        ("chinese", "a house by the sea", "a house by the sea"),
        ("pii", "房东直租，手机13800138000", "房东直租，手机13800138000"),
        ("simplified", "紅燒牛肉麵的做法", "紅燒牛肉麵的做法"),
        ("boilerplate", "用户头像用户头像", "用户头像用户头像"),
        ("nouns", "非常非常好看", "非常非常好看"),
    ],
)
def test_a_step_that_is_skipped_neither_drops_nor_changes(step: str, text: str, made: str) -> None:
    assert one(text, skip=step) == made
    assert one(text) != made


def test_lists_drop_what_they_name_and_skipping_them_keeps_it(tmp_path: Path) -> None:
    assert one("代开发票，联系电话在图片上") == Reason.ADVERT
    assert one("代开发票，联系电话在图片上", skip="adverts") == "代开发票，联系电话在图片上"
    (tmp_path / "words.txt").write_text("# of ours\n★烏龍茶\nBrandX\n", "utf-8")
    own = {"blocklist": str(tmp_path / "words.txt")}
    assert (
        one("一壶乌龙茶和两只茶杯", **own) == Reason.BLOCKED_TEXT
    )  # read as texts are: cleaned, and simplified
    assert one("brandx 运动鞋的新款", **own) == Reason.BLOCKED_TEXT
    assert one("brandxy 运动鞋的新款", **own) == "brandxy 运动鞋的新款"
    assert one("一壶乌龙茶和两只茶杯", skip="safety", **own) == "一壶乌龙茶和两只茶杯"


def test_a_text_of_many_faults_has_the_first_of_the_recipe() -> None:
    assert one("手机13800138000代开发票非常好看") == Reason.PII
    assert one("★") == Reason.SHORT_TEXT


def test_all_together_is_each_by_itself() -> None:
    texts: list[str | None] = [one.text for one in CAPTIONS]
    found = refined(texts)
    alone = [refined([text]) for text in texts]
    assert found.reasons == [one.reasons[0] for one in alone]
    assert found.texts == [text for one in alone for text in one.texts]
    assert found.rows.tolist() == [place for place, reason in enumerate(found.reasons) if reason is None]
    stop = np.concatenate([one.words.stop for one in alone])
    assert np.array_equal(found.words.stop, stop)


def test_costs_and_kinds_of_personal_data_are_counted() -> None:
    steps = Steps(RefineConfig())
    steps.refine(["手机13800138000看房", "邮箱 a.b@mail.example 联系我", "红花的照片", None], [None] * 4)
    assert steps.counters == {"pii/mobile": 1, "pii/email": 1}
    assert (steps.costs["text"].pairs, steps.costs["text"].dropped) == (4, 1)
    assert (steps.costs["pii"].pairs, steps.costs["pii"].dropped) == (3, 2)
    assert steps.costs["nouns"].pairs == 1


def test_the_recipe_names_each_reason_once_and_the_rows_of_the_paper() -> None:
    reasons = Counter(reason for one in STEPS.values() for reason in one["reasons"])
    assert set(reasons.values()) == {1}
    assert {reason.value for reason in REFINE_REASONS} <= reasons.keys()
    assert [*STEPS][1:] == [*NAMES]
    assert {one["row"] for one in STEPS.values() if "row" in one} == {one["row"] for one in PAPER}
    for before, after in itertools.pairwise(PAPER[1:]):  # the share is of what the row before left
        assert after["share"] == pytest.approx(1 - after["pairs"] / before["pairs"], abs=1e-4)
