"""Pass 2 on disk: scores files in, the same files with verdicts, their markers and decision.json out."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.console import Console
from builder.disk import ledger
from builder.disk.ledger import ShardLedger, Tally, WrittenFile
from builder.disk.schema import DECIDED, SCORED, SCORES
from builder.reasons import Verdict
from builder.revalidate import decide as stage
from builder.revalidate.config import RevalidateConfig
from builder.revalidate.decide import decide
from builder.revalidate.scores import ShardScores
from tests.curated import make_curated
from tests.revalidate.smallroot import SAID, STEMS, files_of, make, rows_of, run, scored, shard


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make(tmp_path)


def test_every_pair_has_a_verdict(root: Path) -> None:
    told = run(root)
    rows = rows_of(root)
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in Verdict}
    assert counts == {"dead": 6, "same": 90, "placeholder": 6, "moved": 30, "matching": 30, "drifted": 18}
    assert told["verdicts"] == counts
    assert told["kept"] == sum(row["kept"] for row in rows) == 150
    assert sum(told["verdicts"].values()) == told["rows"] == told["kept"] + told["dropped"] == 180
    assert told["tested"] == sum(row["p"] is not None for row in rows) == 78
    assert told["bound"] == pytest.approx(0.01 * told["pi0"])


def test_a_placeholder_is_known_by_its_company_in_other_shards_and_splits(root: Path) -> None:
    run(root)
    each = [pq.read_table(root / "scores" / f"{stem}.parquet")["verdict"].to_pylist() for stem in STEMS]
    assert [verdicts.count("placeholder") for verdicts in each] == [2, 2, 2]


@pytest.mark.parametrize("card", ["# A set of mine\n", None])
def test_a_card_that_is_not_ours_stays_and_is_named(
    root: Path, card: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    if card:
        (root / "README.md").write_text(card)
    decide(RevalidateConfig(root=str(root)), Console())
    assert f"{root}/README.md is not the card that danqing writes" in capsys.readouterr().err
    assert {name: text for name, text in files_of(root).items() if name == "README.md"} == (
        {"README.md": card.encode()} if card else {}
    )


def test_a_curated_root_is_to_be_curated_anew(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    decide(RevalidateConfig(root=str(root)), Console())
    make_curated(root)
    decide(RevalidateConfig(root=str(root)), Console())
    assert "danqing curate" not in capsys.readouterr().err
    decide(RevalidateConfig(root=str(root), alpha=0.3), Console())
    said = capsys.readouterr().err
    assert f"{root}: curated by scores of decision " in said
    assert f"until it is curated anew: run danqing curate {root} --decide" in said


def test_what_pass_1_wrote_stays_as_it_is(root: Path) -> None:
    path = root / "scores" / f"{STEMS[0]}.parquet"
    before = pq.ParquetFile(path)
    groups = [before.metadata.row_group(i).num_rows for i in range(before.num_row_groups)]
    table = before.read()
    run(root)
    after = pq.ParquetFile(path)
    assert after.schema_arrow.names == SCORES.names
    assert after.read(columns=SCORED.names).equals(table)
    assert (
        [after.metadata.row_group(i).num_rows for i in range(after.num_row_groups)] == groups == [25, 25, 10]
    )
    said = json.loads(after.schema_arrow.metadata[b"danqing"])
    assert (
        said.pop("decision") == json.loads((root / "ledger/revalidate/decision.json").read_text())["decision"]
    )
    assert said == SAID
    assert all(after.read()[field.name].null_count == 0 for field in DECIDED if field.name != "p")


def test_markers_count_what_was_dropped_and_name_the_file(root: Path) -> None:
    run(root)
    for one in ledger.read_all(str(root), "revalidate"):
        assert (one.rows, one.kept) == (60, 50)
        assert one.reasons == {"dead": 2, "placeholder": 2, "drifted": 6}
        path = f"scores/{one.shard}.parquet"
        assert (
            one.outputs[path]
            == ShardScores(
                next(s for s in stage.find_shards(str(root), "scored") if s.stem == one.shard)
            ).entry()
        )
        assert sum(dropped for _, dropped in one.hosts.values()) == 10


def test_the_decision_is_counted_by_host(root: Path) -> None:
    hosts = run(root)["hosts"]
    assert set(hosts) == {f"图片{i}.test" for i in range(4)}
    assert sum(count for counts in hosts.values() for count in counts.values()) == 180
    dropped = [
        sum(counts.get(name, 0) for name in ("dead", "placeholder", "drifted")) for counts in hosts.values()
    ]
    assert dropped == sorted(dropped, reverse=True)


def test_another_level_and_back_ends_in_the_same_bytes(root: Path) -> None:
    run(root)
    first = files_of(root)
    assert run(root, alpha=0.0001)["kept"] < 150
    assert files_of(root) != first
    run(root)
    assert files_of(root) == first


def test_the_same_decision_again_writes_no_scores(root: Path) -> None:
    run(root)
    before = {path: path.stat().st_mtime_ns for path in (root / "scores").iterdir()}
    markers = {path: path.stat().st_mtime_ns for path in root.glob("ledger/revalidate/*-0000*.json")}
    run(root, workers=1)
    assert {path: path.stat().st_mtime_ns for path in (root / "scores").iterdir()} == before
    assert {path: path.stat().st_mtime_ns for path in markers} == markers


def test_verdicts_that_were_changed_since_are_made_anew(root: Path) -> None:
    """The file bears the name of the decision all the same, and what was dropped would have come back for good."""
    run(root)
    after = files_of(root)
    for stem, names in zip(STEMS, (["kept"], ["verdict", "p"]), strict=False):
        path = root / "scores" / f"{stem}.parquet"
        pq.write_table(pq.read_table(path).drop_columns(names), path, row_group_size=25)
    run(root)
    assert files_of(root) == after


@pytest.mark.parametrize("marked", [True, False])
@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_from_whatever_a_kill_leaves_it_ends_in_the_same_bytes(root: Path, done: int, marked: bool) -> None:
    """Files are published in order, each before its marker: some shards are new, of the last maybe not the marker."""
    before = files_of(root)
    run(root)
    after = files_of(root)
    for number, stem in enumerate(STEMS):
        marker = f"ledger/revalidate/{stem.partition('-of-')[0]}.json"
        names = [f"scores/{stem}.parquet", marker] if number >= done else [] if marked else [marker]
        for name in names:
            (root / name).write_bytes(before[name])
    if done < len(STEMS):
        (root / "scores" / f".{STEMS[done]}.parquet.77.tmp").write_bytes(b"half a file")
    (root / "ledger/revalidate/decision.json").unlink()
    assert main(["revalidate", str(root), "--decide", "--quiet"]) == 0
    assert files_of(root) == after


def test_min_score_drops_and_leaves_the_verdict(root: Path) -> None:
    told = run(root, min_score=0.15)
    low = [row for row in rows_of(root) if row["cause"] == "min_score"]
    assert low
    assert all(row["score_alt_text"] < 0.15 and not row["kept"] for row in low)
    assert {row["verdict"] for row in low} == {"same", "moved", "matching"}
    assert all(row["score_alt_text"] >= 0.15 for row in rows_of(root) if row["kept"])
    assert told["verdicts"]["same"] == 90
    assert told["kept"] == 150 - len(low)
    reasons = [one.reasons["min_score"] for one in ledger.read_all(str(root), "revalidate")]
    assert sum(reasons) == told["causes"]["min_score"] == len(low)


def test_keep_names_what_is_kept(root: Path) -> None:
    run(root, keep="moved,drifted")
    rows = rows_of(root)
    assert {row["verdict"] for row in rows if row["kept"]} == {"moved", "drifted"}
    assert {row["verdict"] for row in rows if not row["kept"]} == {"dead", "same", "placeholder", "matching"}


def test_rows_that_rebuild_dropped_are_dead(root: Path) -> None:
    tally = Tally(rows=70, kept=60, reasons={"http_4xx": 10})
    for stem in STEMS:
        path = root / "images" / f"{stem}.parquet"
        outputs: dict[str, WrittenFile] = {
            f"images/{path.name}": {"rows": 60, "bytes": path.stat().st_size, "xxh3_128": "0" * 32}
        }
        made = ShardLedger.of("rebuild", stem, tally, outputs=outputs, config="c", seconds=1.0)
        made.write(str(root))
    plan = {"rows": {"train": 140, "validation": 70}, "shards": {"train": 2, "validation": 1}}
    (root / "ledger/rebuild/plan.json").write_text(json.dumps(plan))
    told = run(root)
    assert told["verdicts"]["dead"] == told["causes"]["no_picture"] == 36
    assert told["rows"] == sum(told["verdicts"].values()) == told["kept"] + told["dropped"] == 210


def test_a_root_of_no_pairs(tmp_path: Path) -> None:
    shard(tmp_path, "train-00000-of-00001", {"key": []})
    summary = decide(RevalidateConfig(str(tmp_path)), Console(quiet=True))
    assert (summary.as_dict()["rows"], summary.as_dict()["kept"]) == (0, 0)
    assert (
        summary.lines()[-1]
        == "no pair had to be tested: each is dead, has the recorded bytes or is a placeholder"
    )


def test_the_summary_for_people(root: Path) -> None:
    lines = decide(RevalidateConfig(root=str(root)), Console(quiet=True)).lines()
    assert lines[0] == f"{root}: 150 of 180 pairs kept (83.3%)"
    assert lines[2:10] == [
        "verdict      pairs   share",
        "dead             6    3.3%",
        "same            90   50.0%",
        "placeholder      6    3.3%",
        "moved           30   16.7%",
        "matching        30   16.7%",
        "drifted         18   10.0%",
        "total          180  100.0%",
    ]
    assert "worst hosts  dead  same  placeholder  moved  matching  drifted" in lines
    assert lines[-2].startswith("78 changed pairs were tested at level 0.01: p up to 0.0077 is kept; pi0, ")
    assert lines[-1].startswith("of those kept no more than 0.01 x 46.2% = 0.46% are expected to be junk")


def test_too_few_pairs_for_the_level_are_warned_about(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revalidate", str(root), "--decide", "--alpha", "0.0002"]) == 0
    error = capsys.readouterr().err
    assert "warning: none of the 78 changed pairs tested is kept at level 0.0002: " in error
    level = error.strip().rpartition("from --alpha ")[2].removesuffix(" on some are")
    assert main(["revalidate", str(root), "--decide", "--alpha", level, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["verdicts"]["moved"] == 30


def test_rows_and_verdicts_do_not_depend_on_the_layout_of_shards(root: Path, tmp_path_factory: Any) -> None:
    """The same pairs in one shard: the verdict of each is the same."""
    run(root)
    one = tmp_path_factory.mktemp("one")
    stem = "train-00000-of-00001"
    parts = [scored(name) for name in STEMS]
    columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0] if name != "code"}
    columns["code"] = [code for part in parts for code in part["code"]]
    shard(one, stem, columns)
    run(one)
    assert pq.read_table(one / "scores").select(SCORES.names).to_pylist() == rows_of(root)


def test_a_root_in_a_store_ends_in_the_same_bytes(root: Path) -> None:
    store = fsspec.filesystem("memory")
    url = f"memory://{root.name}"
    store.put(str(root) + "/", f"/{root.name}/", recursive=True)
    decide(RevalidateConfig(root=url), Console(quiet=True))
    run(root)
    stored = {
        path.removeprefix(f"/{root.name}/"): store.cat_file(path) for path in store.find(f"/{root.name}")
    }
    assert stored == files_of(root)
    store.rm(f"/{root.name}", recursive=True)
