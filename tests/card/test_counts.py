"""Counts are exact, and the same in whatever order, batches and parts the rows come."""

from __future__ import annotations

import datetime
import json
import random
from typing import Any

import pyarrow as pa
import pytest

from builder.card.counts import COLUMNS, LENGTHS, SIDE_BINS, Counts

FIRST = datetime.datetime(2026, 11, 2, 3, 4, 5, 678000, tzinfo=datetime.UTC)
SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("alt_text", pa.string()),
        ("recaption", pa.string()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("score", pa.float32()),
        ("verdict", pa.string()),
        ("suspect", pa.bool_()),
        ("kept", pa.bool_()),
        ("fetched_at", pa.timestamp("ms", tz="UTC")),
        ("cos", pa.float32()),
        ("cos_model", pa.string()),
        ("dup_count", pa.int32()),
        ("image", pa.binary()),
    ]
)


def rows(number: int = 500) -> pa.Table:
    draw = random.Random(4)
    found = []
    for index in range(number):
        kept = index % 10 != 3
        found.append(
            {
                "url": f"https://h{draw.randrange(40)}.test/{index}",
                "alt_text": "字" * draw.randrange(1, 40),
                "recaption": draw.choice([None, "", "句子"]),
                "width": draw.randrange(100, 5000),
                "height": draw.randrange(100, 5000),
                "format": draw.choice(["jpeg", "png"]),
                "score": draw.uniform(-0.2, 0.4) if index % 7 else None,
                "verdict": draw.choice(["same", "moved"]) if kept else "drifted",
                "suspect": kept and index % 9 == 0,
                "kept": kept if index % 50 else None,
                "fetched_at": FIRST + datetime.timedelta(seconds=index),
                "cos": draw.uniform(0.2, 0.4) if index % 11 else None,
                "cos_model": "toy",
                "dup_count": draw.choice([1, 1, 4, None]),
                "image": b"x",
            }
        )
    return pa.Table.from_pylist(found, SCHEMA)


def counted(table: pa.Table, split: str = "train") -> Counts:
    counts = Counts()
    counts.add(split, table)
    return counts


def test_a_few_rows_by_hand() -> None:
    table = pa.table(
        {
            "url": ["https://A.test:8080/x", "http://u@a.test", "//b.test/y", "no url", None],
            "alt_text": ["一二三", "ab", "", None, "字" * 1000],
            "recaption": [None, "x", None, None, None],
            "width": pa.array([100, 149, 9000, 7, None], pa.int32()),
            "height": pa.array([150, 99, 8000, 7, 3], pa.int32()),
            "score": pa.array([0.123, -0.005, 1.0, None, float("nan")], pa.float32()),
            "format": ["jpeg", "png", "jpeg", None, "gif"],
            "fetched_at": pa.array(
                [FIRST, None, FIRST + datetime.timedelta(days=1), FIRST, FIRST],
                SCHEMA.field("fetched_at").type,
            ),
        }
    )
    counts = counted(table)
    counts.file("train", 700)
    told = counts.as_dict()
    assert (told["rows"], told["kept"], counts.rows) == (5, 5, 5)
    assert told["splits"] == {"train": {"bytes": 700, "kept": 5, "rows": 5, "shards": 1}}
    assert told["hosts"] == {"distinct": 2, "pairs": 3, "largest": {"a.test": 2, "b.test": 1}}
    assert told["captioned"] == {"alt_text": 3, "recaption": 1}
    assert told["sums"] == {"alt_text": 1005, "recaption": 1, "resolution": 8206, "score": 1_118_000}
    assert told["histograms"]["recaption"] == [0, 1]
    assert len(told["histograms"]["alt_text"]) == LENGTHS
    assert told["histograms"]["resolution"][:3] == [1, 1, 1]
    assert len(told["histograms"]["resolution"]) == SIDE_BINS
    assert {place: n for place, n in enumerate(told["histograms"]["score"]) if n} == {99: 1, 112: 1, 199: 1}
    assert told["formats"] == {"gif": 1, "jpeg": 2, "png": 1}
    assert told["fetched"] == ["2026-11-02T03:04:05.678Z", "2026-11-03T03:04:05.678Z"]


def test_only_kept_rows_count() -> None:
    table = rows()
    counts = counted(table)
    kept = [row for row in table.to_pylist() if row["kept"]]
    assert (counts.rows, counts.kept) == (500, len(kept))
    assert sum(counts.verdicts.values()) == len(kept)
    assert sum(counts.verdicts.values()) + sum(counts.left_out.values()) == 500
    assert counts.left_out["drifted"] > 0
    assert counts.suspects == sum(row["suspect"] for row in kept)
    assert counts.hosts.as_dict()["pairs"] == len(kept)


def test_what_curate_found_is_counted_and_what_bears_its_names_is_not() -> None:
    table = rows()
    kept = [row for row in table.to_pylist() if row["kept"]]
    counts = counted(table)
    assert counts.sums["dup_count"] == sum(row["dup_count"] or 0 for row in kept)
    assert counts.histograms["cos"].sum() == sum(row["cos"] is not None for row in kept)
    carried = table.drop_columns(["cos_model", "cos"]).append_column("cos", pa.array(["yes"] * 500))
    assert not {"cos", "dup_count"} & {*counted(carried).sums}


@pytest.mark.parametrize("seed", range(3))
def test_order_batches_and_parts_make_no_difference(seed: int) -> None:
    table, draw = rows(), random.Random(seed)
    whole = counted(table).as_dict()
    order = list(range(table.num_rows))
    draw.shuffle(order)
    shuffled = table.take(order)
    parts = [Counts() for _ in range(4)]
    start = 0
    while start < shuffled.num_rows:
        size = draw.randrange(1, 90)
        draw.choice(parts).add("train", shuffled.slice(start, size))
        start += size
    total = Counts()
    for part in parts:
        total.merge(Counts.of_dict(json.loads(json.dumps(part.as_dict(hosts=None)))))
    assert json.dumps(total.as_dict()) == json.dumps(whole)


def test_it_comes_back_from_json() -> None:
    counts = counted(rows())
    counts.file("train", 12)
    counts.add("validation", rows(20))
    told = json.loads(json.dumps(counts.as_dict()))
    assert Counts.of_dict(told).as_dict() == counts.as_dict()


@pytest.mark.parametrize(
    "missing", [(name,) for name in COLUMNS] + [COLUMNS], ids=lambda names: "-".join(names)[:20]
)
def test_any_column_may_be_missing(missing: tuple[str, ...]) -> None:
    counts = counted(rows().drop_columns([*missing]))
    assert counts.rows == 500
    assert Counts.of_dict(counts.as_dict()).as_dict() == counts.as_dict()


def test_nothing_counts_as_nothing() -> None:
    counts = counted(rows(0))
    assert counts.as_dict()["kept"] == 0
    assert counts.as_dict()["fetched"] == []
    empty = Counts()
    empty.merge(counts)
    assert empty.as_dict() == counts.as_dict()


def test_a_list_that_was_cut_is_not_added_to() -> None:
    cut = counted(rows()).as_dict(hosts=3)
    assert len(cut["hosts"]["largest"]) == 3
    assert Counts.of_dict(cut).as_dict(hosts=3) == cut
    with pytest.raises(ValueError, match="hosts=None"):
        Counts().merge(Counts.of_dict(cut))


def test_dates_may_be_text() -> None:
    texts: list[Any] = ["2026-01-02T03:04:05+00:00", "2026-01-02T03:04:05.5+00:00"]
    assert counted(pa.table({"fetched_at": texts})).as_dict()["fetched"] == [
        "2026-01-02T03:04:05.000Z",
        "2026-01-02T03:04:05.500Z",
    ]
