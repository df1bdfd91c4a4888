"""Counts are exact, and the same in whatever order, batches and parts the rows come."""

from __future__ import annotations

import datetime
import json
import random
from typing import Any

import pyarrow as pa
import pytest

from builder.card import hosts
from builder.card.counts import COLUMNS, LENGTHS, SIDE_BINS, Counts
from builder.card.hosts import Hosts
from builder.web.hostname import host_of

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


URLS = [
    "http://a.test/x",
    "HTTPS://B.Test?q=//c.test",
    "http://user:pass@d.test:81\\x",
    "http://user@pass@d2.test",
    "http://[2001:db8::1]:80/",
    "http://[broken/",
    "//e.test#f",
    "a/b//c.test/",
    "mailto:x@y",
    "http:///x",
    "http://图片.中国/一.jpg",
    "http://f.test\n/x",
    "",
    None,
]


@pytest.mark.parametrize("url", URLS, ids=range(len(URLS)))
def test_a_host_is_that_of_the_ledger(url: str | None) -> None:
    counted_hosts = Hosts()
    counted_hosts.add(pa.array([url, url], pa.string()))
    host = host_of(url)
    assert counted_hosts.largest(5) == ([(host, 2)] if host else [])


def test_urls_need_not_be_utf8() -> None:
    counted_hosts = Hosts()
    counted_hosts.add(pa.array([b"http://\xff.test/x", b"http://g.test/\xfe"]))
    assert [host for host, _ in counted_hosts.largest(5)] == ["g.test", "\ufffd.test"]


def test_the_largest_hosts_are_exact_however_few_names_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "NAMED", 100)
    monkeypatch.setattr(hosts, "_PENDING", 64)
    draw = random.Random(7)
    # Many hosts that come once, and some that begin late: those names were forgotten before.
    drawn = [f"http://h{draw.randrange(3000)}.test/" for _ in range(9000)]
    drawn += [f"http://h{number}.test/" for number in range(40) for _ in range(number)]
    exact: dict[str, int] = {}
    held = Hosts()
    for start in range(0, len(drawn), 37):
        urls = drawn[start : start + 37]
        held.add(pa.array(urls))
        assert len(held._names) <= 137
        for url in urls:
            host = str(host_of(url))
            exact[host] = exact.get(host, 0) + 1
    wanted = sorted(exact.items(), key=lambda one: (-one[1], one[0]))
    assert held.largest(50) == wanted[:50]
    told = held.as_dict(50)
    assert (told["distinct"], told["pairs"]) == (len(exact), len(drawn))
    again = Hosts.of_dict(json.loads(json.dumps(held.as_dict(None))))
    assert again.as_dict(50) == told


def test_ties_are_told_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hosts, "NAMED", 20)
    urls = [f"http://h{number:03d}.test/" for number in range(300)]
    forward, backward = Hosts(), Hosts()
    for url in urls:
        forward.add(pa.array([url]))
    for url in reversed(urls):
        backward.add(pa.array([url]))
    assert forward.as_dict(10) == backward.as_dict(10)
    assert [name for name, _ in forward.largest(2)] == ["h000.test", "h001.test"]


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
