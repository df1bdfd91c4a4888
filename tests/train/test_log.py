"""The log of a run: whole lines, none twice after a kill, and losses that stand out."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

from builder.errors import EnvironmentProblem
from builder.train.log import LEAST, RunLog, Spikes, trackers


class Tracked:
    """What trackers were given."""

    def __init__(self) -> None:
        self.seen: list[tuple[int, dict[str, Any]]] = []

    def log(self, values: dict[str, Any], step: int) -> None:
        self.seen.append((step, values))


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "log.jsonl").read_bytes().splitlines()]


def test_a_line_a_step_for_people_and_for_trackers(tmp_path: Path) -> None:
    told = Tracked()
    with RunLog(tmp_path, 0, told) as log:
        log.write({"step": 1, "loss": 2.5, "lost": {"corrupt": 1}})
        log.write({"step": 2, "loss": float("nan"), "validation": {"loss": float("inf")}})
    assert lines(tmp_path) == [
        {"step": 1, "loss": 2.5, "lost": {"corrupt": 1}},
        {"step": 2, "loss": "nan", "validation": {"loss": "inf"}},
    ]
    assert told.seen[0] == (1, {"loss": 2.5, "lost/corrupt": 1})
    assert [*told.seen[1][1]] == ["loss", "validation/loss"]


def test_a_run_that_goes_on_says_no_step_twice(tmp_path: Path) -> None:
    with RunLog(tmp_path, 0, Tracked()) as log:
        for step in range(1, 6):
            log.write({"step": step, "loss": 1.0})
    with (tmp_path / "log.jsonl").open("ab") as file:
        file.write(b'{"step": 2, "lo')  # torn by a kill
    with RunLog(tmp_path, 3, Tracked()) as log:
        log.write({"step": 4, "loss": 2.0})
    assert [(one["step"], one["loss"]) for one in lines(tmp_path)] == [(1, 1), (2, 1), (3, 1), (4, 2)]


@pytest.mark.parametrize(
    "line", [b"[]", b"{}", b'{"step": "x"}', b'{"step": null}', b'{"step": 1e400}', b"\xff", b"[" * 100_000]
)
def test_lines_of_others_are_left_out(tmp_path: Path, line: bytes) -> None:
    (tmp_path / "log.jsonl").write_bytes(line + b'\n{"step": 1}\n')
    with RunLog(tmp_path, 1, Tracked()):
        pass
    assert lines(tmp_path) == [{"step": 1}]


def test_a_run_that_begins_begins_its_log(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text('{"step": 1}\n')
    with RunLog(tmp_path, 0, Tracked()):
        pass
    assert lines(tmp_path) == []


def test_trackers_that_are_asked_for() -> None:
    assert trackers("none") == []
    assert trackers("tensorboard") == ["tensorboard"]
    assert "tensorboard" in trackers("auto")


def test_a_tracker_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(EnvironmentProblem, match="--track trackio: it is not installed: pip install trackio"):
        trackers("trackio")
    assert trackers("auto") == []


def test_a_spike_is_told_from_noise() -> None:
    spikes = Spikes()
    assert not any(spikes.is_one(5 + 0.01 * (n % 3)) for n in range(LEAST))
    assert not spikes.is_one(5.05)
    assert spikes.is_one(9.0)
    assert not spikes.is_one(5.0)


def test_the_fall_of_a_young_run_is_no_spike() -> None:
    spikes = Spikes()
    assert not any(spikes.is_one(10 / (1 + n)) for n in range(60))
    assert not Spikes().is_one(1e9)  # nothing to hold it against
