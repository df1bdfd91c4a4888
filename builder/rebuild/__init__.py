"""Stage `rebuild`: manifest in, image shards, outcomes and ledger out.

danqing rebuild manifest/ ./danqing --image-size 256
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ..console import Console
    from ..stage.status import Summary
    from .runner import PlanSummary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> Summary | PlanSummary:
    """See `runner.run`; imported late so that `danqing --help` loads no Arrow."""
    # numpy's linear algebra, which nothing here uses, would start its threads: 50 ms in each process.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Pillow's memory comes in blocks; those beyond 32 MB go back to the system at once, smaller ones stay with malloc.
    os.environ.setdefault("PILLOW_BLOCK_SIZE", "64m")
    from .runner import run as run_stage

    return run_stage(config, console)
