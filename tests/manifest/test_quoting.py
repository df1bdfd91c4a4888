"""CSV and TSV value by value: what is written is what is read, and what could be meant otherwise is refused by line."""

from __future__ import annotations

import csv
import io
import random
from pathlib import Path

import pytest

from builder.errors import InputError
from builder.manifest import ManifestOptions, open_manifest
from builder.manifest.delimited import BLOCK

ROWS = [(f"http://h.example/{i}.jpg", f"caption {i}") for i in range(1000)]


def delimited(separator: str, captions: dict[int, str]) -> str:
    rows = [f"{url}{separator}{captions.get(i, text)}\n" for i, (url, text) in enumerate(ROWS)]
    return "".join([f"url{separator}caption\n", *rows])


def captions(folder: Path, name: str, text: str, quoting: str = "auto") -> list[str]:
    (folder / name).write_bytes(text.encode())
    manifest = open_manifest(str(folder / name), ManifestOptions(quoting=quoting))
    rows = manifest.rows["train"]
    return [
        one
        for table in manifest.tables("train", [(i, min(i + 400, rows)) for i in range(0, rows, 400)])
        for one in table["alt_text"].to_pylist()
    ]


@pytest.mark.parametrize("caption", ['"Big Ben at night', '"Hello" he said', '5" disk', 'a "" b', '"'])
def test_a_quote_in_tsv_is_a_character(tmp_path: Path, caption: str) -> None:
    read = captions(tmp_path, "m.tsv", delimited("\t", {3: caption}))
    assert len(read) == 1000
    assert read[3] == caption


@pytest.mark.parametrize(
    ("over", "said"),
    [
        ({3: '"Big Ben at night'}, "line 5: a quoted value begins, and the file ends inside it"),
        (
            {3: '"Big Ben', 503: '"Tower'},
            r"line 505: text follows a closing quote \(the record begins in line 5\)",
        ),
        ({3: '"Hello" he said'}, r"line 5: text follows a closing quote \(the record begins in line 5\)"),
        ({2: '"two\nlines"', 3: '"a', 4: 'b"'}, "line 6: a quoted value holds a line end and a URL"),
        ({2: '"two\r\nlines"', 4: "a,b"}, "line 7: 3 fields, but the header names 2"),
    ],
)
def test_csv_that_could_be_meant_otherwise_is_refused_by_its_line(
    tmp_path: Path, over: dict[int, str], said: str
) -> None:
    with pytest.raises(InputError, match=rf"m\.csv: {said}"):
        captions(tmp_path, "m.csv", delimited(",", over))


def test_what_the_user_says_of_quotes_is_obeyed(tmp_path: Path) -> None:
    text = delimited(",", {3: '"Big Ben', 5: 'Tower"'})
    assert captions(tmp_path, "m.csv", text, "none")[3] == '"Big Ben'
    assert captions(tmp_path, "m.csv", text, "double")[3].endswith("http://h.example/5.jpg,Tower")
    assert captions(tmp_path, "m.tsv", delimited("\t", {3: '"a ""b""\tc"'}), "double")[3] == 'a "b"\tc'


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "url\tcaption\na\tb\nc\td\te\n",
            "line 3: 3 fields, .* names 2; if values are quoted .WIT.: --quoting double",
        ),
        ('"url"\t"caption"\na\tb\n', "line 1: the header is quoted: --quoting double"),
    ],
)
def test_tsv_that_is_not_plain_names_the_option(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InputError, match=said):
        captions(tmp_path, "m.tsv", text)


def test_a_value_depends_on_no_block_border(tmp_path: Path) -> None:
    """Of 2,000 values one lies across the first border wherever it is put, its CR LF and its doubled quotes too."""
    value = 'one ""two""\r\nthree\rfour,'
    for shift in range(0, len(value), 3):
        first = "x" * (BLOCK - 30 - shift)
        text = f'url,caption\na,{first}\nb,"{value}"\n' + f'c,"{value}"\n' * 100
        read = captions(tmp_path, "m.csv", text)
        assert read[0] == first
        assert set(read[1:]) == {value.replace('""', '"')}


def test_any_values_come_out_as_they_were_written(tmp_path: Path) -> None:
    pick = random.Random(7)
    written = ["".join(pick.choices("a图,\"\n\r\t ;'", k=pick.randrange(12))) for _ in range(3000)]
    sink = io.StringIO(newline="")
    csv.writer(sink, lineterminator="\r\n").writerows([("url", "caption"), *(("u", one) for one in written)])
    assert captions(tmp_path, "m.csv", sink.getvalue()) == written


def test_lines_may_end_in_any_way(tmp_path: Path) -> None:
    for end in ("\n", "\r\n", "\r"):
        for name, separator in (("m.csv", ","), ("m.tsv", "\t")):
            text = end.join([f"url{separator}caption", f"u{separator}a", "", f"u{separator}b"])
            assert captions(tmp_path, name, text) == ["a", "b"]
    assert captions(tmp_path, "q.csv", 'url,caption\r\ru,"a"\ru,b\r') == ["a", "b"]
