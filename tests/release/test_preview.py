"""--dry-run: a table of what would be released and what it changes, and nothing on disk or on the Hub is touched."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.cli import main
from builder.reasons import Cause
from builder.release.changes import FileChange
from builder.release.summary import Preview
from tests.hub import Hub
from tests.hub.clients import client_env, run_client
from tests.release.publishing import make, names
from tests.release.roots import FROM, release, released, scored_root, tree

IMAGES = ("--what", "images", "--tag")


def dry(root: Path, out: Path | str, capsys: pytest.CaptureFixture[str], *flags: str) -> dict[str, Any]:
    """What --dry-run tells."""
    assert main(["release", str(root), str(out), *FROM, "--dry-run", "--json", "--quiet", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def states(told: dict[str, Any]) -> dict[str, str]:
    return {file["path"]: file["state"] for file in told["files"]}


def test_a_first_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = scored_root(tmp_path), tmp_path / "out"
    before = tree(tmp_path)
    told = dry(root, out, capsys, "--tag", "v1")
    assert tree(tmp_path) == before
    assert not out.exists()
    assert (told["dry_run"], told["version"], told["previous"], told["pairs"]) == (True, "v1", None, None)
    assert set(states(told).values()) == {"new"}
    assert release(root, out, "--tag", "v1") == 0
    made = released(out)
    assert {file["path"]: file["rows"] for file in told["files"] if file["path"] in made.shards()} == {
        path: file["rows"] for path, file in made.shards().items()
    }
    planned = sum(file["bytes"] or 0 for file in told["files"])
    assert planned == pytest.approx(sum(file["bytes"] for file in made.shards().values()), rel=0.9)


def test_a_release_that_is_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = scored_root(tmp_path), tmp_path / "out"
    release(root, out, *IMAGES, "v1")
    capsys.readouterr()
    told = dry(root, out, capsys, *IMAGES, "v1")
    assert set(states(told).values()) == {"unchanged"}
    assert set(states(told)) == {*released(out).files}
    assert set(told["pairs"].values()) == {0}


def test_what_a_second_release_changes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = scored_root(tmp_path, rows=200, mix=[Cause.HASH] * 9 + [Cause.UNRELATED]), tmp_path / "out"
    release(root, out, *IMAGES, "v1")
    scored_root(tmp_path, rows=200, mix=[Cause.HASH] * 10 + [Cause.UNRELATED], decision="b" * 32)
    taken = tmp_path / "keys.txt"
    before = set(kept(out))
    taken.write_text(sorted(before)[0])
    capsys.readouterr()
    shown = tree(tmp_path)
    told = dry(root, out, capsys, *IMAGES, "v2", "--remove", str(taken))
    assert tree(tmp_path) == shown
    release(root, out, *IMAGES, "v2", "--remove", str(taken))
    now, made = set(kept(out)), released(out)
    assert told["pairs"] == {
        "added": len(now - before), "dropped": len(before - now), "removed_by_takedown": 1,
        "flagged": len(before - now) - 1,
    }  # fmt: skip
    assert told["pairs"]["dropped"] == sum(made.dropped.values()) > 1
    found = states(told)
    assert found["changes/v2.parquet"] == found["removals/removals.parquet"] == "new"
    assert {path for path, state in found.items() if state != "removed"} >= {*made.files} - {"figures"}
    shards = [found[path] for path in sorted(made.shards())]
    assert shards == ["renamed"] * 4 + ["new"] + ["renamed", "new"]


def kept(out: Path) -> list[str]:
    from tests.release.roots import read

    table = read(out)
    return table.filter(table["kept"])["key"].to_pylist()


def test_files_that_go_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = scored_root(tmp_path, rows=300), tmp_path / "out"
    release(root, out, "--tag", "v1", "--divide-by", "4")
    capsys.readouterr()
    found = states(dry(root, out, capsys, "--tag", "v2", "--divide-by", "1"))
    assert found["manifest/train-00001-of-00004.parquet"] == "removed"
    assert found["manifest/train-00000-of-00001.parquet"] == "new"


def test_the_table() -> None:
    files = (
        FileChange("README.md", None, 1000, "rewritten"),
        FileChange("images/train-00000-of-00002.parquet", 600, 2_000_000, "new"),
        FileChange("images/train-00001-of-00002.parquet", 600, 1_000_000, "new"),
        FileChange("images/train-00000-of-00001.parquet", 1100, 3_000_000, "removed"),
        FileChange("release.json", None, None, "new"),
    )
    pairs = {"added": 100, "dropped": 1, "flagged": 0, "removed_by_takedown": 1}
    preview = Preview("./out", "v2", "images", {"kept": 1200}, "v1", files, pairs)
    assert preview.lines() == [
        "./out: would be v2, images, 1,200 pairs, about 3.0 MB; nothing was written",
        "",
        "file                             files   rows    size     change",
        "README.md                            1         1.0 kB  rewritten",
        "images/train-*-of-00001.parquet      1  1,100  3.0 MB    removed",
        "images/train-*-of-00002.parquet      2  1,200  3.0 MB        new",
        "release.json                         1                       new",
        "",
        "pairs against v1: 100 added, 1 dropped, 0 flagged, 1 removed by takedown",
    ]


def test_nothing_on_the_hub_is_touched(hub: Hub, tmp_path: Path) -> None:
    root = scored_root(tmp_path)
    folder = tmp_path / "old"
    folder.mkdir()
    make(folder, "v0", names(1))
    files = {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()
    }
    hub.push("tester/x", dict(files))
    command = ["danqing", "release", str(root), "hf://datasets/tester/x", "--tag", "v1", "--dry-run", *FROM]
    done = run_client(command, client_env(hub, tmp_path, token=None))
    assert "hf://datasets/tester/x: would be v1, manifest" in done.stdout
    assert "40 dropped" in done.stdout
    assert {seen.method for seen in hub.requests} <= {"GET", "HEAD"} | {"POST"}
    assert all("paths-info" in seen.target for seen in hub.requests if seen.method == "POST")
    missing = run_client([*command[:3], "hf://datasets/tester/none", *command[4:]], client_env(hub, tmp_path))
    assert "hf://datasets/tester/none: would be v1" in missing.stdout
