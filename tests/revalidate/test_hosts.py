"""Pairs counted by host."""

from collections import Counter

import numpy as np
import pyarrow as pa

from builder.reasons import Verdict
from builder.revalidate import hosts
from builder.revalidate.hosts import by_host, merged, worst
from builder.revalidate.judge import VERDICTS

SAME, DRIFTED = VERDICTS.index(Verdict.SAME), VERDICTS.index(Verdict.DRIFTED)


def counted(names: list[str | None], verdict: list[int], kept: list[bool]) -> hosts.Counts:
    return by_host(
        pa.chunked_array([names], pa.string()), np.array(verdict, np.uint8), np.array(kept, np.bool_)
    )


def test_the_worst_hosts_come_first_and_those_that_lost_nothing_do_not_come() -> None:
    one = counted(
        ["a", "b", "b", "c", None], [SAME, DRIFTED, SAME, SAME, DRIFTED], [True, False, True, False, False]
    )
    other = counted(["c", "c", "a"], [DRIFTED, SAME, SAME], [False, True, True])
    found = worst(merged([one, other]))
    assert list(found) == ["c", "b"]
    assert (found["c"].kept, found["c"].dropped, found["c"].verdicts) == (1, 2, {"same": 2, "drifted": 1})
    assert (found["b"].kept, found["b"].dropped, found["b"].verdicts) == (1, 1, {"same": 1, "drifted": 1})


def test_equals_are_ordered_by_name_and_the_limit_holds() -> None:
    names: list[str | None] = [f"host{i}" for i in range(9, -1, -1)]
    assert list(worst(counted(names, [DRIFTED] * 10, [False] * 10), 3)) == ["host0", "host1", "host2"]


def test_more_shards_than_are_held_are_all_counted() -> None:
    rng = np.random.default_rng(1)
    drawn = [[f"host{i}" for i in rng.integers(0, 20, 30)] for _ in range(2 * hosts.HELD + 5)]
    found = worst(merged(counted([*names], [DRIFTED] * 30, [False] * 30) for names in drawn))
    expected = Counter(name for names in drawn for name in names)
    assert {name: host.dropped for name, host in found.items()} == expected


def test_no_pairs_have_no_hosts() -> None:
    assert worst(merged([])) == {}
