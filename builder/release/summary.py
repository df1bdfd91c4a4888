"""The result of a release, or with --dry-run of what would be one: for people and for programs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from pathlib import Path

from ..console import Console, in_words, table
from ..disk.release import Release
from .changes import PAIRS, FileChange, file_changes, pair_changes
from .publication import Publication

_SHARD = re.compile(r"(.*-)\d+(-of-\d+\.\w+)")


@dataclass(frozen=True, slots=True)
class ReleaseSummary:
    """A release that is published. url: where; unchanged: it was there already, and nothing was done."""

    url: str
    release: Release
    unchanged: bool = False

    def as_dict(self) -> dict[str, object]:
        """The release as JSON."""
        release = self.release
        names = ("version", "what", "previous", "dropped", "removed", "validated", "license")
        return {
            "url": self.url,
            "unchanged": self.unchanged,
            **{name: getattr(release, name) for name in names},
            **{name: release.counts[name] for name in ("rows", "kept", "splits")},
            "shards": len(release.shards()),
            "files": len(release.files) + 1,
            "bytes": self._bytes,
        }

    def lines(self) -> list[str]:
        """The release for people."""
        release, size = self.release, in_words(self._bytes)
        first = f"{self.url}: {release.version}, {release.what}, {release.counts['kept']:,} pairs, {size}"
        rows = [
            (split, f"{one['kept']:,}", f"{one['shards']:,}", in_words(one["bytes"]))
            for split, one in release.counts["splits"].items()
        ]
        lines = [first + (": there already, nothing to do" if self.unchanged else "")]
        lines += ["", *table([("split", "pairs", "shards", "size"), *rows])]
        if release.previous:
            gone = ", ".join(f"{reason} {count:,}" for reason, count in release.dropped.items()) or "none"
            lines += ["", f"in {release.previous} and not in it: {gone}"]
        if not release.validated:
            held = "what curate keeps" if release.curated else "every fetched pair"
            lines += ["", f"not validated: {held}, without scores and verdicts"]
        return lines

    @property
    def _bytes(self) -> int:
        return sum(file["bytes"] for file in self.release.files.values())


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of --dry-run; bytes are estimates. pairs: against `previous`, None where no release is before."""

    url: str
    version: str
    what: str
    rows: dict[str, int]
    previous: str | None
    files: tuple[FileChange, ...]
    pairs: dict[str, int] | None

    def as_dict(self) -> dict[str, object]:
        """The preview as JSON."""
        return asdict(self) | {"dry_run": True, "bytes": self._bytes}

    def lines(self) -> list[str]:
        """The preview for people: shards of a split in one row."""
        kept = f"{self.rows['kept']:,} pairs, about {in_words(self._bytes)}"
        lines = [f"{self.url}: would be {self.version}, {self.what}, {kept}; nothing was written", ""]
        lines += table([("file", "files", "rows", "size", "change"), *self._grouped()])
        if self.pairs is not None:
            counts = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.pairs.items())
            lines += ["", f"pairs against {self.previous}: {counts}"]
        return lines

    @property
    def _bytes(self) -> int:
        return sum(file.bytes or 0 for file in self.files if file.state != "removed")

    def _grouped(self) -> Iterator[tuple[str, ...]]:
        """Files of one name but for the number of a shard, and of one state, in a row."""

        def name(change: FileChange) -> tuple[str, str]:
            return _SHARD.sub(r"\1*\2", change.path), change.state

        for (path, state), group in groupby(sorted(self.files, key=name), key=name):
            files = [*group]
            rows = [file.rows for file in files if file.rows is not None]
            sizes = [file.bytes for file in files if file.bytes is not None]
            counted = f"{sum(rows):,}" if rows else "", in_words(sum(sizes)) if sizes else ""
            yield path, f"{len(files):,}", *counted, state


def preview(publication: Publication, work: Path, console: Console) -> Preview:
    """The preview of what a run would release. Reads the keys of the root, and of the release before it where it is.

    InputError, EnvironmentProblem: where that cannot be read.
    """
    url, what, before = publication.target.url(None), publication.config.what, publication.before
    if before is not None and publication.is_released:
        release = before.release
        files = tuple(
            FileChange(path, file["rows"], file["bytes"], "unchanged") for path, file in release.files.items()
        )
        rows, none = {"kept": release.counts["kept"]}, dict.fromkeys(PAIRS, 0)
        return Preview(url, release.version, what, rows, release.version, files, none)
    plan = publication.unfinished(work) or publication.plan()
    previous, pairs = publication.previous(plan), None
    if previous is not None:
        console.info(f"reading the keys of {previous.release.version} and of {publication.root.url}")
        pairs = pair_changes(publication.root, publication.removals, previous, plan.pinned)
    version, changed = previous and previous.release.version, file_changes(plan, len(publication.removals))
    return Preview(url, plan.version, what, plan.rows, version, changed, pairs)
