"""The training loop: batches of the stream ─▶ a loss over all ranks, a step of AdamW ─▶ log, validation, checkpoints.

    for batch in feed:  gradients ─▶ clip ─▶ step ─▶ read its numbers, check and log them [─▶ validate] [─▶ save]

What a run is at is one number, the step: the stream, the captions and the learning rate follow from it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist

from ..console import Bar
from ..errors import DanqingError, EnvironmentProblem, Interrupted, VerificationError, first_line
from ..reasons import Reason
from ..stage.stop import Stop
from ..towers.lane import is_out_of_memory
from . import checkpoints
from .log import RunLog, Spikes
from .step import within_memory
from .validate import validate

if TYPE_CHECKING:
    from .batches import Feed, TrainBatch
    from .runner import Training

LOST = (Reason.CORRUPT, Reason.NO_TEXT)


@dataclass(slots=True)
class Loop:
    """The loop of one rank. at: where the run is; saved: step of the newest checkpoint; log: of rank 0.

    model, optimizer: as accelerate prepared them; micro: pairs on the device at once.
    """

    run: Training
    model: Any
    optimizer: Any
    feed: Feed
    at: checkpoints.State
    micro: int
    log: RunLog | None
    saved: int = 0
    spikes: Spikes = field(default_factory=Spikes)

    def train(self) -> checkpoints.State:
        """Go on to the last step. Raises Interrupted, and what `_explained` says, with a checkpoint to go on from."""
        run, size, self.saved = self.run, self.run.config.batch_size, self.at.step
        with (
            Stop(run.console) as stop,
            contextlib.closing(self.feed.batches(self.at.step, run.plan.steps, *run.place)) as batches,
            run.console.progress(run.plan.steps * size, initial=self.at.step * size) as bar,
            self._explained(),
        ):
            stop.graceful = True
            waited = self.feed.stall
            for batch in batches:
                stopped = self._step(batch, self.feed.stall - waited, bar, asked=stop.asked)
                if stopped and self.at.step < run.plan.steps:
                    raise Interrupted(
                        f"interrupted after step {self.at.step}; the same command goes on from there"
                    )
                waited = self.feed.stall
        return self.at

    def _step(self, batch: TrainBatch, stall: float, bar: Bar, *, asked: bool) -> bool:
        """One step of the optimizer, and what follows from it; whether any rank was asked to stop."""
        run, config, began = self.run, self.run.config, time.monotonic()
        batch = _on(batch, run.device)
        rate = config.recipe.rate(batch.step, run.plan.steps)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        found, self.micro = within_memory(self.model, batch, self.micro, config.chunk, run.console)
        loss = float(found)
        norm = float(run.accelerator.clip_grad_norm_(self.model.parameters(), config.clip or math.inf))
        self._check(batch, loss, norm)
        self.optimizer.step()
        self.optimizer.zero_grad()
        counts = torch.tensor([asked, *(batch.lost[reason] for reason in LOST)], device=run.device)
        if dist.is_initialized():
            dist.all_reduce(counts)
        asked, *lost = counts.tolist()
        told = {reason.value: count for reason, count in zip(LOST, lost, strict=True) if count}
        seconds = time.monotonic() - began + stall
        self.at = self.at.after(batch.step + 1, config.batch_size - sum(lost), told, loss, seconds)
        self._tell(batch, {"learning_rate": rate, "gradient_norm": norm, "stall": stall / seconds}, seconds)
        bar.update(config.batch_size, also=(f"loss {loss:.4f}", f"waits for data {stall / seconds:.0%}"))
        step, last = self.at.step, self.at.step == run.plan.steps
        if last or (config.validate_every and step % config.validate_every == 0):
            self._validate()
        if last or asked or step % config.save_every == 0:
            self._save()
        return bool(asked)

    def _check(self, batch: TrainBatch, loss: float, norm: float) -> None:
        """VerificationError where a loss or its gradient is no number: with the step, its pairs and the precision."""
        if math.isfinite(loss) and math.isfinite(norm):
            return
        path = self.run.folder / f"ledger/train/keys-of-step-{batch.step + 1}-rank-{self.run.place[0]}.txt"
        path.write_text("\n".join(batch.keys) + "\n")
        raise VerificationError(
            f"step {batch.step + 1}: the loss is {loss} and the norm of its gradient {norm}, in {self.run.precision}; "
            f"{path} has the keys of its pairs; the checkpoint of step {self.saved} stands: train on from that, as "
            "--model of another run, with a smaller --learning-rate or --dtype float32"
        )

    def _tell(self, batch: TrainBatch, known: Mapping[str, float], seconds: float) -> None:
        """Log a step."""
        at, (scale, bias) = self.at, self.run.opened.model.levels()
        if at.step == 1 and not at.pairs:
            self.run.console.warn(f"step 1: none of its pairs could be trained on ({at.lost_in_words})")
        spike = self.spikes.is_one(at.loss)
        if spike:
            self.run.console.warn(f"step {at.step}: the loss is {at.loss:.4g}, far above those before it")
        if self.log is not None:
            self.log.write({
                "step": at.step, "epoch": batch.epoch, "pairs": at.pairs, "loss": at.loss, **known, "scale": scale,
                "bias": bias, "pairs_per_second": self.run.config.batch_size / seconds, "seconds": at.seconds,
                "lost": at.lost, **({"spike": True} if spike else {}),
            })  # fmt: skip

    def _validate(self) -> None:
        """Look at the pairs that were carved off, if there are any."""
        batch = self.feed.validation(*self.run.place)
        if batch is None:
            return
        found = validate(self.model, _on(batch, self.run.device), self.micro, self.run.config.chunk)
        self.at = self.at.validated(found)
        if self.log is not None:
            self.log.write({"step": self.at.step, "validation": found})

    def _save(self) -> None:
        """Write a checkpoint of where the run is; every rank gives its part of what rank 0 writes."""
        run = self.run
        weights, optimizer = checkpoints.gathered(self.model, self.optimizer)
        if run.place[0] == 0:
            checkpoints.save(run.folder, self.at, weights, optimizer, run.opened, run.card(self.at))
            checkpoints.prune(run.folder, run.config.keep)
        self.saved = self.at.step
        if dist.is_initialized():
            dist.barrier()  # a rank that is gone is noticed here, and not in the midst of the next step

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Say in one line what ended a step where it is none of our errors: memory, or another rank."""
        try:
            yield
        except (DanqingError, OSError):
            raise
        except RuntimeError as error:
            again = ""
            if is_out_of_memory(error):
                what, again = "out of memory", f" with --micro-batch {max(1, self.micro // 2)}"
            elif dist.is_initialized():
                what = "another rank is gone, or the network between them"
            else:
                raise
            where = f"rank {self.run.place[0]}: {what}, after step {self.at.step}: {first_line(error)}"
            raise EnvironmentProblem(
                f"{where}; the same command{again} goes on from step {self.saved}"
            ) from error


def _on(batch: TrainBatch, device: torch.device) -> TrainBatch:
    """The batch with its tensors on the device, but for the grid, which is read on the host."""
    moved = {name: getattr(batch, name).to(device, non_blocking=True) for name in ("pixels", "ids", "valid")}
    return dataclasses.replace(batch, **moved)
