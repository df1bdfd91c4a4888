"""Presets, renaming, types and text that is not UTF-8."""

from __future__ import annotations

import pyarrow as pa
import pytest

from builder.errors import InputError
from builder.manifest.carry import conform, plain
from builder.manifest.columns import SCHEMAS, ManifestOptions, column_map

S, I64, F64 = pa.string(), pa.int64(), pa.float64()


def schema(*names: str, **typed: pa.DataType) -> pa.Schema:
    return pa.schema([*((name, S) for name in names), *typed.items()])


RELEASES = {
    "danqing": (schema("url", "alt_text", "recaption"), "url", "alt_text"),
    "laion": (schema("SAMPLE_ID", "URL", "TEXT", "similarity", WIDTH=I64, HEIGHT=I64), "URL", "TEXT"),
    "relaion": (schema("url", "text", "punsafe"), "url", "text"),
    "coyo": (schema("id", "url", "text", "image_phash", width=I64, height=I64), "url", "text"),
    "wukong": (schema("url", "caption"), "url", "caption"),
    "datacomp": (schema("uid", "url", "text", "sha256"), "url", "text"),
}


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("name", RELEASES)
def test_preset_finds_the_columns_of_a_release(name: str, named: bool) -> None:
    file, url, caption = RELEASES[name]
    plan = column_map([("m", file)], ManifestOptions(name if named else "auto"))
    assert plan.sources[:2] == (url, caption)
    assert plan.schema.names[:3] == ["url", "alt_text", "recaption"]
    assert len(plan.sources) - plan.sources.count(None) == len(file)  # nothing is left behind


def test_every_preset_is_tested() -> None:
    assert set(RELEASES) == set(SCHEMAS)


def test_auto_reads_names_in_any_case() -> None:
    assert column_map([("m", schema("Url", "ALT_TEXT"))], ManifestOptions()).sources[:2] == (
        "Url",
        "ALT_TEXT",
    )


def test_named_preset_reads_names_as_they_are() -> None:
    with pytest.raises(
        InputError, match="no URL column of wukong; it has 'Url', 'caption': name it with --url"
    ):
        column_map([("m", schema("Url", "caption"))], ManifestOptions("wukong"))


def test_flags_go_before_the_preset() -> None:
    plan = column_map(
        [("m", schema("link", "url", "alt_text", "recaption"))],
        ManifestOptions(url="link", caption="recaption"),
    )
    assert plan.sources[:3] == ("link", "recaption", None)
    assert plan.schema.names[3:] == ["manifest_url", "manifest_alt_text"]


def test_one_flag_leaves_the_other_column_to_the_presets() -> None:
    assert column_map([("m", schema("link", "text"))], ManifestOptions(url="link")).sources[:2] == (
        "link",
        "text",
    )


def test_carried_columns_keep_their_place_and_avoid_our_names() -> None:
    file = schema("key", "url", "alt_text", "score", "manifest_width", width=I64, caption=S)
    plan = column_map([("m", file)], ManifestOptions())
    renamed = ["manifest_key", "score", "manifest_width", "manifest_manifest_width", "manifest_caption"]
    assert plan.schema.names[3:] == renamed


@pytest.mark.parametrize(
    ("extra", "found"),
    [
        ({"sha256": S, "md5": S}, ("manifest_sha256", "sha256")),
        ({"MD5": S}, ("MD5", "md5")),
        ({"sha256": pa.large_string()}, ("manifest_sha256", "sha256")),
        ({"sha256": I64}, None),
        ({"hash": S}, None),
    ],
)
def test_hash_column_is_found_through_its_new_name(
    extra: dict[str, pa.DataType], found: tuple[str, str] | None
) -> None:
    assert column_map([("m", schema("url", "text", **extra))], ManifestOptions()).hash_column == found


@pytest.mark.parametrize(
    ("given", "becomes"),
    [
        (pa.large_string(), S),
        (pa.string_view(), S),
        (pa.dictionary(pa.int8(), pa.large_string()), S),
        (pa.null(), S),
        (pa.binary_view(), pa.binary()),
        (pa.large_list(pa.large_string()), pa.list_(S)),
        (pa.struct([("a", pa.string_view())]), pa.struct([("a", S)])),
        (pa.uuid(), pa.binary(16)),
        (pa.timestamp("us", "UTC"), pa.timestamp("us", "UTC")),
    ],
)
def test_plain_takes_the_layout_off_a_type(given: pa.DataType, becomes: pa.DataType) -> None:
    assert plain(given) == becomes


@pytest.mark.parametrize(
    ("one", "two", "both"),
    [(pa.int32(), I64, I64), (I64, F64, F64), (pa.null(), F64, F64), (S, pa.string_view(), S)],
)
def test_files_that_differ_in_width_meet_in_the_wider_type(
    one: pa.DataType, two: pa.DataType, both: pa.DataType
) -> None:
    files = [("a", schema("url", "text", n=one)), ("b", schema("url", "text", n=two))]
    assert column_map(files, ManifestOptions()).schema.field("n").type == both


@pytest.mark.parametrize(
    ("second", "said"),
    [
        (schema("url", "text", n=S), "b: column 'n' holds string, but int64 in a; mend one"),
        (schema("url"), "b: no column 'text'; it has 'url'"),
        (schema("url", text=I64), "b: the caption column 'text' holds int64, not text"),
        (
            pa.schema([("url", S), ("text", S), ("n", I64), ("n", I64)]),
            "b: more than one column is called 'n'",
        ),
    ],
)
def test_a_file_unlike_the_first_is_named(second: pa.Schema, said: str) -> None:
    with pytest.raises(InputError, match=said):
        column_map([("a", schema("url", "text", n=I64)), ("b", second)], ManifestOptions())


@pytest.mark.parametrize(
    ("file", "columns", "said"),
    [
        (
            schema("a", "b"),
            ManifestOptions(),
            "no URL column of any known manifest; it has 'a', 'b': name it with --url-column",
        ),
        (schema("url", "b"), ManifestOptions(), "no caption column of any known manifest"),
        (schema("url", "b"), ManifestOptions(caption="c"), "no column 'c'; it has 'url', 'b'"),
        (schema("text", url=I64), ManifestOptions(), "the URL column 'url' holds int64, not text"),
        (
            schema("url", text=pa.list_(S)),
            ManifestOptions(),
            "the caption column 'text' holds list<.*>, not text",
        ),
    ],
)
def test_a_missing_or_unfit_column_is_one_line(file: pa.Schema, columns: ManifestOptions, said: str) -> None:
    with pytest.raises(InputError, match=said) as caught:
        column_map([("m", file)], columns)
    assert "\n" not in str(caught.value)


BYTES = pa.array([b"ok", None, b"\xe5\x9b\xbe", b""])


@pytest.mark.parametrize(
    "column",
    [
        BYTES,
        BYTES.cast(pa.large_binary()),
        BYTES.cast(pa.binary_view()),
        BYTES.view(S),
        BYTES.view(S).cast(pa.large_string()),
        pa.DictionaryArray.from_arrays(pa.array([0, None, 1, 2]), BYTES.take(pa.array([0, 2, 3])).view(S)),
    ],
    ids=lambda column: str(column.type)[:12],
)
def test_text_of_any_layout_becomes_strings(column: pa.Array) -> None:
    made = conform(pa.chunked_array([column]), pa.field("text", S), "utf-8", "m", 0)
    assert made.type == S
    assert made.to_pylist() == ["ok", None, "图", ""]


def test_table_fills_what_a_file_lacks_with_null() -> None:
    plan = column_map([("a", schema("url", "text", n=I64)), ("b", schema("url", "text"))], ManifestOptions())
    table = plan.table(pa.table({"url": ["u"], "text": ["t"]}))
    assert table.to_pylist() == [{"url": "u", "alt_text": "t", "recaption": None, "n": None}]
    assert table.schema == plan.schema
