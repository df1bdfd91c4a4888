"""JSON Lines: all rows decide columns and types, in any order; nothing is rounded, and nothing lost without a word."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builder.errors import InputError
from builder.manifest import Manifest, ManifestOptions, open_manifest
from builder.manifest.json_lines import BLOCK, BRACKETS

PAIR = {"url": "u", "text": "t"}
FAR = [json.dumps({**PAIR, "pad": "x" * 100_000})] * (
    BLOCK // 100_000 + 1
)  # carries the next row into another block


def opened(path: Path, *rows: dict[str, Any] | str) -> Manifest:
    texts = [one if isinstance(one, str) else json.dumps({**PAIR, **one}) for one in rows]
    path.write_text("\n".join(texts))
    return open_manifest(str(path), ManifestOptions())


def column(manifest: Manifest, name: str) -> tuple[pa.DataType, list[Any]]:
    rows = manifest.rows["train"]
    (table,) = manifest.tables("train", [(0, rows)])
    return table[name].type, [one for one in table[name].to_pylist() if one is not None]


S, INT, F = pa.string(), pa.int64(), pa.float64()


@pytest.mark.parametrize(
    ("values", "kind", "carried"),
    [
        ([0, 0.7], F, [0.0, 0.7]),
        ([1 << 53, 0.5], F, [float(1 << 53), 0.5]),
        ([1, (1 << 63) - 1], INT, [1, (1 << 63) - 1]),
        ([1, (1 << 64) - 1], pa.uint64(), [1, (1 << 64) - 1]),
        ([-1, (1 << 64) - 1], S, ["-1", "18446744073709551615"]),
        ([1e300, 1], F, [1e300, 1.0]),
        ([1, "many"], S, ["1", "many"]),
        ([True, 1], S, ["true", "1"]),
        ([[], ["a"]], pa.list_(S), [[], ["a"]]),
        ([[1], [0.5]], pa.list_(F), [[1.0], [0.5]]),
        ([[1], ["a"]], pa.list_(S), [["1"], ["a"]]),
        ([{}, {"a": 1}], pa.struct([("a", INT)]), [{"a": None}, {"a": 1}]),
        ([{"a": 1}, {"a": 0.5}], pa.struct([("a", F)]), [{"a": 1.0}, {"a": 0.5}]),
        (
            [[{"a": []}], [{"a": [1]}]],
            pa.list_(pa.struct([("a", pa.list_(INT))])),
            [[{"a": []}], [{"a": [1]}]],
        ),
        (["2024-01-01", "2024-01-01T00:00:00Z"], S, ["2024-01-01", "2024-01-01T00:00:00Z"]),
        ([["2024-01-01"], ["2024-01-02"]], pa.list_(S), [["2024-01-01"], ["2024-01-02"]]),
    ],
)
@pytest.mark.parametrize("apart", [[], FAR], ids=["one block", "two blocks"])
def test_every_row_decides_in_any_order(
    tmp_path: Path, values: list[Any], kind: pa.DataType, carried: list[Any], apart: list[str]
) -> None:
    for (one, two), wanted in zip(
        itertools.permutations(values), itertools.permutations(carried), strict=True
    ):
        found = column(opened(tmp_path / "m.jsonl", {"n": one}, *apart, {"n": two}), "n")
        assert found == (kind, list(wanted))


@pytest.mark.parametrize("apart", [[], FAR], ids=["one block", "two blocks"])
def test_keys_that_come_late_join(tmp_path: Path, apart: list[str]) -> None:
    manifest = opened(tmp_path / "m.jsonl", {"meta": {"a": 1}}, *apart, {"meta": {"b": 2}, "late": "x"})
    assert column(manifest, "late") == (S, ["x"])
    assert column(manifest, "meta")[1] == [{"a": 1, "b": None}, {"a": None, "b": 2}]


@pytest.mark.parametrize("apart", [[], FAR], ids=["one block", "two blocks"])
@pytest.mark.parametrize("large", [(1 << 53) + 1, (1 << 63) - 1, -(1 << 60)])
def test_an_integer_that_a_double_would_round_is_named_by_its_row(
    tmp_path: Path, large: int, apart: list[str]
) -> None:
    rows = [{"n": 1}, {"n": large}, *apart, {"n": 0.5}]
    for turned in (rows, rows[::-1]):
        row = turned.index({"n": large}) + 1
        with pytest.raises(
            InputError, match=f"column 'n' holds {large} in row {row:,} and fractions elsewhere"
        ):
            opened(tmp_path / "m.jsonl", *turned)


def test_integers_and_fractions_of_two_files_meet_only_where_nothing_is_rounded(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    opened(tmp_path / "m/a.jsonl", {"n": 1}, {"n": (1 << 53) + 1})
    opened(tmp_path / "m/b.jsonl", {"n": 0.5})
    with pytest.raises(
        InputError, match=r"a\.jsonl: row 2: column 'n' is int64 and holds what double, .* does not"
    ):
        column(open_manifest(str(tmp_path / "m"), ManifestOptions()), "n")


@pytest.mark.parametrize(
    ("one", "two", "kind"),
    [
        ([], ["a"], pa.list_(S)),
        ({"a": None}, {"a": 1, "b": []}, pa.struct([("a", INT), ("b", pa.list_(S))])),
        ({}, [1], pa.list_(INT)),
        (None, 0.5, F),
    ],
)
def test_what_one_file_does_not_know_another_tells(
    tmp_path: Path, one: Any, two: Any, kind: pa.DataType
) -> None:
    (tmp_path / "m").mkdir()
    opened(tmp_path / "m/a.jsonl", {"n": one})
    opened(tmp_path / "m/b.jsonl", {"n": two})
    assert column(open_manifest(str(tmp_path / "m"), ManifestOptions()), "n")[0] == kind


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ({}, "column n holds empty objects alone: null"),
        ({"a": {}}, "column n.a holds empty objects alone: null"),
        ({f"k{i}": 1 for i in range(1001)}, "column n has more than 1,000 keys: kept as JSON text"),
        (1 << 70, "column n holds integers of more than 64 bits: kept as text"),
    ],
)
def test_what_is_not_carried_as_it_is_is_said_once(tmp_path: Path, value: Any, said: str) -> None:
    manifest = opened(tmp_path / "m.jsonl", *[{"n": value}] * 3)
    assert manifest.notes == (f"{tmp_path}/m.jsonl: {said}",)
    read = column(manifest, "n")[1]
    assert read in ([], [{"a": None}] * 3, [json.dumps(value)] * 3)


def test_more_columns_than_a_manifest_has_are_refused(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match="more than 1,000 keys by row 599; the rows of a manifest share theirs"
    ):
        opened(tmp_path / "m.jsonl", *({f"a{i}": 1, f"b{i}": 1} for i in range(600)))


def test_a_line_of_many_brackets_is_read_without_arrow(tmp_path: Path) -> None:
    """Arrow's parser has no limit of depth. Brackets in a string are harmless, and go the same way round it."""
    text = "[" * (BRACKETS + 1)
    assert column(opened(tmp_path / "m.jsonl", {"n": text, "at": "2024-01-01"}), "n") == (S, [text])
    with pytest.raises(InputError, match=r"row 1 is not JSON \(.*recursion"):
        opened(tmp_path / "m.jsonl", '{"n":' + "[" * 1500 + "]" * 1500 + "}")


def test_what_lies_very_deep_is_kept_as_json(tmp_path: Path) -> None:
    value: Any = 1
    for _ in range(60):
        value = [value]
    kind, (read,) = column(opened(tmp_path / "m.jsonl", {"n": value}), "n")
    while isinstance(read, list):
        (read,) = read
        kind = kind.value_type
    assert kind == S
    assert set(read) == {"[", "1", "]"}
