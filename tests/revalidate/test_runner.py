"""The whole run: the same scores whatever was killed, shared out, cut or batched; nothing overwritten by mistake."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.disk.ledger import read_all
from builder.revalidate import pieces, rules, work
from builder.stage.stop import Stop
from tests import renames
from tests.checkpoints import make_chinese
from tests.drift import write_manifest, write_root

from .runs import CHECKPOINT, column, made, planted, read, revalidate, rewrite, scored

PAIRS = planted(60)
SHARD = 15


@pytest.fixture(autouse=True)
def small(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(rules, "PANEL", 25)
    yield
    renames.before = None


@pytest.fixture
def root(tmp_path: Path) -> Path:
    write_root(tmp_path / "root", PAIRS, later=True, shard=SHARD)
    return tmp_path / "root"


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The root of then, scored."""
    folder = tmp_path_factory.mktemp("release") / "root"
    write_root(folder, PAIRS, later=False, shard=SHARD)
    assert revalidate(folder, "--alpha", "0.5") == 0
    return folder


@pytest.fixture(scope="module")
def untouched(tmp_path_factory: pytest.TempPathFactory, release: Path) -> Path:
    """The root of now, scored in one go."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rules, "PANEL", 25)
        folder = tmp_path_factory.mktemp("untouched") / "root"
        write_root(folder, PAIRS, later=True, shard=SHARD)
        assert revalidate(folder) == 0
    return folder


def same_but_for_noise(one: dict[str, dict[str, Any]], other: dict[str, dict[str, Any]]) -> None:
    """The same p-values and codes, and scores within what float32 makes of another order of summing."""
    assert one.keys() == other.keys()
    for key, row in one.items():
        noisy = {"score_alt_text", "score_recaption", "score_change"}
        assert {n: v for n, v in row.items() if n not in noisy} == {
            n: v for n, v in other[key].items() if n not in noisy
        }
        a, b = ([line[name] or 0.0 for name in sorted(noisy)] for line in (row, other[key]))
        assert np.allclose(a, b, atol=1e-5)


def test_every_row_of_images_has_its_row_of_scores(untouched: Path) -> None:
    for file in (untouched / "images").glob("*"):
        keys = pq.read_table(file, columns=["key"])["key"]
        assert pq.read_table(untouched / "scores" / file.name)["key"].equals(keys)
    meta = json.loads(pq.read_schema(next((untouched / "scores").glob("*"))).metadata[b"danqing"])
    assert meta["name"] == "tiny"
    assert meta["preprocessing"]
    assert (meta["caption"], meta["dtype"], meta["reference"]) == ("alt_text", "float32", None)
    assert not (untouched / ".revalidate").exists()


def test_a_finished_run_does_nothing(untouched: Path) -> None:
    before = made(untouched)
    assert revalidate(untouched) == 0
    assert made(untouched) == before


@pytest.mark.parametrize("number", range(1, 12, 2))
def test_a_crash_before_any_file_appears_changes_nothing_in_the_end(
    root: Path, untouched: Path, number: int
) -> None:
    """The panel, the plan, every shard and its marker: each in turn is the one that is not written."""
    count = 0

    def crash(path: str) -> None:
        nonlocal count
        count += 1
        if count == number:
            raise OSError(28, "No space left on device", path)

    renames.before = crash
    assert revalidate(root) == 4
    renames.before = None
    assert revalidate(root) == 0
    assert made(root) == made(untouched)


KILLED = """
import os, signal, sys
from builder.cli import main
from builder.revalidate import pieces, rules, work
from builder.stage.stop import Stop
from tests import renames
rules.PANEL = 25
renames.before = lambda path: path.endswith("train-00001.json") and os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""


def test_kill_9_between_a_shard_and_its_marker(root: Path, untouched: Path) -> None:
    words = ["revalidate", str(root), "--model", CHECKPOINT, "--device", "cpu", "--quiet"]
    killed = subprocess.run([sys.executable, "-c", KILLED, *words], capture_output=True, check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert [one.shard for one in read_all(str(root), "revalidate")] == ["train-00000-of-00004"]
    first = root / "scores" / "train-00000-of-00004.parquet"
    written = first.stat().st_ino
    assert revalidate(root, "--limit", "1") == 0
    assert first.stat().st_ino == written
    assert revalidate(root) == 0
    assert made(root) == made(untouched)
    assert not (root / ".revalidate").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_shard_in_flight_and_no_other(
    root: Path, untouched: Path, number: signal.Signals, capsys: pytest.CaptureFixture[str]
) -> None:
    renames.before = lambda path: signal.raise_signal(number) if path.endswith("panel.npz") else None
    assert revalidate(root) == 130
    renames.before = None
    assert "same command goes on" in capsys.readouterr().err
    assert revalidate(root) == 0
    assert made(root) == made(untouched)


def test_a_signal_while_shards_are_scored_finishes_one(root: Path, untouched: Path) -> None:

    def ask(path: str) -> None:
        if path.endswith("train-00000.json"):
            os.kill(os.getpid(), signal.SIGINT)

    renames.before = ask
    assert revalidate(root) == 130
    renames.before = None
    assert len(list(read_all(str(root), "revalidate"))) == 2
    assert revalidate(root) == 0
    assert made(root) == made(untouched)


def test_the_first_signal_is_answered_once_and_the_second_stops() -> None:
    said = threading.Event()

    class Heard(Console):
        def warn(self, text: str) -> None:
            assert "Ctrl-C again stops now" in text
            assert not said.is_set()
            said.set()

    with Stop(Heard()) as stop:
        stop.graceful = True
        assert not stop.asked
        signal.raise_signal(signal.SIGINT)
        said.wait()
        assert stop.asked
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)


def test_ranks_together_make_what_one_run_makes(
    root: Path, untouched: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert revalidate(root, "--rank", "0", "--world-size", "2") == 0
    assert "missing   train-00001-of-00004, train-00003-of-00004" in capsys.readouterr().out
    assert not (root / "ledger" / "revalidate" / "decision.json").exists()
    for name, value in (("RANK", "1"), ("WORLD_SIZE", "2"), ("LOCAL_RANK", "1")):
        monkeypatch.setenv(name, value)
    assert revalidate(root) == 0
    assert made(root) == made(untouched)


def test_limit_takes_whole_shards_and_goes_on(root: Path, untouched: Path) -> None:
    for done in (2, 4):
        assert revalidate(root, "--limit", str(SHARD + 1)) == 0
        assert len(list((root / "scores").glob("*"))) == done
    assert made(root) == made(untouched)


def test_the_layout_of_the_shards_changes_nothing(tmp_path: Path, untouched: Path) -> None:
    write_root(tmp_path / "root", PAIRS[::-1], later=True, shard=23)
    assert revalidate(tmp_path / "root") == 0
    same_but_for_noise(scored(tmp_path / "root"), scored(untouched))


@pytest.mark.parametrize("size", ["1", "7"])
def test_the_size_of_the_batch_changes_nothing(root: Path, untouched: Path, size: str) -> None:
    assert revalidate(root, "--batch-size", size) == 0
    same_but_for_noise(scored(root), scored(untouched))


def test_neither_row_groups_nor_pieces_nor_rounds_change_anything(
    root: Path, untouched: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for file in (root / "images").glob("*"):
        pq.write_table(pq.read_table(file), file, row_group_size=4)
    monkeypatch.setattr(pieces, "ROWS", 3)
    monkeypatch.setattr(work, "ROUND", 10)
    assert revalidate(root) == 0
    same_but_for_noise(scored(root), scored(untouched))


def test_a_shard_without_a_row_has_scores_without_a_row(root: Path) -> None:
    file = root / "images" / "train-00001-of-00004.parquet"
    pq.write_table(pq.read_table(file).slice(0, 0), file)
    assert revalidate(root) == 0
    assert len(read(root / "scores" / file.name)) == 0
    assert len(scored(root)) == len(PAIRS) - SHARD


def test_a_shard_that_was_rebuilt_is_scored_again(root: Path) -> None:
    assert revalidate(root) == 0
    markers = {one.shard: one for one in read_all(str(root), "revalidate")}
    images = root / "images" / "train-00002-of-00004.parquet"
    rewrite(images, pq.read_table(images).slice(0, SHARD - 1))
    assert revalidate(root) == 0
    changed = [
        one.shard for one in read_all(str(root), "revalidate") if one.outputs != markers[one.shard].outputs
    ]
    assert images.stem in changed
    assert len(read(root / "scores" / images.name)) == SHARD - 1
    decision = json.loads((root / "ledger" / "revalidate" / "decision.json").read_bytes())
    assert sum(decision["verdicts"].values()) == len(PAIRS) - 1


def test_same_bytes_never_reach_the_model(root: Path, release: Path, tmp_path: Path) -> None:
    """Behind the recorded hash the stored picture is broken: only who does not look can call the pair the same."""
    write_manifest(tmp_path / "m.parquet", release)
    for file in (root / "images").glob("*"):
        table = pq.read_table(file)
        rows = table.to_pylist()
        kinds = {pair.url: pair.kind for pair in PAIRS}
        for row in rows:
            row["image"] = {"bytes": b"", "path": ""} if kinds[row["url"]] == "same" else row["image"]
        rewrite(file, pa.Table.from_pylist(rows, table.schema))
    assert revalidate(root, "--reference", str(tmp_path / "m.parquet")) == 0
    verdicts = [row for file in (root / "scores").glob("*") for row in pq.read_table(file).to_pylist()]
    same = {row["key"] for row in verdicts if row["verdict"] == "same"}
    assert len(same) == sum(pair.kind == "same" for pair in PAIRS)
    assert all(row["code"] and row["score_alt_text"] for row in verdicts if row["key"] in same)


def test_a_manifest_and_the_root_it_was_made_of_are_one_reference(
    root: Path, release: Path, tmp_path: Path
) -> None:
    other = tmp_path / "other"
    write_root(other, PAIRS, later=True, shard=SHARD)
    write_manifest(tmp_path / "m.parquet", release)
    assert revalidate(root, "--reference", str(tmp_path / "m.parquet")) == 0
    assert revalidate(other, "--reference", str(release)) == 0
    kept = {
        row["key"]
        for f in (release / "scores").glob("*")
        for row in pq.read_table(f).to_pylist()
        if row["kept"]
    }
    one, two = scored(root), scored(other)
    assert kept
    assert all(two[key]["same"] == one[key]["same"] for key in kept)
    assert all(row["same"] is None for key, row in two.items() if key not in kept)


def test_chinese_clip_scores_a_root_too(root: Path, tmp_path: Path) -> None:
    """Untrained, it tells no picture from another; every number is there all the same."""
    folder = make_chinese(tmp_path / "clip")
    assert revalidate(root, "--embeddings", "--model", str(folder)) in (0, 1)
    for file in (root / "embeddings").glob("clip-*/*"):
        table, scores = pq.read_table(file), read(root / "scores" / file.name)
        image, caption = (np.array(column(table, name), np.float32) for name in ("image", "alt_text"))
        assert np.allclose((image * caption).sum(axis=1), scores["score_alt_text"].to_numpy(), atol=2e-3)
        assert not scores["p_caption"].null_count
    assert len(list((root / "scores").iterdir())) == len(list((root / "embeddings").glob("clip-*/*"))) == 4


def test_embeddings_are_written_beside_the_scores(root: Path) -> None:
    assert revalidate(root, "--embeddings") == 0
    for file in (root / "embeddings").glob("*/*"):
        table, scores = pq.read_table(file), read(root / "scores" / file.name)
        image, caption = (np.array(column(table, name), np.float16) for name in ("image", "alt_text"))
        assert table.schema.field("image").type == pa.list_(pa.float16(), image.shape[1])
        assert table["key"].equals(scores["key"])
        cosine = (image.astype(np.float32) * caption.astype(np.float32)).sum(axis=1)
        assert np.allclose(cosine, scores["score_alt_text"].to_numpy(), atol=2e-3)


def test_dry_run_tells_and_touches_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert revalidate(root, "--dry-run", "--json", "--limit", "1") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["shards"], told["rows"], told["shards_to_do"]) == (4, 60, 4)
    assert told["options"]["caption"] == "alt_text"
    assert [path.name for path in root.iterdir()] == ["images"]


def test_an_uploaded_root_is_scored_where_it_is(root: Path, untouched: Path, tmp_path: Path,
                                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    store = fsspec.filesystem("memory")
    store.put(str(root / "images"), "/store/images", recursive=True)
    assert revalidate("memory://store") == 0
    store.get("/store/scores", str(root / "scores"), recursive=True)
    same_but_for_noise(scored(root), scored(untouched))
    assert [path for path in (tmp_path / "cache").rglob("*") if path.is_file()] == []
