"""`danqing release --dry-run`: what would be released, and what that changes for those who have the release before.

    Plan, last release ─▶ files by name: new, rewritten, renamed, unchanged, removed; pairs: added, dropped, taken down

Nothing is written. Sizes are estimates, and whether a shard that stays has the same bytes shows only when it is made.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from ..console import Console, in_words, table
from ..disk.digests import halves_of, locate
from ..disk.release import NAME, Release
from .census import take
from .plan import Plan

if TYPE_CHECKING:
    from .runner import Job

PAIRS = ("added", "dropped", "flagged", "removed_by_takedown")
MADE = ("README.md", NAME, "croissant.json", "figures/")  # of every release, from its counts
_SHARD = re.compile(r"(.*-)\d+(-of-\d+\.\w+)")


@dataclass(frozen=True, slots=True)
class Change:
    """A file. rows: None of what is no table; bytes: None where they are not known before it is made.

    state: new, rewritten, unchanged, removed; renamed: a shard that keeps its pairs, where their number changed.
    """

    path: str
    rows: int | None
    bytes: int | None
    state: str


@dataclass(frozen=True, slots=True)
class Preview:
    """The result of --dry-run. pairs: against `previous`, None where there is no release before."""

    url: str
    version: str
    what: str
    rows: dict[str, int]
    previous: str | None
    files: tuple[Change, ...]
    pairs: dict[str, int] | None

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return asdict(self) | {"dry_run": True, "bytes": self._bytes()}

    def lines(self) -> list[str]:
        """It for people: shards of a split in one row."""
        kept = f"{self.rows['kept']:,} pairs, about {in_words(self._bytes())}"
        lines = [f"{self.url}: would be {self.version}, {self.what}, {kept}; nothing was written", ""]
        lines += table([("file", "files", "rows", "size", "change"), *map(_row, _grouped(self.files))])
        if self.pairs is not None:
            told = ", ".join(f"{count:,} {name.replace('_', ' ')}" for name, count in self.pairs.items())
            lines += ["", f"pairs against {self.previous}: {told}"]
        return lines

    def _bytes(self) -> int:
        return sum(file.bytes or 0 for file in self.files if file.state != "removed")


def preview(job: Job, plan: Plan, console: Console) -> Preview:
    """What `plan` would release. Reads the keys of the root, and of the release before it where it is.

    InputError, EnvironmentProblem: where that cannot be read.
    """
    url = job.target.url(None)
    if job.is_released and job.previous is not None:
        return _of_released(url, job.previous)
    previous = plan.previous
    changes = tuple(sorted(_changes(plan, previous, len(job.removals)), key=lambda change: change.path))
    pairs = None
    if previous is not None:
        console.info(f"reading the keys of {previous.version} and of {job.root.url}")
        pairs = _pairs(job, plan, previous)
    return Preview(url, plan.version, job.config.what, plan.rows, _version(previous), changes, pairs)


def _of_released(url: str, release: Release) -> Preview:
    """Where readers find just this already."""
    files = tuple(
        Change(path, file["rows"], file["bytes"], "unchanged") for path, file in release.files.items()
    )
    rows = {"kept": release.counts["kept"]}
    return Preview(url, release.version, release.what, rows, release.version, files, dict.fromkeys(PAIRS, 0))


def _version(release: Release | None) -> str | None:
    return release.version if release else None


def _changes(plan: Plan, previous: Release | None, removals: int) -> Iterator[Change]:
    """Every file of the release, and those of the one before that go."""
    old = previous.files if previous else {}
    stay = {_number(path) for path in old} if plan.pinned else set()
    for shard in plan.shards:
        state = "rewritten" if shard.path in old else "renamed" if _number(shard.path) in stay else "new"
        yield Change(shard.path, shard.rows, shard.bytes, state)
    known = {shard.path for shard in plan.shards}
    for path, rows, state in _others(plan, previous, removals):
        known.add(path)
        there = old.get(path, {})
        yield Change(path, there.get("rows") if rows is None else rows, there.get("bytes"), state)
    for path in old:
        if path not in known:
            yield Change(path, old[path]["rows"], old[path]["bytes"], "removed")


def _number(path: str) -> str:
    """The name of a shard without the number of shards."""
    return path.partition("-of-")[0]


def _others(plan: Plan, previous: Release | None, removals: int) -> Iterator[tuple[str, int | None, str]]:
    """The files beside the shards: path, rows where they are known, state."""
    old = set(previous.files) if previous else set()
    for path in sorted(
        {path for path in old if path.startswith(MADE)} | {"README.md", NAME, "croissant.json"}
    ):
        yield path, None, "rewritten" if path in old or (previous and path == NAME) else "new"
    if previous is not None:
        for path in sorted(path for path in old if path.startswith("changes/")):
            yield path, None, "unchanged"
        path = f"changes/{plan.version}.parquet"
        if path not in old:
            yield path, None, "new"
    if removals:
        path, before = "removals/removals.parquet", previous.removed if previous else 0
        yield path, removals, "new" if path not in old else "rewritten" if removals != before else "unchanged"


def _pairs(job: Job, plan: Plan, previous: Release) -> dict[str, int]:
    """Pairs against the release before: which the new one has more; has no more, and of these those taken down.

    flagged: how many of the dropped stay in a shard, with kept=false, where shards are pinned.
    """
    from . import changes

    census = take(job.root, job.removals)
    before = np.sort(halves_of(changes.previous_keys(job.target.url(previous.version), previous)))
    was_there = locate(before, census.ids)[1] & ~census.repeated
    dropped = len(before) - int(np.count_nonzero(was_there & census.wanted))
    flagged = was_there & ~census.kept & ~census.removed
    return {
        "added": int(np.count_nonzero(census.wanted & ~was_there)),
        "dropped": dropped,
        "flagged": int(np.count_nonzero(flagged)) if plan.pinned else 0,
        "removed_by_takedown": int(np.count_nonzero(was_there & census.removed)),
    }


def _grouped(files: Iterable[Change]) -> Iterator[tuple[str, str, list[Change]]]:
    """Files of one name but for the number of a shard, and of one state; by path, as the files are."""

    def name(change: Change) -> tuple[str, str]:
        match = _SHARD.fullmatch(change.path)
        return (f"{match[1]}*{match[2]}" if match else change.path), change.state

    for (path, state), group in groupby(sorted(files, key=name), key=name):
        yield path, state, list(group)


def _row(group: tuple[str, str, list[Change]]) -> tuple[str, ...]:
    path, state, files = group
    rows = [file.rows for file in files if file.rows is not None]
    sizes = [file.bytes for file in files if file.bytes is not None]
    return (
        path, f"{len(files):,}", f"{sum(rows):,}" if rows else "", in_words(sum(sizes)) if sizes else "", state,
    )  # fmt: skip
