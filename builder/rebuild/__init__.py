"""Stage `rebuild`: manifest in, image shards, outcomes and ledger out.

    danqing rebuild manifest/ ./danqing --image-size 256
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ..console import Console
    from ..status import Summary
    from .run import PlanSummary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> Summary | PlanSummary:
    """See `run.run`; imported late so that `danqing --help` loads no Arrow."""
    from .run import run as run_stage

    return run_stage(config, console)
