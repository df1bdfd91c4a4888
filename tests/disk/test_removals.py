"""The removal list: what a line may be, what it then covers, and that the same entries make the same file."""

from __future__ import annotations

import hashlib
import io
import sys
from pathlib import Path

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.disk.removals import KEPT_AT, PATH, SCHEMA, Removals, digest_of, keep, known, parse_file, read
from builder.disk.schema import pair_key
from builder.errors import EnvironmentProblem, InputError
from tests.releases import listed, pairs, write_release

KEY = pair_key("http://a.test/1.jpg", "一")


def written(tmp_path: Path, data: str | bytes) -> str:
    path = tmp_path / "list.txt"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return str(path)


def covered(removals: Removals, *urls: str | None) -> list[bool]:
    """What the list says of these URLs alone."""
    return removals.covers(None, pa.array(urls, pa.string())).tolist()


# --- lines -------------------------------------------------------------------------------------------------


def test_a_file_mixes_kinds_comments_and_blank_lines_under_any_line_end(tmp_path: Path) -> None:
    lines = [
        "\ufeff# taken down on request",
        KEY.upper(),
        "",
        "  https://b.test/a b.jpg?x=1  # by mail",
        "\texample.com",
        "#",
    ]
    found = parse_file(written(tmp_path, "\r\n".join(lines)))
    wanted = [("key", KEY), ("url", "https://b.test/a b.jpg?x=1"), ("host", "example.com")]
    assert sorted(found.rows()) == sorted((kind, digest_of(kind, text), None) for kind, text in wanted)


def test_digests_are_blake2b_of_the_text_and_tell_nothing_else() -> None:
    found = listed(("url", "http://a.test/1.jpg"), ("host", "a.test"), ("key", KEY))
    plain = {
        kind: hashlib.blake2b(text.encode(), digest_size=16).hexdigest()
        for kind, text in (("url", "http://a.test/1.jpg"), ("host", "a.test"))
    }
    assert {kind: digest for kind, digest, _ in found.rows()} == {**plain, "key": KEY}
    assert b"a.test" not in found.as_parquet()


@pytest.mark.parametrize(
    "spelling",
    [
        "example.com",
        "EXAMPLE.com",
        "example.com.",
        "example.com:8080",
        "user:pw@example.com",
        "*.example.com",
        ".example.com",
        "ex%61mple.com",
        "\uff45xample.com",  # full width, as IDNA maps it
    ],
)
def test_a_host_is_one_in_every_spelling(tmp_path: Path, spelling: str) -> None:
    assert parse_file(written(tmp_path, spelling)) == listed(("host", "example.com"))


@pytest.mark.parametrize(
    ("spelling", "other"),
    [
        ("例子.中国", "xn--fsqu00a.xn--fiqs8s"),
        ("2130706433", "127.0.0.1"),
        ("0x7f.1", "127.0.0.1"),
        ("::1", "[0:0::1]:80"),
    ],
    ids=["idn", "number", "hex", "six"],
)
def test_names_and_addresses_are_one_in_every_script(tmp_path: Path, spelling: str, other: str) -> None:
    assert parse_file(written(tmp_path, spelling)) == parse_file(written(tmp_path, other))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"com", "a host of one word would cover a whole top-level domain"),
        (b"example.com/a.jpg", "none of the three"),
        (b"two words.com", "none of the three"),
        (b"ftp://a.test/x", "neither http nor https"),
        (b"http:///x", "no host"),
        (b"http://a_b..test/x", "no host"),
        (b"http://a.test/1 http://a.test/2", "two on one line"),
        (b"http://a.test/1\thttp://a.test/2", "U+0009"),
        (b"http://a.test/\x00", "U+0000"),
        (b"a.test\x1b[2J", "U+001B"),
        ("a\u200b.test".encode(), "U+200B"),
        ("http://a.test/\u202egpj".encode(), "U+202E"),
        (b"a.test\rb.test", "U+000D"),
        (b"\xff\xfea\x00", "not UTF-8"),
        (b"[::1", "no host"),
        (b"-" * 300, "no host"),
        (b"http://a.test/" + b"x" * (1 << 20), "longer than 65,536 bytes"),
        (b"0123456789abcdef0123456789abcde", "one word"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path, line: bytes, said: str) -> None:
    path = written(tmp_path, b"# fine\r\nexample.com\r\n" + line + b"\nexample.org\n")
    with pytest.raises(InputError) as caught:
        parse_file(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: line 3: ")
    assert said in message
    assert len(message) < 400
    assert message.isprintable()


def test_a_line_as_long_as_may_be_is_read_with_its_end(tmp_path: Path) -> None:
    url = "http://a.test/" + "x" * (65_536 - 14)
    assert len(parse_file(written(tmp_path, f"{url}\r\nb.test\r\n"))) == 2


def test_a_missing_file_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.txt: no such file"):
        parse_file(tmp_path / "none.txt")


# --- what is covered ---------------------------------------------------------------------------------------


def test_a_host_covers_its_subdomains_and_no_neighbour() -> None:
    found = listed(("host", "example.com"))
    inside = [
        "http://example.com/1",
        "https://a.b.example.com/1",
        "http://u:1@A.Example.COM.:80?x",
        "//example.com",
    ]
    outside = [
        "http://notexample.com/1",
        "http://example.com.cn/1",
        "http://com/1",
        "http://x.test/example.com",
        None,
    ]
    assert covered(found, *inside, *outside) == [True] * len(inside) + [False] * len(outside)


def test_an_address_covers_itself_alone() -> None:
    found = listed(("host", "10.0.0.1"), ("host", "0.0.0.1"))
    assert covered(found, "http://10.0.0.1/a", "http://167772161/a", "http://9.10.0.0.1/a", "http://7.0.0.1/a") == [
        True, True, False, False,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "spelling",
    [
        "http://a.test/x%20y.jpg?q=1",
        "https://a.test/x%20y.jpg?q=1",
        "HTTP://A.TEST:80/x%20y.jpg?q=1",
        "https://a.test.:443/x%20y.jpg?q=1#top",
        "//a.test/x%20y.jpg?q=1",
        " http://me@a.test/x%20y.jpg?q=1\u3000",
        "http:\\\\a.test/x%20y.jpg?q=1",
    ],
)
def test_a_url_is_one_in_every_spelling_that_leads_to_it(spelling: str) -> None:
    one = "http://a.test/x%20y.jpg?q=1"
    assert covered(listed(("url", one)), spelling) == [True]
    assert covered(listed(("url", spelling)), one) == [True]


def test_a_url_is_no_other() -> None:
    others = [
        "http://a.test/1.jpg?",
        "http://a.test/1.JPG",
        "http://a.test:8080/1.jpg",
        "http://b.test/1.jpg",
    ]
    assert covered(listed(("url", "http://a.test/1.jpg")), *others, None, "", "nonsense") == [False] * 7
    assert covered(listed(("url", "http://a.test")), "http://a.test/") == [True]


def test_keys_cover_whatever_their_case_and_whatever_lies_around_them() -> None:
    keys = pa.chunked_array([["short", KEY, None], [KEY.upper(), "g" * 32, "0" * 32]], pa.string())
    found = listed(("key", KEY))
    assert found.covers(keys).tolist() == [False, True, False, True, False, False]
    assert found.covers(keys.slice(1, 3)).tolist() == [True, False, True]
    assert found.covers(keys.chunk(0).slice(1)).tolist() == [True, False]
    assert listed(("key", "0" * 32)).covers(keys).tolist() == [False] * 5 + [True]
    assert found.covers(pa.array([KEY], pa.large_string())).tolist() == [True]


def test_the_mask_is_of_numpy_and_of_the_length_of_the_rows() -> None:
    mask = listed(("key", KEY), ("host", "b.test")).covers(
        [KEY, "0" * 32], ["http://a.test", "http://b.test/"]
    )
    assert mask.dtype == np.bool_
    assert mask.tolist() == [True, True]
    assert Removals.of(()).covers([], []).shape == (0,)
    assert listed(("host", "b.test"), ("url", "http://a.test/")).covers([], []).shape == (0,)


def test_a_large_list_asks_no_more_of_a_row_than_a_small_one() -> None:
    digest = [hashlib.blake2b(b"%d" % i, digest_size=16).hexdigest() for i in range(300_000)]
    large = Removals.of((("host", "key", "url")[i % 3], one, None) for i, one in enumerate(digest))
    small = listed(("host", "site7.test"), ("url", "http://img3.site9.test/1009.jpg"), ("key", KEY))
    urls = pa.array([f"http://img{i % 7}.site{i % 500}.test/{i}.jpg" for i in range(10_000)])
    keys = pa.array([hashlib.md5(b"%d" % i).hexdigest() for i in range(10_000)])
    mask, asked = calls_of(large.union(small), keys, urls)
    expected, few = calls_of(small, keys, urls)
    assert mask.tolist() == expected.tolist()
    assert mask.sum() > 0
    assert few > 10_000
    assert asked < few + 1000  # of the first call, some are to set up


def calls_of(listing: Removals, keys: pa.Array, urls: pa.Array) -> tuple[np.ndarray, int]:
    """The mask of a list, and how many calls it made to find it (a count, whatever the machine's speed)."""
    calls = 0

    def count(_frame: object, event: str, _arg: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count)
    try:
        mask = listing.covers(keys, urls)
    finally:
        sys.setprofile(None)
    return mask, calls


# --- files -------------------------------------------------------------------------------------------------


def test_the_same_entries_make_the_same_bytes_whatever_their_order() -> None:
    entries = [("host", digest_of("host", f"h{i}.test"), "v1") for i in range(50)] + [("key", KEY, None)] * 2
    one, other = Removals.of(entries), Removals.of(reversed(entries))
    assert one == other
    assert len(one) == 51
    assert one.as_parquet() == other.as_parquet()
    table = pq.read_table(io.BytesIO(one.as_parquet()))
    assert table.schema == SCHEMA
    assert table.to_pylist() == sorted(table.to_pylist(), key=lambda row: (row["kind"], row["digest"]))


def test_union_keeps_the_first_date_and_dates_what_has_none() -> None:
    old, new = listed(("host", "a.test"), since="v1"), listed(("host", "a.test"), ("host", "b.test"))
    both = old.union(new).dated("v2")
    assert {digest: since for _, digest, since in both.rows()} == {
        digest_of("host", "a.test"): "v1",
        digest_of("host", "b.test"): "v2",
    }
    assert both == new.union(old).dated("v2")
    assert both.union(Removals.of(())) == both


def test_a_list_is_read_from_a_release_a_file_and_a_store(tmp_path: Path) -> None:
    found = listed(("host", "a.test"), ("key", KEY), since="v1")
    write_release(tmp_path / "r", "v1", {"manifest/train-0.parquet": pairs(["http://a.test/"])}, found)
    assert read(str(tmp_path / "r")) == found
    assert read(str(tmp_path / "r" / PATH)) == found
    fs = fsspec.filesystem("memory")
    fs.pipe({f"/takedown/r/{PATH}": found.as_parquet(), "/takedown/list.txt": b"a.test\n"})
    assert read("memory://takedown/r") == found
    assert read("memory://takedown/list.txt") == listed(("host", "a.test"))


def test_where_there_is_no_list_there_is_none(tmp_path: Path) -> None:
    write_release(tmp_path / "r", "v1", {"manifest/train-0.parquet": pairs(["http://a.test/"])})
    assert read(str(tmp_path / "r")) is None
    assert read(str(tmp_path / "none")) is None
    assert read("memory://takedown/none") is None


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"kind": ["host"], "digest": [KEY]}, "it has no column since"),
        ({"kind": ["ip"], "digest": [KEY], "since": ["v1"]}, "kinds are host, key, url"),
        ({"kind": ["host"], "digest": ["a.test"], "since": ["v1"]}, "digests 32 hex characters"),
        ({"kind": [None], "digest": [KEY], "since": ["v1"]}, "no removal list"),
        ({"kind": [[1]], "digest": [KEY], "since": ["v1"]}, "mend or replace"),
    ],
    ids=["column", "kind", "digest", "null", "type"],
)
def test_a_parquet_file_that_is_no_list_is_refused(
    tmp_path: Path, table: dict[str, list[object]], said: str
) -> None:
    pq.write_table(pa.table(table), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=said) as caught:
        read(str(tmp_path / "x.parquet"))
    assert str(tmp_path / "x.parquet") in str(caught.value)


def test_a_damaged_list_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.parquet").write_bytes(listed(("host", "a.test")).as_parquet()[:-10])
    with pytest.raises(InputError, match=r"x\.parquet"):
        read(str(tmp_path / "x.parquet"))


def test_a_list_that_cannot_be_asked_for_is_a_problem_of_the_environment() -> None:
    with pytest.raises(EnvironmentProblem, match=r"127\.0\.0\.1:1"):
        read("http://127.0.0.1:1/removals.parquet")


def test_a_root_remembers_what_was_taken_out(tmp_path: Path) -> None:
    assert len(known(str(tmp_path))) == 0
    keep(str(tmp_path), listed(("key", KEY), since="v1"))
    keep(str(tmp_path), known(str(tmp_path)).union(listed(("host", "a.test"), since="v2")))
    assert len(known(str(tmp_path))) == 2
    assert [path.name for path in (tmp_path / KEPT_AT).parent.iterdir()] == ["removals.parquet"]
