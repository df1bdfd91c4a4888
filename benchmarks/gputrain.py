"""How fast a device trains: the part `train` of benchmarks/gpu.py.

    run(Bench, last) measures steps of `danqing train` on the shape of B/16-256 with random weights: by batch,
    micro-batch and chunk of the loss, compiled and not, with gradient checkpointing; nothing is begun after `last`
    seconds.

A step is what the loop does: pixels and token ids from page-locked memory, which a thread fills anew for every batch as
the loader's do, to the device; builder.train.step.gradients with bfloat16 towers and a float32 loss; the norm of all
gradients clipped; AdamW. The share of the matrix rate counts three forwards a pair, as a whole batch at once takes, so
what micro-batches and checkpointing compute again lowers it. Stall is the share of the wall in which the step waited
for the thread. Nothing is decoded: a bare machine has no decoders.
"""

from __future__ import annotations

import contextlib
import itertools
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import gpuchecks
import gpurates
import measure
import numpy as np
import shapes

if TYPE_CHECKING:
    from gpu import Bench

WANTED_SHARE, WANTED_STALL = 0.40, 0.03  # hoped for, and not judged
NEAR = {"float32": 1e-4, "bfloat16": 5e-2}  # of gradients, relative to their norm
SLOTS = 4  # batches on the host, as the loader has


@dataclass(frozen=True, slots=True)
class Step:
    """What is measured. micro: 0 for as many pairs as fit, by the loop's own trial."""

    batch: int
    micro: int
    chunk: int = 512


@dataclass(frozen=True, slots=True)
class Model:
    """A model that steps are run on: compiled or not, with gradient checkpointing or not."""

    compiled: bool
    recompute: bool

    @property
    def name(self) -> str:
        """What it says in the table."""
        return f"{'compiled' if self.compiled else 'eager'}{', checkpointing' if self.recompute else ''}"


@dataclass(frozen=True, slots=True)
class Plan:
    """Models with their steps, in the order of how much they are wanted; seconds: of each."""

    shape: str
    seconds: float
    sweep: tuple[tuple[Model, tuple[Step, ...]], ...]


EAGER, COMPILED, RECOMPUTED = Model(False, False), Model(True, False), Model(False, True)
FULL = Plan(
    "B/16-256", 5.0,
    (
        (EAGER, (Step(256, 256), Step(768, 0), Step(4096, 256), Step(4096, 256, 4096))),
        (COMPILED, (Step(256, 256), Step(4096, 256), Step(768, 0))),
        (RECOMPUTED, (Step(768, 768), Step(4096, 1024))),
    ),
)  # fmt: skip
SMOKE = Plan(
    "smoke", 0.05,
    ((EAGER, (Step(16, 0), Step(16, 4, 4))), (COMPILED, (Step(16, 16),)), (RECOMPUTED, (Step(16, 16),))),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Prepared:
    """A batch on the device, as builder.train.step takes it."""

    pixels: Any
    grid: Any
    ids: Any
    valid: Any

    def to(self, device: Any) -> Prepared:
        """The same on a device, without waiting for the copy."""
        return Prepared(*(getattr(self, one.name).to(device, non_blocking=True) for one in fields(self)))


def run(bench: Bench, last: float) -> None:
    """Gradients first, then the sweep; the table at the end."""
    plan = SMOKE if bench.smoke else FULL
    equal(bench, plan.shape)
    peak = gpurates.matrix_rate(bench)
    flops = 3 * shapes.flops(plan.shape)
    lines: list[tuple[str, ...]] = []
    for model, steps in plan.sweep:
        if bench.report.elapsed > last:
            bench.report.tell(f"train, {model.name}", "left out, for want of time")
            continue
        trained = Training(bench, plan.shape, model)
        for step in steps:
            name = f"train, {model.name}, batch {step.batch}, micro {step.micro or 'that fits'}, chunk {step.chunk}"
            if bench.report.elapsed > last:
                bench.report.tell(name, "left out, for want of time")
            else:
                lines.append(trained.measured(name, step, plan.seconds, flops / peak))
        del trained
        bench.fresh()
    header = ("model", "batch", "micro", "chunk", "pairs/s", "ms a step", "of the matrix rate", "stall", "GB")
    title = f"train, {plan.shape}; wanted: {WANTED_SHARE:.0%} of the matrix rate, stall {WANTED_STALL:.0%}"
    print(measure.table(title, header, lines), flush=True)


class Training:
    """A model, its optimizer and its batches."""

    def __init__(self, bench: Bench, shape: str, model: Model, dtype: str = "bfloat16") -> None:
        import torch

        from builder.console import Console
        from builder.train.config import TrainConfig
        from builder.train.model import open_model, optimizer_of

        self._bench, self._shape, self._model, self._console = bench, shape, model, Console()
        config = TrainConfig(
            compile="on" if model.compiled else "off", gradient_checkpointing=model.recompute
        )
        opened = open_model(bench.checkpoint(shape), config, bench.device, self._console)
        self.model, self._length = opened.model, opened.captions.length
        self._ids = opened.captions.ids
        if dtype != "float32":  # as accelerate wraps a forward
            half = torch.autocast(bench.device.type, getattr(torch, dtype))
            self.model.forward = half(self.model.forward)
        self._optimizer = optimizer_of(self.model, config.recipe)

    def host(self, count: int) -> Iterator[Prepared]:
        """Batches in page-locked memory without an end, SLOTS in turn; each is filled by whoever asks for the next."""
        import torch

        squares, captions = np.stack(gpurates.squares(self._bench, self._shape)), self._bench.captions
        ids = self._ids([f"{captions[n % len(captions)]}{n}" for n in range(count)])
        pinned = self._bench.device.type == "cuda"
        slots = [
            Prepared(
                *(
                    torch.empty(shape, dtype=kind, pin_memory=pinned)
                    for shape, kind in (
                        ((count, *squares.shape[1:]), torch.uint8),
                        ((count, 2), torch.int32),
                        ((count, self._length), torch.int32),
                        ((count,), torch.bool),
                    )
                )
            )
            for _ in range(SLOTS)
        ]
        for number in itertools.count():
            slot = slots[number % SLOTS]
            np.take(squares, (np.arange(count) + number) % len(squares), 0, slot.pixels.numpy())
            slot.ids.numpy()[:] = np.roll(ids, number, 0)
            slot.grid.fill_(1)
            slot.valid.fill_(True)
            yield slot

    def micro(self, step: Step) -> int:
        """The micro-batch of a step."""
        from builder.train.step import trial

        if step.micro:
            return step.micro
        batch = next(self.host(step.batch)).to(self._bench.device)
        return trial(self.model, batch, step.batch, step.chunk, self._console)

    def step(self, batch: Prepared, micro: int, chunk: int) -> Any:
        """One step of the loop; its loss, on the device."""
        import torch

        from builder.train.step import gradients

        loss = gradients(self.model, batch, micro, chunk)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return loss

    def measured(self, name: str, step: Step, seconds: float, cost: float) -> tuple[str, ...]:
        """A line of the table. cost: seconds of a pair at the matrix rate."""
        bench = self._bench
        bench.fresh()
        micro = self.micro(step)
        ahead = Ahead(self.host(step.batch))
        try:
            for _ in range(2):  # compiled, and the optimizer's state made
                loss = self.step(ahead.next().to(bench.device), micro, step.chunk)
            gpurates.synchronize(bench.device)
            ahead.waited, done, start = 0.0, 0, time.perf_counter()
            while time.perf_counter() < start + seconds or done < 3:
                loss = self.step(ahead.next().to(bench.device), micro, step.chunk)
                gpurates.synchronize(bench.device)  # before the slot is filled again
                done += 1
            wall = time.perf_counter() - start
        finally:
            ahead.stop()
        finite = bool(np.isfinite(float(loss)))
        rate, stall, peak = done * step.batch / wall, ahead.waited / wall, bench.peak()
        text = f"{rate:,.0f} pairs/s, {rate * cost:.1%} of the matrix rate, stall {stall:.1%}"
        bench.report.check(
            name, finite, text if finite else f"{text}; the loss is {float(loss)}", pairs=rate, stall=stall,
            share=rate * cost, bytes=peak, micro=micro, batch=step.batch, chunk=step.chunk,
        )  # fmt: skip
        if self._model.compiled and micro == step.batch:
            batch = next(self.host(step.batch)).to(bench.device)
            what = f"train, {self._model.name}, batch {step.batch}"
            gpurates.where(bench, what, lambda: self.step(batch, micro, step.chunk))
        return (
            self._model.name, str(step.batch), str(micro), str(step.chunk), f"{rate:,.0f}",
            f"{wall / done * 1e3:,.1f}", f"{rate * cost:.1%}", f"{stall:.1%}", f"{peak / 1e9:.1f}" if peak else "",
        )  # fmt: skip


class Ahead:
    """Batches made by a thread, up to two ahead. waited: seconds that `next` has waited."""

    def __init__(self, batches: Iterator[Prepared]) -> None:
        self.waited = 0.0
        self._batches, self._stopped = batches, threading.Event()
        self._ready: queue.Queue[Prepared] = queue.Queue(SLOTS - 2)
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def next(self) -> Prepared:
        """The next batch."""
        start = time.perf_counter()
        found = self._ready.get()
        self.waited += time.perf_counter() - start
        return found

    def stop(self) -> None:
        """End the thread."""
        self._stopped.set()
        while self._thread.is_alive():
            with contextlib.suppress(queue.Empty):
                self._ready.get(timeout=0.05)

    def _run(self) -> None:
        for batch in self._batches:
            if self._stopped.is_set():
                return
            self._ready.put(batch)


def equal(bench: Bench, shape: str) -> None:
    """Gradients on this device, at once and by micro-batches, against those of float32 on the CPU."""
    import torch

    count = gpuchecks.BATCH
    reference = flat(replace(bench, device=torch.device("cpu")), shape, "float32", count, count)
    for dtype, most in NEAR.items():
        for name, micro in (("at once", count), ("by micro-batches", count // 4)):
            far = float((flat(bench, shape, dtype, count, micro) - reference).norm() / reference.norm())
            bench.report.within(f"train, {shape}, {dtype}, gradient {name} against the CPU's", far, most)


def flat(bench: Bench, shape: str, dtype: str, count: int, micro: int) -> Any:
    """All gradients of one batch as one vector, on the CPU."""
    import torch

    from builder.train.step import gradients

    torch.backends.cudnn.allow_tf32 = False  # as towers do in float32: else patches are cut to 10 bits
    training = Training(bench, shape, EAGER, dtype)
    batch = next(training.host(count)).to(bench.device)
    gradients(training.model, batch, micro, 512)
    found = [one.grad.float().flatten() for one in training.model.parameters() if one.grad is not None]
    return torch.cat(found).cpu()
