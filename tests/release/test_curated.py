"""A release of a curated root: what all judges keep, with what curate found, told by its card, counted by verify."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import danqing
from builder.card.funnel import of_root
from builder.cli import main
from builder.disk.schema import MEASURES, saying
from builder.errors import InputError
from builder.reasons import Reason
from builder.release.source import open_root
from tests.curated import EMBEDDER, Curating, make_curated
from tests.hub import Hub
from tests.hub.clients import answers, client_env, run_client
from tests.release.roots import read, release, released, scored_root, with_ledger
from tests.scored import Scoring, make_scored

Rows = list[dict[str, Any]]
Made = tuple[Path, Rows, dict[str, float]]
CURATED = ["cos", "cos_model", "dup_count", "dup_cluster"]
LUMA = ["luma_spread", "luma_sharpness", "luma_entropy"]


def measure(root: Path) -> dict[str, float]:
    """Write measures/ of a root; the sharpness of each pair by its key."""
    found: dict[str, float] = {}
    (root / "measures").mkdir()
    for shard in sorted((root / "images").iterdir()):
        keys: list[Any] = pq.read_table(shard, columns=["key"])["key"].to_pylist()
        numbers = np.arange(len(keys), dtype=np.float32) + len(found)
        found |= dict(zip(keys, numbers.tolist(), strict=True))
        columns: dict[str, Any] = {"key": keys, "spread": numbers, "sharpness": numbers, "entropy": numbers}
        table = pa.table(columns, saying(MEASURES, {"on": "stored"}))
        pq.write_table(table, root / "measures" / shard.name)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A root that was scored, measured and curated, its rows of both sidecars, and the sharpness of each pair."""
    root = scored_root(tmp_path_factory.mktemp("curated"), rows=150)
    with_ledger(root)
    scores = [
        row for shard in sorted((root / "scores").iterdir()) for row in pq.read_table(shard).to_pylist()
    ]
    sharpness = measure(root)
    return root, [one | other for one, other in zip(scores, make_curated(root), strict=True)], sharpness


@pytest.fixture(scope="module")
def releases(made: Made, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Its two releases."""
    out = tmp_path_factory.mktemp("releases")
    for what in ("manifest", "images"):
        assert release(made[0], out / what, "--what", what) == 0
    return {what: out / what for what in ("manifest", "images")}


def kept(rows: Rows) -> Rows:
    return [row for row in rows if row["kept"] and row["reason"] is None]


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_what_all_judges_keep_with_what_curate_found(
    made: Made, releases: dict[str, Path], what: str
) -> None:
    _, rows, sharpness = made
    found = read(releases[what], what)
    by_key = {row["key"]: row for row in kept(rows)}
    assert {*found["key"].to_pylist()} == by_key.keys()
    assert 0 < found.num_rows < sum(row["kept"] for row in rows)
    for row in found.select(["key", *CURATED, "verdict"]).to_pylist():
        of = by_key[row["key"]]
        assert row["cos"] == pytest.approx(of["cos"])
        assert (row["dup_count"], row["dup_cluster"]) == (of["dup_count"], of["dup_cluster"])
        assert (row["cos_model"], row["verdict"]) == (EMBEDDER["name"], of["verdict"])
    if what == "manifest":
        names = found.column_names
        assert names[-8:] == [*CURATED, *LUMA, "fetched_at"]
        assert [sharpness[str(key)] for key in found["key"].to_pylist()] == found[
            "luma_sharpness"
        ].to_pylist()
    else:
        assert found.column_names[-5:] == [*CURATED, "kept"]
        assert found["kept"].to_pylist() == [True] * found.num_rows


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_release_json_tells_the_whole_way(made: Made, releases: dict[str, Path], what: str) -> None:
    _, rows, _ = made
    told = released(releases[what])
    reasons = [row["reason"] for row in rows if row["reason"] not in (None, Reason.VERDICT)]
    assert told.funnel["curated"] == {str(one): reasons.count(one) for one in sorted({*reasons})}
    assert told.funnel["curation"]["embedder"] == EMBEDDER
    lost = sum(told.funnel["left_out"].values()) + len(reasons)
    assert told.counts["kept"] == len(kept(rows)) == told.funnel["fetched"] - lost
    assert told.counts["sums"]["dup_count"] == sum(row["dup_count"] for row in kept(rows))
    assert sum(told.counts["histograms"]["cos"]) == len(kept(rows))


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_the_card_sets_ours_beside_the_papers_rows(made: Made, releases: dict[str, Path], what: str) -> None:
    _, rows, _ = made
    card = (
        (releases[what] / "README.md").read_text(encoding="utf-8").replace("\u202f", " ").replace("\xa0", " ")
    )
    came = [row for row in rows if row["reason"] != Reason.VERDICT]
    blurred = sum(row["reason"] == Reason.BLURRED for row in rows) / len(came)
    assert len(came) < len(rows)
    assert f"| 14 blur | {blurred:.1%} | 5.4% |".replace("%", " %") in card
    for row in ("3 download success", "16 redundancy within a batch", "18 cross-modal alignment"):
        assert card.count(f"\n| {row} | ") == 1
    assert f"compared with each other by `{EMBEDDER['name']}` (revision" in card
    assert "| `near_duplicate`: " in card
    assert "Near duplicates are not removed here" not in card
    assert "| `cos_model` | string | checkpoint that made `cos`" in card


@pytest.mark.parametrize("what", ["manifest", "images"])
def test_verify_counts_again(releases: dict[str, Path], what: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(releases[what], copy)
    assert main(["verify", str(copy), "--quiet"]) == 0
    document = json.loads((copy / "release.json").read_text())
    document["funnel"]["curated"]["blurred"] += 1
    document["funnel"]["after"][0]["steps"][2]["reasons"]["blurred"] += 1
    document["counts"]["sums"]["cos"] += 1
    (copy / "release.json").write_text(json.dumps(document))
    assert main(["verify", str(copy), "--quiet"]) == 1


SPOILT: dict[str, Any] = {
    "funnel.curated should be": lambda funnel: funnel["curated"].update(blurred=1),
    "the shares of curate should be those": lambda funnel: funnel["after"][0]["paper"][0].update(found=0.9),
    "funnel.after: ": lambda funnel: funnel["after"][0].update(steps=[{}]),
    "verdict should be": lambda funnel: funnel["left_out"].update(dead=1),
}


def test_verify_finds_a_count_of_curate_that_is_another(
    releases: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(releases["manifest"], copy)
    for message, spoil in SPOILT.items():
        document = json.loads((releases["manifest"] / "release.json").read_text())
        spoil(document["funnel"])
        (copy / "release.json").write_text(json.dumps(document))
        assert main(["verify", str(copy)]) == 1
        assert message in capsys.readouterr().err


def test_the_loader_serves_the_same_of_root_and_releases(
    made: Made,
    releases: dict[str, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path)
    root, rows, _ = made
    wanted = {row["key"] for row in kept(rows)}
    for place, config in ((root, "pairs"), (releases["images"], "pairs"), (releases["manifest"], "manifest")):
        splits = danqing.load(place, config, streaming=True, columns=["key", "cos", "dup_count"])
        assert {row["key"] for split in splits.values() for row in split} == wanted


READER = """
import json, sys
import danqing
from huggingface_hub import HfApi, HfFileSystem
found = {}
for streaming in (True, False):
    splits = danqing.load("hf://datasets/tester/danqing", streaming=streaming, columns=["key", "cos"])
    found[str(streaming)] = sorted(row["key"] for split in splits.values() for row in split)
HfApi().delete_file("ledger/revalidate/decision.json", "tester/danqing", repo_type="dataset")
HfFileSystem.clear_instance_cache()  # it lists a folder once
try:
    danqing.load("hf://datasets/tester/danqing", streaming=True)
except ValueError as error:
    found["error"] = str(error)
print(json.dumps(found))
"""


def test_a_root_on_the_hub(made: Made, hub: Hub, tmp_path: Path) -> None:
    env = client_env(hub, tmp_path)
    run_client(["hf", "upload", "tester/danqing", str(made[0]), ".", "--type", "dataset"], env)
    found = answers(READER, env)
    wanted = sorted(row["key"] for row in kept(made[1]))
    assert found["True"] == found["False"] == wanted
    assert "decision.json: not there, so nothing is final" in found["error"]


def test_a_root_that_was_curated_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    root = scored_root(tmp_path, rows=60)
    shutil.rmtree(root / "scores")
    shutil.rmtree(root / "ledger" / "revalidate")
    with_ledger(root)
    rows = make_curated(root)
    out = tmp_path / "out"
    assert release(root, out, "--what", "images") == 0
    assert released(out).validated is False
    card = (out / "README.md").read_text(encoding="utf-8")
    assert "**This release was curated, and not re-validated**" in card
    assert "holds every pair whose picture could be fetched" not in card
    assert {*read(out)["key"].to_pylist()} == {row["key"] for row in rows if row["reason"] is None}
    again = make_curated(root, Curating(decision="e" * 16, mix=(*[None] * 9, Reason.FLAT)))
    before = {row["key"] for row in rows if row["reason"] is None}
    now = {row["key"] for row in again if row["reason"] is None}
    assert release(root, out, "--what", "images", "--overwrite") == 0
    found = read(out)
    flagged = [
        key for key, good in zip(found["key"].to_pylist(), found["kept"].to_pylist(), strict=True) if not good
    ]
    assert {*flagged} == before - now != set()
    assert released(out).dropped == {"flat": len(flagged)}
    splits = danqing.load(out, streaming=True, columns=["key"])
    assert {row["key"] for split in splits.values() for row in split} == now
    assert released(out).funnel["curation"]["embedder"] == EMBEDDER
    assert main(["verify", str(out), "--quiet"]) == 0


def test_changes_tell_the_reason_of_curate(tmp_path: Path) -> None:
    root = scored_root(tmp_path, rows=60)
    with_ledger(root)
    out = tmp_path / "out"
    assert release(root, out) == 0
    rows = make_curated(root)
    assert release(root, out) == 0
    version = released(out).version
    changes = pq.read_table(out / "changes" / f"{version}.parquet").to_pylist()
    assert {row["key"]: row["reason"] for row in changes} == {
        row["key"]: row["reason"] for row in rows if row["reason"] not in (None, Reason.VERDICT)
    }
    assert released(out).dropped.keys() == {"near_duplicate", "blurred", "weak_match", "copy", "text_picture"}


def test_a_new_decision_is_another_release(made: Made, tmp_path: Path) -> None:
    root = tmp_path / "root"
    shutil.copytree(made[0], root)
    first = open_root(str(root)).fingerprint
    make_curated(root, Curating(decision="e" * 16))
    second = open_root(str(root)).fingerprint
    shutil.rmtree(root / "measures")
    third = open_root(str(root)).fingerprint
    for folder in ("curated", "ledger/curate"):
        shutil.rmtree(root / folder)
    assert len({first, second, third, open_root(str(root)).fingerprint}) == 4


FIRST = "train-00000-of-00002.parquet"


def _anew(root: Path) -> None:
    make_scored(root, Scoring(decision="e" * 16))


def _reshaped(root: Path) -> None:
    path = root / "curated" / FIRST
    pq.write_table(pq.read_table(path).slice(1), path)


def _undecided(root: Path) -> None:
    (root / "ledger" / "curate" / "decision.json").unlink()


def _of_another(root: Path) -> None:
    path = root / "ledger" / "curate" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"decision": "0" * 16}))


REFUSED: dict[str, Any] = {
    r"curated by scores of decision d{16}, .*; run danqing curate .* --decide": _anew,
    rf"curated/{FIRST}: not there, though other shards are curated; run danqing curate": lambda root: (
        root / "curated" / FIRST
    ).unlink(),
    r"curated in part, without verdicts; run danqing curate .* to its end, or remove curated/": _undecided,
    r"has no verdicts of the decision in ledger/curate/; run danqing curate .* --decide": _of_another,
    rf"curated/{FIRST}: \d+ rows, in images/ there are": _reshaped,
}


@pytest.mark.parametrize(("message", "spoil"), REFUSED.items(), ids=list(REFUSED))
def test_a_root_whose_curation_is_of_something_else(
    made: Made, tmp_path: Path, message: str, spoil: Any
) -> None:
    root = tmp_path / "root"
    shutil.copytree(made[0], root)
    spoil(root)
    with pytest.raises(InputError, match=message) as caught:
        open_root(str(root))
    assert "\n" not in str(caught.value)


def test_tars_hold_the_same(made: Made, tmp_path: Path) -> None:
    out = tmp_path / "tars"
    assert release(made[0], out, "--what", "images", "--format", "webdataset") == 0
    counts = released(out).counts
    assert counts["sums"]["dup_count"] == sum(row["dup_count"] for row in kept(made[1]))
    assert sum(counts["histograms"]["cos"]) == len(kept(made[1]))
    assert main(["verify", str(out), "--quiet"]) == 0


def test_verdicts_of_a_release_bring_back_nothing_that_curate_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    root, out = scored_root(tmp_path, rows=60), tmp_path / "out"
    with_ledger(root)
    rows = make_curated(root, Curating(mix=(None,)))
    assert release(root, out, "--what", "images") == 0
    again = make_curated(root, Curating(mix=(*[None] * 9, Reason.FLAT), decision="e" * 16))
    assert release(root, out, "--what", "images", "--overwrite") == 0
    gone = {one["key"] for one, other in zip(rows, again, strict=True) if one["reason"] != other["reason"]}
    for verdicts, flagged in ((["same", "moved", "matching"], 0), ("all", len(gone))):
        splits = danqing.load(out, streaming=True, columns=["key"], verdicts=verdicts)
        found = {row["key"] for split in splits.values() for row in split}
        assert (len(found & gone), len(found)) == (flagged, released(out).counts["kept"] + flagged)
    assert gone


def test_a_checkpoint_in_a_folder_goes_by_its_name(tmp_path: Path) -> None:
    root = scored_root(tmp_path, rows=60)
    make_curated(root)
    path = root / "ledger" / "curate" / "decision.json"
    local = EMBEDDER | {"model": "/home/me/clip", "name": "clip", "revision": None}
    path.write_text(json.dumps(json.loads(path.read_text()) | {"embedder": local}))
    told: Any = of_root(str(root), 1)["curation"]
    assert told["embedder"] == local | {"model": "clip"}
