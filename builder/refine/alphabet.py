"""What the characters of texts say: a class for each, looked up for all texts of a batch at once.

texts ─▶ one array of code points ─▶ classes ─▶ classes_in: which classes each text holds; cleaned: texts without what
has no place in a caption

Most rules look at few texts: these are told by their characters in a hundredth of the time that the rule takes.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
import opencc

from ..stage.chinese import CHINESE_ALONE, HAN, HANGUL, JAPANESE_ALONE, KANA

Classes = npt.NDArray[np.uint16]
BROKEN = "\ufffd"  # what a decoder writes for what it cannot read
# Symbols that captions write words with; all others of their kind are ornaments: ★ ● ■ ♥ and emoji.
KEPT = frozenset("°℃℉№℡™©®℗㏄㏎㏑㏒㏕Ω℧♂♀")
# Of simplified texts as well, though t2s would change them, as in 毕昇, 文徵明, 乾隆: names, or words of their own.
BOTH = frozenset("乾吒夥徵拚捱摺榘菸薹袷醣麴昇陞迺甯祕")
_SEPARATOR = ord("\n")
_BLANK = ord(" ")


class Class:
    """What a character is; a text has those of its characters."""

    KANA = 1
    HANGUL = 2
    HAN = 4
    CHINESE = 8  # of Chinese alone, by the codecs of Chinese and Japanese
    JAPANESE = 16  # of Japanese alone
    TRADITIONAL = 32  # t2s changes it, and it is in no simplified text
    BLANK = 64
    ORNAMENT = 128  # stands for nothing that is said: a blank takes its place
    INVISIBLE = 256  # control characters and such: nothing takes its place
    BROKEN = 512


def classes_in(texts: Sequence[str]) -> Classes:
    """The classes that the characters of each text have, (n,)."""
    points, starts = points_of(texts)
    if not len(starts):
        return np.zeros(0, np.uint16)
    found: Classes = np.bitwise_or.reduceat(_classes()[points], starts)
    return found


def cleaned(texts: Sequence[str], *, whole: bool = True) -> list[str]:
    """The texts with their blanks made one, and none at the ends; whole: without ornaments and invisible characters."""
    points, starts = points_of(texts)
    kinds = _classes()[points]
    separators = np.zeros(len(points), np.bool_)
    separators[starts[1:] - 1] = True
    separators[-1:] = True
    if whole:
        stays = (kinds & Class.INVISIBLE == 0) | separators
        points, kinds, separators = points[stays], kinds[stays], separators[stays]
    blank = kinds & (Class.BLANK | Class.ORNAMENT if whole else Class.BLANK) != 0
    points[blank] = _BLANK
    points[separators] = _SEPARATOR
    blank &= ~separators
    after = np.concatenate([[True], (blank | separators)[:-1]])  # a blank, or the end of a text, comes before
    points, separators, blank = (one[~(blank & after)] for one in (points, separators, blank))
    before = np.concatenate([separators[1:], [True]])
    made: str = points[~(blank & before)].tobytes().decode("utf-32-le")
    return made.split("\n")[: len(texts)]


def simplified(texts: Sequence[str]) -> list[str]:
    """The texts, which hold no line break, in simplified script."""
    converted: list[str] = _converter().convert("\n".join([*texts, ""])).split("\n")
    assert len(converted) == len(texts) + 1
    return converted[:-1]


def points_of(texts: Sequence[str]) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.intp]]:
    """The code points of all texts, a separator behind each, and where each text begins."""
    points = np.frombuffer(bytearray("\n".join([*texts, ""]).encode("utf-32-le")), "<u4").astype(
        np.uint32, copy=False
    )
    lengths = np.fromiter(map(len, texts), np.intp, len(texts)) + 1
    return points, np.cumsum(lengths) - lengths


def rows_at(texts: Sequence[str], places: Sequence[int] | npt.NDArray[np.intp]) -> npt.NDArray[np.intp]:
    """Which of some texts each place lies in, of these joined by line breaks, (m,)."""
    ends = np.cumsum(np.fromiter(map(len, texts), np.intp, len(texts)) + 1)
    return np.searchsorted(ends, np.asarray(places, np.intp), side="right")


@cache
def _converter() -> opencc.OpenCC:
    return opencc.OpenCC("t2s")


@cache
def _classes() -> Classes:
    """The classes of every code point. The separator has none: a line break inside a text is a blank all the same."""
    points = np.concatenate([np.arange(0xD800), np.arange(0xE000, 0x110000)]).astype("<u4")
    every = points.tobytes().decode("utf-32-le")
    table = np.zeros(0x110000, np.uint16)
    table[points] = _shapes(points, every)
    for kind, form in ((Class.KANA, KANA), (Class.HANGUL, HANGUL), (Class.HAN, HAN)):
        table[[ord(one) for one in form.findall(every)]] |= kind
    table[[ord(one) for one in CHINESE_ALONE]] |= Class.CHINESE
    table[[ord(one) for one in JAPANESE_ALONE]] |= Class.JAPANESE
    han = HAN.findall(every)
    changed = [one for one, other in zip(han, simplified(han), strict=True) if one != other]
    table[[ord(one) for one in changed if one not in BOTH]] |= Class.TRADITIONAL
    return table


def _shapes(points: npt.NDArray[np.uint32], every: str) -> npt.NDArray[np.int64]:
    """Whether each character is a blank, an ornament or invisible; 0 for what a text is written with, (n,).

    All at once: a million calls for a character each took every process that refines a second to begin.
    """
    kinds = np.frombuffer("".join(map(unicodedata.category, every)).encode(), "<u2")  # two letters each

    def are(*names: str) -> npt.NDArray[np.bool_]:
        return np.isin(kinds, np.frombuffer("".join(names).encode(), "<u2"))

    invisible = are("Cc", "Cf", "Co", "Me") | ((points >= 0xFE00) & (points <= 0xFE0F))
    # What a newer Unicode than this Python's assigns is an emoji, or Han of the planes 2 and 3, which stay.
    unknown = are("Cn") & ((points < 0x20000) | (points >= 0x40000))
    squared = (points >= 0x3300) & (points <= 0x33FF)  # ㎡, ㎏
    told = are("So") & ~squared & ~np.isin(points, [ord(one) for one in KEPT])
    ornament = told | unknown | ((points >= 0x1F3FB) & (points <= 0x1F3FF))
    blank = np.fromiter(map(str.isspace, every), np.bool_, len(every))
    found: npt.NDArray[np.int64] = np.select(
        [points == ord(BROKEN), blank, invisible, ornament],
        [Class.BROKEN, Class.BLANK, Class.INVISIBLE, Class.ORNAMENT],
        0,
    )
    return found
