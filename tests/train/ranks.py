"""Ranks on gloo: processes that are forked from one interpreter which has loaded torch and run nothing (conftest.py).

In: a function of a test module, which is called on every rank of each world. Out: FOLDER/WORLD-RANK.pt, what it
returns.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import distributed

from tests.forked import Forked


def on_ranks(
    forked: Forked, work: Callable[[], Any], folder: Path, worlds: Sequence[int]
) -> dict[int, list[Any]]:
    """What the function returns on each rank of each world. It calls torch.distributed as it likes."""
    words = [work.__module__, work.__qualname__, str(folder), *map(str, worlds)]
    done = forked("import sys; from tests.train.ranks import main; sys.exit(main())", words)
    assert done.returncode == 0, done.stderr[-4000:]
    return {world: [torch.load(folder / f"{world}-{rank}.pt") for rank in range(world)] for world in worlds}


def _rank(work: Callable[[], Any], folder: Path, rank: int, world: int) -> None:
    torch.set_num_threads(1)
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{world}.store", rank=rank, world_size=world
    )
    torch.save(work(), folder / f"{world}-{rank}.pt")
    distributed.destroy_process_group()


def main() -> int:
    """Run each world; the worst exit status of its ranks."""
    module, name, folder, *worlds = sys.argv[1:]
    work = getattr(importlib.import_module(module), name)
    worst = 0
    for world in map(int, worlds):
        children = []
        for rank in range(world):
            if (child := os.fork()) == 0:
                _rank(work, Path(folder), rank, world)
                sys.stdout.flush()
                os._exit(0)
            children.append(child)
        worst = max(worst, *(abs(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])) for child in children))
    return worst
