"""`danqing report`: root ─▶ numbers ─▶ samples ─▶ one HTML page, or run ─▶ its page; written whole or not at all.

With --analyse a root of any stage ─▶ statistics, on the page of what was judged, or on a page of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..console import Console, in_words
from ..disk.files import environment, filesystem, write_atomic
from ..errors import UsageError, need
from ..stage.trained import find
from . import page, samples, trained
from .analysis import analyse
from .config import ReportConfig
from .curated import find_curated
from .gather import gather
from .scored import find_scored

EXTRA = ("jinja2", "matplotlib")
HEAD = 4096  # bytes of a page in which it says who made it


@dataclass(frozen=True, slots=True)
class PageSummary:
    """What was written. manifest, kept: pairs; bytes: of the page."""

    output: str
    bytes: int
    pictures: int
    manifest: int
    kept: int

    def lines(self) -> list[str]:
        """The summary in a line for people."""
        kept = f"{self.kept:,} of {self.manifest:,} pairs kept"
        return [f"{self.output}: {kept}, {self.pictures:,} pictures to look at, {in_words(self.bytes)}"]

    def as_dict(self) -> dict[str, Any]:
        """The summary as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


@dataclass(frozen=True, slots=True)
class StatisticsPage:
    """What was written. pairs: of each root; bytes: of the page."""

    output: str
    bytes: int
    pairs: list[int]

    def lines(self) -> list[str]:
        """The summary in a line for people."""
        of = " and ".join(f"{count:,}" for count in self.pairs)
        return [f"{self.output}: statistics of {of} pairs, {in_words(self.bytes)}"]

    def as_dict(self) -> dict[str, object]:
        """The summary as JSON."""
        return {name: getattr(self, name) for name in self.__slots__}


def run(config: ReportConfig, console: Console) -> PageSummary | StatisticsPage | trained.RunPage:
    """Write the page about a root, or about a run of train.

    Raises UsageError where OUTPUT is something else, EnvironmentProblem where the extra is missing, InputError
    where the root has no verdicts or its files contradict each other, or the folder is neither root nor run.
    """
    _check_output(config)
    need("report", (*EXTRA, *(["rjieba"] if config.analyse else [])))
    if (record := find(config.root)) is not None:
        if config.analyse:
            raise UsageError(
                f"{config.root}: a run of danqing train, which has no pairs; name a root to --analyse"
            )
        return trained.RunPage(config.output, _write(config, trained.render(record)), record.at, record.total)
    if config.beside and _is_judged(config.beside):
        gather(config.beside, 0, console)  # which refuses files that do not belong together
    if config.analyse and not _is_judged(config.root):
        analysis = analyse(config, console)
        return StatisticsPage(config.output, _write(config, page.alone(analysis)), analysis.totals)
    numbers = gather(config.root, config.samples, console)
    galleries = samples.galleries(config.root, numbers)
    text = page.render(config.root, numbers, galleries, analyse(config, console) if config.analyse else None)
    pictures, size = text.count('<img src="data:'), _write(config, text)
    return PageSummary(config.output, size, pictures, numbers.manifest, numbers.kept)


def _is_judged(root: str) -> bool:
    return find_scored(root) is not None or find_curated(root) is not None


def _write(config: ReportConfig, text: str) -> int:
    """Write the page; its bytes."""
    written = text.encode()
    with environment(f"writing {config.output}"):
        write_atomic(config.output, written)
    return len(written)


def _check_output(config: ReportConfig) -> None:
    """UsageError where the page would replace a folder, or without --overwrite a file that is no report."""
    fs, path = filesystem(config.output)
    if fs.isdir(path):
        raise UsageError(f"{config.output}: is a folder; name an HTML file to write")
    if not fs.exists(path):
        return
    if fs.info(path)["type"] != "file":
        raise UsageError(f"{config.output}: is a pipe or a device; name an HTML file to write")
    if config.overwrite:
        return
    with fs.open(path, "rb") as file:
        if b'content="danqing report"' not in file.read(HEAD):
            raise UsageError(f"{config.output}: is no report; name another file, or --overwrite")
