"""`danqing status`: the funnel of a root at any time, from the ledger alone."""

import json
import re
from pathlib import Path

import pytest

from builder.cli import main
from builder.disk import ledger
from builder.disk.ledger import ShardLedger, Tally, WrittenFile
from builder.reasons import Reason
from builder.stage.status import StatusConfig, summary_of
from tests.curated import EMBEDDER, make_curated
from tests.roots import make_root
from tests.scored import make_scored
from tests.stage.test_funnels import two
from tests.stage.test_recipe import TWO


def tally(kept: int, **dropped: int) -> Tally:
    made = Tally()
    for _ in range(kept):
        made.add(None, {"http_status/200": 1, "bytes": 1000, "requests": 1})
    for reason, count in dropped.items():
        for _ in range(count):
            made.add(
                Reason(reason), {"requests": 2} | ({"http_status/404": 1} if reason == "http_4xx" else {})
            )
    return made


def finish(root: Path, stem: str, counts: Tally) -> None:
    outputs: dict[str, WrittenFile] = {
        f"images/{stem}.parquet": {"rows": counts.kept, "bytes": 500, "xxh3_128": "0" * 32}
    }
    hosts = {f"{reason}.example": [0, count] for reason, count in counts.reasons.items()}
    made = ShardLedger.of("rebuild", stem, counts, outputs=outputs, hosts=hosts, config="c0", seconds=2.0)
    made.write(str(root))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Four shards: two done, one in flight, one untouched; the progress file also still has one that is done."""
    folder = tmp_path / "root" / "ledger" / "rebuild"
    folder.mkdir(parents=True)
    plan = {"stage": "rebuild", "rows": {"train": 40}, "shards": {"train": 4}, "config_hash": "c0"}
    (folder / "plan.json").write_text(json.dumps(plan))
    finish(tmp_path / "root", "train-00000-of-00004", tally(7, http_4xx=2, dns=1))
    finish(tmp_path / "root", "train-00002-of-00004", tally(9, timeout=1))
    flight = {"train-00001-of-00004": tally(3, http_4xx=1), "train-00002-of-00004": tally(1)}
    ledger.write_progress(str(tmp_path / "root"), "rebuild", 0, flight)
    return tmp_path / "root"


def test_the_funnel_counts_done_and_in_flight_once(root: Path) -> None:
    told = summary_of(str(root)).as_dict()
    funnel = told["stages"]["rebuild"]
    assert funnel["shards"] == {"done": 2, "total": 4}
    assert funnel["rows"] == {"done": 20, "total": 40}
    assert (funnel["in_flight"]["shards"], funnel["in_flight"]["rows"]) == (1, 4)
    assert funnel["kept"] == 19
    assert funnel["reasons"] == {"http_4xx": 3, "dns": 1, "timeout": 1}
    assert funnel["http_status"] == {"200": 19, "404": 3}
    assert funnel["bytes"] == {"fetched": 19_000, "stored": 1000}
    assert next(iter(funnel["worst_hosts"].items())) == ("http_4xx.example", {"kept": 0, "dropped": 2})
    assert (
        funnel["kept"] + sum(funnel["reasons"].values())
        == funnel["rows"]["done"] + funnel["in_flight"]["rows"]
    )


def test_the_table_for_people(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "rebuild: 2 of 4 shards done, 20 of 40 rows (50.0%)"
    assert lines[1].startswith("shards in flight, as of 20")
    assert lines[1].endswith(": 1 with 4 rows")
    assert lines[2:] == [
        "29 requests, 19.0 kB fetched, 1.0 kB stored",
        "",
        "outcome   pairs   share",
        "kept         19   79.2%",
        "http_4xx      3   12.5%",
        "dns           1    4.2%",
        "timeout       1    4.2%",
        "total        24  100.0%",
        "",
        "HTTP status  pairs  share",
        "200             19  79.2%",
        "404              3  12.5%",
        "no answer        2   8.3%",
        "",
        "worst hosts       dropped  kept",
        "http_4xx.example        2     0",
        "dns.example             1     0",
        "timeout.example         1     0",
    ]


def test_json_is_the_same_as_the_summary(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", str(root), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == summary_of(str(root)).as_dict()


def test_pairs_carved_out_count_once_their_shard_is_done(root: Path) -> None:
    finish(root, "validation-00000-of-00004", tally(2))
    finish(root, "validation-00001-of-00004", tally(1))
    funnel = summary_of(str(root)).as_dict()["stages"]["rebuild"]
    assert funnel["shards"]["done"] == 2
    assert funnel["rows"]["done"] == 22


def test_a_validation_split_of_the_manifest_is_a_split_like_others(root: Path) -> None:
    plan = {"rows": {"train": 40, "validation": 5}, "shards": {"train": 4, "validation": 1}}
    (root / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))
    finish(root, "validation-00000-of-00001", tally(5))
    funnel = summary_of(str(root)).as_dict()["stages"]["rebuild"]
    assert (funnel["shards"], funnel["rows"]) == ({"done": 3, "total": 5}, {"done": 25, "total": 45})


def test_a_root_that_has_only_begun(tmp_path: Path) -> None:
    folder = tmp_path / "ledger" / "rebuild"
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text('{"rows": {"train": 0}, "shards": {"train": 1}}')
    lines = summary_of(str(tmp_path)).lines()
    assert lines == ["rebuild: 0 of 1 shards done, 0 of 0 rows", "0 requests, 0 B fetched, 0 B stored"]


def test_several_stages_stand_one_below_the_other(root: Path) -> None:
    folder = root / "ledger" / "revalidate"
    folder.mkdir()
    (folder / "plan.json").write_text('{"rows": {"train": 9}, "shards": {"train": 1}}')
    told = summary_of(str(root))
    assert list(told.as_dict()["stages"]) == ["rebuild", "revalidate"]
    assert "\n\nrevalidate: 0 of 1 shards done" in "\n".join(told.lines())


def planned(root: Path, stage: str, **told: object) -> None:
    path = root / "ledger" / stage / "plan.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    plan = json.loads(path.read_text()) if path.exists() else {"rows": {}, "shards": {}}
    path.write_text(json.dumps(plan | told))


def test_the_rows_of_the_paper_of_all_stages_stand_in_one_table(root: Path) -> None:
    without = summary_of(str(root)).lines()
    planned(root, "rebuild", funnels=two())
    told = summary_of(str(root))
    assert told.lines()[: len(without)] == without
    assert told.lines()[len(without) :] == [  # 19 of 24 were fetched
        "",
        "row of the paper    dropped here  in the paper",
        "1 language                40.00%        20.00%",
        "2 length                  36.67%        25.00%",
        "3 download success        20.83%        32.71%",
    ]
    assert told.as_dict()["stages"]["rebuild"]["before"] == two()


def test_a_rebuild_that_has_counted_nothing_answers_no_row(tmp_path: Path) -> None:
    planned(tmp_path, "rebuild", funnels=two())
    assert [line.split()[0] for line in summary_of(str(tmp_path)).lines()[-3:]] == ["row", "1", "2"]


def test_a_stage_with_a_recipe_shows_the_rows_before_beside_its_own(tmp_path: Path) -> None:
    crawl, refine = two()
    recipe = {"steps": TWO["steps"][:1], "paper": TWO["paper"][1:]}
    planned(tmp_path, "refine", funnels=[crawl], recipe=recipe)
    counts = Tally(200, 152, {"short": 48})
    ShardLedger.of(
        "refine/1-steps", "rows-00000-of-00001", counts, outputs={}, config="c", seconds=1.0
    ).write(str(tmp_path))
    told = summary_of(str(tmp_path))
    assert told.as_dict()["stages"]["refine"]["funnel"]["paper"] == refine["paper"]
    lines = told.lines()
    assert lines[lines.index("row of the paper  dropped here  in the paper") + 1 :][:2] == [
        "1 language              40.00%        20.00%",
        "2 length                36.67%        25.00%",
    ]


def test_funnels_of_a_plan_that_are_none_are_one_line(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    planned(root, "rebuild", funnels=[{**two()[0], "kept": 7}])
    assert main(["status", str(root)]) == 3
    assert capsys.readouterr().err == (
        "danqing: ledger/rebuild/plan.json: its funnels are none (kept: 7, by its steps 200); restore it\n"
    )


@pytest.fixture
def decided(root: Path) -> Path:
    """The root with ten pairs re-validated and judged."""
    folder = root / "ledger" / "revalidate"
    folder.mkdir()
    (folder / "plan.json").write_text('{"rows": {"train": 10}, "shards": {"train": 1}}')
    counts = Tally(rows=10, kept=8, reasons={"drifted": 2})
    outputs: dict[str, WrittenFile] = {
        "scores/train-00000-of-00001.parquet": {"rows": 10, "bytes": 500, "xxh3_128": "0" * 32}
    }
    stem = "train-00000-of-00001"
    hosts = {"图片.example": [1, 2]}
    made = ShardLedger.of("revalidate", stem, counts, outputs=outputs, hosts=hosts, config="c", seconds=2.0)
    made.write(str(root))
    verdicts = {"moved": 3, "same": 5, "drifted": 2}
    document = {"decision": "d", "verdicts": verdicts, "kept": 8, "suspects": 1, "alpha": 0.01, "pi0": 0.4}
    document |= {"tested": 5, "bound": 0.004}
    (folder / "decision.json").write_text(json.dumps(document))
    return root


def test_verdicts_stand_below_the_funnel_of_their_stage(decided: Path) -> None:
    lines = summary_of(str(decided)).lines()
    assert lines[lines.index("revalidate: 1 of 1 shards done, 10 of 10 rows (100.0%)") :] == [
        "revalidate: 1 of 1 shards done, 10 of 10 rows (100.0%)",
        "500 B stored",
        "",
        "outcome  pairs   share",
        "kept         8   80.0%",
        "drifted      2   20.0%",
        "total       10  100.0%",
        "",
        "verdict  pairs  share",
        "same         5  50.0%",
        "moved        3  30.0%",
        "drifted      2  20.0%",
        "level 0.01, pi0 0.400; suspect, of the kept: 1",
        "",
        "worst hosts   dropped  kept",
        "图片.example        2     1",
    ]


def test_verdicts_are_in_the_json_of_their_stage_alone(decided: Path) -> None:
    stages = summary_of(str(decided)).as_dict()["stages"]
    assert stages["revalidate"]["decision"]["verdicts"] == {"moved": 3, "same": 5, "drifted": 2}
    assert "decision" not in stages["rebuild"]


@pytest.mark.parametrize("text", ["{", "[]", "{}", '{"verdicts": {}}'])
def test_a_broken_decision_is_one_line_that_names_it(
    decided: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (decided / "ledger" / "revalidate" / "decision.json").write_text(text)
    assert main(["status", str(decided)]) == 3
    assert "decision.json: " in capsys.readouterr().err


@pytest.mark.parametrize("make", ["nothing", "folder", "file", "ledger"])
def test_what_is_no_root_is_code_3(tmp_path: Path, capsys: pytest.CaptureFixture[str], make: str) -> None:
    root = tmp_path / "x"
    if make == "file":
        root.write_text("")
    elif make != "nothing":
        (root / ("ledger/rebuild" if make == "ledger" else "")).mkdir(parents=True)
    assert main(["status", str(root)]) == 3
    err = capsys.readouterr().err
    said = "no root of a data set, as it has no ledger; give the OUTPUT of danqing crawl, refine, rebuild or train"
    assert err == f"danqing: {root}: {said}\n"


def test_status_writes_nothing(root: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    summary_of(str(root))
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_the_default_root_is_danqing_here() -> None:
    assert StatusConfig().root == "./danqing"


@pytest.fixture
def curated(tmp_path: Path) -> Path:
    """A root that was rebuilt, scored and curated, its rebuild having dropped one pair of three."""
    root = tmp_path / "root"
    made = make_root(root, shards=2, rows=40)
    make_scored(root)
    for shard in range(2):
        lost = Tally(rows=60, kept=40, reasons={"dns": 20})
        finish(root, f"train-{shard:05d}-of-00002", lost)
    plan = {"stage": "rebuild", "rows": {"train": 120}, "shards": {"train": 2}, "funnels": two()}
    (root / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))
    make_curated(root)
    assert len(made) == 80
    return root


def test_a_curation_adds_up_beside_the_papers_rows_of_all_stages(curated: Path) -> None:
    told = summary_of(str(curated)).as_dict()["stages"]["curate"]
    assert told["kept"] + sum(told["reasons"].values()) == told["rows"]["done"] == 80
    assert told["shards"] == told["units"]["shards"] == {"done": 2, "total": 2}
    assert told["decision"]["embedder"] == EMBEDDER
    lines = "\n".join(next(one for one in summary_of(str(curated)).funnels if one.stage == "curate").lines())
    for row in (
        "1 ",
        "2 ",
        "3 download success ",
        "14 blur ",
        "16 redundancy within a batch ",
        "19 redundancy",
    ):
        assert f"\n{row}" in lines
    assert re.search(r"\n3 download success +33\.33% +32\.71%\n", lines)
    blurred = told["reasons"]["blurred"] / (80 - told["reasons"]["verdict"])
    assert re.search(rf"\n14 blur +{blurred:.2%} +5\.38%\n", lines)
    assert "embedder: chinese-clip-vit-large-patch14" in lines
    assert "thresholds: dedup_cosine 0.9, spread 2" in lines
    assert "pairs found, by cosine: 0.90 100.00%" in lines


def test_a_curation_without_a_decision_says_so(curated: Path) -> None:
    (curated / "ledger" / "curate" / "decision.json").unlink()
    ledger.write_progress(str(curated), "curate", 0, {"train-00000-of-00002": tally(3)})
    (funnel,) = (one for one in summary_of(str(curated)).funnels if one.stage == "curate")
    assert not funnel.is_done
    assert funnel.lines()[-1] == "no decision yet"


def test_a_decision_of_curate_that_is_none_is_one_line(
    curated: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = curated / "ledger" / "curate" / "decision.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"recipe": {"steps": 3}}))
    assert main(["status", str(curated)]) == 3
    assert "decision.json: its recipe is none" in capsys.readouterr().err
