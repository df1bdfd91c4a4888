"""Documents of ours that somebody edited: one line each, and nothing outside their folder is written or removed."""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import numpy as np
import pytest

from builder.cli import main
from builder.disk import documents
from builder.release import plan as plans
from builder.release.staging import read_made
from tests.golden.make import KEPT
from tests.revalidate.runs import CHECKPOINT

SAID = ("--license", "cc0-1.0", "--source", "demo/scenes", "--divide-by", "2", "--quiet")
WRONG: tuple[Any, ...] = (None, [], {}, "x", -1, 1.5, True, {"../x": "../x"}, [["../x"]])


class Told(TypedDict):
    """A document for the tests."""

    name: str
    shares: dict[str, float]
    more: NotRequired[list[int]]


@dataclass
class Closed:
    """A document that has no other fields."""

    name: str
    count: int = 0


@pytest.mark.parametrize(
    "data", [b"", b"[]", b"null", b"{", b"\xff", b'{"a": NaN}', b"[" * 100_000, b'{"a": 1e999}'[:-1]]
)
def test_what_is_no_object_of_json_is_one_line(data: bytes) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011  what it says differs
        documents.parse(data)
    assert "\n" not in str(caught.value)


def test_a_long_document_is_not_parsed() -> None:
    with pytest.raises(ValueError, match="more than 8 bytes"):
        documents.parse(b'{"a": 12}', 8)


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ({"name": "a"}, "without shares"),
        ({"name": 1, "shares": {}}, "name: '1' is no str"),
        ({"name": "a", "shares": {"b": "c"}}, "shares: "),
        ({"name": "a", "shares": {"b": float("inf")}}, "shares: "),
        ({"name": "a", "shares": {}, "more": [-1]}, "more: "),
        ({"name": "a", "shares": {}, "more": [True]}, "more: "),
    ],
)
def test_a_wrong_value_is_named(document: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=f"^{said}"):
        documents.check(document, Told)


def test_a_dataclass_has_the_fields_it_has() -> None:
    documents.check({"name": "a", "shares": {"b": 1}, "beside": None}, Told)
    assert documents.build(Closed, {"name": "a"}) == Closed("a")
    with pytest.raises(ValueError, match="with an unknown beside"):
        documents.build(Closed, {"name": "a", "beside": 1})


@pytest.mark.parametrize(
    "path", ["../x", "/x", "a/../x", "a//x", ".x", "a/.x", "a\\x", "a:x", "", "a\u202ex", "x" * 2000]
)
def test_a_path_that_leads_out_is_known(path: str) -> None:
    assert not documents.is_inside(path)
    assert documents.is_inside("images/train-00000-of-00001.parquet")


def edits(path: Path) -> Iterator[bytes]:
    """The document with one value of it at a time made something else, two levels deep."""
    document = json.loads(path.read_text())
    wrong = itertools.cycle(WRONG)
    yield from (b"[]", b'"x"', b"{", b"")
    for name, value in document.items():
        yield json.dumps({**document, name: next(wrong)}).encode()
        yield json.dumps({key: one for key, one in document.items() if key != name}).encode()
        for inner in list(value)[:2] if isinstance(value, dict) else ():
            yield json.dumps({**document, name: {**value, inner: next(wrong)}}).encode()


ROOT = (
    "ledger/rebuild/plan.json",
    "ledger/rebuild/train-00000.json",
    "ledger/revalidate/plan.json",
    "ledger/revalidate/train-00000.json",
    "ledger/revalidate/decision.json",
)


@pytest.mark.parametrize("name", ROOT)
def test_an_edited_ledger_is_one_line_of_every_command(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    path = golden / "scored" / name
    whole = path.read_bytes()
    root, manifest = str(golden / "scored"), str(golden / "manifest.parquet")
    commands = [
        ["status", root],
        ["rebuild", manifest, root, *KEPT, "--dry-run"],
        ["release", root, str(golden / "out"), "--dry-run", *SAID],
        ["report", root, str(golden / "page.html"), "--quiet"],
        ["revalidate", root, "--model", CHECKPOINT, "--device", "cpu", "--alpha", "0.5", "--dry-run"],
    ]
    for number, edited in enumerate(itertools.islice(edits(path), 0, None, 3)):
        path.write_bytes(edited)
        command = commands[number % len(commands)]
        code = main(command)
        said = capsys.readouterr().err
        assert "unexpected" not in said, (command[0], edited[:200], said)
        assert code in (0, 2, 3), (command[0], edited[:200], said)
        assert code == 0 or said.count("danqing: ") == 1
        path.write_bytes(whole)


def test_an_edited_release_is_one_line(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    release = golden / "release-manifest"
    path = release / "release.json"
    whole = path.read_bytes()
    for edited in itertools.islice(edits(path), 0, None, 3):
        path.write_bytes(edited)
        assert main(["verify", str(release), "--quick", "--quiet"]) in (0, 1, 3)
        assert "unexpected" not in capsys.readouterr().err, edited[:200]
    path.write_bytes(whole)


def tree(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("path", ["../victim.txt", "{victim}", "figures/../../victim.txt"])
def test_a_release_that_was_set_aside_removes_nothing_outside(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
    path: str,
) -> None:
    victim = golden / "victim.txt"
    victim.write_text("mine")
    out = golden / "release-manifest"
    document = json.loads((out / "release.json").read_text())
    document["files"][path.format(victim=victim)] = document["files"]["README.md"]
    (out / ".release").mkdir()
    (out / ".release" / "before.json").write_text(json.dumps(document))
    assert main(["release", str(golden / "scored"), str(out), *SAID, "--tag", "v2"]) == 3
    assert "no path inside a release" in capsys.readouterr().err
    assert victim.read_text() == "mine"


@pytest.mark.parametrize("name", ["figures", "manifest", ".release", ".release/stage"])
def test_a_link_in_a_release_is_not_followed(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    out, other = golden / "release-manifest", golden / "other"
    other.mkdir()
    (other / "funnel.png").write_text("mine")
    shutil.rmtree(out / name, ignore_errors=True)
    (out / name).parent.mkdir(exist_ok=True)
    (out / name).symlink_to(other)
    assert main(["release", str(golden / "scored"), str(out), *SAID, "--tag", "v2"]) == 2
    assert "is a link" in capsys.readouterr().err
    assert tree(other) == {"funnel.png": b"mine"}


@pytest.mark.parametrize("name", [".spool", "images", "ledger", "ledger/rebuild"])
def test_a_link_in_a_root_is_not_followed(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
    name: str,
) -> None:
    root, other = golden / "whole", golden / "other"
    other.mkdir()
    (other / "mine.txt").write_text("mine")
    shutil.rmtree(root / name, ignore_errors=True)
    (root / name).symlink_to(other)
    for flags in ((), ("--overwrite",)):
        assert main(["rebuild", str(golden / "manifest.parquet"), str(root), *KEPT, "--quiet", *flags]) == 2
        assert "is a link" in capsys.readouterr().err
    assert tree(other) == {"mine.txt": b"mine"}


def test_what_is_not_ours_in_a_work_folder_stays(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = golden / "release-manifest"
    (out / ".release").mkdir()
    (out / ".release" / "thesis.tex").write_text("mine")
    assert main(["release", str(golden / "scored"), str(out), *SAID, "--tag", "v2"]) == 2
    assert "thesis.tex: is none of ours" in capsys.readouterr().err
    assert (out / ".release" / "thesis.tex").read_text() == "mine"


def test_what_a_kill_left_of_a_work_folder_is_named_and_swept(
    golden: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = golden / "release-manifest"
    left = out / "..release.1-1.tmp" / "done" / "x.json"
    left.parent.mkdir(parents=True)
    left.write_text("{}")
    assert main(["verify", str(out)]) == 0
    assert "left by a run that was killed" in capsys.readouterr().err
    assert main(["release", str(golden / "scored"), str(out), *SAID, "--tag", "v2"]) == 0
    assert not left.parent.parent.exists()


@pytest.mark.parametrize("name", ["plan.json", "place.npy"])
def test_an_edited_plan_of_a_release_is_begun_anew(golden: Path, name: str) -> None:
    work = golden / "work"
    place = np.array([0, -1, 0], np.int32)
    shard = plans.PlannedShard(0, "train", "manifest/train-00000-of-00001.parquet", 2, 0, 3, 10)
    plan = plans.ReleasePlan(
        "v1", "2026-11-26T00:00:00Z", "m", (shard,), place, {"kept": 2, "left_out": 1}, False, None
    )
    work.mkdir()
    plan.write(work)
    found = plans.read(work)
    assert found is not None
    assert (found.shards, found.place.tolist()) == (plan.shards, place.tolist())
    if name == "place.npy":
        wrong = [np.array(one, np.int32) for one in ([0, 1, 0], [0, -2, 0], [0, 0], [[0, 0, 0]])]
        for array in [*wrong, place.astype(np.int64), place.astype(float)]:
            np.save(work / name, array)
            assert plans.read(work) is None
        (work / name).write_bytes(b"\x93NUMPY")
        assert plans.read(work) is None
        return
    for edited in edits(work / name):
        (work / name).write_bytes(edited)
        found = plans.read(work)
        assert found is None or all(documents.is_inside(one.path) for one in found.shards)


def test_a_marker_of_a_shard_that_cannot_be_believed_makes_it_anew(tmp_path: Path) -> None:
    marker = tmp_path / "train-00000-of-00001.json"
    sound = {"path": "manifest/a.parquet", "rows": 1, "bytes": 1, "sha256": "0" * 64, "counts": {}}
    for edited in (sound, {**sound, "path": "../a"}, {**sound, "rows": -1}, {**sound, "more": 1}, []):
        marker.write_text(json.dumps(edited))
        assert read_made(marker) is None
