"""The funnel is read off the ledger, and counts each pair once."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from builder.card import funnel, words
from builder.disk import files
from builder.disk.ledger import ShardLedger, Tally
from builder.errors import VerificationError
from builder.reasons import KEPT, Cause, Reason, Verdict

from ..roots import make_root
from ..scored import make_scored
from ..stage.test_funnels import two
from .published import Made, publish


def rebuilt(root: Path) -> None:
    """A ledger of rebuild beside the 100 pairs that make_root made: of 150 rows 10 are pending."""
    options = {"encode": "jpeg", "quality": 95, "timeout": 9}
    plan = {"rows": {"train": 150}, "shards": {"train": 3}, "config": options}
    files.write_atomic(f"{root}/ledger/rebuild/plan.json", json.dumps(plan).encode())
    for shard, (kept, reasons) in enumerate([(60, {"dns": 10}), (40, {"dns": 20, "http_4xx": 10})]):
        tally = Tally(rows=kept + sum(reasons.values()), kept=kept, reasons=reasons)
        stem = f"train-{shard:05d}-of-00003"
        ShardLedger.of("rebuild", stem, tally, outputs={}, config="c", seconds=1.0).write(str(root))


def test_of_a_root_that_was_scored(tmp_path: Path) -> None:
    make_root(tmp_path)
    rows = make_scored(tmp_path)
    rebuilt(tmp_path)
    told = funnel.of_root(str(tmp_path), 100)
    kept = sum(row["kept"] for row in rows)
    assert {name: told[name] for name in ("manifest", "pending", "reasons", "fetched")} == {
        "manifest": 150,
        "pending": 10,
        "reasons": {"dns": 30, "http_4xx": 10},
        "fetched": 100,
    }
    assert sum(told["verdicts"].values()) == 100
    assert 100 - sum(told["left_out"].values()) == kept
    assert told["left_out"]["min_score"] > 0
    assert told["decision"]["keep"] == [*KEPT]
    assert told["options"] == {"encode": "jpeg", "quality": 95}


def test_of_a_root_that_was_not_scored(tmp_path: Path) -> None:
    make_root(tmp_path)
    rebuilt(tmp_path)
    told = funnel.of_root(str(tmp_path), 100)
    assert (told["verdicts"], told["left_out"], told["decision"]) == ({}, {}, {})


@pytest.mark.parametrize("scored", [False, True])
def test_of_a_root_without_a_ledger_of_rebuild(scored: bool, tmp_path: Path) -> None:
    make_root(tmp_path)
    if scored:
        make_scored(tmp_path)
    told = funnel.of_root(str(tmp_path), 100)
    assert (told["manifest"], told["pending"], told["reasons"], told["fetched"]) == (100, 0, {}, 100)
    assert (told["options"], bool(told["left_out"])) == ({}, scored)


def test_the_funnels_of_its_plan_come_with_it(tmp_path: Path) -> None:
    make_root(tmp_path)
    rebuilt(tmp_path)
    assert "before" not in funnel.of_root(str(tmp_path), 100)
    path = tmp_path / "ledger/rebuild/plan.json"
    plan = json.loads(path.read_text()) | {"funnels": two()}
    path.write_text(json.dumps(plan))
    assert funnel.of_root(str(tmp_path), 100)["before"] == two()


def test_the_rows_of_the_paper_are_told_by_number() -> None:
    # 160 of 400 pairs are of another language, 40 of the 240 left are short, and later 48 of 200; 100 of 150 came.
    assert funnel.beside(two(), 150, 100) == [
        ("1 language", "40.0 %", "20.0 %"),
        ("2 length", "36.7 %", "25.0 %"),  # 1 - 200/240 * 152/200
        ("3 download success", "33.3 %", "32.7 %"),
    ]
    assert [name for name, _, _ in funnel.beside(two(), 0, 0)] == ["1 language", "2 length"]


def test_steps_add_up_or_fail(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    steps = funnel.steps(release)
    assert [step.name for step in steps if step.kind == "stage"] == ["manifest", "fetched", "released"]
    lost = sum(step.pairs for step in steps if step.kind != "stage")
    assert steps[0].pairs - lost == steps[-1].pairs == release.counts["kept"]
    fewer = replace(release, counts=release.counts | {"kept": release.counts["kept"] - 1})
    with pytest.raises(
        VerificationError, match="the funnel does not add up: 80 pairs should be released, 79 are"
    ):
        funnel.steps(fewer)


def test_duplicates_are_a_step(tmp_path: Path) -> None:
    release, _ = publish(tmp_path)
    told = release.funnel | {"removed": 1, "duplicates": 3}
    assert funnel.Step("release", "duplicates", 3) in funnel.steps(replace(release, funnel=told))


def test_revisions_are_handed_on(tmp_path: Path) -> None:
    release, _ = publish(tmp_path, Made(parts=False))
    told = funnel.revisions(release)
    assert [one["version"] for one in told] == ["v2026.08", "v2026.11"]
    assert told[-1]["dropped"] == {"drifted": 17, "removed": 3}
    assert funnel.revisions(None) == []


def test_every_reason_has_words_of_its_own() -> None:
    """A template would call one without them just `dropped`."""
    assert words.REASONS.keys() >= {*Reason, *Verdict, Cause.MIN_SCORE}
    assert words.CAUSES.keys() == {*Cause}
