"""Rows dealt to buckets, and the earliest of equal keys, against what a dictionary finds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.crawl.buckets import repeated
from builder.disk.buckets import (
    BUCKETS,
    PART_BYTES,
    PART_ROWS,
    Scatter,
    earliest,
    first_bytes,
    gather,
    halves,
    parts_of,
)

SCHEMA = pa.schema([pa.field("key", pa.binary(16)), pa.field("row", pa.int64())])
KEYS = st.lists(
    st.integers(0, 40).map(lambda n: bytes([n % 3, n // 3]) + b"\0" * 13 + bytes([n % 2])), max_size=200
)


@given(keys=KEYS, seed=st.integers(0, 9))
def test_the_earliest_of_equal_keys_in_their_order(keys: list[bytes], seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(keys)).astype(np.uint64)
    column = pa.chunked_array([pa.array(keys[:7], pa.binary(16)), pa.array(keys[7:], pa.binary(16))])
    places, first = earliest(*halves(column), order)
    best: dict[bytes, int] = {}
    for place, key in enumerate(keys):
        if key not in best or order[place] < order[best[key]]:
            best[key] = place
    assert [keys[place] for place in places] == sorted(keys)
    assert list(places[first]) == [best[key] for key in sorted(best)]


@pytest.mark.parametrize("parts", [1, 4, 256])
def test_a_part_of_all_files_holds_the_keys_of_its_first_bytes(tmp_path: Path, parts: int) -> None:
    generator = np.random.default_rng(1)
    files, rows = [], 0
    for number in range(3):
        files.append(str(tmp_path / f"{number}.arrow"))
        scatter = Scatter(Path(files[-1]), SCHEMA)
        for _ in range(number):  # the first file has no chunk, the last one two
            keys = [generator.bytes(16) for _ in range(500)]
            table = pa.Table.from_arrays(
                [pa.array(keys, pa.binary(16)), pa.array(range(rows, rows + 500))], schema=SCHEMA
            )
            scatter.write(table, first_bytes(np.array(keys, "V16")))
            rows += 500
        scatter.close()
    found: list[int] = []
    for part in range(parts):
        for table in gather(files, part, parts):
            inside = range(part * BUCKETS // parts, (part + 1) * BUCKETS // parts)
            assert all(key[0] in inside for key in table["key"].to_pylist())
            found += table["row"].to_pylist()
    assert sorted(found) == list(range(1500))
    (keys,) = {tuple(table.column_names) for table in gather(files, 0, 1, ["key"])}
    assert keys == ("key",)


def test_parts_are_a_power_of_two_and_hold_few_rows() -> None:
    assert [parts_of(rows, 0) for rows in (0, 1, PART_ROWS, PART_ROWS + 1, 5 * PART_ROWS)] == [1, 1, 1, 2, 8]
    assert parts_of(10**9, 0) == parts_of(1, 1 << 50) == BUCKETS
    assert parts_of(1000, 3 * PART_BYTES) == 4  # addresses of 8,000 characters


def test_hashes_that_come_more_often_than_that() -> None:
    assert list(repeated([np.array([5, 7, 5], np.uint64), np.array([5, 7], np.uint64)], 2)) == [5]
    assert list(repeated([], 2)) == []


def test_first_bytes_of_numbers_are_their_highest() -> None:
    assert list(first_bytes(np.array([0x0102030405060708, 0xFF << 56], np.uint64))) == [1, 255]
    assert list(first_bytes(np.array([b"\0" * 16, b"\x07" + b"\0" * 15], "V16"))) == [0, 7]
