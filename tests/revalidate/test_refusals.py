"""Bad input is one line, and nothing is overwritten."""

import json
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.cli import main, parse
from builder.disk.files import Lock
from builder.errors import UsageError
from builder.revalidate import rules
from builder.revalidate.config import RevalidateConfig
from tests.checkpoints import make_fixed
from tests.drift import write_root

from .runs import CHECKPOINT, made, planted, revalidate

SHARD = 15


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_root(tmp_path / "root", planted(60), later=True, shard=SHARD)
    return tmp_path / "root"


def refused(root: Path, code: int, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    """The one line of a run that must fail and leave everything as it is."""
    capsys.readouterr()
    before = {
        path: path.read_bytes()
        for path in root.rglob("*")
        if path.is_file() and ".revalidate" not in path.parts
    }
    assert revalidate(root, *flags) == code
    out, err = capsys.readouterr()
    assert before == {
        p: p.read_bytes() for p in root.rglob("*") if p.is_file() and ".revalidate" not in p.parts
    }
    assert (out, err.count("\n")) == ("", 1)
    return err


def test_scores_of_another_model_are_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert revalidate(root) == 0
    other = make_fixed(tmp_path / "other")
    said = refused(root, 2, capsys, "--model", str(other))
    assert "--model tiny" in said
    assert "--overwrite to score it anew" in said
    assert revalidate(root, "--model", str(other), "--overwrite") == 1  # untrained, it keeps nothing
    meta = json.loads(pq.read_schema(next((root / "scores").glob("*"))).metadata[b"danqing"])
    assert meta["name"] == "other"


def test_a_reference_with_other_keys_is_refused(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pq.write_table(pa.table({"key": ["ab" * 16], "sha256": ["cd" * 32]}), tmp_path / "m.parquet")
    said = refused(root, 3, capsys, "--reference", str(tmp_path / "m.parquet"))
    assert "no pair of the root is in the reference" in said


def test_a_corrupt_shard_is_named_and_mended_without_scoring_the_others_again(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rules, "PANEL", 25)  # which leaves pictures to be read in every shard
    assert revalidate(root, "--limit", "1") == 0
    before = made(root)
    file = root / "images" / "train-00002-of-00004.parquet"
    whole = file.read_bytes()
    image = pq.read_metadata(file).row_group(0).column(4)
    assert image.path_in_schema == "image.bytes"
    file.write_bytes(whole[: image.data_page_offset] + bytes(40) + whole[image.data_page_offset + 40 :])
    assert revalidate(root) == 3
    said = capsys.readouterr().err
    assert "train-00002-of-00004.parquet" in said
    assert "to make it anew, remove" in said
    assert said.count("\n") == 1
    assert before.items() <= made(root).items()
    file.write_bytes(whole)
    assert revalidate(root) == 0


def test_a_second_run_of_a_rank_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lock = Lock(root / ".revalidate" / "rank-0.lock")
    assert lock.acquire()
    assert "another danqing revalidate is at work" in refused(root, 4, capsys)
    lock.release()
    assert revalidate(root) == 0
    assert lock.acquire()
    assert "another danqing revalidate is at work" in refused(root, 4, capsys, "--decide", "--alpha", "0.2")
    lock.release()


def test_what_a_kill_left_half_written_is_gone_after_the_next_run(root: Path) -> None:
    assert revalidate(root) == 0
    left = [
        root / "ledger" / "revalidate" / ".decision.json.7.tmp",
        root / "scores" / ".train-00000-of-00004.parquet.tmp",
    ]
    for path in left:
        path.touch()
    assert revalidate(root, "--decide", "--alpha", "0.2") == 0
    assert not any(path.exists() for path in left)


def test_deciding_about_no_root_makes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert revalidate(tmp_path / "none", "--decide") == 3
    assert "no images/*.parquet" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


def test_overwrite_by_ranks_is_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "--overwrite" in refused(root, 2, capsys, "--overwrite", "--world-size", "2")


def test_a_root_half_rebuilt_or_none_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["revalidate", str(tmp_path / "none"), "--model", CHECKPOINT, "--quiet"]) == 3
    assert "no images/*.parquet in it" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("wrong", ["root", "column", "reference"])
def test_what_costs_little_is_looked_at_before_the_model_is_fetched(
    root: Path, capsys: pytest.CaptureFixture[str], wrong: str
) -> None:
    """No Hub can be reached here, which would be said if the model had been asked for."""
    where = root.parent / "none" if wrong == "root" else root
    if wrong == "column":
        file = root / "images" / "train-00000-of-00004.parquet"
        pq.write_table(pq.read_table(file).drop_columns(["alt_text"]), file)
    flags = ["--reference", str(root / "no.parquet")] if wrong == "reference" else []
    assert main(["revalidate", str(where), "--model", "org/model", "--quiet", *flags]) == 3
    said = {"root": "no images/*.parquet in it", "column": "no column alt_text", "reference": "no.parquet"}
    assert said[wrong] in capsys.readouterr().err


def test_without_torch_no_model_is_fetched(
    root: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    assert main(["revalidate", str(root), "--model", "org/model", "--quiet"]) == 4
    assert "torch is not installed: pip install 'danqing[siglip2]'" in capsys.readouterr().err


def test_a_column_that_is_lacking_is_named(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = root / "images" / "train-00001-of-00004.parquet"
    for name in ("alt_text", "key"):
        pq.write_table(pq.read_table(file).drop_columns([name]), file)
        assert f"train-00001-of-00004.parquet: no column {name}" in refused(root, 3, capsys)


@pytest.mark.parametrize(
    "wrong",
    [
        "--alpha 0", "--alpha 0.6", "--min-score 2", "--batch-size 0", "--batch-size many", "--caption text",
        "--decode slow", "--dtype int8", "--device gpu", "--device cpu:0", "--device cuda:x", "--compile maybe",
        "--rank 1", "--rank 3 --world-size 3", "--limit -1", "--workers -1", "--keep nothing", "--keep dead",
        "--decide --overwrite", "--decide --reference x", "--overwrite --world-size 2",
    ],
)  # fmt: skip
def test_options_that_make_no_sense_are_refused(wrong: str) -> None:
    with pytest.raises(UsageError, match=wrong.split()[0]):
        parse(["revalidate", "root", *wrong.split()])


def test_torchrun_says_the_rank_where_no_flag_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RANK", "3")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert RevalidateConfig().place == (3, 8)
    assert RevalidateConfig(rank=1, world_size=2).place == (1, 2)


def test_overwrite_removes_scores_alone_and_tells_so_before(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert revalidate(root, "--embeddings") == 0
    for name in ("scores/exam.csv", "embeddings/words.npy"):
        (root / name).write_text("mine")
    capsys.readouterr()
    assert revalidate(root, "--overwrite", "--dry-run", "--json") == 0
    told = json.loads(capsys.readouterr().out)["overwritten"]
    assert {name.split("/")[0] for name in told} == {"ledger", "scores", "embeddings"}
    assert not {"scores/exam.csv", "embeddings/words.npy"} & set(told)
    assert revalidate(root, "--overwrite") == 0
    assert (root / "scores" / "exam.csv").read_text() == "mine"
    assert [path.name for path in (root / "embeddings").iterdir()] == ["words.npy"]


def test_scores_of_anothers_are_refused(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "scores").mkdir()
    (root / "scores" / "exam.csv").write_text("mine")
    for flags in ((), ("--overwrite",)):
        assert "but it holds scores" in refused(root, 2, capsys, *flags)


def test_overwrite_does_not_remove_its_reference(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert revalidate(root) == 0
    said = refused(root, 2, capsys, "--overwrite", "--reference", f"{root}/./scores")
    assert "--overwrite would remove it" in said


def test_a_root_of_which_nothing_is_kept_ends_with_the_level_that_mends_it(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert revalidate(root, "--alpha", "0.0001", "--json") == 1
    out, err = capsys.readouterr()
    assert err.count("\n") == 1
    assert "none of 60 rows is kept, 60 of them drifted" in json.loads(out)["warning"]
    command = err.rpartition("; danqing ")[2].removesuffix(" keeps some\n").split()
    assert command[:3] == ["revalidate", str(root), "--decide"]
    assert main([*command, "--quiet"]) == 0
    assert main(["revalidate", str(root), "--decide", "--alpha", "0.2", "--keep", "same", "--quiet"]) == 1
    assert "--decide --keep VERDICTS" in capsys.readouterr().err
