"""What was taken down stays down: a rebuild asks for nothing that is on the removal list, whoever brought the list."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from builder.cli import main
from builder.disk.removals import PATH, Removals, read
from builder.disk.schema import pair_key
from builder.rebuild import live
from builder.rebuild.removed import snapshot
from tests.faulthost import FaultHost
from tests.hub.clients import client_env, run_client
from tests.releases import files_of, listed, pairs, write_release

from .runs import Launcher, kill_all, ledgers, outcomes, reasons, rebuild, table, write_manifest

ROWS = 60
FLAGS = ("--shard-size", "20", "--concurrency", "8")
SHARD = "manifest/train-00000-of-00001.parquet"


@pytest.fixture
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=3) as host:
        yield host


@pytest.fixture
def started() -> Iterator[Launcher]:
    with contextlib.closing(Launcher()) as launcher:
        yield launcher


@pytest.fixture
def urls(web: FaultHost) -> list[str]:
    return [web.url(f"/picture/{i}.jpg", i % 3) for i in range(ROWS)]


def text_file(path: Path, *lines: str) -> str:
    path.write_text("\n".join(lines), encoding="utf-8")
    return str(path)


def asked(web: FaultHost) -> set[int]:
    """The rows whose pictures were asked for."""
    return {int(request.target.split("/")[-1].removesuffix(".jpg")) for request in web.requests}


def gone(root: Path) -> set[int]:
    """The rows that were dropped as removed."""
    rows = [one for one in outcomes(root) if one["reason"] == "removed"]
    return {int(one["url"].split("/")[-1].removesuffix(".jpg")) for one in rows}


def release_of(folder: Path, urls: list[str], removals: Removals | None = None) -> str:
    write_release(folder, "v1", {SHARD: pairs(urls, width=[7] * len(urls))}, removals)
    return str(folder)


def test_rows_on_the_list_are_dropped_without_a_request(
    web: FaultHost, urls: list[str], tmp_path: Path
) -> None:
    key = pair_key(urls[4], "第4张图片")
    told = text_file(
        tmp_path / "l.txt", "127.0.0.3 # this host", urls[10].replace("http://", "HTTPS://U@"), key
    )
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS, "--validation", "0.2", "--removals", told) == 0
    out = {4, 10, *range(2, ROWS, 3)}
    assert asked(web) == set(range(ROWS)) - out
    assert web.count() == ROWS - len(out)
    rows = [*table(root, "outcomes").to_pylist(), *table(root, "outcomes", "validation").to_pylist()]
    dropped = [one for one in rows if one["reason"] is not None]
    assert {(one["outcome"], one["reason"], one["attempts"]) for one in dropped} == {
        ("dropped", "removed", 0)
    }
    assert {one["fetched_at"] for one in dropped if "fetched_at" in one} <= {None}
    assert len(dropped) == len(out)
    told_by_markers = sum((Counter(one["reasons"]) for one in ledgers(root).values()), Counter[str]())
    assert told_by_markers == {"removed": len(out)}


def test_no_name_on_the_list_is_looked_up(tmp_path: Path) -> None:
    urls = ["http://listed.invalid/1.jpg", "http://img.listed.invalid/2.jpg", "http://other.invalid/3.jpg"]
    told = text_file(tmp_path / "l.txt", "listed.invalid")
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root", "--retries", "0", "--removals", told) == 1  # none is kept
    assert reasons(tmp_path / "root") == ["removed", "removed", "dns"]


def test_a_release_brings_its_own_list(web: FaultHost, urls: list[str], tmp_path: Path, capsys: Any) -> None:
    release = release_of(tmp_path / "r", urls, listed(("host", "127.0.0.2"), ("url", urls[0]), since="v1"))
    before = files_of(tmp_path / "r")
    assert rebuild(release, tmp_path / "root", *FLAGS, "--dry-run") == 0
    assert "removals  2 entries: never asked for" in capsys.readouterr().out
    assert rebuild(release, tmp_path / "root", *FLAGS, "--dry-run", "--json") == 0
    assert json.loads(capsys.readouterr().out)["removals"] == 2
    assert not (tmp_path / "root").exists()
    assert rebuild(release, tmp_path / "root", *FLAGS) == 0
    assert gone(tmp_path / "root") == {0, *range(1, ROWS, 3)}
    assert asked(web) == set(range(ROWS)) - {0, *range(1, ROWS, 3)}
    assert files_of(tmp_path / "r") == before


@pytest.mark.parametrize("part", ["manifest", "manifest/", SHARD, "manifest/*.parquet"])
def test_a_part_of_a_release_brings_the_list_too(
    web: FaultHost, urls: list[str], tmp_path: Path, part: str
) -> None:
    release = release_of(tmp_path / "r", urls[:3], listed(("url", urls[1])))
    assert rebuild(f"{release}/{part}", tmp_path / "root") == 0
    assert gone(tmp_path / "root") == {1}
    assert asked(web) == {0, 2}


def test_the_manifest_in_the_working_directory_is_of_a_release_too(
    web: FaultHost, urls: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(release_of(tmp_path / "r", urls[:3], listed(("url", urls[1]))))
    assert rebuild("manifest", tmp_path / "root") == 0
    assert asked(web) == {0, 2}


def test_what_is_of_no_release_has_no_list(web: FaultHost, urls: list[str], tmp_path: Path) -> None:
    assert rebuild(write_manifest(tmp_path / "m.parquet", urls[:3]), tmp_path / "root") == 0
    assert not Path(snapshot(str(tmp_path / "root"))).exists()
    release = release_of(tmp_path / "r", urls[:3])
    assert rebuild(release, tmp_path / "again") == 0
    assert read(snapshot(str(tmp_path / "again"))) == Removals.of(())


def test_the_list_of_the_first_run_holds_for_the_next_ones(
    web: FaultHost, urls: list[str], tmp_path: Path
) -> None:
    release, root = release_of(tmp_path / "r", urls, listed(("url", urls[0]))), tmp_path / "root"
    assert rebuild(release, root, *FLAGS, "--rank", "0", "--world-size", "3") == 0
    listed(("url", urls[0]), ("url", urls[45])).write(tmp_path / "r" / PATH)
    assert rebuild(release, root, *FLAGS, "--rank", "2", "--world-size", "3") == 0
    assert 45 in asked(web)
    more = text_file(tmp_path / "l.txt", urls[25])
    assert rebuild(release, root, *FLAGS, "--removals", f"{more},{release}") == 0
    assert gone(root) == {0, 25}
    assert len(read(snapshot(str(root))) or ()) == 3
    assert rebuild(release, root, *FLAGS, "--overwrite") == 0
    assert gone(root) == {0, 45}


def test_pairs_that_were_fetched_before_they_were_listed_leave_an_unfinished_shard(
    web: FaultHost, started: Launcher, tmp_path: Path
) -> None:
    urls = [web.url(f"/{'gate' if i >= 50 else 'picture'}/{i}.jpg") for i in range(ROWS)]
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    flags = ("--workers", "1", "--concurrency", "10", "--per-host", "10")
    process = started(manifest, root, *flags)
    web.wait_for(ROWS)  # the last ten have all slots: what was asked before is kept
    kill_all(process)
    web.open_gate()
    told = text_file(tmp_path / "l.txt", urls[7], urls[55])
    assert rebuild(manifest, root, *flags, "--removals", told) == 0
    assert gone(root) == {7, 55}
    assert table(root, "images").num_rows == reasons(root).count(None)
    assert urls[7] not in table(root, "images")["url"].to_pylist()


def test_a_kill_in_between_changes_nothing(
    web: FaultHost, started: Launcher, urls: list[str], tmp_path: Path
) -> None:
    release = release_of(tmp_path / "r", urls, listed(("host", "127.0.0.2")))
    process = started(release, tmp_path / "root", *FLAGS)
    web.wait_for(15)
    kill_all(process)
    assert rebuild(release, tmp_path / "root", *FLAGS) == 0
    assert asked(web) == set(range(ROWS)) - set(range(1, ROWS, 3))
    assert gone(tmp_path / "root") == set(range(1, ROWS, 3))


def test_retry_failed_brings_nothing_back(
    web: FaultHost, urls: list[str], tmp_path: Path, capsys: Any
) -> None:
    urls[1], urls[31] = web.url("/flaky/500/1/1.jpg"), web.url("/flaky/500/1/31.jpg")
    told = text_file(tmp_path / "l.txt", urls[2], urls[31], urls[41])
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS, "--retries", "0", "--removals", told) == 0
    web.reset()
    assert rebuild(manifest, root, *FLAGS, "--retries", "0", "--retry-failed", "all") == 1  # it failed again
    assert [request.target for request in web.requests] == ["/flaky/500/1/1.jpg"]
    assert gone(root) == {2, 31, 41}
    assert rebuild(manifest, root, *FLAGS, "--retry-failed", "removed") == 2
    assert "what was taken down is not fetched again" in capsys.readouterr().err


def test_finished_shards_are_left_as_they_are_and_that_is_said(
    web: FaultHost, urls: list[str], tmp_path: Path, capsys: Any
) -> None:
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS) == 0
    before = files_of(root / "images")
    web.reset()
    words = ["rebuild", manifest, str(root), "--allow-private", *FLAGS]
    words += ["--removals", text_file(tmp_path / "l.txt", urls[5])]
    assert main(words) == 0
    said = "3 finished shards were made before the removal list"
    assert said in capsys.readouterr().err
    assert main(words) == 0
    assert said not in capsys.readouterr().err
    assert files_of(root / "images") == before
    assert web.count() == 0


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("none.txt", "neither a release nor a file of keys, URLs or hosts"),
        ("empty", "neither a release nor a file of keys, URLs or hosts"),
        ("bad.txt", "line 1: 'com': a host of one word"),
    ],
)
def test_a_list_that_is_none_stops_the_run(
    urls: list[str], tmp_path: Path, capsys: Any, source: str, said: str
) -> None:
    (tmp_path / "empty").mkdir()
    text_file(tmp_path / "bad.txt", "com")
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    assert rebuild(manifest, tmp_path / "root", "--removals", str(tmp_path / source)) == 3
    assert said in capsys.readouterr().err
    assert not (tmp_path / "root").exists()


def test_the_loader_asks_for_nothing_on_the_list(web: FaultHost, urls: list[str], tmp_path: Path) -> None:
    release = release_of(tmp_path / "r", urls, listed(("host", "127.0.0.2")))
    told = text_file(tmp_path / "l.txt", urls[0])
    tables = live.stream([f"{release}/{SHARD}"], None, {"allow_private": True, "removals": told})
    kept = pa.concat_tables(tables)["url"].to_pylist()
    assert kept == [url for i, url in enumerate(urls) if i % 3 != 1 and i]
    assert asked(web) == {i for i in range(1, ROWS) if i % 3 != 1}


def test_of_a_release_on_the_hub_the_newest_list_counts(
    hub: Any, web: FaultHost, urls: list[str], tmp_path: Path
) -> None:
    """An old revision is rebuilt after a takedown: what was taken down since is not asked for."""
    release_of(tmp_path / "r", urls, listed(("url", urls[0])))
    old = hub.push("tester/x", files_of(tmp_path / "r"))
    hub.push("tester/x", {PATH: listed(("url", urls[0]), ("host", "127.0.0.2")).as_parquet()})
    words = ["danqing", "rebuild", f"hf://datasets/tester/x@{old}", str(tmp_path / "root"), "--allow-private"]
    environment = client_env(hub, tmp_path, xet=False)
    dry = run_client([*words, *FLAGS, "--dry-run", "--removals", "tester/x"], environment)
    assert "removals  2 entries" in dry.stdout
    assert "tester/x: read from the Hub, hf://datasets/tester/x, as there is no such path here" in dry.stderr
    run_client([*words, *FLAGS, "--quiet"], environment)
    assert gone(tmp_path / "root") == {0, *range(1, ROWS, 3)}
    assert asked(web) == set(range(ROWS)) - gone(tmp_path / "root")
    assert "manifest_width" in table(tmp_path / "root", "images").column_names
