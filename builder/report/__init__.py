"""Stage `report`: a re-validated root in, one self-contained page out.

danqing report ./danqing report.html
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ..console import Console
    from .work import PageSummary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> PageSummary:
    """See `work.run`; imported late so that `danqing --help` loads no Arrow and no matplotlib."""
    from .work import run as run_stage

    return run_stage(config, console)
