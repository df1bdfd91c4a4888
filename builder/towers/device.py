"""Where and in what precision a checkpoint runs, and how many threads that leaves to decoding.

(Options, number of parameters) -> Placement. The rules were measured, see the constants.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import EnvironmentProblem, UsageError

if TYPE_CHECKING:
    import torch

# Pairs in a forward where nobody chose. On a CPU a batch of 8 is as fast as one of 64 for a big checkpoint, and 64
# keeps a tiny one out of Python; a GPU is filled by 512.
_BATCH = {"cuda": 512, "cpu": 64}
# From here a forward is arithmetic and bfloat16 pays; below, converting costs more than it saves.
_BIG = 20_000_000


@dataclass(frozen=True, slots=True)
class Options:
    """Options for running a checkpoint.

    device: auto, cpu, cuda or cuda:N; dtype: auto, float32, bfloat16 or float16; decode: fast or exact (see pixels);
    batch_size: pairs in a forward, 0: auto; compile: auto (on cuda), on, off; workers: decoding threads, 0: auto.
    """

    device: str = "auto"
    dtype: str = "auto"
    decode: str = "fast"
    batch_size: int = 0
    compile: str = "auto"
    workers: int = 0


@dataclass(frozen=True, slots=True)
class Placement:
    """Device, precision and threads that the options came to here. threads: of one operation on a CPU, 0: as it is."""

    device: torch.device
    dtype: torch.dtype
    batch_size: int
    compile: bool
    workers: int
    threads: int


def place(options: Options, parameters: int) -> Placement:
    """Decide for a checkpoint of so many parameters.

    Raises EnvironmentProblem where the device is not there, UsageError for what is none.
    """
    import torch

    device = _device(options.device)
    cuda, big = device.type == "cuda", parameters >= _BIG
    if options.dtype != "auto":
        dtype = getattr(torch, options.dtype)
    else:
        dtype = torch.bfloat16 if cuda or (big and _has_bfloat16()) else torch.float32
    cores = len(os.sched_getaffinity(0))
    # On a CPU they share the cores. A big checkpoint decodes for a hundredth of the time, and its products take all
    # cores. A tiny one decodes for two thirds; its products are too small to be shared out, and run in one thread.
    workers = options.workers or (max(1, cores // 4) if big and not cuda else cores)
    return Placement(
        device=device,
        dtype=dtype,
        batch_size=options.batch_size or _BATCH[device.type],
        compile=options.compile == "on" or (options.compile == "auto" and cuda),
        workers=workers,
        threads=0 if cuda or "OMP_NUM_THREADS" in os.environ else cores if big else 1,
    )


def _device(asked: str) -> torch.device:
    import torch

    there = torch.cuda.device_count() if torch.cuda.is_available() else 0
    try:
        device = torch.device(("cuda" if there else "cpu") if asked == "auto" else asked)
    except RuntimeError as error:
        raise UsageError(f"--device {asked}: no device; give auto, cpu, cuda or cuda:N") from error
    if device.type != "cuda":
        return device
    # torchrun starts one process a GPU; it may or may not show each its own alone.
    if device.index is None and there:
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")) % there)
    if (device.index or 0) >= there:
        has = f"{there} CUDA device{'s' * (there != 1)}" if torch.version.cuda else "a torch without CUDA"
        raise EnvironmentProblem(f"--device {asked}: this machine has {has}; choose --device cpu or auto")
    return device


def _has_bfloat16() -> bool:
    """Whether the CPU multiplies bfloat16 natively; elsewhere it is emulated, and slower than float32."""
    import torch

    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())
