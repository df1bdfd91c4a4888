"""How far a run of `danqing train` is, from what lies in its folder: whole, under way, torn, or of anybody's making."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from builder.cli import main
from builder.errors import InputError
from builder.stage import trained
from builder.stage.trained import RunRecord
from tests.runs import BATCH, END, PLAN, TOTAL, lines, make_run, step, validation


def found(run: Path, tail: bool = False) -> RunRecord:
    record = trained.find(str(run), tail)
    assert record is not None
    return record


def told(run: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert main(["status", str(run), "--json"]) == 0
    return dict(json.loads(capsys.readouterr().out))


def test_a_run_that_is_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run")
    assert main(["status", str(run)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "train: 50 of 50 steps (100.0%), 3,191 pairs, epoch 2.00",
        "loss 0.7922, learning rate 1e-05, scale 10, bias -10",
        "32 pairs/s, waits for data 25.0%",
        "validation after step 50: loss 0.04, R@1 image to text 50.0%, text to image 25.0%",
        "pairs lost: 7 corrupt, 2 no_text",
        "newest checkpoint: step 50",
        "done in 2 min 5 s",
    ]
    as_json = told(run, capsys)
    assert (as_json["done"], as_json["seconds_left"]) == (True, None)
    assert as_json["lost"] == END["lost"]


def test_a_run_under_way_says_what_is_left(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", 27)
    assert main(["status", str(run)]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == "not done; 46 s more at this speed"
    as_json = told(run, capsys)
    assert as_json["steps"] == {"done": 27, "total": TOTAL}
    assert as_json["seconds_left"] == (TOTAL - 27) * BATCH / 32
    assert as_json["checkpoints"] == [10, 20]
    assert as_json["validation"]["step"] == 20


def test_a_run_that_was_begun_and_no_more(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = make_run(tmp_path / "run", 0)
    (run / "log.jsonl").unlink()
    assert main(["status", str(run)]) == 0
    first, *rest = capsys.readouterr().out.splitlines()
    assert first == "train: 0 of 50 steps (0.0%), 0 pairs, epoch 0.00"
    assert rest == ["pairs lost: none", "newest checkpoint: none yet", "not done"]
    assert told(run, capsys)["loss"] is None


def test_a_line_that_is_being_written_is_no_complaint(tmp_path: Path) -> None:
    whole = "".join(json.dumps(one) + "\n" for one in lines(12)).encode()
    record = found(make_run(tmp_path / "run", 12, log=whole[:-9]))
    assert (record.at, record.unread) == (11, 0)


@pytest.mark.parametrize(
    "line",
    [
        b"", b"[]", b"{", b"null", b"\xff\xfe", b"[" * 50_000, b"{" + b" " * 70_000 + b"}",
        b'{"step": -1}', b'{"step": 1.5}', b'{"step": true}', b'{"step": "9"}', b'{"step": 99999999999999999999}',
        b'{"step": 12, "loss": "low"}', b'{"step": 12, "loss": true}', b'{"step": 12, "loss": [1]}',
        b'{"step": 12, "loss": ' + b"9" * 400 + b"}", b'{"step": 12, "loss": ' + b"9" * 5000 + b"}",
        b'{"step": 12, "lost": []}', b'{"step": 12, "lost": {"corrupt": -1}}', b'{"step": 12, "lost": 3}',
        b'{"step": 12, "lost": ' + json.dumps(dict.fromkeys(map(str, range(65)), 1)).encode() + b"}",
        b'{"step": 12, "validation": [1]}', b'{"step": 12, "validation": {"loss": {}}}', b'{"step": 11}',
    ],
)  # fmt: skip
def test_a_line_that_is_none_is_counted_and_passed_over(tmp_path: Path, line: bytes) -> None:
    before = "".join(json.dumps(one) + "\n" for one in lines(11)).encode()
    after = json.dumps(step(13)).encode() + b"\n"
    record = found(make_run(tmp_path / "run", 13, log=before + line + b"\n" + after))
    assert record.at == 13
    assert len(record.steps["step"]) == 12
    assert record.unread >= 1
    assert len({len(numbers) for numbers in record.steps.values()}) == 1
    assert len({len(numbers) for numbers in record.validations.values()}) == 1


@pytest.mark.parametrize("written", ['"nan"', '"inf"', '"-inf"', "NaN", "-Infinity", "null"])
def test_a_loss_that_is_no_number_is_kept_as_such(
    tmp_path: Path, written: str, capsys: pytest.CaptureFixture[str]
) -> None:
    line = json.dumps(step(1)).replace(": 4.0", f": {written}")
    run = make_run(tmp_path / "run", 1, log=line.encode() + b"\n")
    assert found(run).unread == 0
    assert told(run, capsys)["loss"] is None
    assert main(["status", str(run)]) == 0
    assert "loss nan" in capsys.readouterr().out


def test_nobody_knows_when_a_run_that_stands_still_is_done(tmp_path: Path) -> None:
    for number, speed in enumerate((0, -1, 1e-300, "nan")):
        log = json.dumps(step(3) | {"pairs_per_second": speed}).encode() + b"\n"
        assert found(make_run(tmp_path / str(number), 3, log=log)).seconds_left is None


def test_the_end_of_a_long_log_is_enough(tmp_path: Path) -> None:
    many = [*map(step, range(1, 6000)), validation(5999), step(6000) | {"lost": {"corrupt": 8}}]
    run = make_run(tmp_path / "run", 7, log="".join(json.dumps(one) + "\n" for one in many).encode())
    all_of_it, end = found(run), found(run, tail=True)
    assert len(end.steps["step"]) < len(all_of_it.steps["step"]) == 6000
    assert (end.at, end.lost, end.unread) == (6000, {"corrupt": 8}, 0)
    assert end.recent("loss") == all_of_it.recent("loss")
    assert end.validations == all_of_it.validations


def test_what_is_no_run_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert trained.find(str(tmp_path)) is trained.find(str(tmp_path / "file")) is None
    assert main(["status", str(tmp_path)]) == 3
    assert "give the OUTPUT of danqing crawl, refine, rebuild or train" in capsys.readouterr().err


@pytest.mark.parametrize(
    "end", ["[]", "{", "{}", json.dumps(END | {"steps": -1}), json.dumps(END | {"lost": [1]})]
)
def test_an_end_that_is_none_is_one_line(tmp_path: Path, end: str) -> None:
    run = make_run(tmp_path / "run")
    (run / "ledger/train/done.json").write_text(end)
    with pytest.raises(InputError, match=r"done\.json: no end of a run"):
        trained.find(str(run))


def test_a_log_that_is_a_folder_is_one_line(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", 3)
    (run / "log.jsonl").unlink()
    (run / "log.jsonl").mkdir()
    with pytest.raises(InputError, match=r"log\.jsonl: is no file"):
        trained.find(str(run))


@pytest.mark.parametrize("config", [{}, {"steps": "many", "batch_size": None}, {"steps": -1}])
def test_a_plan_that_says_little_is_told_all_the_same(
    tmp_path: Path, config: dict[str, Any], capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "run", 20, plan={**PLAN, "rows": {}, "config": config})
    assert main(["status", str(run)]) == 0
    assert capsys.readouterr().out.startswith("train: 20 of 0 steps, 1,271 pairs, epoch 0.00")
