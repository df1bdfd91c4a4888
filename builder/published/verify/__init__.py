"""Stage `verify`: a published release in, and whether it holds what its card says.

danqing verify ORG/NAME@v2026.11
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .config import Config

if TYPE_CHECKING:
    from ...console import Console
    from .runner import Summary

__all__ = ["Config", "run"]


def run(config: Config, console: Console) -> Summary:
    """See `runner.run`; imported late so that `danqing --help` loads no Arrow."""
    from .runner import run as run_stage

    return run_stage(config, console)
