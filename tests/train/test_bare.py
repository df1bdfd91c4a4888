"""A step of training runs where there is torch, transformers, safetensors, numpy and Pillow, on pixels."""

from __future__ import annotations

import sys
from pathlib import Path

from ..checkpoints import make_fixed
from ..towers import bare

TRAIN = """
import sys
from pathlib import Path
from types import SimpleNamespace

import torch

from builder.console import Console
from builder.towers import Checkpoint
from builder.train.config import TrainConfig
from builder.train.model import open_model, optimizer_of
from builder.train.step import gradients, trial

folder, device = sys.argv[1], torch.device("cpu")
config = TrainConfig(compile="off")
opened = open_model(Checkpoint(Path(folder), folder, "tiny", None, "", "siglip"), config, device, Console())
batch = SimpleNamespace(
    pixels=torch.randint(0, 256, (4, *opened.preparation.shape), dtype=torch.uint8),
    grid=torch.ones(4, 2, dtype=torch.int32),
    ids=torch.from_numpy(opened.captions.ids(["一", "二", "三", "四"])),
    valid=torch.ones(4, dtype=torch.bool),
)
optimizer = optimizer_of(opened.model, config.recipe)
gradients(opened.model, batch, trial(opened.model, batch, 2, 3, Console()), 3)
optimizer.step()
"""


def test_a_step_is_trained_without_arrow_opencv_and_datasets(tmp_path: Path) -> None:
    folder = make_fixed(tmp_path / "fixed")
    done = bare.run(tmp_path, sys.executable, "-c", TRAIN, str(folder))
    assert done.returncode == 0, done.stderr


def test_without_a_gpu_each_part_says_so_in_a_line(tmp_path: Path) -> None:
    parts = ("train", "embedder")
    drawn = ("--pictures", str(tmp_path / "drawn.npz"))
    done = bare.run(tmp_path, str(bare.ROOT / "benchmarks" / "gpu.sh"), "--part", *parts, *drawn)
    import torch

    if not torch.cuda.is_available():
        assert done.returncode == 1
        assert [line.split("FAIL")[1].split()[0] for line in done.stdout.splitlines()] == [
            "train:",
            "embedder:",
        ]
