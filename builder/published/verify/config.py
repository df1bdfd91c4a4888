"""The options of `danqing verify`, from which its command line is derived."""

from __future__ import annotations

from dataclasses import dataclass

from ...options import check_values, option


@dataclass(frozen=True, slots=True)
class Config:
    """What `danqing verify` was asked."""

    source: str = option(
        "", "release: ORG/NAME or ORG/NAME@revision of the Hub, a folder, or an fsspec URL", positional=True
    )
    quick: bool = option(
        False, "read no rows: the Hub's own checksums, footers, the card, and the sample of pictures"
    )
    sample: int = option(64, "pictures to decode, spread over the shards; 0: none")

    workers: int = option(0, "files read at once; 0: one a core of a folder, 8 of the Hub", shared=True)
    json: bool = option(False, "print the result as one JSON object", shared=True)
    quiet: bool = option(False, "no progress", shared=True)
    no_color: bool = option(False, "no colour, as with NO_COLOR", shared=True)
    debug: bool = option(False, "print tracebacks", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range."""
        check_values(self, {"sample": (0, 1_000_000), "workers": (0, 1024)})
