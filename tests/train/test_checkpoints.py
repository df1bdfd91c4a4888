"""Checkpoints on the disk: what is written comes back bit for bit, and what is not whole is never taken."""

from __future__ import annotations

import io
import json
import os
import resource
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, distribute_tensor

from builder.console import Console
from builder.errors import EnvironmentProblem, InputError, VerificationError
from builder.towers import find
from builder.train import checkpoints
from builder.train.checkpoints import State
from builder.train.config import TrainConfig
from builder.train.model import Opened, open_model, optimizer_of
from tests.forked import Forked

from .ranks import on_ranks

CPU = torch.device("cpu")
CARD = "---\ntags: []\n---\n# A card\n"


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


def opened(model: str = "tiny", **options: Any) -> Opened:
    config = TrainConfig(model=model, compile="off", **options)
    return open_model(find(model), config, CPU, Console(stream=io.StringIO()))


class Run:
    """A run of the tiny checkpoint, with gradients of noise."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.folder, self.opened, self.at = folder, opened(**options), State()
        self.model = self.opened.model
        self.optimizer = optimizer_of(self.model, TrainConfig(learning_rate=0.01).recipe)

    def step(self) -> None:
        made = torch.Generator().manual_seed(self.at.step)
        for weight in self.model.parameters():
            if weight.requires_grad:
                weight.grad = torch.randn(weight.shape, generator=made)
        self.optimizer.step()
        step = self.at.step + 1
        self.at = self.at.after(step, 7, {"corrupt": 1}, 1 / step, 0.5)

    def save(self) -> Path:
        weights, known = checkpoints.gathered(self.model, self.optimizer)
        return checkpoints.save(self.folder, self.at, weights, known, self.opened, CARD)

    def restore(self, console: Console | None = None) -> State | None:
        at = checkpoints.restore(
            self.folder, self.model, self.optimizer, console or Console(stream=io.StringIO()), 8
        )
        self.at = at or self.at
        return at


def saved(folder: Path, *steps: int) -> Run:
    """A run that saved at these steps."""
    run = Run(folder)
    for step in steps:
        while run.at.step < step:
            run.step()
        run.save()
    return run


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that saved after steps 1 and 2."""
    return saved(tmp_path_factory.mktemp("pair"), 1, 2).folder


def test_what_is_restored_goes_on_bit_for_bit(tmp_path: Path) -> None:
    straight = saved(tmp_path, 3)
    again = Run(tmp_path)
    assert again.restore() == straight.at == State(3, 21, {"corrupt": 3}, 1 / 3, 1.0, None, 1.5)
    for run in (straight, again):
        run.step()
        run.step()
    for name, weight in straight.model.named_parameters():
        assert torch.equal(weight, again.model.get_parameter(name)), name


def test_nothing_saved_is_the_beginning(tmp_path: Path) -> None:
    assert Run(tmp_path).restore() is None


def test_holds_what_transformers_reads_with_the_files_of_origin(tmp_path: Path) -> None:
    run = saved(tmp_path, 1)
    from transformers import AutoModel, AutoProcessor

    folder = tmp_path / "checkpoints" / "step-00000001"
    model, report = AutoModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values()), report
    for name, weight in run.model.model.named_parameters():
        assert torch.equal(weight, model.get_parameter(name)), name
    assert AutoProcessor.from_pretrained(folder)
    origin = run.opened.checkpoint.folder
    for name in ("tokenizer.json", "tokenizer_config.json", "processor_config.json"):
        assert (folder / name).read_bytes() == (origin / name).read_bytes()
    assert (folder / "README.md").read_text() == CARD
    assert {value.dtype for value in load_file(folder / "model.safetensors").values()} == {torch.float32}
    assert str(tmp_path) not in (folder / "config.json").read_text()


def test_find_takes_the_newest_of_a_run(tmp_path: Path) -> None:
    run = tmp_path / "b16"
    (run / "ledger/train").mkdir(parents=True)
    (run / "ledger/train/plan.json").write_text("{}")
    with pytest.raises(InputError, match="saved no checkpoint yet"):
        find(str(run))
    saved(run, 1, 2)
    found = find(str(run))
    assert found.folder == run / "checkpoints" / "step-00000002"
    assert found.name == "b16-step-00000002"
    assert find(str(found.folder)).name == found.name
    assert found.slug.startswith("b16-step-00000002-")


def test_prune_keeps_the_newest_and_what_holds_something_else(tmp_path: Path) -> None:
    run = saved(tmp_path, 1, 2, 3, 4)
    (tmp_path / "checkpoints/step-00000001/notes.txt").write_text("mine")
    checkpoints.prune(run.folder, 2)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == [f"step-0000000{step}" for step in (1, 3, 4)]


def test_what_a_killed_run_left_is_swept_and_nothing_else(tmp_path: Path) -> None:
    run = saved(tmp_path, 1)
    left = tmp_path / "checkpoints/.step-00000002.123.tmp"
    left.mkdir()
    (left / "model.safetensors").write_bytes(b"torn")
    (tmp_path / "checkpoints/mine.tmp").mkdir()
    checkpoints.sweep(run.folder)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["mine.tmp", "step-00000001"]


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_no_number_is_never_saved(tmp_path: Path, number: float) -> None:
    run = saved(tmp_path, 1)
    run.step()
    with torch.no_grad():
        run.model.model.logit_bias.fill_(number)
    with pytest.raises(VerificationError, match="step 2: logit_bias holds numbers that are none"):
        run.save()
    assert os.listdir(tmp_path / "checkpoints") == ["step-00000001"]


def _tear(folder: Path) -> None:
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])


def _rot(folder: Path) -> None:
    path = folder / "state/optimizer.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


def _lose(folder: Path) -> None:
    (folder / "state/train.json").unlink()


def _link(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder.parents[1] / "elsewhere")
    (folder / "model.safetensors").symlink_to(folder.parents[1] / "elsewhere")


def _edit(**values: Any) -> Any:
    def edit(folder: Path) -> None:
        path = folder / "state/train.json"
        document = json.loads(path.read_text())
        document["state"] |= values
        path.write_text(json.dumps(document))

    return edit


FAULTS = {
    "torn": _tear,
    "rotten": _rot,
    "without state": _lose,
    "a link": _link,
    "another step": _edit(step=5),
    "pairs that cannot be": _edit(pairs=15),
    "huge": _edit(pairs=10**40),
    "negative": _edit(pairs=-8),
    "NaN": _edit(loss=float("nan")),
    "no counts": _edit(lost=[1]),
    "unknown": _edit(eval="x"),
    "another batch": _edit(pairs=2, lost={}),
    "lost to nothing": _edit(lost={"\x1b[31m": 2}),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_what_is_not_whole_is_set_aside_for_the_one_before(
    tmp_path: Path, pair: Path, said: io.StringIO, fault: str
) -> None:
    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    FAULTS[fault](tmp_path / "checkpoints/step-00000002")
    again = Run(tmp_path)
    at = again.restore(Console(stream=said))
    assert at is not None
    assert at.step == 1
    assert said.getvalue().count("\n") == 1
    assert "set aside as torn-step-00000002" in said.getvalue()
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-00000001", "torn-step-00000002"]
    again.step()
    again.save()
    checkpoints.remove(tmp_path)


def test_a_run_whose_checkpoints_are_all_torn_is_refused(tmp_path: Path) -> None:
    _tear(saved(tmp_path, 1).folder / "checkpoints/step-00000001")
    with pytest.raises(
        InputError, match=r"model.safetensors.*no checkpoint of the run is whole.*--overwrite"
    ):
        Run(tmp_path).restore()
    with pytest.raises(InputError, match="torn-step-00000001; no checkpoint of the run is whole"):
        Run(tmp_path).restore()  # nor begins anew by itself, when it is started again


def _forged(folder: Path, name: str, change: Any) -> None:
    """Change tensors and their digest."""
    from builder.disk.files import file_digest

    tensors = load_file(folder / name)
    change(tensors)
    save_file(tensors, folder / name)
    path = folder / "state/train.json"
    document = json.loads(path.read_text())
    document["digests"][name] = file_digest(folder / name)
    path.write_text(json.dumps(document))


@pytest.mark.parametrize("name", ["model.safetensors", "state/optimizer.safetensors"])
@pytest.mark.parametrize("fault", ["more", "fewer", "shape", "half", "NaN"])
def test_tensors_of_another_model_are_refused(tmp_path: Path, pair: Path, name: str, fault: str) -> None:
    def change(tensors: dict[str, torch.Tensor]) -> None:
        first = min(key for key in tensors if tensors[key].ndim == 2)
        changed = {
            "more": {"../x": torch.zeros(1)},
            "shape": {first: tensors[first].reshape(-1)},
            "half": {first: tensors[first].half()},
            "NaN": {first: tensors[first] * torch.nan},
        }
        tensors.update(changed.get(fault, {}))
        if fault == "fewer":
            del tensors[first]

    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    _forged(tmp_path / "checkpoints/step-00000002", name, change)
    with pytest.raises(InputError, match=r"of another model|is not of this model, or no number"):
        Run(tmp_path).restore()


def test_a_frozen_tower_has_no_moments_and_is_restored_too(tmp_path: Path) -> None:
    run = Run(tmp_path, freeze="image")
    run.step()
    run.save()
    known = load_file(tmp_path / "checkpoints/step-00000001/state/optimizer.safetensors")
    assert not any(name.startswith("vision_model.") for name in known)
    again = Run(tmp_path, freeze="image")
    assert again.restore() == run.at
    for name, weight in run.model.named_parameters():
        assert torch.equal(weight, again.model.get_parameter(name))


def test_remove_takes_every_checkpoint_and_nothing_else(tmp_path: Path) -> None:
    run = saved(tmp_path, 1, 2)
    (tmp_path / "checkpoints/mine").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "checkpoints/step-00000003").symlink_to(tmp_path / "elsewhere")
    checkpoints.remove(run.folder)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["mine", "step-00000003"]
    assert (tmp_path / "elsewhere").is_dir()


@pytest.mark.parametrize("limit", [500, 100_000, 1_200_000], ids=["config", "weights", "optimizer"])
def test_a_full_disk_is_one_line_and_leaves_what_was_there(tmp_path: Path, pair: Path, limit: int) -> None:
    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    run = Run(tmp_path)
    run.restore()
    run.step()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(
            EnvironmentProblem, match=r"step-00000003: cannot be written: .*too large.*mend it"
        ):
            run.save()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert sorted(os.listdir(tmp_path / "checkpoints")) == ["step-00000001", "step-00000002"]
    assert run.save().is_dir()


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.train.test_checkpoints import Run

run = Run(Path(sys.argv[1]))
run.restore()
run.step()
sys.addaudithook(lambda event, _: os.kill(os.getpid(), signal.SIGKILL) if event == "os.rename" else None)
run.save()
"""


def test_a_save_that_is_killed_leaves_the_one_before(forked: Forked, tmp_path: Path, pair: Path) -> None:
    shutil.copytree(pair, tmp_path, dirs_exist_ok=True)
    done = forked(KILLED, [str(tmp_path)])
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = sorted(os.listdir(tmp_path / "checkpoints"))
    assert left[1:] == ["step-00000001", "step-00000002"]
    assert left[0].startswith(".step-00000003.")
    assert (tmp_path / "checkpoints" / left[0] / "state/train.json").is_file()  # all but the rename was done
    checkpoints.sweep(tmp_path)
    assert sorted(os.listdir(tmp_path / "checkpoints")) == left[1:]
    run = Run(tmp_path)
    at = run.restore()
    assert at is not None
    assert at.step == 2


def _shared_out() -> Any:
    """A run whose ranks share out weights and moments: restored, a step on, and what rank 0 gathers then."""
    folder = Path(os.environ["CHECKPOINTS_OF"])
    run = Run(folder)
    for tower in (run.model.model.vision_model, run.model.model.text_model):
        for layer in tower.encoder.layers:
            fully_shard(layer)
    fully_shard(run.model)
    run.optimizer = optimizer_of(run.model, TrainConfig(learning_rate=0.01).recipe)
    run.restore()
    made = torch.Generator().manual_seed(run.at.step)
    for weight in run.model.parameters():
        assert isinstance(weight, DTensor)
        noise = torch.randn(weight.shape, generator=made)
        weight.grad = distribute_tensor(noise, weight.device_mesh, weight.placements)
    run.optimizer.step()
    return *checkpoints.gathered(run.model, run.optimizer), run.model.levels()


def test_any_number_of_ranks_goes_on_from_a_checkpoint(
    forked: Forked, tmp_path: Path, pair: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("CHECKPOINTS_OF", str(pair))
    alone = Run(pair)
    alone.restore()
    alone.step()
    weights, known = checkpoints.gathered(alone.model, alone.optimizer)
    (first, second) = on_ranks(forked, _shared_out, tmp_path, [2])[2]
    for mine, theirs in zip((weights, known), first, strict=False):
        assert mine.keys() == theirs.keys()
        for name, tensor in mine.items():
            torch.testing.assert_close(theirs[name], tensor, rtol=0, atol=1e-7)
    assert second[:2] == ({}, {})
    assert first[2] == second[2] == pytest.approx(alone.model.levels())
