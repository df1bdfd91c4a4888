"""Words of texts: those of rjieba for each by itself, what share is function words, and where words begin."""

from __future__ import annotations

import numpy as np
import pytest
import rjieba
from hypothesis import given
from hypothesis import strategies as st

from builder.refine.words import CAPACITY, Dictionary, is_thing, sums, tag_of

TEXTS = st.lists(st.text("我的相机在北京拍了三张照片，非常好 a1.", max_size=20), max_size=6)
WORDS = Dictionary()


@given(TEXTS)
def test_texts_are_cut_together_as_each_by_itself(texts: list[str]) -> None:
    found = WORDS.words(texts)
    cut = [rjieba.cut(text) for text in texts]
    assert found.counts.tolist() == [len(words) for words in cut]
    assert found.lengths.tolist() == [len(word) for words in cut for word in words]
    assert found.things.tolist() == [any(is_thing(word, tag_of(word)) for word in words) for words in cut]
    joined, borders = "\n".join(texts), {0}
    for words in cut:
        for word in words:
            borders.add(max(borders) + len(word))
        borders.add(max(borders) + 1)
    if texts:
        assert found.borders.tolist() == sorted(borders)[: len(found.borders)]
        assert found.borders[-1] == len(joined)


@given(TEXTS, st.randoms(use_true_random=False))
def test_some_texts_have_the_words_they_had_among_all(texts: list[str], random: object) -> None:
    mask = np.array([len(text) % 2 == 0 for text in texts], np.bool_)
    some, whole = WORDS.words(texts).filter(mask), WORDS.words([text for text in texts if len(text) % 2 == 0])
    for name in ("hashes", "told", "lengths", "counts", "stop", "things"):
        assert np.array_equal(getattr(some, name), getattr(whole, name))


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("我的", 1.0),  # r, uj
        ("北京", 0.0),
        ("在北京", 1 / 3),  # p
        ("北京 的 ", 1 / 3),  # blanks do not count
        ("Nike 2024", 4 / 8),  # eng is no function word, m is
        ("睿享", 0.0),  # a name that the dictionary lacks is no punctuation, whatever its tag
        ("，。", 1.0),
        ("", 0.0),
    ],
)
def test_the_share_of_function_words(text: str, share: float) -> None:
    (found,) = WORDS.words([text]).stop.tolist()
    assert found == int(10_000 * share)


@pytest.mark.parametrize(
    ("text", "thing"),
    [
        ("上海外滩", True), ("王小明", True), ("开幕的仪式", True), ("iPhone", True), ("相机", True),
        ("高清", False), ("非常好看", False), ("x", False), ("持之以恒", False), ("123", False), ("", False),
    ],
)  # fmt: skip
def test_whether_a_text_names_a_thing(text: str, thing: bool) -> None:
    assert WORDS.words([text]).things.tolist() == [thing]


def test_punctuation_tells_nothing_and_equal_words_hash_alike() -> None:
    hashes, counts = WORDS.words(["北京，上海！", "上海", "…"]).spoken
    assert counts.tolist() == [2, 1, 0]
    assert hashes[1] == hashes[2] != hashes[0]


def test_a_full_dictionary_is_begun_anew() -> None:
    words = Dictionary()
    before = words.words(["北京的春天"])
    for number in range(CAPACITY + 1):
        words[f"w{number}"] = number % 7
    assert np.array_equal(words.words(["北京的春天"]).hashes, before.hashes)
    assert len(words) < 10


def test_sums_of_runs_of_which_some_are_empty() -> None:
    assert sums(np.array([1, 2, 3, 4], np.uint8), np.array([0, 2, 0, 1, 1, 0])).tolist() == [0, 3, 0, 3, 4, 0]
    assert sums(np.array([], np.uint8), np.array([], np.intp)).tolist() == []
