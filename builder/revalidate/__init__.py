"""Stage `revalidate`: image shards in, scores and verdicts out.

danqing revalidate ./danqing --model google/siglip2-base-patch16-256
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ..console import Console
    from .runner import Progress
    from .summary import Summary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> Summary | Progress:
    """See `runner.run`; imported late so that `danqing --help` loads no Arrow and no torch."""
    # Threads of a matrix product that wait for each other shall not spin: with decoding threads beside them a step
    # took 2 s instead of 0.06 s. Read once, when torch loads its OpenMP.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from .runner import run as run_stage

    return run_stage(config, console)
