"""`danqing train`: what it plans, begins, and tells. One run is one folder, and all ranks of torchrun work on it.

plan ─▶ hold ─▶ towers, accelerate ─▶ newest checkpoint ─▶ the loop (`work`) ─▶ done.json
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from ..console import Console, in_time
from ..disk import ledger
from ..disk.files import (
    environment,
    is_local,
    is_within,
    join,
    local_path,
    resolved,
    work_folder,
    write_atomic,
)  # fmt: skip
from ..disk.root import TRAIN, claim
from ..errors import UsageError, need
from ..stage.hold import hold
from ..stage.run import Result
from ..stage.trained import STAGE
from .config import TrainConfig
from .plan import TrainPlan, Untrained, make_plan

if TYPE_CHECKING:
    from ..towers import Checkpoint
    from .batches import Feed
    from .checkpoints import State
    from .data import PairSource
    from .model import Opened
    from .order import Order

PACKAGES = ("accelerate", "torch", "transformers", "safetensors", "tokenizers")
DONE = f"ledger/{STAGE}/done.json"  # written last
# What validation finds, where any of its pairs has a picture and a caption.
FIGURES = {"pairs", "loss", "image_to_text", "text_to_image"}
PATIENCE = timedelta(minutes=10)  # with a rank that says nothing: a checkpoint is written meanwhile


@dataclass(slots=True)
class Training:
    """A run at work on this rank. place: rank and world size; precision: of the towers."""

    config: TrainConfig
    console: Console
    plan: TrainPlan
    folder: Path
    place: tuple[int, int]
    accelerator: Any
    opened: Opened

    @property
    def device(self) -> Any:
        """Where the towers are."""
        return self.accelerator.device

    @property
    def precision(self) -> str:
        """The precision of the towers, by its name."""
        return "bfloat16" if self.accelerator.mixed_precision == "bf16" else "float32"

    def card(self, at: State) -> str:
        """The card of a checkpoint."""
        from .card import card

        return card(self.plan, at, self.opened, self.precision)


@dataclass(frozen=True, slots=True)
class Trained:
    """What a run came to."""

    run: str
    at: State
    checkpoint: str
    failure: str | None = None

    def lines(self) -> list[str]:
        """The result for people."""
        at = self.at
        lost = f", {at.lost_in_words}" if at.lost else ""
        lines = [
            f"{self.run}/{self.checkpoint}: {at.step:,} steps, {at.pairs:,} pairs{lost}, loss {at.loss:.4f}, "
            f"{in_time(at.seconds)}"
        ]
        if (found := at.validation) and found.keys() >= FIGURES:
            lines.append(
                f"validation on {found['pairs']:,.0f} pairs: loss {found['loss']:.4f}, R@1 image to text "
                f"{found['image_to_text']:.1%}, text to image {found['text_to_image']:.1%}"
            )
        elif found:
            lines.append(f"validation on {found.get('pairs', 0):,.0f} pairs: no figures")
        return lines

    def as_dict(self) -> Mapping[str, object]:
        """The result as JSON."""
        at = self.at
        return {
            "run": self.run, "checkpoint": self.checkpoint, "steps": at.step, "pairs": at.pairs, "lost": {**at.lost},
            "loss": at.loss, "validation": at.validation, "seconds": at.seconds,
        }  # fmt: skip


def run(config: TrainConfig, console: Console) -> Result | None:
    """Train, or go on; what came of it, of rank 0 alone.

    Raises UsageError, InputError, EnvironmentProblem, VerificationError and Interrupted.
    """
    config.check()
    need("train", PACKAGES)
    if not is_local(config.output):
        raise UsageError(
            f"{config.output}: a run is written to a folder of this machine, or one that all ranks share"
        )
    if is_local(config.input) and is_within(resolved(config.output), resolved(join(config.input, "images"))):
        raise UsageError(
            f"{config.output}: lies among the pictures of {config.input}; name a folder of its own"
        )
    rank, world = (int(os.environ.get(name, default)) for name, default in (("RANK", 0), ("WORLD_SIZE", 1)))
    if config.overwrite and world > 1:
        raise UsageError(
            "--overwrite: ranks would remove what others write; remove the folder by hand, then run them"
        )
    if rank:
        console = Console(quiet=True)
    with environment(f"cannot use {config.output}"):
        claim(config.output, TRAIN, overwrite=config.overwrite)
        from ..towers import find
        from .data import open_source
        from .order import Order

        checkpoint, source = find(config.model, config.revision), open_source(config, console.info)
        order = Order(source.train.sizes, config.batch_size, config.parts, config.seed)
        plan = make_plan(config, source, order, checkpoint, world)
        if not config.overwrite:
            plan.refuse_other(config.output)
        elif local_path(config.output).resolve() in checkpoint.folder.resolve().parents:
            raise UsageError(
                f"--overwrite: {config.output} holds the --model that it would remove; name another folder"
            )
        if config.dry_run:
            return None if rank else Untrained(plan)
        work = work_folder(config.output, TRAIN.work, TRAIN.cached)
        with hold(work, f"danqing train is at work on {config.output}", (rank, world)):
            done = _trained(config, console, plan, checkpoint, source, order)
        return None if rank else done


def _trained(
    config: TrainConfig,
    console: Console,
    plan: TrainPlan,
    checkpoint: Checkpoint,
    source: PairSource,
    order: Order,
) -> Trained:
    """Train on this rank, from the newest checkpoint where there is one."""
    from . import checkpoints
    from .batches import Feed
    from .log import RunLog, trackers
    from .model import open_model, optimizer_of
    from .step import trial
    from .work import Loop

    folder, accelerator = local_path(config.output), _accelerator(config, trackers(config.track))
    rank = int(accelerator.process_index)
    opened = open_model(checkpoint, config, accelerator.device, console)
    if rank == 0:
        if config.overwrite:
            checkpoints.remove(folder)
        ledger.write_plan(config.output, STAGE, plan.document())
        checkpoints.sweep(folder)
    accelerator.wait_for_everyone()
    training = Training(config, console, plan, folder, (rank, plan.world), accelerator, opened)
    model, optimizer = accelerator.prepare(opened.model, optimizer_of(opened.model, config.recipe))
    at = checkpoints.State()
    if not config.overwrite:
        at = checkpoints.restore(folder, model, optimizer, console, config.batch_size) or at
    if rank == 0 and at.step < plan.steps:  # an end is told of this run, not of one that was overwritten
        (folder / DONE).unlink(missing_ok=True)
    feed = Feed(source, order, config, opened.preparation, opened.captions)
    blank = _blank(feed, config.batch_size // plan.world, accelerator.device)
    micro = trial(model, blank, config.micro_batch or len(blank.valid), config.chunk, console)
    accelerator.init_trackers(folder.name)
    with RunLog(folder, at.step, accelerator) if rank == 0 else nullcontext() as log:
        at = Loop(training, model, optimizer, feed, at, micro, log).train()
    accelerator.end_training()
    done = Trained(
        config.output, at, f"{checkpoints.FOLDER}/{checkpoints.name_of(at.step)}", _failure(config, at)
    )
    if rank == 0:
        write_atomic(str(folder / DONE), json.dumps(done.as_dict(), indent=1).encode())
    return done


def _failure(config: TrainConfig, at: State) -> str | None:
    """What is wrong with a run that came to its end; None: nothing."""
    if at.pairs:
        return None
    return (
        f"{config.input}: none of the pairs that the run saw could be trained on ({at.lost_in_words}), so its "
        "checkpoints are worth nothing; mend the data, then --overwrite"
    )


def _blank(feed: Feed, rows: int, device: Any) -> Any:
    """A batch of black pictures, to try what fits into memory."""
    import torch

    made = {
        name: torch.ones(shape, dtype=kind, device=device)
        for name, (shape, kind) in feed.shapes(rows).items()
    }
    return SimpleNamespace(**made)


def _accelerator(config: TrainConfig, names: list[str]) -> Any:
    """The Accelerator of this rank: device, precision, ranks and trackers."""
    import torch
    from accelerate import Accelerator, InitProcessGroupKwargs
    from accelerate.utils import FullyShardedDataParallelPlugin, ProjectConfiguration
    from torch.distributed.fsdp import MixedPrecisionPolicy

    from ..towers.device import Options, place

    chosen = place(Options(device=config.device, dtype=config.dtype), parameters=0)
    if chosen.dtype == torch.float32:
        # Of itself torch cuts the convolution of the patches to 10 bits.
        torch.backends.cudnn.allow_tf32 = False
    # Autocast alone says what is bfloat16: FSDP would round scale and bias too.
    whole = FullyShardedDataParallelPlugin(fsdp_version=2, mixed_precision_policy=MixedPrecisionPolicy())
    return Accelerator(
        cpu=chosen.device.type == "cpu",
        mixed_precision="bf16" if chosen.dtype == torch.bfloat16 else "no",
        log_with=names or None,
        project_config=ProjectConfiguration(
            config.output, logging_dir=str(local_path(config.output) / "tensorboard")
        ),
        fsdp_plugin=whole if config.sharding == "fsdp2" else None,
        kwargs_handlers=[InitProcessGroupKwargs(timeout=PATIENCE)],
    )
