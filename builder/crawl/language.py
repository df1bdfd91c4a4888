"""Which language a page is in, and whether a text is Chinese: what a crawl in search of Chinese pairs turns on.

record of CLD2, <html lang>, charset, texts ─▶ page_language, passes, garbled; a text and that language ─▶ is_chinese

A Han character says more of a short text than a model of languages does. Shift_JIS was made for Japanese, GB2312 and
Big5 for Chinese: 苏 and 說 are of Chinese alone, 駅 of Japanese alone, and 東京 is in several, so the page decides.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pycld2

from .page import PageFacts

# Neither ・ nor ー, which Chinese texts borrow for a dot and a dash, nor the marks of voice of kaomoji.
_KANA = re.compile(
    "[\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff6f\uff71-\uff9d]"
)
_HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa1-\uffdc]")
_HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
# Every pair of bytes that the codecs below may read, apart by newlines, so that one misread takes no other along.
_PAIRS = b"\n".join(bytes((lead, trail)) for lead in range(0x81, 0xFF) for trail in range(0x40, 0xFF))

_OF_HAN = ("jpn", "kor", "zho")
UNTOLD = "und"
# By ISO 639-1 the languages that Common Crawl finds most of; and what pages say that is no language: cn, jp, kr.
_CODES = dict(
    re.findall(
        r"(\w+):(\w+)",
        "en:eng de:deu fr:fra es:spa pt:por it:ita nl:nld ru:rus pl:pol tr:tur vi:vie id:ind th:tha ar:ara fa:fas "
        "he:heb hi:hin cs:ces sk:slk hu:hun ro:ron bg:bul el:ell uk:ukr sr:srp hr:hrv sl:slv lt:lit lv:lav et:est "
        "fi:fin sv:swe da:dan no:nor nb:nob ca:cat ms:msa bn:ben ta:tam mn:mon bo:bod ug:uig kk:kaz "
        "zh:zho cn:zho chi:zho cmn:zho yue:zho wuu:zho hak:zho nan:zho gan:zho lzh:zho ja:jpn jp:jpn ko:kor kr:kor",
    )
)
_TAG = re.compile(r"\s*([a-z]{2,3})(?![a-z])", re.IGNORECASE)
_CHARSETS = {
    "jpn": re.compile("jp|jis|31j|932"),
    "kor": re.compile("kr|^ks|949|johab|uhc"),
    "zho": re.compile("gb|big5|936|950|euc-?cn|euc-?tw|^hz"),
}


def _encoded(*codecs: str) -> frozenset[str]:
    """The Han characters that any of the codecs encodes."""
    return frozenset(_HAN.findall("".join(_PAIRS.decode(codec, "ignore") for codec in codecs)))


# Hong Kong's supplement has what Cantonese is written with (喺, 嘢), and 円 and 塩 of Japanese: it speaks for one side.
CHINESE_ALONE = _encoded("gb2312", "big5hkscs") - _encoded("shift_jis")
JAPANESE_ALONE = _encoded("shift_jis") - _encoded("gb2312", "big5")


def page_language(languages: Sequence[str] | None, facts: PageFacts, texts: Iterable[str]) -> str | None:
    """The language of a page, ISO 639-3; None where nothing tells. texts: its alts, all.

    The record of CLD2 tells first: of its languages that one in which Han may be written, as it decides for words of
    several languages, else the commonest. Then <html lang>, the charset, and the characters of the texts and the title.
    """
    if languages:
        return next((one for one in languages if one in _OF_HAN), languages[0])
    return _tagged(facts.html_lang) or _encoding(facts.charset) or _script([facts.title or "", *texts])


def passes(gate: str, languages: Sequence[str] | None, facts: PageFacts) -> bool:
    """Whether a page passes `--gate`: by cld2, where Chinese is among the languages of the record.

    A page without a record passes unless what it says of itself speaks for another language; the caller counts such.
    """
    if gate == "none":
        return True
    if gate == "html-lang":
        return _tagged(facts.html_lang) == "zho"
    if languages is not None:
        return "zho" in languages
    return page_language(None, facts, ()) in ("zho", None)


def garbled(facts: PageFacts, texts: Iterable[str]) -> bool:
    """Whether the texts of a page were decoded by another charset than they were written in: no Han is to be trusted.

    So they are where the charset is Japanese or Korean and could not have written them; where most hold kana, and some
    of these a character that no Japanese writes (EUC-JP read as GB2312 keeps its kana); where many hold U+FFFD.
    """
    held = [text for text in (facts.title or "", *texts) if told_by(text) or "\ufffd" in text]
    foreign = [text for text in held if not CHINESE_ALONE.isdisjoint(text)]
    if foreign and _encoding(facts.charset) in ("jpn", "kor"):
        return True
    kana = sum(1 for text in held if _KANA.search(text))
    if 2 * kana >= len(held) and any(_KANA.search(text) for text in foreign):
        return True
    broken = sum(1 for text in held if "\ufffd" in text)
    return broken >= 2 and 4 * broken >= len(held)


def has_han(text: str) -> bool:
    """Whether a text holds a Han character."""
    return _HAN.search(text) is not None


def is_chinese(text: str, page_lang: str | None) -> bool:
    """Whether a text is Chinese, Cantonese included; page_lang: as `page_language` gives it."""
    told = told_by(text)
    if told != UNTOLD:
        return told == "zho"
    if page_lang is not None:
        return page_lang == "zho"
    han = "".join(_HAN.findall(text))  # "BMW 3系" is English otherwise
    return max(_score(han, "zh"), _score(han, "zh-Hant")) >= _score(han, "ja")


def told_by(text: str) -> str | None:
    """The language that the characters of a text tell; UNTOLD where its Han are of several, None where it has none."""
    if text.isascii():
        return None
    if _KANA.search(text):
        return "jpn"
    if _HANGUL.search(text):
        return "kor"
    if not CHINESE_ALONE.isdisjoint(text):
        return "zho"
    if not JAPANESE_ALONE.isdisjoint(text):
        return "jpn"
    return UNTOLD if has_han(text) else None


def _score(han: str, hint: str) -> float:
    """The score by CLD2 of the language that it is hinted at; 0 where it finds another all the same.

    A hint adds the same to whatever it names, so each language gets its own. With "zh" alone 38 of 98 traditional
    captions came out as Japanese and 10 of 84 Japanese ones as Chinese; with none, most short nouns as Japanese.
    """
    _, _, found = pycld2.detect(han, bestEffort=True, hintLanguage=hint, isPlainText=True)
    return float(found[0][3]) if str(found[0][1]).startswith(hint[:2]) else 0.0


def _tagged(lang: str | None) -> str | None:
    """The language of an HTML attribute: zh-Hant-HK, zh_CN and cn are Chinese."""
    found = _TAG.match(lang or "")
    return found and _CODES.get(found[1].lower(), found[1].lower() if len(found[1]) == 3 else None)


def _encoding(charset: str | None) -> str | None:
    """The language that a charset was made for."""
    return next((language for language, form in _CHARSETS.items() if form.search(charset or "")), None)


def _script(texts: Sequence[str]) -> str | None:
    """The language that most texts are of whose characters tell; of two as often found, Japanese or Korean."""
    counts = Counter(told for text in texts if (told := told_by(text)))
    language = max(_OF_HAN, key=lambda one: counts[one])
    return language if counts[language] else None
