"""`danqing verify`: a release ─▶ everything it says of itself, held against its files ─▶ a summary, or what differs.

danqing verify ORG/NAME@v2026.11
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..console import Console, in_words
from ..options import check_values, option
from ..stage.shared import Shared

if TYPE_CHECKING:
    from .check import Checked

WHOLE = "every word of the card and of croissant.json by what release.json says"
READ = "configurations, columns, sizes, source and license of the card; license, files and columns of croissant.json"
FULL = "every checksum, every row (keys, hashes, verdicts, splits, removals), every count anew, schema"
QUICK = "checksums, footers, the number of rows, schema"
NOT = "what the figures show, the types of what tars hold, and options, reasons and pi0 beyond that all documents agree"
STRANGER = "none of the release's files; danqing leaves it alone"


@dataclass(frozen=True, slots=True)
class VerifyConfig(Shared):
    """Options of `danqing verify`."""

    source: str = option(
        "", "release: ORG/NAME or ORG/NAME@revision of the Hub, a folder, or an fsspec URL", positional=True
    )
    quick: bool = option(
        False, "read no rows: the Hub's own checksums, footers, the card, and the sample of pictures"
    )
    sample: int = option(64, "pictures to decode, spread over the shards; 0: none")

    workers: int = option(0, "files read at once; 0: one a core of a folder, 8 of the Hub", shared=True)

    def check(self) -> None:
        """Raise UsageError where a value is out of its range."""
        check_values(self, {"sample": (0, 1_000_000), "workers": (0, 1024)})


@dataclass(frozen=True, slots=True)
class VerifySummary:
    """Result of `danqing verify`. source, quick: as asked; found: by the check."""

    source: str
    quick: bool
    found: Checked

    @property
    def failure(self) -> str | None:
        """The first difference and the number of the others, which the console has; None where there is none."""
        if not self.found.differences:
            return None
        more = len(self.found.differences) - 1
        rest = f", and {more:,} more lines above" if more else ""
        return f"{self.source}: does not hold what it says: {self.found.differences[0]}{rest}"

    def lines(self) -> list[str]:
        """The summary for people."""
        found, release = self.found, self.found.release
        rows, kept = self._rows, release.counts.get("kept")
        counted = "" if rows is None else f"{rows:,} rows, "
        pairs = "" if kept is None else f", {kept:,} pairs"
        depth = f"{QUICK}; no rows were read" if self.quick else FULL
        return [
            f"release   {found.url}: {release.what} {release.version}{pairs}",
            f"read      {found.files:,} files, {counted}{in_words(found.bytes)}; {found.pictures:,} pictures decoded",
            f"checked   {depth}; that the funnel adds up; {READ if found.prose else WHOLE}",
            f"not       {NOT}",
            *([f"card      {found.prose}"] if found.prose else []),
            "it does not hold what it says" if found.differences else "it holds what it says",
        ]

    def as_dict(self) -> dict[str, object]:
        """The summary as JSON; url: with the commit, of the Hub; rows: None where --quick met tars."""
        release = self.found.release
        names = ("url", "files", "bytes", "pictures", "strangers", "differences", "prose")
        return {
            "source": self.source,
            "quick": self.quick,
            "version": release.version,
            "what": release.what,
            "kept": release.counts.get("kept"),
            "rows": self._rows,
            **{name: getattr(self.found, name) for name in names},
        }

    @property
    def _rows(self) -> int | None:
        return None if self.quick and not self.found.rows else self.found.rows


def run(config: VerifyConfig, console: Console) -> VerifySummary:
    """Check a release.

    All differences go to stderr. Raises InputError where there is no release, EnvironmentProblem where it cannot be
    read.
    """
    # Late: `danqing verify --help` loads no Arrow.
    from ..disk.files import TEMPORARY, environment
    from ..disk.location import read_from
    from ..disk.parquet import without_pandas

    config.check()
    without_pandas()
    from .check import check

    url = read_from(config.source, console.info)
    with environment(f"reading {config.source}"):
        found = check(url, "quick" if config.quick else "full", console, config.sample, config.workers)
    for path in found.strangers:
        left = TEMPORARY.fullmatch(path.partition("/")[0])
        said = "left by a run that was killed; the next danqing release removes it" if left else STRANGER
        console.info(f"{path}: {said}")
    for line in found.differences:
        console.error(line)
    return VerifySummary(config.source, config.quick, found)
