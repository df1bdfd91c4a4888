"""What an earlier build left on disk is opened, resumed, scored, released and verified by this one (see make.py)."""

from __future__ import annotations

import fcntl
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from datasets import load_dataset

import danqing  # noqa: F401  registers the builder
from builder.cli import main
from builder.disk.schema import SCORED
from builder.towers.checkpoint import TINY
from tests.faulthost import FaultHost
from tests.rebuild.runs import ledgers, names, rebuild, table
from tests.revalidate.runs import revalidate

from .make import ADDRESS, DEAD, KEPT, PAIRS, PORT

SPOOLED = 28  # rows that the run which was killed had recorded
SCORING = ("--alpha", "0.5")
DECIDED = 45  # pairs that it kept


@pytest.fixture
def web(golden: Path) -> Iterator[FaultHost]:
    """The web of then: what `whole` holds are its bytes."""
    host = FaultHost(port=PORT)
    host.addresses = [ADDRESS]
    for pair in table(golden / "whole", "images").select(["url", "image"]).to_pylist():
        host.files["/" + pair["url"].rpartition("/")[2]] = pair["image"]["bytes"]
    with (Path(tempfile.gettempdir()) / "danqing-golden.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # the port is in the manifest, so one test at a time has it
        with host:
            yield host


def contents(root: Path) -> dict[str, bytes]:
    """The files of a root whole, by name; the plan says where the manifest lay."""
    return {name: (root / name).read_bytes() for name in names(root) if not name.endswith("plan.json")}


def scores(root: Path) -> list[dict[str, object]]:
    files = sorted((root / "scores").glob("*.parquet"))
    return [row for file in files for row in pq.read_table(file, columns=SCORED.names).to_pylist()]


def test_a_half_done_root_goes_on_and_asks_again_for_nothing_that_it_recorded(
    golden: Path, web: FaultHost
) -> None:
    assert rebuild(str(golden / "manifest.parquet"), golden / "half", *KEPT) == 0
    assert web.count() == PAIRS - SPOOLED
    for kind in ("images", "outcomes"):
        assert table(golden / "half", kind).equals(table(golden / "whole", kind))


@pytest.mark.parametrize("name", ["whole", "tars"])
def test_a_whole_root_is_done_and_its_failed_rows_are_asked_for_again(
    golden: Path, web: FaultHost, name: str
) -> None:
    flags = (*KEPT, *(("--format", "webdataset") if name == "tars" else ()))
    before = contents(golden / name)
    assert rebuild(str(golden / "manifest.parquet"), golden / name, *flags) == 0
    assert contents(golden / name) == before
    assert web.count() == 0
    picture = next(iter(web.files.values()))
    web.files |= {f"/{number}.jpg": picture for number in DEAD}
    assert rebuild(str(golden / "manifest.parquet"), golden / name, *flags, "--retry-failed", "http_4xx") == 0
    assert web.count() == len(DEAD)
    assert sum(one["kept"] for one in ledgers(golden / name).values()) == PAIRS


def test_a_half_scored_root_is_scored_to_the_same_figures(golden: Path) -> None:
    shutil.rmtree(golden / "scored" / "ledger" / "revalidate")  # only its scores are compared
    named = shutil.copytree(TINY, golden / "checkpoint")  # as it was called then: codes are of the name
    assert revalidate(golden / "half-scored", "--model", str(named), *SCORING) == 0
    assert scores(golden / "half-scored") == scores(golden / "scored")


def test_a_scored_root_is_decided_anew_and_streams_what_it_keeps(golden: Path) -> None:
    assert revalidate(golden / "scored", "--decide", *SCORING) == 0
    stream = load_dataset("danqing", data_dir=str(golden / "scored"), split="train", streaming=True)
    assert sum(1 for _ in stream) == DECIDED


def test_the_card_of_a_scored_root_names_no_default_any_more(golden: Path, web: FaultHost) -> None:
    """Then it offered all pairs to stock `datasets`; a card that got lost comes back as what the root is now."""
    root, card = golden / "scored", golden / "scored" / "README.md"
    assert revalidate(root, "--decide", *SCORING) == 0
    for _ in "decided", "rebuilt":
        with pytest.raises(ValueError, match=r"\['unfiltered', 'outcomes', 'scores'\]"):
            load_dataset(str(root), split="train", streaming=True)
        card.unlink()
        assert rebuild(str(golden / "manifest.parquet"), root, *KEPT) == 0
    assert revalidate(root, "--overwrite", "--limit", "1", *SCORING) == 0
    assert not (root / "ledger" / "revalidate" / "decision.json").exists()
    assert len(list(load_dataset(str(root), split="train", streaming=True))) > DECIDED


def test_the_ledger_of_then_is_told_as_it_was(golden: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It has no field `format`, HTTP statuses in every stage, and pictures among the files of their scores."""
    marker = golden / "scored" / "ledger" / "revalidate" / "train-00000.json"
    assert {"http_status", "requests", "files"} < json.loads(marker.read_text()).keys()
    told = {}
    for name in ("half", "half-scored", "scored"):
        assert main(["status", str(golden / name), "--json"]) == 0
        told[name] = json.loads(capsys.readouterr().out)["stages"]
    assert told["half"]["rebuild"]["shards"] == {"done": 0, "total": 4}
    assert told["half-scored"]["revalidate"]["shards"] == {"done": 2, "total": 4}
    rebuilt, scored = told["scored"]["rebuild"], told["scored"]["revalidate"]
    assert (rebuilt["http_status"], rebuilt["requests"]) == ({"200": 46, "404": 2}, 48)
    assert rebuilt["bytes"] == {"fetched": 179_197, "stored": 227_257}
    assert (scored["http_status"], scored["requests"], scored["bytes"]["stored"]) == ({}, 0, 27_107)
    assert (scored["kept"], scored["reasons"]) == (DECIDED, {"drifted": 1})


def test_deciding_anew_says_what_was_read_apart(golden: Path) -> None:
    assert revalidate(golden / "scored", "--decide", "--alpha", "0.01") in (0, 1)
    markers = [
        json.loads(file.read_text()) for file in (golden / "scored/ledger/revalidate").glob("train-*.json")
    ]
    assert {marker["format"] for marker in markers} == {2}
    for marker in markers:
        stem = marker["shard"]
        assert [*marker["inputs"], *marker["outputs"]] == [f"images/{stem}.parquet", f"scores/{stem}.parquet"]
        assert marker["counters"] == {}


@pytest.mark.parametrize("name", ["release-manifest", "release-images", "release-tars"])
def test_a_release_holds_what_it_says(golden: Path, name: str) -> None:
    assert main(["verify", str(golden / name), "--quiet"]) == 0


def test_a_release_is_rebuilt_from_and_refers(golden: Path, web: FaultHost) -> None:
    again = golden / "again"
    assert rebuild(str(golden / "release-manifest"), again, *KEPT, "--verify-hash") == 0
    assert sum(one["kept"] for one in ledgers(again).values()) == DECIDED
    assert revalidate(again, "--reference", str(golden / "release-manifest"), *SCORING) == 0
    verdicts = [row["same"] for row in scores(again)]
    assert verdicts == [True] * DECIDED


@pytest.mark.parametrize("name", ["release-manifest", "release-images", "release-tars"])
def test_the_next_release_follows(golden: Path, name: str) -> None:
    what = "manifest" if name == "release-manifest" else "images"
    form = ("--format", "webdataset") if name == "release-tars" else ()
    said = ("--license", "cc0-1.0", "--source", "demo/scenes", "--tag", "v2", "--divide-by", "2", "--quiet")
    root, out = str(golden / "scored"), str(golden / name)
    assert main(["release", root, out, "--what", what, *form, *said]) == 0
    assert main(["verify", out, "--quiet"]) == 0


def test_a_root_of_a_text_manifest_is_refused_by_name_and_stays_loadable(
    golden: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rebuild(str(golden / "captions.tsv"), golden / "text", *KEPT) in (2, 3)
    said = capsys.readouterr().err
    assert "captions.tsv" in said or "--quoting" in said
    stream = load_dataset("danqing", data_dir=str(golden / "text"), split="train", streaming=True)
    assert sum(1 for _ in stream) == 5
