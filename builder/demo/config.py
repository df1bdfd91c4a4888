"""The options of `danqing demo`, from which its command line is derived."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..options import check_values, option
from ..stage.shared import Shared

FEWEST = 100  # pairs: with fewer the faults would be most of the web


@dataclass(frozen=True, slots=True)
class DemoConfig(Shared):
    """What `danqing demo` was asked to do."""

    output: str = option(
        "./demo", "folder of the demo; made anew if it is one, else it must be empty", positional=True
    )
    pairs: int = option(1200, "rows of the manifest")
    seed: int = option(0, "of the pictures and of where the faults are", shared=True)
    quiet: bool = option(False, "no commentary", shared=True)

    def check(self) -> None:
        """Raise UsageError for values that make no demo."""
        check_values(self, {"pairs": (FEWEST, 1_000_000), "seed": (0, math.inf)})
