"""`danqing verify`: a release ─▶ everything it says of itself, held against its files ─▶ a summary, or what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ...console import Console, in_words
from ...disk.files import TEMPORARY, environment
from ...disk.location import read_from
from ...disk.parquet import without_pandas
from .config import Config

_TOLD = (
    "that the funnel adds up; of the card its configs, features, license, source, model, level, bound and tables of "
    "counts; of croissant.json its license, files and fields"
)
FULL = (
    f"every checksum, every row (keys, hashes, verdicts, splits, removals), every count anew, schema, {_TOLD}"
)
QUICK = f"checksums, footers, the number of rows, schema, {_TOLD}; no rows were read"
NOT = (
    "the types of what tars hold, the other sentences of the card and of croissant.json, what the figures show, and "
    "options, reasons and pi0 beyond that all documents agree"
)
STRANGER = "none of the release's files; danqing leaves it alone"


@dataclass(frozen=True, slots=True)
class Summary:
    """What was found. url: with the commit, of the Hub; rows: None where --quick met tars."""

    source: str
    url: str
    version: str
    what: str
    files: int
    rows: int | None
    kept: int | None
    bytes: int
    pictures: int
    quick: bool
    strangers: list[str]
    differences: list[str]

    @property
    def failure(self) -> str | None:
        """The first difference and the number of the others, which the console has; None where there is none."""
        if not self.differences:
            return None
        more = len(self.differences) - 1
        rest = f", and {more:,} more lines above" if more else ""
        return f"{self.source}: does not hold what it says: {self.differences[0]}{rest}"

    def lines(self) -> list[str]:
        """It for people."""
        rows = "" if self.rows is None else f"{self.rows:,} rows, "
        pairs = "" if self.kept is None else f", {self.kept:,} pairs"
        return [
            f"release   {self.url}: {self.what} {self.version}{pairs}",
            f"read      {self.files:,} files, {rows}{in_words(self.bytes)}; {self.pictures:,} pictures decoded",
            f"checked   {QUICK if self.quick else FULL}",
            f"not       {NOT}",
            "it does not hold what it says" if self.differences else "it holds what it says",
        ]

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(config: Config, console: Console) -> Summary:
    """Check a release.

    All differences go to stderr. Raises InputError where there is no release, EnvironmentProblem where it cannot be
    read.
    """
    config.check()
    without_pandas()
    from ..check import check

    url = read_from(config.source, console.info)
    with environment(f"reading {config.source}"):
        found = check(url, "quick" if config.quick else "full", console, config.sample, config.workers)
    for path in found.strangers:
        left = TEMPORARY.fullmatch(path.partition("/")[0])
        said = "left by a run that was killed; the next danqing release removes it" if left else STRANGER
        console.info(f"{path}: {said}")
    for line in found.differences:
        console.error(line)
    rows = None if config.quick and not found.rows else found.rows
    release = found.release
    return Summary(
        source=config.source,
        url=found.url,
        version=release.version,
        what=release.what,
        files=found.files,
        rows=rows,
        kept=release.counts.get("kept"),
        bytes=found.bytes,
        pictures=found.pictures,
        quick=config.quick,
        strangers=found.strangers,
        differences=found.differences,
    )
