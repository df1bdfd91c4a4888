"""Whatever names a user is given by others, no command prints what moves the cursor or turns the writing round."""

from __future__ import annotations

import json
import unicodedata
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import STAGES, main
from builder.console import harmless, harmless_json
from tests.release.roots import scored_root, with_ledger

EVIL = "a\x1b[2J\x07\x9b31m\u202egpj\u2066b\u2028c\u200f"
ARGUMENTS = {"rebuild": 2, "release": 2, "report": 2}


def assert_harmless(capsys: pytest.CaptureFixture[str], *said: str) -> None:
    captured = capsys.readouterr()
    text = captured.out + captured.err
    assert all(one in text for one in said), text
    odd = {one for one in text if one != "\n" and unicodedata.category(one) in ("Cc", "Cf", "Zl", "Zp", "Cs")}
    assert not odd


def test_what_is_seen_stays() -> None:
    assert harmless("图片 é\u200d👩 ok") == "图片 é\u200d👩 ok"
    assert json.loads(harmless_json(json.dumps({EVIL: EVIL}, ensure_ascii=False))) == {EVIL: EVIL}


@pytest.mark.parametrize("stage", [name for name in STAGES if name != "demo"])
@pytest.mark.parametrize("debug", [False, True])
def test_a_path_in_an_error(
    stage: str, debug: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(tmp_path / EVIL)] * ARGUMENTS.get(stage, 1)
    assert main([stage, *words, *(["--debug"] if debug else [])]) != 0
    assert_harmless(capsys, "danqing: ")


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_columns_of_a_manifest(
    json_flag: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = pa.table({"url": ["http://h.test/1.jpg"], "alt_text": ["x"], EVIL: ["y"]})
    pq.write_table(table, tmp_path / "m.parquet")
    assert main(["rebuild", str(tmp_path / "m.parquet"), str(tmp_path / EVIL), "--dry-run", *json_flag]) == 0
    assert_harmless(capsys, "[2J")


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_ledger(json_flag: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "root" / "ledger" / EVIL
    folder.mkdir(parents=True)
    (folder / "plan.json").write_text(
        json.dumps({"stage": EVIL, "rows": {"train": 3}, "shards": {"train": 1}})
    )
    flight = {"train-00000": {"rows": 1, "kept": 0, "reasons": {EVIL: 1}, "http_status": {}, "hosts": {EVIL: [0, 1]},
                              "bytes": 0, "requests": 1}}  # fmt: skip
    (folder / "progress-0.json").write_text(json.dumps({"at": EVIL, "shards": flight}))
    assert main(["status", str(tmp_path / "root"), *json_flag]) == 0
    assert_harmless(capsys, "[2J")


def test_a_release(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root, out = scored_root(tmp_path, rows=20), tmp_path / "out"
    with_ledger(root)
    said = ["--license", "cc0-1.0", "--source", "demo/scenes", "--repository", "a/b", "--quiet"]
    main(["release", str(root), str(out), "--dry-run", *said, "--name", EVIL])
    assert main(["release", str(root), str(out), *said]) == 0
    (out / EVIL).write_text("nobody named it")
    assert main(["verify", str(out)]) == 1
    assert_harmless(capsys, "a?[2J")
