"""The page about a run: what it says, also of one under way, and that hostile words stay words."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder.cli import main
from tests.runs import PLAN, lines, make_run, step

from .reading import Page

CHARTS = 9
SCRIPT = "<script>alert(1)</script>\u202e"


def page_of(run: Path, capsys: pytest.CaptureFixture[str] | None = None) -> tuple[Page, str]:
    """The page, and what was told on stdout."""
    page = run.parent / f"{run.name}.html"
    assert main(["report", str(run), str(page), "--quiet"]) == 0
    return Page(page.read_text(encoding="utf-8")), capsys.readouterr().out if capsys else ""


def test_the_page_tells_what_was_asked_and_what_came_of_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    page, said = page_of(make_run(tmp_path / "run"), capsys)
    assert said.startswith(f"{tmp_path}/run.html: 50 of 50 steps, ")
    rows = [[cell.strip() for cell in row] for row in page.tables["asked"]]
    assert rows[1] == ["learning rate", "0.001", "1e-05", "DanQing, section 4.1"]
    assert rows[2] == ["augmentation", "–", "–", "ours: none"]
    assert page.column("losses", 1) == {"corrupt": 7, "no_text": 2}
    assert [cell.strip() for cell in page.tables["validations"][-1]] == ["50", "40", "0.04", "50.0%", "25.0%"]
    assert "There are those of steps 10, 20, 30, 40, 50." in " ".join(page.text.split())
    assert "took 2 min 5 s" in page.text
    assert page.count("figure") == CHARTS
    assert page.count("svg") == 2 * CHARTS


def test_the_page_of_a_run_under_way(tmp_path: Path) -> None:
    page, _ = page_of(make_run(tmp_path / "run", 27))
    assert "of 50; 46 s to go" in page.text
    assert page.count("svg") == 2 * CHARTS


def test_the_page_of_a_run_that_has_only_begun(tmp_path: Path) -> None:
    page, _ = page_of(make_run(tmp_path / "run", 0))
    assert "Nothing was logged yet that can be drawn." in page.text
    assert "There is none yet." in page.text
    assert page.count("svg") == 0


def test_steps_that_stood_out_are_named_and_numbers_that_are_none_are_not_drawn(tmp_path: Path) -> None:
    told = lines(8)
    told[2]["loss"], told[4]["spike"], told[5]["spike"] = "nan", True, True
    log = "".join(json.dumps(one) + "\n" for one in told) + "no line\n"
    page, _ = page_of(make_run(tmp_path / "run", 8, log=log.encode()))
    said = " ".join(page.text.split())
    assert "1 step whose loss is no number: 3" in said
    assert "2 steps whose loss stood out from those before: 5, 6" in said
    assert "1 line of the log could not be read" in said
    nothing = [step(one) | {"loss": "inf", "scale": 1e300} for one in range(1, 5)]
    log = "".join(json.dumps(one) + "\n" for one in nothing)
    page, _ = page_of(make_run(tmp_path / "none", 4, log=log.encode()))
    assert page.count("figure") == CHARTS - 4  # neither loss nor scale, and there was no validation


def test_nothing_of_where_things_lie_and_no_word_of_anybodys_acts(tmp_path: Path) -> None:
    plan = json.loads(json.dumps(PLAN))
    plan["config"][SCRIPT] = plan["recipe"]["epochs"]["source"] = plan["checkpoint"]["name"] = SCRIPT
    plan["recipe"][SCRIPT] = {"value": [SCRIPT], "paper": {SCRIPT: 1}}
    plan["recipe"]["odd"] = plan["made_from"]["identity"][SCRIPT] = SCRIPT
    log = json.dumps(step(1) | {"lost": {SCRIPT: 3}}) + "\n"
    run = make_run(tmp_path / "run", 1, plan=plan, log=log.encode())
    page, _ = page_of(run)
    assert page.count("script") == 0
    assert page.text.count("<script>alert(1)</script>⟨202E⟩") >= 6
    written = (tmp_path / "run.html").read_text(encoding="utf-8")
    assert "/secret" not in written
    assert "\u202e" not in written
    assert "://" not in written


def test_a_page_of_a_run_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 0)
    page_of(run)
    page_of(run)
    (tmp_path / "run.html").write_text("mine")
    assert main(["report", str(run), str(tmp_path / "run.html"), "--quiet"]) == 2
