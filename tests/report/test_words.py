"""The words of captions, and which of them have content."""

from __future__ import annotations

from builder.report.words import spoken


def test_words_are_counted_and_those_with_content_among_them() -> None:
    """红色/n 的/uj 猫/n ，/x 在/p 桌子/n 上/f: six words, of which three have content, two of two characters."""
    found = spoken(["红色的猫，在桌子上"])
    assert (found.words.tolist(), found.content.tolist()) == ([6], [3])
    assert found.telling == [["红色", "桌子"]]
    assert found.density.tolist() == [0.5]


def test_what_is_no_word_counts_nowhere() -> None:
    found = spoken(["", "，。！ ", "苹果", "\x00\x1b\u202e"])
    assert found.words.tolist() == [0, 0, 1, 0]
    assert found.density.tolist() == [1.0]


def test_numbers_and_latin_letters_are_words_without_content() -> None:
    assert spoken(["SU7 2024"]).words.tolist() == [2]
    assert spoken(["SU7 2024"]).content.tolist() == [0]
