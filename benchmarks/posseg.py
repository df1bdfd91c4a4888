"""The rules of `danqing refine` as one writes them first: a caption at a time, jieba.posseg, OpenCC on all of them.

    PYTHON posseg.py MANIFEST OUT RULES      # in the virtual environment that `make peers posseg` makes

In: a folder of Parquet files with url, alt_text and page_lang; RULES, the word lists and patterns of ours as JSON, so
that both look for the same. Out: OUT/data.parquet (url, alt_text, alt_text_raw, sorted by key) and OUT/funnel.json.
Nothing of danqing is imported. What can be made once is made once: sets of characters, compiled patterns, automata; the
entropy and the share of stop words are calibrated over all captions at the end, as ours are.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
import sys
import unicodedata
from collections import Counter
from pathlib import Path
from typing import Any

import ahocorasick
import jieba
import jieba.posseg
import opencc
import pyarrow as pa
import pyarrow.parquet as pq
import pycld2

LEAST, MOST = 5, 60
STOP_SHARE, ENTROPY_SHARE = 0.0530, 0.0731  # of the pairs that come to these steps
KANA = re.compile(
    "[\u3041-\u3096\u309d-\u309f\u30a1-\u30fa\u30fd-\u30ff\u31f0-\u31ff\uff66-\uff6f\uff71-\uff9d]"
)
HANGUL = re.compile("[\u1100-\u11ff\u3131-\u318e\ua960-\ua97f\uac00-\ud7ff\uffa1-\uffdc]")
HAN = re.compile("[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U000323af]")
NOUNS = ("vn", "an")
FUNCTIONS = frozenset("upcyeordmqx")


def encoded(*codecs: str) -> set[str]:
    """The Han characters that any of the codecs encodes."""
    found = set()
    for number in (*range(0x3400, 0x4DC0), *range(0x4E00, 0xA000), *range(0xF900, 0xFB00)):
        for codec in codecs:
            try:
                chr(number).encode(codec)
            except UnicodeEncodeError:
                continue
            found.add(chr(number))
    return found


class Characters(dict[int, "int | None"]):
    """What takes the place of a character, for str.translate: nothing of what is invisible, a blank of ornaments."""

    def __init__(self, symbols: str) -> None:
        super().__init__({ord(one): ord(one) for one in symbols})

    def __missing__(self, point: int) -> int | None:
        kind, found = unicodedata.category(chr(point)), point
        ornament = kind == "So" and not 0x3300 <= point < 0x3400 and point != 0xFFFD
        unknown = kind == "Cn" and not 0x20000 <= point < 0x40000
        if ornament or unknown or 0x1F3FB <= point < 0x1F400 or chr(point).isspace():
            found = ord(" ")
        elif kind in ("Cc", "Cf", "Co", "Me") or 0xFE00 <= point < 0xFE10:
            return self.setdefault(point, None)
        return self.setdefault(point, found)


class Refiner:
    """Everything that is made once, and the steps of one caption."""

    def __init__(self, rules: dict[str, Any]) -> None:
        self.chinese = encoded("gb2312", "big5hkscs") - encoded("shift_jis")
        self.japanese = encoded("shift_jis") - encoded("gb2312", "big5")
        self.simplified = opencc.OpenCC("t2s")
        self.characters = Characters(rules["symbols"])
        self.boilerplate = [re.compile(*one) for one in rules["boilerplate"]]
        self.pii = [re.compile(*one) for one in rules["pii"]]
        self.pictures, self.no_things = frozenset(rules["pictures"]), frozenset(rules["no_things"])
        self.blocked = ahocorasick.Automaton()
        for reason in ("unsafe_text", "advert"):
            for word in rules[reason]:
                self.blocked.add_word(word.lower(), (reason, len(word)))
        self.blocked.make_automaton()
        jieba.initialize()

    def clean(self, text: str) -> str:
        """Without controls, emoji and ornaments; one blank where there were several."""
        return " ".join(text.translate(self.characters).split())

    def is_chinese(self, text: str, page_lang: str | None) -> bool:
        """The rule of crawl."""
        if KANA.search(text) or HANGUL.search(text):
            return False
        han = HAN.findall(text)
        if not han:
            return False
        if any(one in self.chinese for one in han):
            return True
        if any(one in self.japanese for one in han):
            return False
        if page_lang is not None:
            return page_lang == "zho"
        joined = "".join(han)
        return max(score(joined, "zh"), score(joined, "zh-Hant")) >= score(joined, "ja")

    def steps(self, raw: str, page_lang: str | None) -> tuple[str, str, list[str], float]:
        """A caption through the steps that need no other: (reason or "", text, its words, share of function words)."""
        text = self.clean(raw)
        if not text or "\ufffd" in text:
            return "broken_text" if text else "no_text", text, [], 0.0
        if len(text) < LEAST:
            return "short_text", text, [], 0.0
        if len(text) > MOST:
            return "long_text", text, [], 0.0
        if not self.is_chinese(text, page_lang):
            return "not_chinese", text, [], 0.0
        if any(one.search(text) for one in self.pii):
            return "pii", text, [], 0.0
        text = self.simplified.convert(text)
        if any(one.search(text) for one in self.boilerplate):
            return "boilerplate", text, [], 0.0
        pairs = [(pair.word, pair.flag) for pair in jieba.posseg.cut(text)]
        words = [word for word, _ in pairs]
        if reason := self.forbidden(text, words):
            return reason, text, words, 0.0
        if not any(self.is_thing(word, tag) for word, tag in pairs):
            return "no_noun", text, words, 0.0
        functions = sum(len(word) for word, tag in pairs if is_function(word, tag))
        spoken = sum(not one.isspace() for one in text)
        told = [word for word, tag in pairs if tag[0] != "x" or HAN.search(word)]
        return "", text, told, functions / spoken

    def forbidden(self, text: str, words: list[str]) -> str:
        """Why a text may not stay: a word of the lists that begins and ends where words do."""
        bounds, place = {0}, 0
        for word in words:
            place += len(word)
            bounds.add(place)
        for end, (reason, length) in self.blocked.iter(text.lower()):
            if end + 1 in bounds and end + 1 - length in bounds:
                return str(reason)
        return ""

    def is_thing(self, word: str, tag: str) -> bool:
        """Whether a word names a thing."""
        if word in self.no_things:
            return False
        return tag[0] == "n" or tag in NOUNS or (tag == "eng" and len(word) > 1) or word in self.pictures


def is_function(word: str, tag: str) -> bool:
    """Whether a word is none of content."""
    strange = tag[0] == "x" and HAN.search(word) is not None
    return tag != "eng" and tag[0] in FUNCTIONS and not strange and not word.isspace()


def score(han: str, hint: str) -> float:
    """The score of CLD2 for the language that it is hinted at."""
    _, _, found = pycld2.detect(han, bestEffort=True, hintLanguage=hint, isPlainText=True)
    return float(found[0][3]) if found[0][1].startswith(hint[:2]) else 0.0


def entropy(words: list[str], counts: Counter[str], total: int) -> float:
    """Bits that words tell by their probability in all captions."""
    return -sum(counts[word] / total * math.log2(counts[word] / total) for word in words)


def lowest(values: list[float], share: float) -> float:
    """The value under which that share of them lies."""
    return sorted(values)[round(len(values) * share)] if values else 0.0


def main() -> int:
    """Refine a manifest."""
    manifest, out, rules = map(Path, sys.argv[1:])
    refiner = Refiner(json.loads(rules.read_text("utf-8")))
    reasons: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    kept: list[tuple[str, str, str, list[str], float]] = []
    for path in sorted(manifest.glob("*.parquet")):
        for batch in pq.ParquetFile(path).iter_batches():
            for row in batch.to_pylist():
                reason, text, words, share = refiner.steps(row["alt_text"] or "", row["page_lang"])
                if reason:
                    reasons[reason] += 1
                else:
                    counts.update(words)
                    kept.append((row["url"], text, row["alt_text"], words, share))
    most = -lowest([-share for *_, share in kept], STOP_SHARE)
    few = [row for row in kept if row[4] <= most]
    reasons["stop_words"] = len(kept) - len(few)
    total = counts.total()
    told = [(row, entropy(row[3], counts, total)) for row in few]
    least = lowest([bits for _, bits in told], ENTROPY_SHARE)
    rich = [row for row, bits in told if bits >= least]
    reasons["low_entropy"] = len(few) - len(rich)
    found = {}
    for url, text, raw, *_ in rich:
        found.setdefault(
            hashlib.blake2b(f"{url}\0{text}".encode(), digest_size=16).hexdigest(), (url, text, raw)
        )
    reasons["duplicate"] = len(rich) - len(found)
    out.mkdir(parents=True)
    keys = sorted(found)
    columns = zip(*(found[key] for key in keys), strict=True)
    table = pa.table([pa.array(keys), *map(pa.array, columns)], ["key", "url", "alt_text", "alt_text_raw"])
    pq.write_table(table, out / "data.parquet", compression="zstd")
    told_all = {
        "kept": len(found),
        "reasons": reasons,
        "stop_words": most,
        "entropy": least,
        "words": len(counts),
    }
    (out / "funnel.json").write_text(json.dumps(told_all, ensure_ascii=False, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
