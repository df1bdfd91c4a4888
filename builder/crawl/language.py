"""Which language a page is in, and whether it was decoded well: what a crawl in search of Chinese pairs turns on.

record of CLD2, <html lang>, charset, texts ─▶ page_language, passes, garbled

Whether a text is Chinese says `stage.chinese`, by its characters and by the language of the page.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence

from ..stage.chinese import CHINESE_ALONE, KANA, told_by
from .page import PageFacts

_OF_HAN = ("jpn", "kor", "zho")
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
    kana = sum(1 for text in held if KANA.search(text))
    if 2 * kana >= len(held) and any(KANA.search(text) for text in foreign):
        return True
    broken = sum(1 for text in held if "\ufffd" in text)
    return broken >= 2 and 4 * broken >= len(held)


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
