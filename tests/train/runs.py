"""A small web and runs of `danqing train` on it, by the tiny checkpoint, for tests.

make_web(root); trained(root, run, steps=4)
"""

from __future__ import annotations

import functools
import io
import json
from pathlib import Path
from typing import Any

from builder.console import Console
from builder.demo import scene as scenes
from builder.disk.schema import pair_key
from builder.stage.run import Result
from builder.train.config import TrainConfig
from builder.train.runner import run
from tests.roots import pair, write_shard

OPTIONS: dict[str, Any] = {
    "model": "tiny", "batch_size": 32, "validation": 0.1, "warmup": 2, "learning_rate": 1e-3, "device": "cpu",
    "save_every": 2, "track": "none", "quiet": True,
}  # fmt: skip


@functools.cache
def rows(count: int) -> list[dict[str, Any]]:
    """Pairs of drawn scenes, with both captions."""
    made = []
    for number in range(count):
        scene = scenes.scene(number, 77, size=(72, 64))
        file = io.BytesIO()
        scene.image.save(file, "JPEG", quality=85)
        row = dict(pair(number)) | {"alt_text": scene.alt_text, "recaption": scene.recaption}
        made.append(
            row
            | {"key": pair_key(row["url"], scene.alt_text), "image": {"bytes": file.getvalue(), "path": None}}
        )
    return made


def make_web(root: Path, broken: tuple[int, ...] = (), mute: tuple[int, ...] = ()) -> None:
    """A root of 3 shards of 40 pairs, 10 a row group. broken: pairs without a picture; mute: without a caption."""
    pairs = [
        row
        | ({"image": {"bytes": b"\xff\xd8 no picture", "path": None}} if number in broken else {})
        | ({"alt_text": " ", "recaption": None} if number in mute else {})
        for number, row in enumerate(rows(120))
    ]
    for shard in range(3):
        name = f"train-{shard:05d}-of-00003.parquet"
        write_shard(root / "images" / name, pairs[shard * 40 : shard * 40 + 40], 10)


def trained(root: Path | str, output: Path | str, **options: Any) -> Result:
    """A run in this process."""
    found = run(TrainConfig(str(root), str(output), **{**OPTIONS, **options}), Console(quiet=True))
    assert found is not None
    return found


def logged(output: Path) -> list[dict[str, Any]]:
    """The lines of its log, without those of the clock."""
    lines = [json.loads(line) for line in (output / "log.jsonl").read_bytes().splitlines()]
    return [
        {k: v for k, v in line.items() if k not in ("pairs_per_second", "stall", "seconds")} for line in lines
    ]


def tensors(output: Path, step: int) -> dict[str, bytes]:
    """The files of tensors of a checkpoint."""
    folder = output / f"checkpoints/step-{step:08d}"
    return {
        name: (folder / name).read_bytes() for name in ("model.safetensors", "state/optimizer.safetensors")
    }
