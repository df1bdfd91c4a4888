"""Nothing is lost: kills, signals, full disks, changed inputs and rival runs, and the next run's same result."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk import ledger
from tests.faulthost import FaultHost

from .runs import Launcher, ended, kill_all, ledgers, names, outcomes, reasons, rebuild, table, write_manifest

ROWS = 400
IN_FLIGHT = 16  # of each of two workers
FLAGS = ("--shard-size", "100", "--concurrency", str(IN_FLIGHT), "--per-host", "32")


@pytest.fixture
def web() -> Iterator[FaultHost]:
    with FaultHost(hosts=4) as host:
        yield host


@pytest.fixture
def manifest(web: FaultHost, tmp_path: Path) -> str:
    urls = [web.url(f"/picture/{i}.jpg", i % 4) for i in range(ROWS)]
    urls[9] = web.url("/status/410/9")
    return write_manifest(tmp_path / "m.parquet", urls)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[FaultHost, str, Path]]:
    """A manifest and its root, which is finished, with the web that they are of; the root is copied before use."""
    with FaultHost(hosts=4) as host:
        folder = tmp_path_factory.mktemp("whole")
        urls = [host.url(f"/picture/{i}.jpg", i % 4) for i in range(ROWS)]
        manifest = write_manifest(folder / "m.parquet", urls)
        assert rebuild(manifest, folder / "root", *FLAGS) == 0
        yield host, manifest, folder / "root"


@pytest.fixture
def finished(whole: tuple[FaultHost, str, Path], tmp_path: Path) -> tuple[FaultHost, str, Path]:
    """The same, to be changed."""
    host, manifest, root = whole
    host.reset()
    return host, manifest, Path(shutil.copytree(root, tmp_path / "root"))


@pytest.fixture
def started() -> Iterator[Launcher]:
    with contextlib.closing(Launcher()) as launcher:
        yield launcher


def requests_by_row(web: FaultHost) -> Counter[str]:
    return Counter(request.target for request in web.requests)


@pytest.mark.parametrize("seen", [1, 130, 290, 399])
def test_kill_9_costs_only_what_was_in_flight(
    web: FaultHost, started: Launcher, manifest: str, tmp_path: Path, seen: int
) -> None:
    process = started(manifest, tmp_path / "root", *FLAGS)
    web.wait_for(seen)
    kill_all(process)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    assert web.count() <= ROWS + 2 * IN_FLIGHT
    untouched = tmp_path / "untouched"
    assert rebuild(manifest, untouched, *FLAGS) == 0
    for kind in ("images", "outcomes"):
        assert table(tmp_path / "root", kind).equals(table(untouched, kind))
    assert names(tmp_path / "root") == names(untouched)


def test_a_finished_root_keeps_no_progress_of_a_run_that_was_killed_at_its_end(
    web: FaultHost, tmp_path: Path
) -> None:
    manifest, root = write_manifest(tmp_path / "m.parquet", [web.url("/picture/0.jpg")]), tmp_path / "root"
    assert rebuild(manifest, root) == 0
    done = names(root)
    ledger.write_progress(str(root), "rebuild", 0, {})  # as it lies there between the last marker and the end
    assert rebuild(manifest, root) == 0
    assert names(root) == done


def test_kill_9_forgets_no_try(web: FaultHost, started: Launcher, tmp_path: Path) -> None:
    urls = [web.url(f"/{'status/500' if i % 2 else 'picture'}/{i}.jpg", i % 4) for i in range(200)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    flags = ("--workers", "1", "--concurrency", "8", "--per-host", "32", "--retries", "1")
    process = started(manifest, tmp_path / "root", *flags)
    web.wait_for(199)
    kill_all(process)
    assert rebuild(manifest, tmp_path / "root", *flags) == 0
    assert {one["attempts"] for one in outcomes(tmp_path / "root") if one["reason"]} == {2}
    assert web.count() <= 100 + 2 * 100 + 8


def test_a_marker_that_was_being_written_when_it_was_killed_is_no_file_of_the_root(
    finished: tuple[FaultHost, str, Path],
) -> None:
    _, manifest, root = finished
    whole = names(root)
    (root / "ledger" / "rebuild" / ".train-00000.json.4321.tmp").write_text("{")
    (root / ".README.md.4321.tmp").touch()
    assert rebuild(manifest, root, *FLAGS) == 0
    assert names(root) == whole


def test_kills_one_after_the_other(web: FaultHost, started: Launcher, manifest: str, tmp_path: Path) -> None:
    for seen in (60, 150, 240, 330):
        process = started(manifest, tmp_path / "root", *FLAGS)
        web.wait_for(seen)
        kill_all(process)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    assert web.count() <= ROWS + 4 * 2 * IN_FLIGHT
    assert table(tmp_path / "root", "outcomes").num_rows == ROWS


def test_a_finished_run_makes_no_request(finished: tuple[FaultHost, str, Path]) -> None:
    web, manifest, root = finished
    before = {name: (root / name).read_bytes() for name in names(root)}
    assert rebuild(manifest, root, *FLAGS) == 0
    assert web.count() == 0
    assert before == {name: (root / name).read_bytes() for name in names(root)}


@pytest.mark.parametrize(
    "name", ["images/train-00001-of-00004.parquet", "outcomes/train-00003-of-00004.parquet"]
)
@pytest.mark.parametrize("lost", [True, False])
def test_a_finished_shard_that_lost_a_file_is_told_and_made_anew_once_its_marker_is_gone(
    finished: tuple[FaultHost, str, Path], capsys: pytest.CaptureFixture[str], name: str, lost: bool
) -> None:
    _, manifest, root = finished
    whole = {kind: table(root, kind) for kind in ("images", "outcomes")}
    data = (root / name).read_bytes()
    (root / name).unlink() if lost else (root / name).write_bytes(data[:-10])
    capsys.readouterr()
    assert rebuild(manifest, root, *FLAGS) == 3
    said = capsys.readouterr().err
    assert name in said
    marker = said.partition("or remove ")[2].partition(":")[0]
    Path(marker).unlink()
    assert rebuild(manifest, root, *FLAGS) == 0
    assert all(table(root, kind).equals(rows) for kind, rows in whole.items())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_ends_what_is_in_flight_and_redoes_nothing(
    web: FaultHost, started: Launcher, manifest: str, tmp_path: Path, number: signal.Signals
) -> None:
    process = started(manifest, tmp_path / "root", *FLAGS)
    web.wait_for(150)
    os.killpg(process.pid, number) if number is signal.SIGINT else process.send_signal(number)
    assert "the same command goes on" in ended(process, 130)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    assert max(requests_by_row(web).values()) == 1
    assert web.count() == ROWS


def test_the_first_ctrl_c_says_at_once_what_is_waited_for(
    web: FaultHost, started: Launcher, tmp_path: Path
) -> None:
    urls = [web.url(f"/gate/{i}.jpg", i % 4) for i in range(50)]
    process = started(write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root", *FLAGS, loud=True)
    web.wait_for(10)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Ctrl-C again stops now" in process.stderr.readline()
    web.open_gate()  # only now: nothing in flight could end before
    assert "the same command goes on" in ended(process, 130)


def test_status_counts_what_an_interrupted_run_has_of_its_unfinished_shards(
    web: FaultHost, started: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.url(f"/{'gate' if i >= 60 else 'picture'}/{i}.jpg") for i in range(3000)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    flags = ("--workers", "1", "--concurrency", "10", "--per-host", "10")
    process = started(manifest, tmp_path / "root", *flags, loud=True)
    web.wait_for(70)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert "Ctrl-C again stops now" in process.stderr.readline()
    web.open_gate()
    ended(process, 130)
    assert main(["status", str(tmp_path / "root"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)["stages"]["rebuild"]
    assert told["shards"] == {"done": 0, "total": 1}
    assert told["in_flight"]["shards"] == 1
    assert 70 <= told["in_flight"]["rows"] == told["kept"] < 3000


def test_the_second_ctrl_c_leaves_at_once(web: FaultHost, started: Launcher, tmp_path: Path) -> None:
    urls = [web.url(f"/gate/{i}.jpg", i % 4) for i in range(50)]
    process = started(write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root", *FLAGS)
    web.wait_for(10)
    process.send_signal(signal.SIGINT)
    process.send_signal(signal.SIGTERM)
    assert "stopped" in ended(process, 130)
    web.open_gate()
    assert rebuild(str(tmp_path / "m.parquet"), tmp_path / "root", *FLAGS) == 0
    assert reasons(tmp_path / "root") == [None] * 50


def test_a_decoder_that_crashes_costs_no_other_row(web: FaultHost, started: Launcher, tmp_path: Path) -> None:
    urls = [web.url(f"/gate/{i}.jpg", i % 4) for i in range(50)]
    process = started(
        write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root", *FLAGS, "--workers", "1"
    )
    web.wait_for(IN_FLIGHT)
    worker = next(p for p in psutil.Process(process.pid).children(recursive=True) if p.net_connections())
    worker.send_signal(signal.SIGSEGV)
    web.wait_for(2 * IN_FLIGHT)  # asked again by the worker that took its place
    web.open_gate()
    ended(process, 0)
    assert reasons(tmp_path / "root") == [None] * 50


SCRIPT = """
import sys, tempfile
from builder.disk import ledger
from builder.cli import main
sys.exit(main(["rebuild", {manifest!r}, tempfile.mkdtemp(dir={folder!r}) + "/root", "--workers", "1", "--quiet"]))
"""


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    manifest = write_manifest(tmp_path / "m.parquet", ["http://127.0.0.1/a.jpg"])
    script.write_text(SCRIPT.format(manifest=manifest, folder=str(tmp_path)))
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "memory" not in done.stderr
    lines = done.stderr.splitlines()
    assert lines == [line for line in lines if 'does so under if __name__ == "__main__":' in line]
    assert len(lines) == 2  # the worker's own, and that it ended before it began


def test_a_worker_that_is_killed_ends_the_run_resumably(
    web: FaultHost, started: Launcher, tmp_path: Path
) -> None:
    urls = [web.url(f"/gate/{i}.jpg", i % 4) for i in range(50)]
    process = started(
        write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root", *FLAGS, "--workers", "1"
    )
    web.wait_for(IN_FLIGHT)
    next(p for p in psutil.Process(process.pid).children(recursive=True) if p.net_connections()).kill()
    assert "a worker was killed by signal 9 (out of memory?)" in ended(process, 4)
    web.open_gate()
    assert rebuild(str(tmp_path / "m.parquet"), tmp_path / "root", *FLAGS) == 0


def test_a_second_run_on_the_same_root_refuses(
    web: FaultHost, started: Launcher, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [web.url(f"/gate/{i}.jpg", i % 4) for i in range(50)]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    process = started(manifest, tmp_path / "root", *FLAGS)
    web.wait_for(10)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 4
    assert rebuild(manifest, tmp_path / "root", *FLAGS, "--rank", "1", "--world-size", "2") == 4
    assert capsys.readouterr().err.count("another danqing rebuild is at work on") == 2
    web.open_gate()
    ended(process, 0)


def test_ranks_share_the_shards_and_any_world_size_goes_on(
    web: FaultHost, started: Launcher, manifest: str, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    assert rebuild(manifest, root, *FLAGS, "--rank", "1", "--world-size", "3") == 0
    assert sorted(ledgers(root)) == ["train-00001"]
    process = started(manifest, root, *FLAGS, "--rank", "0", "--world-size", "2")
    web.wait_for(180)
    kill_all(process)
    assert rebuild(manifest, root, *FLAGS) == 0
    assert len(ledgers(root)) == 4
    assert web.count() <= ROWS + 2 * IN_FLIGHT


def test_two_ranks_at_once(web: FaultHost, started: Launcher, manifest: str, tmp_path: Path) -> None:
    ranks = [
        started(manifest, tmp_path / "root", *FLAGS, "--rank", str(i), "--world-size", "2") for i in range(2)
    ]
    for process in ranks:
        ended(process, 0)
    assert web.count() == ROWS
    assert table(tmp_path / "root", "outcomes").num_rows == ROWS


def test_other_options_are_refused_by_name(
    finished: tuple[FaultHost, str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    _, manifest, root = finished
    before = names(root)
    assert rebuild(manifest, root, *FLAGS, "--image-size", "384") == 2
    assert "--image-size 256 then, 384 now" in capsys.readouterr().err
    assert names(root) == before
    assert rebuild(manifest, root, *FLAGS, "--image-size", "32", "--overwrite") == 0
    images = table(root, "images").to_pylist()
    assert {min(pair["width"], pair["height"]) for pair in images} == {32}


def test_a_manifest_that_changed_is_refused(
    web: FaultHost, manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    changed = pq.read_table(manifest).slice(1)
    pq.write_table(changed, manifest)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 3
    assert "the manifest has changed since" in capsys.readouterr().err


def test_a_full_disk_is_one_line_and_the_next_run_ends_it(
    web: FaultHost, started: Launcher, manifest: str, tmp_path: Path
) -> None:
    words = ["prlimit", "--fsize=40000"]  # what one file may hold: the disk is full in the midst of a spool
    process = started(manifest, tmp_path / "root", *FLAGS, under=words)
    assert "nothing is lost, mend it and run the same command again" in ended(process, 4)
    assert rebuild(manifest, tmp_path / "root", *FLAGS) == 0
    assert reasons(tmp_path / "root").count(None) == ROWS - 1
    assert web.count() <= ROWS + 3 * IN_FLIGHT


@pytest.mark.parametrize("where", ["file/root", "file", "/proc/none", "/proc/none/root", "/dev/null/root"])
def test_a_root_that_cannot_be_written_is_one_line(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], where: str
) -> None:
    (tmp_path / "file").write_text("in the way")
    assert rebuild(manifest, tmp_path / where) == 4
    said = capsys.readouterr().err
    assert "cannot use" in said
    assert said.count("\n") == 1


def test_a_lost_network_stops_the_run_and_records_nothing(
    web: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dead = [f"http://127.1.{i % 40}.1:1/{i}.jpg" for i in range(300)]  # nobody listens there
    manifest = write_manifest(tmp_path / "m.parquet", dead)
    assert rebuild(manifest, tmp_path / "root", "--retries", "0", "--workers", "1") == 4
    assert "the network or the name servers are gone" in capsys.readouterr().err
    assert not (tmp_path / "root" / "outcomes").exists()


@pytest.mark.parametrize("killed_at", [0, 40])
def test_a_tail_of_dead_links_is_no_lost_network(
    web: FaultHost, started: Launcher, tmp_path: Path, killed_at: int
) -> None:
    dead = [f"http://127.1.{i % 40}.1:1/{i}.jpg" for i in range(300)]
    urls = [web.url(f"/picture/{i}.jpg", i % 4) for i in range(40)] + dead
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    flags = ("--retries", "0", "--workers", "1", "--concurrency", "8")
    if killed_at:
        process = started(manifest, tmp_path / "root", *flags)
        web.wait_for(killed_at)
        kill_all(process)
    assert rebuild(manifest, tmp_path / "root", *flags) == 0
    assert Counter(reasons(tmp_path / "root")) == {None: 40, "connect": 300}


def test_retry_failed_fetches_only_the_rows_with_those_reasons(web: FaultHost, tmp_path: Path) -> None:
    urls = [web.url(f"/picture/{i}.jpg", i % 4) for i in range(100)]
    urls[30], urls[31], urls[70] = (
        web.url("/flaky/500/1/30.jpg"),
        web.url("/flaky/500/1/31.jpg"),
        web.url("/html/70"),
    )
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    flags = ("--shard-size", "50", "--retries", "0", "--validation", "0.2")
    assert rebuild(manifest, root, *flags) == 0
    assert sum(one["kept"] for one in ledgers(root).values()) == 97
    before = web.count()
    assert rebuild(manifest, root, *flags, "--retry-failed", "http_5xx,timeout") == 0
    assert sorted(request.target for request in web.requests[before:]) == [
        "/flaky/500/1/30.jpg",
        "/flaky/500/1/31.jpg",
    ]
    assert sum(one["kept"] for one in ledgers(root).values()) == 99
    whole = tmp_path / "whole"
    assert rebuild(manifest, whole, *flags) == 0
    for kind, split in ((k, s) for k in ("images", "outcomes") for s in ("train", "validation")):
        assert table(root, kind, split).equals(table(whole, kind, split))


def rows_cut(path: Path, rows: int) -> None:
    pq.write_table(pq.read_table(path).slice(0, rows), path)


def members_cut(path: Path) -> None:
    with tarfile.open(path) as tar:
        half = tar.getmembers()[9].offset
    path.write_bytes(path.read_bytes()[:half] + bytes(1024))


@pytest.mark.parametrize(
    ("kind", "cut", "said"),
    [
        (
            "images",
            lambda path: rows_cut(path, 10),
            "has 10 pairs, outcomes/train-00000-of-00001.parquet says 19",
        ),
        ("outcomes", lambda path: rows_cut(path, 12), "has 12 rows, the manifest 20 for it"),
        ("images.tar", members_cut, "has 3 pairs, outcomes/train-00000-of-00001.parquet says 19"),
        ("images.tar", lambda path: os.truncate(path, 2000), "has 0 pairs"),
        ("images", lambda path: os.truncate(path, 2000), "mend or replace the file"),
    ],
)
def test_half_a_shard_is_told_with_both_counts_and_is_not_waited_for(
    web: FaultHost,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    kind: str,
    cut: Callable[[Path], None],
    said: str,
) -> None:
    urls = [web.url("/status/404/0"), *(web.url(f"/picture/{i}.jpg") for i in range(1, 20))]
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    flags = ("--format", "webdataset") if kind.endswith("tar") else ()
    assert rebuild(manifest, root, *flags) == 0
    (path,) = (root / kind.partition(".")[0]).iterdir()
    cut(path)
    capsys.readouterr()
    assert rebuild(manifest, root, *flags, "--retry-failed", "http_4xx") == 3
    (line,) = capsys.readouterr().err.splitlines()
    assert "train-00000-of-00001" in line
    assert said in line


def test_retry_failed_killed_in_between_loses_nothing(
    web: FaultHost, started: Launcher, tmp_path: Path
) -> None:
    urls = [web.url(f"/flaky/500/1/{i}.jpg" if i % 2 else f"/picture/{i}.jpg", i % 4) for i in range(200)]
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    flags = ("--shard-size", "100", "--retries", "0", "--concurrency", "8")
    assert rebuild(manifest, root, *flags) == 0
    before = web.count()
    process = started(manifest, root, *flags, "--retry-failed", "all")
    web.wait_for(before + 30)
    kill_all(process)
    assert rebuild(manifest, root, *flags) == 0
    assert rebuild(manifest, root, *flags, "--retry-failed", "all") == 0
    assert [one["outcome"] for one in outcomes(root)] == ["kept"] * 200
    assert web.count() <= before + 100 + 2 * 8
