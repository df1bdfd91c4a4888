"""Where a release goes: the face between the runner, which makes files, and what publishes them.

    runner: files in a local folder ─▶ Target: a folder, or a data set of the Hub

`upload.open_target` picks one. Whatever is raised, and wherever the process is killed, the same calls go on: `begin`,
`put` and `publish` are given the same arguments again, with the files that are still there.
"""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from ..disk.release import Release


class Target(Protocol):
    """A place for releases."""

    def previous(self) -> Release | None:
        """The release that a reader finds there now; None where there is none.

        Raises UsageError where it holds files that are of no release, as a reader would take them for a part of it.
        """

    def versions(self) -> list[str]:
        """The tags that are taken, in any order."""

    def begin(self, version: str) -> None:
        """Make it ready to take the files of a release; a reader sees nothing of it."""

    def put(self, folder: Path, files: list[str]) -> None:
        """Take some files for good, given by their paths in `folder`; afterwards the caller may delete them."""

    def staged(self, file: str) -> str:
        """The URL at which a file that was `put` can be read before it is published."""

    def publish(self, folder: Path, files: list[str], keep: set[str], version: str, message: str) -> None:
        """Let readers see the release: take the last files, of which README.md and release.json are two, then the tag.

        files: those of `folder` that were not `put`; keep: all files of the release, by path. Files of the release
        before it that are not kept go; files that no release wrote stay.
        """

    def url(self, version: str | None) -> str:
        """The folder or fsspec URL at which readers find the release of that tag, or with None the newest."""
