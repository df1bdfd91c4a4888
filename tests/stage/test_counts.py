"""Pairs counted by host: exactly, in whatever order they come."""

import json
import random
from collections import Counter
from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pytest

from builder.stage.counts import HostCounts, HostTotal, hosts_of
from builder.web.hostname import host_of


def counted(names: list[str | None], words: list[str], kept: list[bool]) -> HostCounts:
    hosts = HostCounts()
    hosts.add_columns(pa.chunked_array([names], pa.string()), pa.array(words), pa.array(kept))
    return hosts


def pairs(hosts: Iterable[HostTotal]) -> list[tuple[str, int]]:
    return [(one.host, one.pairs) for one in hosts]


def test_the_worst_hosts_come_first_and_those_that_lost_nothing_do_not_come() -> None:
    hosts = counted(
        ["a", "b", "b", "c", None],
        ["same", "drifted", "same", "same", "drifted"],
        [True, False, True, False, False],
    )
    hosts.merge(counted(["c", "c", "a"], ["drifted", "same", "same"], [False, True, True]))
    assert hosts.worst(9) == [
        HostTotal("c", 1, 2, Counter({"same": 2, "drifted": 1})),
        HostTotal("b", 1, 1, Counter({"same": 1, "drifted": 1})),
    ]


def test_equals_are_ordered_by_what_they_kept_and_by_name_and_the_limit_holds() -> None:
    names: list[str | None] = [f"host{i}" for i in range(9, -1, -1)]
    hosts = counted(names, ["drifted"] * 10, [False] * 10)
    assert [one.host for one in hosts.worst(3)] == ["host0", "host1", "host2"]
    hosts.add({"host0": 1})
    assert [one.host for one in hosts.worst(3)] == ["host1", "host2", "host3"]


def test_hosts_are_ordered_by_loss_and_by_size() -> None:
    hosts = HostCounts()
    hosts.add({"big": 90, "mixed": 10, "good": 3})
    hosts.add({"big": 1, "bad": 5, "mixed": 5}, "dead", kept=False)
    assert [one.host for one in hosts.largest(3)] == ["big", "mixed", "bad"]
    assert [one.host for one in hosts.worst(9)] == ["bad", "mixed", "big"]


def test_many_parts_are_all_counted() -> None:
    rng = np.random.default_rng(1)
    drawn = [[f"host{i}" for i in rng.integers(0, 20, 30)] for _ in range(205)]
    hosts = HostCounts()
    for names in drawn:
        hosts.merge(counted([*names], ["drifted"] * 30, [False] * 30))
    assert {one.host: one.lost for one in hosts.worst(None)} == Counter(
        name for names in drawn for name in names
    )


def test_no_pairs_have_no_hosts() -> None:
    assert HostCounts().worst(9) == HostCounts().largest(9) == []
    assert HostCounts().as_dict() == {"distinct": 0, "pairs": 0, "largest": {}}


def test_the_worst_host_is_named_among_many_that_are_larger() -> None:
    hosts = HostCounts()
    for number in range(100):
        hosts.add({"lost": 1}, "dead", kept=False)
        hosts.add({f"host{number}": 1000})
    assert hosts.worst(1) == [HostTotal("lost", 0, 100, Counter({"dead": 100}))]
    assert hosts.as_dict()["distinct"] == 101


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
    counted_hosts = HostCounts()
    counted_hosts.add_urls(pa.array([url, url], pa.string()))
    host = host_of(url)
    assert pairs(counted_hosts.largest(5)) == ([(host, 2)] if host else [])


def test_urls_need_not_be_utf8() -> None:
    counted_hosts = HostCounts()
    counted_hosts.add_urls(pa.array([b"http://\xff.test/x", b"http://g.test/\xfe"]))
    assert [one.host for one in counted_hosts.largest(5)] == ["g.test", "\ufffd.test"]


def test_the_largest_hosts_are_exact_however_they_come() -> None:
    draw = random.Random(7)
    # Many hosts that come once, and some that begin late.
    drawn = [f"http://h{draw.randrange(3000)}.test/" for _ in range(9000)]
    drawn += [f"http://h{number}.test/" for number in range(40) for _ in range(number)]
    exact: dict[str, int] = {}
    held = HostCounts(pending=64)
    for start in range(0, len(drawn), 37):
        urls = drawn[start : start + 37]
        held.add_urls(pa.array(urls))
        for url in urls:
            host = str(host_of(url))
            exact[host] = exact.get(host, 0) + 1
    wanted = sorted(exact.items(), key=lambda one: (-one[1], one[0]))
    assert pairs(held.largest(50)) == wanted[:50]
    told = held.as_dict(50)
    assert (told["distinct"], told["pairs"]) == (len(exact), len(drawn))
    again = HostCounts.of_dict(json.loads(json.dumps(held.as_dict(None))))
    assert again.as_dict(50) == told


def test_ties_are_told_by_name() -> None:
    urls = [f"http://h{number:03d}.test/" for number in range(300)]
    forward, backward = HostCounts(), HostCounts()
    for url in urls:
        forward.add_urls(pa.array([url]))
    for url in reversed(urls):
        backward.add_urls(pa.array([url]))
    assert forward.as_dict(10) == backward.as_dict(10)
    assert [one.host for one in forward.largest(2)] == ["h000.test", "h001.test"]


def test_each_url_has_its_host_whatever_the_chunks() -> None:
    urls = ["http://a.test/1", None, "http://b.test/", "no url", "http://A.test/2"]
    hosts = hosts_of(pa.chunked_array([urls[:2], urls[2:]], pa.string()))
    assert hosts.to_pylist() == [None if url is None else host_of(url) for url in urls]
    assert hosts.to_pylist()[::4] == ["a.test", "a.test"]
