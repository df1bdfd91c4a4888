"""`danqing release` from end to end into a folder: what is there afterwards, and what it refuses."""

import importlib.util
import json
import os
import shutil
from collections import Counter
from pathlib import Path

import fsspec
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.disk import removals
from builder.disk.files import Lock
from builder.reasons import Cause
from tests.release.roots import FROM, SOME, planned, read, release, released, scored_root, tree, with_ledger
from tests.roots import make_root, pair
from tests.stage.test_funnels import two

SHIFTED = (*SOME[:-1], Cause.UNRELATED)
DATE = "1795000000"  # 2026-11-18


@pytest.fixture(autouse=True)
def _date(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", DATE)


@pytest.fixture(scope="module")
def begun(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root and releases of it: of its images, of its manifest, and of its images after other verdicts."""
    tmp = tmp_path_factory.mktemp("begun")
    with pytest.MonkeyPatch.context() as changed:
        changed.setenv("SOURCE_DATE_EPOCH", DATE)
        root = scored_root(tmp, rows=150)
        shutil.copytree(root, tmp / "first")
        for what in ("images", "manifest"):
            assert release(root, tmp / what, "--what", what) == 0
        shutil.copytree(tmp / "images", tmp / "next")
        scored_root(tmp, mix=SHIFTED, decision="e" * 16)
        assert release(root, tmp / "next", "--what", "images") == 0
    return tmp


@pytest.fixture
def root(begun: Path, tmp_path: Path) -> Path:
    """A copy of the root as it was first scored."""
    return Path(shutil.copytree(begun / "first", tmp_path / "root"))


def copied(begun: Path, what: str, tmp_path: Path) -> Path:
    """A release that was made of the root: images, manifest, or next, of its images after other verdicts."""
    return Path(shutil.copytree(begun / what, tmp_path / "out"))


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_a_release_holds_the_kept_pairs_and_says_so(root: Path, tmp_path: Path, what: str) -> None:
    with_ledger(root)
    out = tmp_path / "out"
    assert release(root, out, "--what", what) == 0
    found, scores = released(out), pq.read_table(root / "scores")
    kept = scores.filter(scores["kept"])["key"].to_pylist()
    assert sorted(read(out, what)["key"].to_pylist()) == sorted(kept)
    assert (found.what, found.version, found.validated, found.previous) == (what, "v2026.11", True, None)
    assert found.counts["kept"] == found.counts["rows"] == len(kept)
    assert set(found.files) == set(tree(out)) - {"release.json"}
    assert (found.license, found.source) == ("cc-by-nc-4.0", "DeepGlint-AI/DanQing100M")


def test_the_stages_before_the_manifest_go_into_card_and_document(root: Path, tmp_path: Path) -> None:
    with_ledger(root)
    path = root / "ledger/rebuild/plan.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"funnels": two(times=10)}))
    assert release(root, tmp_path / "out") == 0
    assert released(tmp_path / "out").funnel["before"] == two(times=10)
    assert "| refine | 2,000 | 1,520 | 76.0 % |" in (tmp_path / "out/README.md").read_text()
    assert main(["verify", str(tmp_path / "out"), "--quiet"]) == 0


def test_nothing_is_left_beside_the_release(root: Path, tmp_path: Path) -> None:
    before = tree(root)
    assert release(root, tmp_path / "out") == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "README.md", "release.json", "croissant.json", "figures", "manifest",
    }  # fmt: skip
    assert tree(root) == before


def test_the_same_command_makes_the_same_bytes(begun: Path, root: Path, tmp_path: Path) -> None:
    for workers in ("1", "3"):
        assert release(root, tmp_path / workers, "--what", "images", "--workers", workers) == 0
        assert tree(tmp_path / workers) == tree(begun / "images")


def test_every_row_of_the_root_is_accounted_for(root: Path) -> None:
    twice = pair(3)["key"]
    _, plan = planned(root, removals.Removals.of([("key", twice, None), ("key", pair(5)["key"], None)]))
    assert sum(plan.rows.values()) == 320
    assert plan.rows["removed"] == 1  # the other one had drifted, and would not be in it anyway


def test_a_root_that_is_not_validated_is_released_whole(tmp_path: Path) -> None:
    make_root(tmp_path / "root", shards=2, rows=40)
    assert release(tmp_path / "root", tmp_path / "out") == 0
    found = released(tmp_path / "out")
    assert (found.validated, found.model, found.counts["kept"]) == (False, {}, 80)
    assert "score" not in read(tmp_path / "out", "manifest").column_names


def test_the_same_again_is_no_new_release(
    begun: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(begun, "manifest", tmp_path)
    before = tree(out)
    assert release(root, out, "--json") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["unchanged"] is True
    assert tree(out) == before


def test_other_verdicts_make_the_next_release(begun: Path) -> None:
    out = begun / "next"
    first, second = released(begun / "images"), released(out)
    assert (second.version, second.previous) == ("v2026.11.1", "v2026.11")
    gone = pq.read_table(out / "changes" / "v2026.11.1.parquet")
    assert (
        second.dropped
        == {"drifted": gone.num_rows}
        == {"drifted": first.counts["kept"] - second.counts["kept"]}
    )
    assert set(second.shards()) == set(first.shards())
    assert Counter(read(out)["kept"].to_pylist())[False] == gone.num_rows


def test_old_changes_stay_and_old_shards_go(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for number, mix in enumerate((SOME, SHIFTED, SOME)):
        scored_root(tmp_path, mix=mix, decision=str(number) * 16)
        assert release(root, out, "--divide-by", str(4 + number), "--tag", f"v{number}") == 0
    assert {path.name for path in (out / "changes").iterdir()} == {"v1.parquet", "v2.parquet"}
    assert len(list((out / "manifest").iterdir())) == len(released(out).shards())
    assert [one["version"] for one in released(out).funnel["revisions"]] == ["v0", "v1"]


def test_removed_pairs_are_out_for_good(begun: Path, root: Path, tmp_path: Path) -> None:
    out, gone = copied(begun, "images", tmp_path), pair(8)
    (tmp_path / "gone.txt").write_text(f"{gone['url']}\n# a comment\nother.test\n")
    assert release(root, out, "--what", "images", "--remove", str(tmp_path / "gone.txt")) == 0
    assert gone["key"] not in read(out)["key"].to_pylist()
    assert released(out).dropped == {"removed": 1}
    listed = {(kind, since) for kind, _, since in removals.known(str(root)).rows()}
    assert listed == {("url", "v2026.11.1"), ("host", "v2026.11.1")}
    shutil.rmtree(out)
    assert release(root, out, "--what", "images") == 0
    assert gone["key"] not in read(out)["key"].to_pylist()
    assert removals.read(str(out)) is not None


def test_a_bad_line_of_removals_is_named(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "gone.txt").write_text("example.com\nno such thing\n")
    assert release(root, tmp_path / "out", "--remove", str(tmp_path / "gone.txt")) == 3
    assert "gone.txt: line 2" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_tars(root: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert release(root, out, "--what", "images", "--format", "webdataset") == 0
    found = released(out)
    assert all(path.endswith(".tar") for path in found.shards())
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    assert release(root, out, "--what", "images", "--format", "webdataset") == 0
    assert released(out).dropped == {"drifted": found.counts["kept"] - released(out).counts["kept"]}


def test_compact_once(begun: Path, root: Path, tmp_path: Path) -> None:
    out = copied(begun, "next", tmp_path)
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    for _ in range(2):
        assert release(root, out, "--what", "images", "--compact") == 0
    assert released(out).version == "v2026.11.2"
    assert set(read(out)["kept"].to_pylist()) == {True}


def test_a_dry_run_touches_nothing(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = tree(tmp_path)
    assert release(root, tmp_path / "out", "--dry-run") == 0
    assert "nothing was written" in capsys.readouterr().out
    assert tree(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_the_summary_for_people_and_for_programs(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert release(root, tmp_path / "out", "--json") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["version"], told["kept"], told["shards"]) == (
        "v2026.11",
        released(tmp_path / "out").counts["kept"],
        5,
    )
    assert release(root, tmp_path / "out") == 0
    assert "v2026.11, manifest" in capsys.readouterr().out


def test_a_root_in_a_store(begun: Path, root: Path, tmp_path: Path) -> None:
    memory = fsspec.filesystem("memory")
    memory.put(str(root), "/release/root", recursive=True)
    from builder.cli import main

    assert (
        main(
            ["release", "memory://release/root", str(tmp_path / "far"), *FROM, "--quiet", "--what", "images"]
        )
        == 0
    )
    assert tree(tmp_path / "far") == tree(begun / "images")


def refused(code: int, message: str, capsys: pytest.CaptureFixture[str], *words: object) -> None:
    assert release(*words) == code  # type: ignore[arg-type]
    said = capsys.readouterr().err.strip()
    assert message in said
    assert "\n" not in said


def test_out_in_the_root(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for out in (root, root / "out", root / ".." / "root", root.parent):
        refused(2, "is the root, or in it; choose a folder beside it", capsys, root, out)
    assert not (root / "out").exists()


def test_out_that_may_be_a_folder_or_the_hub(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(
        2,
        "org/name: a folder, or the Hub? write ./org/name, or hf://datasets/org/name",
        capsys,
        root,
        "org/name",
    )
    assert not (tmp_path / "org").exists()
    (tmp_path / "org").mkdir()
    assert release(root, Path("org/name")) == 0


def test_out_with_files_of_others(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    refused(2, "holds thesis.txt, which is of no release", capsys, root, tmp_path / "out")
    assert tree(tmp_path / "out") == {"thesis.txt": b"mine"}


def test_images_into_a_manifest(
    begun: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(begun, "manifest", tmp_path)
    message = "holds a release of --what manifest; choose another place for images"
    refused(2, message, capsys, root, out, "--what", "images")


def test_a_tag_that_is_taken(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    assert release(root, out, "--tag", "v1") == 0
    assert release(root, out, "--tag", "v1") == 0
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    capsys.readouterr()
    refused(2, "--tag v1: ", capsys, root, out, "--tag", "v1")
    assert release(root, out, "--tag", "v1", "--overwrite") == 0
    assert (released(out).version, released(out).previous) == ("v1", None)


def test_a_root_of_which_nothing_is_kept(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scored_root(tmp_path, mix=[Cause.UNRELATED])
    refused(3, "none of its 320 pairs is kept", capsys, root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_an_unknown_license(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    refused(
        3, "license cc-by: no identifier of the Hub", capsys, root, tmp_path / "out", "--license", "cc-by"
    )
    assert not (tmp_path / "out").exists()


def test_a_missing_extra_is_said_before_any_work(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused(4, "mlcroissant missing; pip install 'danqing[release]'", capsys, root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_two_runs_at_once(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(tmp_path / "out" / ".release" / "lock")
    assert lock.acquire()
    refused(4, "another danqing release is at work on", capsys, root, tmp_path / "out")
    lock.release()


def test_what_differs_after_the_fact_is_said(
    begun: Path, root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = copied(begun, "manifest", tmp_path)
    shard = out / next(iter(released(out).shards()))
    data = bytearray(shard.read_bytes())
    data[100] ^= 1
    shard.write_bytes(data)
    refused(1, f"{shard.name}", capsys, root, out)


def test_the_default_tag_is_the_next_free_one_of_the_month(root: Path, tmp_path: Path) -> None:
    for number in range(3):
        scored_root(tmp_path, mix=SOME[number:], decision=str(number) * 16)
        assert release(root, tmp_path / "out") == 0
    assert released(tmp_path / "out").version == "v2026.11.2"
    os.environ["SOURCE_DATE_EPOCH"] = "1797600000"  # December
    scored_root(tmp_path, mix=SHIFTED, decision="e" * 16)
    assert release(root, tmp_path / "out") == 0
    assert released(tmp_path / "out").version == "v2026.12"
