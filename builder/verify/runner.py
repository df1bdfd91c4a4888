"""`danqing verify`: a release ─▶ everything it says of itself, held against its files ─▶ a summary, or what differs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..arrow import without_pandas
from ..console import Console
from ..errors import VerificationError
from ..files import TEMPORARY, environment
from ..options import in_words
from ..released.address import read_from
from .config import Config

FULL = (
    "every checksum, every row (keys, hashes, verdicts, splits, removals), every number counted anew, "
    "schema and card"
)
STRANGER = "none of the release's files; danqing leaves it alone"
QUICK = "checksums, footers, the number of rows, schema and card; no rows were read"


@dataclass(frozen=True, slots=True)
class Summary:
    """What was found sound. url: with the commit, of the Hub; rows: None where --quick met tars."""

    source: str
    url: str
    version: str
    what: str
    files: int
    rows: int | None
    kept: int
    bytes: int
    pictures: int
    quick: bool
    strangers: list[str]

    def lines(self) -> list[str]:
        """It for people."""
        rows = "" if self.rows is None else f"{self.rows:,} rows, "
        return [
            f"release   {self.url}: {self.what} {self.version}, {self.kept:,} pairs",
            f"read      {self.files:,} files, {rows}{in_words(self.bytes)}; {self.pictures:,} pictures decoded",
            f"checked   {QUICK if self.quick else FULL}",
            "it holds what it says",
        ]

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {**{name: getattr(self, name) for name in self.__slots__}, "differences": []}


def run(config: Config, console: Console) -> Summary:
    """Check a release.

    Raises VerificationError where it differs from what it says, after all differences went to stderr; InputError
    where there is no release, EnvironmentProblem where it cannot be read.
    """
    config.check()
    without_pandas()
    from ..released.check import check

    url = read_from(config.source, console.info)
    with environment(f"reading {config.source}"):
        found = check(url, "quick" if config.quick else "full", console, config.sample, config.workers)
    for path in found.strangers:
        left = TEMPORARY.fullmatch(path.partition("/")[0])
        said = "left by a run that was killed; the next danqing release removes it" if left else STRANGER
        console.info(f"{path}: {said}")
    if found.differences:
        for line in found.differences:
            console.error(line)
        raise VerificationError(_told(config.source, found.differences))
    rows = None if config.quick and not found.rows else found.rows
    release = found.release
    return Summary(
        source=config.source,
        url=found.url,
        version=release.version,
        what=release.what,
        files=found.files,
        rows=rows,
        kept=release.counts["kept"],
        bytes=found.bytes,
        pictures=found.pictures,
        quick=config.quick,
        strangers=found.strangers,
    )


def _told(source: str, differences: list[str]) -> str:
    more = len(differences) - 1
    rest = f", and {more:,} more lines above" if more else ""
    return f"{source}: does not hold what it says: {differences[0]}{rest}"
