"""Stage `release`: a rebuilt root in, a release out: a folder or a data set of the Hub, with a card that was counted.

danqing release ./danqing ./release --what manifest
danqing release ./danqing hf://datasets/ORG/NAME --what images
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ..console import Console
    from .summary import Preview, ReleaseSummary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> ReleaseSummary | Preview:
    """See `runner.run`; imported late so that `danqing --help` loads no Arrow and no client of the Hub."""
    from .runner import run as run_stage

    return run_stage(config, console)
