"""The options of `danqing report`, from which its command line is derived."""

from __future__ import annotations

from dataclasses import dataclass

from ..options import check_values, option
from ..stage.shared import Shared


@dataclass(frozen=True, slots=True)
class ReportConfig(Shared):
    """What `danqing report` was asked."""

    root: str = option(
        "",
        "root of a re-validated or curated data set, or folder of a run of train: a folder or an fsspec URL",
        positional=True,
    )
    output: str = option("", "page to write: one HTML file that needs no network", positional=True)
    samples: int = option(
        24, "pairs shown of each verdict, and a quarter as many on either side of each threshold"
    )
    overwrite: bool = option(False, "replace OUTPUT though it is no report", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range."""
        check_values(self, {"samples": (0, 1000)})
