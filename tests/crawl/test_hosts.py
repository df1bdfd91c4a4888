"""Hosts in the form of Common Crawl's host index, and lists of those to leave out."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.crawl.hosts import DeniedHosts, host_of_surt, of_hosts, surt_of
from builder.errors import InputError
from builder.reasons import Reason
from builder.stage.counts import HostCounts


@pytest.mark.parametrize(
    ("host", "surt"),
    [
        ("www.example.com", "com,example"),
        ("WWW2.Example.com.", "com,example"),
        ("www.com", "com,www"),
        ("a.b.example.com", "com,example,b,a"),
        ("localhost", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[2001:db8::1]", "[2001:db8::1]"),
    ],
)
def test_the_name_in_the_host_index(host: str, surt: str) -> None:
    assert surt_of(host) == surt
    assert surt_of(host_of_surt(surt)) == surt


def denied(tmp_path: Path, **columns: list[str | None]) -> DeniedHosts:
    pq.write_table(pa.table(columns), tmp_path / "deny.parquet")  # type: ignore[arg-type]
    return DeniedHosts.read(str(tmp_path / "deny.parquet"))


@pytest.mark.parametrize(
    "columns",
    [{"host": ["www.Bad.com", None, "例子.中国"]}, {"surt_host_name": ["com,bad", "xn--fiqs8s,xn--fsqu00a"]}],
)
def test_a_host_and_all_that_is_below_it(tmp_path: Path, columns: dict[str, list[str | None]]) -> None:
    hosts = denied(tmp_path, **columns)
    assert all(map(hosts.holds, ("bad.com", "www.bad.com", "img.bad.com", "xn--fsqu00a.xn--fiqs8s")))
    assert not any(map(hosts.holds, ("notbad.com", "bad.com.cn", "com", "", "192.0.2.1")))


def test_a_table_without_hosts_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no column host or surt_host_name in it; it has name"):
        denied(tmp_path, name=["bad.com"])
    pq.write_table(pa.table({"host": [1]}), tmp_path / "deny.parquet")
    with pytest.raises(InputError, match="column host is int64, not string"):
        DeniedHosts.read(str(tmp_path / "deny.parquet"))
    with pytest.raises(InputError, match=r"missing\.parquet"):
        DeniedHosts.read(str(tmp_path / "missing.parquet"))
    (tmp_path / "deny.csv").write_text("host\nbad.com\n")
    with pytest.raises(InputError, match=r"[a-z]; mend or replace the file"):
        DeniedHosts.read(str(tmp_path / "deny.csv"))
    assert not DeniedHosts.read("").holds("bad.com")


def test_the_table_has_a_row_for_each_host_and_a_column_for_each_reason() -> None:
    counts = HostCounts()
    counts.add({"com,b": 3, "com,a": 1})
    counts.add({"com,b": 2}, Reason.NO_TEXT, kept=False)
    counts.add({"com,b": -1})
    counts.add({"com,b": 1}, Reason.DUPLICATE, kept=False)
    rows = of_hosts(counts).to_pylist()
    assert [(one["surt_host_name"], one["host"], one["pairs"], one["kept"]) for one in rows] == [
        ("com,a", "a.com", 1, 1),
        ("com,b", "b.com", 5, 2),
    ]
    assert (rows[1]["no_text"], rows[1]["duplicate"], rows[0]["duplicate"]) == (2, 1, 0)
    assert {reason.value for reason in Reason if reason.value in rows[0]} >= {"no_text", "unsafe_text"}
