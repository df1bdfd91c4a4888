"""The contract of a run: whatever ends it, the same command goes on to the same weights, bit for bit."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from builder import cli
from builder.console import Console
from builder.errors import InputError, Interrupted, UsageError, VerificationError
from builder.stage.trained import find as find_run
from builder.towers import find
from builder.towers.checkpoint import TINY
from builder.train.checkpoints import State
from builder.train.config import TrainConfig
from builder.train.runner import Trained, run
from tests import renames
from tests.forked import Forked
from tests.passes import KILLED
from tests.train.runs import OPTIONS, logged, make_web, tensors, trained

STEPS = 6  # of 32 of 104 pairs, twice: the second epoch begins within the fourth


def here(source: str, output: str) -> None:
    """A run in this process, as tests.passes asks for it."""
    trained(source, output)


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Sums of several threads differ in their last bits from one machine to another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def web(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("web")
    make_web(root)
    return root


@pytest.fixture(scope="module")
def whole(web: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing disturbed."""
    output = tmp_path_factory.mktemp("runs") / "whole"
    trained(web, output)
    return output


def test_a_run_from_end_to_end(web: Path, whole: Path) -> None:
    done = json.loads((whole / "ledger/train/done.json").read_bytes())
    assert (done["steps"], done["pairs"], done["lost"]) == (STEPS, STEPS * 32, {})
    lines = logged(whole)
    steps = [line for line in lines if "loss" in line]
    assert [line["step"] for line in steps] == [*range(1, STEPS + 1)]
    assert [line["epoch"] for line in steps] == [step * 32 // 104 for step in range(STEPS)]
    assert done["loss"] == steps[-1]["loss"]
    assert done["validation"] == lines[-1]["validation"]
    assert done["validation"]["pairs"] == 16
    assert done["checkpoint"] == f"checkpoints/step-{STEPS:08d}"
    assert sorted(path.name for path in (whole / "checkpoints").iterdir()) == [
        f"step-{step:08d}" for step in (2, 4, 6)
    ]
    assert find(str(whole)).folder == whole / done["checkpoint"]


def test_the_result_for_people_and_for_programs(whole: Path, web: Path) -> None:
    found = trained(web, whole)
    assert found.lines()[0].startswith(
        f"{whole}/checkpoints/step-{STEPS:08d}: {STEPS} steps, {STEPS * 32} pairs, loss"
    )
    assert found.lines()[1].startswith("validation on 16 pairs: loss")
    assert found.as_dict()["steps"] == STEPS


def test_figures_that_are_none_are_not_told() -> None:
    nothing = State(step=3, pairs=96, validation={"pairs": 0.0})
    told = Trained("run", nothing, "checkpoints/step-00000003").lines()
    assert told[1:] == ["validation on 0 pairs: no figures"]


@pytest.mark.parametrize(
    "point",
    ["step-00000002", "step-00000004", "done.json"],
)
def test_kill_9_at_any_point_ends_in_the_same_weights(
    forked: Forked, web: Path, whole: Path, tmp_path: Path, point: str
) -> None:
    code = "import torch; torch.set_num_threads(1)\n" + KILLED.format(module="tests.train.test_runner")
    ended = forked(code, [str(web), str(tmp_path / "run"), point])
    assert ended.returncode == -signal.SIGKILL, ended.stderr
    trained(web, tmp_path / "run", workers=2)
    assert tensors(tmp_path / "run", STEPS) == tensors(whole, STEPS)
    assert logged(tmp_path / "run") == logged(whole)
    left = [path.name for path in (tmp_path / "run/checkpoints").iterdir()]
    assert all(name.startswith("step-") for name in left)
    assert len(left) <= 3


def test_threads_and_where_the_root_lies_make_no_odds(web: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(web, tmp_path / "web")
    trained(tmp_path / "web", tmp_path / "run", workers=3, save_every=100)
    assert tensors(tmp_path / "run", STEPS) == tensors(whole, STEPS)


def test_micro_batches_change_the_last_bits_alone(web: Path, tmp_path: Path) -> None:
    trained(web, tmp_path / "one", steps=3, validation_pairs=0)
    trained(web, tmp_path / "run", micro_batch=12, chunk=5, track="tensorboard", steps=3, validation_pairs=0)
    for one, other in zip(logged(tmp_path / "run"), logged(tmp_path / "one"), strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)


def test_a_finished_run_is_left_as_it_is(web: Path, whole: Path) -> None:
    before = {path: path.stat().st_mtime_ns for path in whole.rglob("checkpoints/**/*")}
    trained(web, whole)
    assert before == {path: path.stat().st_mtime_ns for path in whole.rglob("checkpoints/**/*")}


def test_pairs_without_a_picture_or_a_caption_are_counted_and_take_no_part(tmp_path: Path) -> None:
    make_web(tmp_path / "web", broken=(3, 50, 99), mute=(7, 8))
    trained(tmp_path / "web", tmp_path / "run", validation=0.0, batch_size=24, steps=10)  # two epochs of 120
    done = json.loads((tmp_path / "run/ledger/train/done.json").read_bytes())
    assert done["lost"] == {"corrupt": 6, "no_text": 4}
    assert done["pairs"] == 10 * 24 - 10
    assert "validation" not in logged(tmp_path / "run")[-1]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"learning_rate": 1e-4}, "--learning-rate 0.001 then, 0.0001 now"),
        ({"seed": 1}, "--seed 0 then, 1 now"),
        ({"batch_size": 16, "text": "recaption"}, "--text 'alt_text' then, 'recaption' now"),
    ],
)
def test_a_run_begun_otherwise_is_refused_by_name(
    web: Path, whole: Path, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match="another folder, or --overwrite") as caught:
        trained(web, whole, **options)
    assert said in str(caught.value)


def test_a_root_that_changed_is_refused(web: Path, whole: Path, tmp_path: Path) -> None:
    make_web(tmp_path / "web")
    (tmp_path / "web/images/train-00002-of-00003.parquet").unlink()
    with pytest.raises(UsageError, match=r"was trained with data .* then, .* now"):
        trained(tmp_path / "web", whole)


def test_overwrite_removes_what_a_run_left_and_nothing_else(web: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    trained(web, output, seed=5, steps=3)
    (output / "mine.txt").write_text("mine")
    (output / "checkpoints/mine").mkdir()
    trained(web, output, overwrite=True)
    assert tensors(output, STEPS) == tensors(whole, STEPS)
    assert logged(output) == logged(whole)
    assert (output / "mine.txt").read_text() == "mine"
    assert (output / "checkpoints/mine").is_dir()
    assert not (output / "checkpoints/step-00000003").exists()


def test_overwrite_never_goes_on_from_a_checkpoint_that_cannot_be_removed(
    web: Path, whole: Path, tmp_path: Path
) -> None:
    shutil.copytree(whole, tmp_path / "run")
    (tmp_path / "run/checkpoints/step-00000004/mine").write_text("mine")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(
        UsageError, match=r"--overwrite: .*step-00000004 holds mine, which is not of a checkpoint"
    ):
        trained(web, tmp_path / "run", overwrite=True, steps=2)
    assert [path for path in sorted(tmp_path.rglob("*")) if ".train" not in str(path)] == before


def test_a_run_never_removes_the_model_that_it_begins_with(web: Path, whole: Path, tmp_path: Path) -> None:
    shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(UsageError, match=r"--overwrite: .*run holds the --model that it would remove"):
        trained(web, tmp_path / "run", model=str(tmp_path / "run"), overwrite=True)
    assert len([*(tmp_path / "run/checkpoints").iterdir()]) == 3


def test_a_run_that_is_begun_anew_is_not_told_to_be_done(web: Path, whole: Path, tmp_path: Path) -> None:
    output = tmp_path / "run"
    shutil.copytree(whole, output)

    def stop(path: str) -> None:
        if path.endswith("step-00000002"):
            os.kill(os.getpid(), signal.SIGINT)

    renames.before = stop
    try:
        with pytest.raises(Interrupted):
            trained(web, output, overwrite=True)
    finally:
        renames.before = None
    record = find_run(str(output))
    assert record is not None
    assert (record.end, record.at) == (None, 3)


def test_a_run_on_nothing_but_broken_pictures_fails_in_one_line(tmp_path: Path) -> None:
    make_web(tmp_path / "web", broken=tuple(range(120)))
    said = io.StringIO()
    options = {**OPTIONS, "steps": 2, "quiet": False}
    found = run(TrainConfig(str(tmp_path / "web"), str(tmp_path / "run"), **options), Console(stream=said))
    assert "step 1: none of its pairs could be trained on (32 corrupt)" in said.getvalue()
    assert found is not None
    assert found.failure is not None
    assert "none of the pairs that the run saw could be trained on (64 corrupt)" in found.failure
    assert found.lines()[1] == "validation on 0 pairs: no figures"


def test_a_dry_run_touches_nothing(web: Path, tmp_path: Path) -> None:
    found = trained(web, tmp_path / "run", dry_run=True)
    assert f"steps     {STEPS} of 32 pairs, 1.85 epochs" in found.lines()
    assert found.as_dict()["rows"] == {"train": 104, "validation": 16}
    assert not (tmp_path / "run").exists()


def test_a_data_set_is_no_folder_for_a_run(web: Path) -> None:
    with pytest.raises(UsageError, match=r"no root of ours.*holds images"):
        trained(web, web)
    with pytest.raises(UsageError, match="lies among the pictures"):
        trained(web, web / "images/run")


def test_ctrl_c_ends_the_step_and_saves_it(web: Path, whole: Path, tmp_path: Path) -> None:
    def stop(path: str) -> None:
        if path.endswith("step-00000002"):
            os.kill(os.getpid(), signal.SIGINT)

    renames.before = stop
    try:
        with pytest.raises(
            Interrupted, match="interrupted after step 3; the same command goes on from there"
        ):
            trained(web, tmp_path / "run")
    finally:
        renames.before = None
    assert (tmp_path / "run/checkpoints/step-00000003").is_dir()
    trained(web, tmp_path / "run")
    assert tensors(tmp_path / "run", STEPS) == tensors(whole, STEPS)


def test_a_loss_that_is_no_number_is_named(web: Path, tmp_path: Path) -> None:
    shutil.copytree(TINY, tmp_path / "model")
    weights = load_file(TINY / "model.safetensors")
    weights["logit_scale"] = torch.full_like(weights["logit_scale"], 200.0)  # exp of it is infinite
    save_file(weights, tmp_path / "model/model.safetensors", {"format": "pt"})
    with pytest.raises(VerificationError, match=r"step 1: the loss is (nan|inf) .* in float32") as caught:
        trained(web, tmp_path / "run", model=str(tmp_path / "model"))
    keys = tmp_path / "run/ledger/train/keys-of-step-1-rank-0.txt"
    assert str(keys) in str(caught.value)
    assert len(set(keys.read_text().split())) == 32
    assert not [*(tmp_path / "run").glob("checkpoints/step-*")]


def test_by_the_command_line(web: Path, whole: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = "--model tiny --batch-size 32 --validation 0.1 --warmup 2 --learning-rate 0.001 --device cpu --track none"
    assert cli.main(["train", str(web), str(whole), *words.split(), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == STEPS
    assert cli.main(["train", str(web), str(whole), *words.split(), "--clip", "2"]) == 2
    assert "--clip 1.0 then, 2.0 now" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "kind", "said"),
    [
        ({"batch_size": 512}, InputError, "104 pairs to train on are fewer than a batch; lower --batch-size"),
        ({"subset": "1k"}, InputError, "--subset 1k asks for 1,000 pairs"),
        ({"output": "memory://run"}, UsageError, "a folder of this machine"),
        ({"model": "no/such/model"}, InputError, "no such folder"),
    ],
)
def test_bad_input_is_one_line(
    web: Path, tmp_path: Path, options: dict[str, Any], kind: type[Exception], said: str
) -> None:
    output = options.pop("output", str(tmp_path / "run"))
    with pytest.raises(kind, match=said) as caught:
        trained(web, output, **options)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_ranks_that_cannot_share_the_streams(
    web: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="3 ranks cannot share out 32 streams; run 1, 2, 4, 8, 16, 32"):
        run(TrainConfig(str(web), str(tmp_path / "run"), model="tiny", batch_size=32), Console(quiet=True))
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"--overwrite: ranks would remove"):
        run(
            TrainConfig(str(web), str(tmp_path / "run"), model="tiny", batch_size=32, overwrite=True),
            Console(quiet=True),
        )
