"""What is no number decides nothing: embeddings that are not finite, codes of zeros, scores that are not there."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from safetensors.torch import load_file, save_file

from builder.cli import main
from builder.disk.digests import KEY
from builder.disk.ledger import PlanDocument, write_plan
from builder.disk.schema import pair_key, saying
from builder.errors import VerificationError
from builder.revalidate.clusters import NONE
from builder.revalidate.config import RevalidateConfig
from builder.revalidate.judge import Decision, Judged
from builder.revalidate.panel import Panel, make_panel, read_panel
from builder.revalidate.pieces import PieceCutter
from builder.revalidate.reference import Reference, open_reference
from builder.revalidate.score import Scorer
from builder.towers import Embedded, ToEmbed
from tests.drift import write_root

from .runs import CHECKPOINT, column, planted, revalidate, shards, siglip
from .smallroot import run, shard
from .test_judge import NAN, pairs, words
from .test_reference import look

Change = Callable[[dict[str, torch.Tensor]], None]


def nan_in_a_weight(weights: dict[str, torch.Tensor]) -> None:
    name = next(name for name, one in weights.items() if name.startswith("vision_model.") and one.ndim == 2)
    weights[name][0, 0] = torch.nan


def too_large_for_float16(weights: dict[str, torch.Tensor]) -> None:
    weights["vision_model.encoder.layers.1.mlp.fc2.weight"] *= 3e6


@pytest.mark.parametrize(
    ("change", "dtype"), [(nan_in_a_weight, "float32"), (too_large_for_float16, "float16")]
)
def test_a_checkpoint_that_gives_no_numbers_gives_no_verdicts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], change: Change, dtype: str
) -> None:
    write_root(tmp_path / "root", planted(60), later=True, shard=60)
    shutil.copytree(CHECKPOINT, tmp_path / "model")
    weights = load_file(tmp_path / "model" / "model.safetensors")
    change(weights)
    save_file(weights, tmp_path / "model" / "model.safetensors", {"format": "pt"})
    assert revalidate(tmp_path / "root", "--model", str(tmp_path / "model"), "--dtype", dtype) == 1
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "no finite numbers" in said
    assert "--dtype float32 or bfloat16" in said
    assert [path.name for path in (tmp_path / "root").iterdir()] == ["images"]


def test_a_pair_without_numbers_has_drifted_and_is_not_tested() -> None:
    every = pairs(500, p_code=NAN, p_caption=1e-5)
    every["code"][:2] = NONE
    every["score"][:2] = NAN
    judged = Judged.of(every, 0.01)
    assert words(judged)[:3] == ["drifted no_score"] * 2 + ["matching caption"]
    assert judged.tested == 498
    assert np.isnan(judged.p[:2]).all()
    kept = Decision.of(every, RevalidateConfig(keep="matching,drifted")).kept
    assert kept.tolist() == [False] * 2 + [True] * 498


def test_they_are_no_cluster() -> None:
    assert set(words(Judged.of(pairs(4, code=NONE, phash=9, p_caption=1.0), 0.01))) == {"drifted no_score"}


def test_a_score_that_is_not_there_does_not_reach_the_least() -> None:
    every = pairs(3, p_caption=1e-5, score=[0.2, NAN, 0.05])
    assert Decision.of(every, RevalidateConfig()).kept.all()
    decision = Decision.of(every, RevalidateConfig(min_score=0.1))
    assert decision.kept.tolist() == [True, False, False]
    assert decision.unknown == 1
    assert Decision.of(every, RevalidateConfig(min_score=-1)).kept.tolist() == [True, False, True]


def scored_by_0_1_0(root: Path, void: int) -> None:
    """Scores as that build wrote them: where the embedding was NaN a code of zeros, no score and the best p."""
    count = 1000
    rng = np.random.default_rng(0)
    urls = [f"http://h.test/{number}" for number in range(count)]
    columns: dict[str, Any] = {
        "key": [pair_key(url, "x") for url in urls],
        "host": ["h.test"] * count,
        "score_alt_text": [None if n <= void else 0.2 for n in range(count)],
        "code": [bytes(32) if n < void else rng.bytes(32) for n in range(count)],
        "p_caption": [1 / 1001] * count,
        "phash": np.arange(1, count + 1).astype(np.uint64),
        "caption_hash": np.arange(1, count + 1).astype(np.uint64),
    }
    shard(root, "train-00000-of-00001", columns)
    plan: PlanDocument = {"stage": "revalidate", "rows": {"train": count}, "shards": {"train": 1}}
    write_plan(str(root), "revalidate", plan)


def test_scores_of_an_old_build_are_decided_without_its_nan(tmp_path: Path) -> None:
    scored_by_0_1_0(tmp_path, 2)  # the third has a code, but its caption has no score
    told = run(tmp_path)
    rows = pq.read_table(tmp_path / "scores").to_pylist()
    lost = [(row["verdict"], row["cause"], row["p"], row["kept"]) for row in rows[:3]]
    assert lost == [("drifted", "no_score", None, False)] * 3
    assert (told["causes"]["no_score"], told["tested"], told["kept"]) == (3, 997, 997)


def test_too_many_of_them_are_no_decision(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scored_by_0_1_0(tmp_path, 3)
    before = (tmp_path / "scores" / "train-00000-of-00001.parquet").read_bytes()
    assert main(["revalidate", str(tmp_path), "--decide"]) == 1
    assert "4 of 1,000 pairs have embeddings that are no finite numbers" in capsys.readouterr().err
    assert not (tmp_path / "ledger" / "revalidate" / "decision.json").exists()
    assert (tmp_path / "scores" / "train-00000-of-00001.parquet").read_bytes() == before


def test_rows_of_a_piece_that_came_to_no_numbers_are_written_down(tmp_path: Path) -> None:
    write_root(tmp_path, planted(20), later=True, shard=20)
    panel = make_panel(shards(tmp_path), Reference.empty(), siglip(), ("alt_text",), 8)
    ((piece, pictures),) = PieceCutter(Reference.empty(), panel, ("alt_text",)).pieces(shards(tmp_path)[0])
    work = ToEmbed(piece, pictures, (column(piece.table.take(piece.forward), "alt_text"),))
    (made,) = siglip().embed([work])
    image, caption = made.image.clone(), made.captions[0].clone()
    image[0], caption[1] = torch.nan, torch.nan
    tables = Scorer(siglip(), panel, ("alt_text",), embeddings=True).score(
        piece, Embedded(piece, image, made.intact, (caption,))
    )
    table, embeddings = tables["scores"], tables["embeddings"]
    void = set(piece.forward[:2].tolist())
    for number, row in enumerate(table.to_pylist()):
        absent = [row["score_alt_text"] is None, row["p_caption"] is None, row["code"] == bytes(32)]
        assert absent == [number in void] * 3
        assert (embeddings["image"][number].as_py() is None) == (number in void)


def test_the_towers_answer_with_a_direction_or_with_nan() -> None:
    from builder.towers.siglip2 import _unit

    class Output:
        pooler_output = torch.tensor([[3.0, 4.0], [0, 0], [torch.inf, 1], [1e30, 1e30], [torch.nan, 1]])

    rows = _unit(Output())
    assert rows[0].tolist() == pytest.approx([0.6, 0.8])
    assert torch.isnan(rows[1:]).all()


def panel_of(count: int) -> Panel:
    keys = np.array([bytes.fromhex(f"{n + 1:032x}") for n in range(count)], KEY)
    unit = np.ones((count, 4), np.float32) / 2
    return Panel(keys, np.arange(count).astype(np.uint64), unit, {"alt_text": unit.copy()})


def test_a_panel_of_an_old_build_is_read_without_its_nan(tmp_path: Path) -> None:
    panel = panel_of(1000)
    panel.image[7] = NAN
    panel.captions["alt_text"][8] = NAN
    panel.write(str(tmp_path))
    again = read_panel(str(tmp_path), ("alt_text",))
    assert again is not None
    assert len(again.keys) == 998
    assert np.isfinite(again.image).all()
    assert again.digest != panel.digest
    panel.image[9:11] = 0
    panel.write(str(tmp_path))
    with pytest.raises(VerificationError, match="4 of 1,000 pairs"):
        read_panel(str(tmp_path), ("alt_text",))


def test_a_code_of_zeros_is_not_recorded(tmp_path: Path) -> None:
    checkpoint = siglip().checkpoint
    keys = ["aa" * 16, "bb" * 16, "cc" * 16]
    table = pa.table(
        {
            "key": keys,
            "sha256": ["dd" * 32] * 3,
            "code": pa.array([bytes(32), bytes([1]) * 32, None], pa.binary()),
            "score_alt_text": pa.array([float("inf"), 0.5, float("nan")], pa.float32()),
        }
    )
    said = {"fingerprint": checkpoint.fingerprint, "caption": "alt_text"}

    pq.write_table(table.replace_schema_metadata(saying(table.schema, said).metadata), tmp_path / "m.parquet")
    (tmp_path / "work").mkdir()
    index = open_reference(look(str(tmp_path / "m.parquet"), checkpoint), tmp_path / "work")
    found = index.lookup(np.array([bytes.fromhex(key) for key in keys], KEY))
    assert found["coded"].tolist() == [False, True, False]
    assert np.isfinite(found["scores"][:, 0]).tolist() == [False, True, False]


def test_histograms_and_floats_leave_out_what_is_no_number() -> None:
    from builder.card.histogram import FloatHistogram
    from builder.disk.schema import floats

    assert FloatHistogram(np.array([0.5, NAN, np.inf, -np.inf])).total == 1
    assert FloatHistogram(np.array([])).total == 0
    assert np.isnan(floats(pa.chunked_array([pa.array([None, np.inf, NAN, -np.inf], pa.float32())]))).all()
