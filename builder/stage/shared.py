"""The flags that stages share, written once: a stage's Config takes them by inheriting, and says anew what differs.

Shared            json, quiet, no_color, debug                                 every command
└── Sharded       dry_run, limit, overwrite, rank, world_size, workers         a stage over the shards of a root
    └── OfManifest    input, output, schema, columns, quoting, encoding        a stage that reads a manifest
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import UsageError
from ..options import check_values, option


@dataclass(frozen=True, slots=True)
class Shared:
    """The flags of every command."""

    json: bool = option(False, "print the result as one JSON object", shared=True)
    quiet: bool = option(False, "no progress", shared=True)
    no_color: bool = option(False, "no colour, as with NO_COLOR", shared=True)
    debug: bool = option(False, "print tracebacks", shared=True)


@dataclass(frozen=True, slots=True)
class Sharded(Shared):
    """The flags of a stage whose runs share the shards of one root."""

    # What ranks with --overwrite would remove of each other, and what their user removes by hand instead.
    REMOVED = ("shards", "what an earlier run left in the root")

    dry_run: bool = option(False, "print the plan and touch nothing", shared=True)
    limit: int = option(0, "rows to take; 0: all", shared=True)
    overwrite: bool = option(False, "remove what an earlier run left in the root first", shared=True)
    rank: int = option(0, "which of --world-size runs this is", shared=True)
    world_size: int = option(1, "runs that share the shards of one root", shared=True)
    workers: int = option(0, "processes; 0: one a core", shared=True)

    @property
    def place(self) -> tuple[int, int]:
        """Rank and world size."""
        return self.rank, self.world_size

    def check_shared(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        """Raise UsageError where a value is out of its range, `bounds` being those of further flags, or no rank is."""
        check_values(self, {"limit": (0, math.inf), "rank": (0, math.inf), "workers": (0, 1024), **bounds})
        rank, world = self.place
        if world < 1:
            raise UsageError(f"--world-size {world}: must be at least 1")
        if rank >= world:
            raise UsageError(f"--rank {rank}: must be from 0 to {world - 1}, one less than --world-size")
        if self.overwrite and world > 1:
            what, left = self.REMOVED
            raise UsageError(
                f"--overwrite: ranks would remove each other's {what}; remove {left} by hand, then run them without it"
            )


@dataclass(frozen=True, slots=True)
class OfManifest(Sharded):
    """The flags of a stage that reads a manifest: which column is which, and how its text is written."""

    input: str = option(
        "", "manifest: a file, folder, glob or fsspec URL of Parquet, CSV, TSV or JSON Lines", positional=True
    )
    output: str = option("", "a folder or an fsspec URL", positional=True)

    schema: str = option(
        "auto",
        "columns of the manifest, by the name of the data set it comes from",
        content=True,
        choices=("auto", "danqing", "laion", "relaion", "coyo", "wukong", "datacomp"),
    )
    url_column: str | None = option(None, "column that holds the URL", content=True)
    caption_column: str | None = option(None, "column that becomes alt_text", content=True)
    quoting: str = option(
        "auto",
        "of CSV and TSV; double: values may stand in double quotes; none: quotes are characters; auto: double for "
        "CSV, refused where it could be meant otherwise, none for TSV",
        content=True,
        since="0.2",
        choices=("auto", "double", "none"),
    )
    encoding: str = option(
        "utf-8",
        "of CSV, TSV, JSON Lines and the texts of Parquet, such as gb18030; a byte order mark goes before",
        content=True,
        since="0.2",
    )
