"""`danqing report`: root ─▶ numbers ─▶ samples ─▶ one HTML page, or run ─▶ its page; written whole or not at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from ..console import Console, in_words
from ..disk.files import environment, filesystem, write_atomic
from ..errors import UsageError, need
from ..stage.trained import find
from . import page, samples, trained
from .config import ReportConfig
from .gather import gather

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


def run(config: ReportConfig, console: Console) -> PageSummary | trained.RunPage:
    """Write the page about a root, or about a run of train.

    Raises UsageError where OUTPUT is something else, EnvironmentProblem where the extra is missing, InputError
    where the root has no verdicts or its files contradict each other, or the folder is neither root nor run.
    """
    _check_output(config)
    need("report", EXTRA)
    if (record := find(config.root)) is not None:
        return trained.RunPage(config.output, _write(config, trained.render(record)), record.at, record.total)
    numbers = gather(config.root, config.samples, console)
    galleries = samples.galleries(config.root, numbers)
    text = page.render(config.root, numbers, galleries)
    pictures, size = text.count('<img src="data:'), _write(config, text)
    return PageSummary(config.output, size, pictures, numbers.manifest, numbers.kept)


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
