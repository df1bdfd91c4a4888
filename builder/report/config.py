"""The options of `danqing report`, from which its command line is derived."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import UsageError
from ..options import check_values, flag_of, option
from ..stage.shared import Shared


@dataclass(frozen=True, slots=True)
class ReportConfig(Shared):
    """What `danqing report` was asked."""

    root: str = option(
        "",
        "root of a re-validated or curated data set, or folder of a run of train: a folder or an fsspec URL; with "
        "--analyse a root of any stage, or a manifest",
        positional=True,
    )
    output: str = option("", "page to write: one HTML file that needs no network", positional=True)
    samples: int = option(
        24, "pairs shown of each verdict, and a quarter as many on either side of each threshold"
    )
    analyse: bool = option(
        False, "add the paper's statistics: captions, resolutions, hosts, cosines, topics, balance"
    )
    draw: int = option(
        100_000, "pairs that words, cosines, topics and balance are taken of, those with the smallest keys"
    )
    beside: str = option("", "another root whose statistics stand beside, on the same axes")
    masked_lm: str = option(
        "",
        "masked language model that gives the perplexity of captions: a folder or a Hub id, in safetensors",
    )
    overwrite: bool = option(False, "replace OUTPUT though it is no report", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range, or of no use."""
        check_values(self, {"samples": (0, 1000), "draw": (100, 1_000_000)})
        for name in ("beside", "masked_lm"):
            if getattr(self, name) and not self.analyse:
                raise UsageError(f"{flag_of(name)}: is about statistics; add --analyse")
