"""Words of lists in texts: from border to border, in any case of letters; and lists that are read from files."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import fsspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import InputError
from builder.reasons import Reason
from builder.refine.blocked import LARGEST, Blocked, _lower, read_blocklist

UNSAFE, ADVERT = Reason.UNSAFE_TEXT, Reason.ADVERT


def found(words: dict[Reason, list[str]], *parts: str) -> dict[Reason, list[int]]:
    """Where hits begin in words that stand one behind the other."""
    borders = np.cumsum([0, *map(len, parts)])
    return {reason: hits.tolist() for reason, hits in Blocked(words).found("".join(parts), borders).items()}


def test_a_hit_begins_and_ends_with_words() -> None:
    assert found({UNSAFE: ["色情"]}, "打击", "色情", "网站") == {UNSAFE: [2]}
    assert found({UNSAFE: ["色情"]}, "黑色", "情侣", "装") == {UNSAFE: []}
    assert found({UNSAFE: ["广场"]}, "天安门广场", "夜景") == {UNSAFE: []}
    assert found({ADVERT: ["加微信"]}, "添加", "微信") == {ADVERT: []}
    assert found({ADVERT: ["加微信"]}, "请", "加", "微信") == {ADVERT: [1]}


def test_a_hit_ends_at_the_end_and_passes_no_line_break() -> None:
    assert found({UNSAFE: ["赌球"]}, "赌", "球") == {UNSAFE: [0]}
    assert found({UNSAFE: ["赌球"]}, "赌", "\n", "球") == {UNSAFE: []}


def test_each_text_of_many_is_told_by_its_offset() -> None:
    assert found({UNSAFE: ["甲"], ADVERT: ["乙丙"]}, "甲", "\n", "乙", "丙", "甲", "\n", "甲") == {
        UNSAFE: [0, 4, 6],
        ADVERT: [2],
    }


def test_words_inside_and_across_each_other_are_all_found() -> None:
    assert found({UNSAFE: ["甲乙", "乙丙", "甲乙丙"]}, "甲", "乙", "丙") == {UNSAFE: [0, 1]}


def test_a_word_of_two_lists_has_both_reasons() -> None:
    assert found({UNSAFE: ["甲"], ADVERT: ["甲"]}, "甲") == {UNSAFE: [0], ADVERT: [0]}


def test_letters_have_no_case_and_keep_their_places() -> None:
    assert found({ADVERT: ["加VX"]}, "İ", "加", "vX") == {ADVERT: [1]}
    assert found({ADVERT: ["加vx"]}, "İİ", "加", "VX") == {ADVERT: [2]}


def test_lower_case_is_as_long() -> None:
    every = "".join(map(chr, range(sys.maxunicode + 1)))
    assert len(_lower(every)) == len(every)


@pytest.mark.parametrize("words", [{}, {UNSAFE: []}, {UNSAFE: [], ADVERT: []}, {UNSAFE: [""]}])
def test_lists_without_words_find_nothing(words: dict[Reason, list[str]]) -> None:
    assert found(words, "甲", "乙") == {reason: [] for reason in words}


def test_no_text_at_all() -> None:
    assert found({UNSAFE: ["甲"]}) == {UNSAFE: []}


@given(
    st.lists(st.text("ab加İ", min_size=1, max_size=3), max_size=5),
    st.lists(st.text("abA加İ", min_size=1, max_size=3), max_size=12),
)
def test_hits_are_those_of_looking_at_every_run_of_words(listed: list[str], parts: list[str]) -> None:
    joined, borders = "".join(parts), [0, *np.cumsum([len(part) for part in parts]).tolist()]
    lowered = {_lower(word) for word in listed}
    slow = {
        begin for begin in borders for end in borders if begin < end and _lower(joined[begin:end]) in lowered
    }
    assert found({UNSAFE: listed}, *parts) == {UNSAFE: sorted(slow)}


def test_a_list_is_read_line_by_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes("\ufeff# 注释\n甲 乙\r\n\n  丙  \nC#\n丁".encode())
    assert read_blocklist(str(path)) == ["甲 乙", "丙", "C#", "丁"]


def test_a_list_is_read_from_a_store() -> None:
    fsspec.filesystem("memory").pipe_file("/lists/list.txt", "甲\n".encode())
    assert read_blocklist("memory://lists/list.txt") == ["甲"]


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no word in it"),
        (b"\xef\xbb\xbf# none\n\n  \r\n", "no word in it"),
        ("好\n".encode("gbk"), "line 1: not UTF-8"),
        (b"a\n\xff\n", "line 2: not UTF-8"),
        (b"a\nb\n" + b"c" * 101 + b"\n", "line 3: 101 characters, 100 at most"),
    ],
)
def test_a_list_that_is_none_is_refused_in_one_line(tmp_path: Path, data: bytes, said: str) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(data)
    with pytest.raises(InputError, match=said) as told:
        read_blocklist(str(path))
    assert str(path) in str(told.value)
    assert "\n" not in str(told.value)


def test_a_list_that_is_too_large_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    with path.open("wb") as file:
        file.truncate(LARGEST + 1)
    with pytest.raises(InputError, match="larger than 64 MB"):
        read_blocklist(str(path))


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_blocklist(str(tmp_path / "missing"))
    with pytest.raises(InputError, match="is no file"):
        read_blocklist(str(tmp_path))
    os.mkfifo(tmp_path / "pipe")  # nobody writes to it: to open it would wait for ever
    with pytest.raises(InputError, match="is no file"):
        read_blocklist(str(tmp_path / "pipe"))
