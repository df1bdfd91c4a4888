"""A rebuild that nobody can have wanted ends with why, and exit code 1, also where there was nothing left to do."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest

from builder.cli import main
from builder.rebuild.live import stream
from tests.faulthost import FaultHost

from .runs import rebuild, write_manifest

PRIVATE = ("--allow-private",)


def run(
    capsys: pytest.CaptureFixture[str], manifest: Path | str, root: Path, *flags: str
) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a rebuild to which loopback is closed."""
    capsys.readouterr()
    code = main(["rebuild", str(manifest), str(root), "--workers", "1", *flags])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.fixture
def manifest(threaded_host: FaultHost, tmp_path: Path) -> str:
    return write_manifest(tmp_path / "m.parquet", [threaded_host.url(f"/picture/{i}.jpg") for i in range(6)])


def test_a_root_that_lost_all_says_why_and_how_it_is_mended(
    manifest: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "root"
    for _ in range(2):  # the second run only says "done"
        code, out, err = run(capsys, manifest, root, "--json", "--quiet")
        assert code == 1
        assert "none of 6 rows is kept, 6 of them blocked_address" in json.loads(out)["warning"]
        assert err.count("\n") == 1
        assert "--retry-failed blocked_address --allow-private" in err
    code, out, err = run(capsys, manifest, root, *PRIVATE)
    assert code == 1  # it was a finished root
    assert "rebuild: 1 of 1 shards done" in out
    assert "to ask them, add --retry-failed blocked_address" in err
    assert run(capsys, manifest, root, *PRIVATE, "--retry-failed", "blocked_address")[0] == 0
    code, _, err = run(capsys, manifest, root, *PRIVATE, "--retries", "9", "--timeout", "60")
    assert (code, err) == (0, "")


def test_swapped_columns_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = "".join(f"http://h.test/{i}.jpg,a cat {i}\n" for i in range(3))
    (tmp_path / "m.csv").write_text(f"caption,url\n{rows}")
    code, _, err = run(capsys, tmp_path / "m.csv", tmp_path / "root")
    assert code == 1
    assert "URLs were read from the column 'url', captions from 'caption'" in err
    assert "--url-column NAME --caption-column NAME and --overwrite" in err


def test_nearly_all_lost_for_one_reason_is_told_of_a_whole_root_alone(
    threaded_host: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [threaded_host.url(f"/picture/{i}.jpg") for i in range(2)] + [
        f"ftp://h.test/{i}" for i in range(98)
    ]
    manifest = write_manifest(tmp_path / "m.parquet", urls)
    code, _, err = run(capsys, manifest, tmp_path / "root", *PRIVATE)
    assert code == 1
    assert "98 of 100 rows are lost for one reason, blocked_scheme" in err
    assert main(["status", str(tmp_path / "root")]) == 0  # it only reports
    assert "98 of 100 rows are lost" in capsys.readouterr().err
    assert run(capsys, manifest, tmp_path / "limited", *PRIVATE, "--limit", "100")[0] == 0
    flags = (*PRIVATE, "--shard-size", "50", "--world-size", "2", "--rank")
    assert run(capsys, manifest, tmp_path / "ranks", *flags, "0")[0] == 0
    code, _, err = run(capsys, manifest, tmp_path / "ranks", *flags, "1")
    assert code == 1  # of what it did, nothing was kept
    assert "none of 50 rows is kept" in err


def test_a_retry_is_judged_by_what_it_kept(
    threaded_host: FaultHost, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    urls = [threaded_host.url(f"/picture/{i}.jpg") for i in range(2)] + [threaded_host.url("/status/404/1")]
    manifest, root = write_manifest(tmp_path / "m.parquet", urls), tmp_path / "root"
    assert rebuild(manifest, root) == 0
    code, _, err = run(capsys, manifest, root, *PRIVATE, "--retry-failed", "http_4xx")
    assert code == 1
    assert "none of 1 rows is kept, 1 of them http_4xx" in err
    assert run(capsys, manifest, root, *PRIVATE, "--retry-failed", "dns")[0] == 0  # there was none to ask


def test_live_says_it_too(manifest: str, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "danqing"):
        assert list(stream([manifest], None, {})) == []
    assert "none of 6 rows is kept, 6 of them blocked_address" in caplog.text
    assert "rebuild={'allow_private': True}" in caplog.text
    caplog.clear()
    assert sum(map(len, stream([manifest], None, {"allow_private": True}))) == 6
    assert not caplog.records
