"""The demo as a user runs it, small; what it refuses; and that it notices a root that is not as planted."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main
from builder.demo import later, sheet, steps, train
from builder.demo.config import DemoConfig
from builder.demo.drive import Demo
from builder.demo.steps import compare, prepare
from builder.demo.truth import Share
from builder.errors import EnvironmentProblem, InputError

from .conftest import Site


def test_the_demo_ends_well_and_tells_each_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "missing", lambda: "")
    assert main(["demo", str(tmp_path / "d"), "--pairs", "100"]) == 0
    told = capfd.readouterr().out
    steps_told = enumerate((*steps.STEPS, *steps.SECOND), 1)
    assert all(f"{number}. {heading}" in told for number, (heading, _) in steps_told)
    assert (told.count("$ danqing crawl"), told.count(" links as planted")) == (3, 2)
    assert told.count("$ danqing refine") == 2
    assert "all 127 rows as planted: 100 kept, 27 dropped" in told
    assert (told.count("$ danqing rebuild"), told.count("$ danqing revalidate")) == (5, 5)
    assert (told.count("$ danqing release"), told.count("it holds what it says")) == (3, 2)
    assert told.count("all 100 rows as planted") == 2
    assert "again all rows as planted, none twice" in told
    assert "those of the undisturbed run, byte for byte" in told
    assert "exactly what has the released bytes, and what is gone" in told
    assert told.count("$ danqing curate") == 2
    assert "pairs that all judges keep, and no other" in told
    assert "pairs that were kept, and their pictures byte for byte" in told
    assert "pairs of the released bytes, and nothing of what was taken out" in told
    assert told.count("$ danqing train") == 2
    assert "every step saw its pairs: 25 steps of" in told
    assert "the checkpoint that was written is the one that was validated" in told
    assert told.count("$ danqing evaluate") == 1
    assert "both checkpoints answered every picture, and the broken one counts as wrong" in told
    assert "the 8 pictures of the training data were found" in told
    assert (tmp_path / "d" / "pairs.png").stat().st_size > 10_000
    assert (tmp_path / "d" / "report.html").stat().st_size > 10_000


def test_json_is_all_there_is_on_stdout(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEPS", steps.STEPS[:1])
    monkeypatch.setattr(steps, "SECOND", ())
    assert main(["demo", str(tmp_path), "--pairs", "100", "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["pairs"] == 100


def test_another_outcome_is_named(site: Site, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "danqing" / "outcomes").mkdir(parents=True)
    rows = [{**row, "attempts": 1} for row in site.truth.rows]
    changed = next(row for row in rows if row["fault"] == "opt-out")
    changed.update(outcome="kept", reason=None)
    pq.write_table(
        pa.Table.from_pylist(rows), tmp_path / "danqing" / "outcomes" / "train-00000-of-00001.parquet"
    )
    demo = Demo(DemoConfig(), tmp_path, site.host, site.truth)
    compare(demo)
    assert demo.differences == [f"{changed['url']} (opt-out): planted opt_out, came out as kept"]
    assert f"DIFFERS {demo.differences[0]}" in capsys.readouterr().out


def test_a_difference_ends_the_command_with_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "STEPS", (("Differ", lambda demo: demo.differ(["this row"], "")),))
    monkeypatch.setattr(steps, "SECOND", ())
    assert main(["demo", str(tmp_path), "--pairs", "100"]) == 1
    assert "1 results are not as planted" in capsys.readouterr().err


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "web").mkdir()
    (tmp_path / "web" / "mine").touch()
    assert main(["demo", str(tmp_path)]) == 3
    assert "not of a demo" in capsys.readouterr().err
    assert (tmp_path / "web" / "mine").exists()
    with pytest.raises(InputError, match="is a file"):
        prepare(tmp_path / "web" / "mine")


def test_a_demo_is_made_anew_and_other_files_in_it_stay(tmp_path: Path) -> None:
    (prepare(tmp_path / "d") / "web").mkdir()
    (tmp_path / "d" / "truth.parquet").touch()
    (tmp_path / "d" / "notes").touch()
    prepare(tmp_path / "d")
    assert sorted(path.name for path in (tmp_path / "d").iterdir()) == [steps.MARK, "notes"]


@pytest.mark.parametrize("flags", [["--pairs", "99"], ["--seed", "-1"]])
def test_values_that_make_no_demo(
    flags: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["demo", str(tmp_path), *flags]) == 2
    assert flags[0] in capsys.readouterr().err


def test_the_sheet_is_drawn_with_any_number_of_pairs(tmp_path: Path, site: Site) -> None:
    images = [(row["url"], sheet.Image.new("RGB", (40, 90), "red")) for row in site.truth.rows[:8]]
    assert sheet.draw([("红色", image) for _, image in images], tmp_path / "s.png") == (
        sheet.chinese_font() is not None
    )
    with sheet.Image.open(tmp_path / "s.png") as drawn:
        assert drawn.width == sheet.COLUMNS * (sheet.CELL + sheet.GAP) + sheet.GAP


def test_the_summary_is_one_object_and_two_lines_or_four() -> None:
    summary = steps.DemoSummary("demo", 100, 80, 3.0, 2, {})
    assert summary.as_dict()["kept"] == 80
    assert len(summary.lines()) == 2
    told = replace(summary, verdicts={"same": 70, "drifted": 10}).lines()
    assert told[1] == "a year later: 70 same, 10 drifted"
    assert told[3] == "and at demo/report.html, and demo/run.html of the training"


def test_a_loss_that_does_not_fall_is_a_difference_where_the_pairs_are_enough() -> None:
    falls, stays = [1.0] * 9 + [0.5] * 9, [0.5] * 9 + [1.0] * 9
    assert train.fallen(falls, enough=True) == ([], "mean loss of the first 2 steps 1.000, of the last 0.500")
    assert train.fallen(stays, enough=False)[0] == []
    assert train.fallen(stays, enough=True)[0] == [
        "mean loss of the first 2 steps 0.500, of the last 1.000: it did not fall"
    ]


def test_without_the_extras_the_first_half_runs_and_the_rest_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "NEEDED", ("numpy", "a_model_library"))
    monkeypatch.setattr(steps, "STEPS", steps.STEPS[:1])
    assert main(["demo", str(tmp_path), "--pairs", "100"]) == 0
    told = capsys.readouterr().out
    assert (
        "no a_model_library here: for the second half, "
        "pip install 'danqing[siglip2,curate,report,release,train,evaluate]'"
    ) in told
    assert later.STEPS[0][0] not in told


def test_shares_out_of_their_bounds_are_differences_where_the_pairs_are_enough(
    tmp_path: Path, site: Site
) -> None:
    wrong = [Share("intact dropped", 5, 100, 0.02)]
    few, many = (Demo(DemoConfig(pairs=pairs), tmp_path, site.host, site.truth) for pairs in (999, 1000))
    later.judge(few, wrong)
    later.judge(many, wrong)
    assert few.differences == []
    assert many.differences == ["intact dropped: 5 of 100, wanted <= 2%"]


def test_a_folder_that_cannot_be_made_is_one_line() -> None:
    with pytest.raises(EnvironmentProblem, match=r"cannot use /proc/none: No such file"):
        prepare(Path("/proc/none"))
