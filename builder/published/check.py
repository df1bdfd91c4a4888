"""The check of a release: everything that it says of itself, held against its files.

    url ─▶ release.json ─▶ files, names, footers, hashes ─▶ rows, counted anew ─▶ card ─▶ sample decoded ─▶ Checked

`full` reads every byte. `quick` takes the Hub's own checksums for the hashes and footers for the rows.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from ..card.counts import Counts
from ..console import Console
from ..disk.documents import LIMIT
from ..disk.files import TEMPORARY
from ..disk.release import NAME, Release, parse, split_of
from ..errors import InputError
from ..hub.store import Store, open_store, sha256_of
from . import history, pictures, rows, shards, tars
from .card import check_card
from .differences import Differences
from .funnel import check_funnel

SMALL = 16 << 20  # bytes up to which a file that the listing has no hash of is read, also by `quick`
PARALLEL = 8  # files that are read at once, at most
MEGABYTE = 1_000_000
_OURS = ("manifest/", "images/", "removals/", "changes/", "figures/", ".release/")
_READ = (
    ".parquet",
    ".tar",
    ".py",
    ".json",
    ".jsonl",
    ".csv",
    ".arrow",
    ".zip",
    ".yaml",
)  # by `datasets`, or run


@dataclass(frozen=True, slots=True)
class Checked:
    """Result of a check. url: with the commit, of the Hub; files, bytes: that release.json lists, as they lie there.

    differences: a line each; rows: that were counted, none where `quick` met tars; pictures: that were decoded;
    strangers: files of others, which nobody takes for data; prose: why that of the card was not compared, if so.
    """

    url: str
    release: Release
    differences: list[str]
    rows: int
    bytes: int
    files: int
    pictures: int
    strangers: list[str]
    prose: str | None


@dataclass(slots=True)
class _File:
    """Findings in one file."""

    path: str
    sha256: str | None = None
    footer: shards.Footer | None = None
    scan: rows.Scan | None = None
    sample: list[tars.Place] = field(default_factory=list)
    differences: Differences = field(default_factory=Differences)


def check(url: str, depth: str, console: Console, sample: int = 64, workers: int = 0) -> Checked:
    """Check a release: a folder, or a URL of the Hub or of a store. depth: full or quick.

    sample: pictures to decode; workers: files read at once, 0: as many as suit. Raises InputError where there is no
    release, EnvironmentProblem where it cannot be read; all else is a difference.
    """
    store = open_store(url)
    if NAME not in store.entries:
        raise InputError(f"{url}: no release: it has no {NAME}; danqing release makes one")
    release = parse(store.read(NAME, LIMIT), f"{store.url}/{NAME}")
    return _Check(store, release, depth == "full", console, workers).whole(sample)


class _Check:
    """A check under way."""

    def __init__(self, store: Store, release: Release, full: bool, console: Console, workers: int) -> None:
        self._store, self._release, self._full = store, release, full
        self._console, self._workers = console, workers
        self._differences = Differences()
        self._tars = [path for path in release.shards() if path.endswith(".tar")]

    def whole(self, sample: int) -> Checked:
        """Check everything, in this order: names, files, rows, numbers, card, pictures."""
        store, release, differences = self._store, self._release, self._differences
        strangers = self._listing()
        shards.check_names(release, differences)
        removed = history.read_removals(store, release, differences)
        rules = rows.Rules(release, history.read_changes(store, release, differences), removed)
        footers: list[shards.Footer] = []
        scans: list[rows.Scan] = []
        drawn: list[tars.Place] = []
        counts = Counts()
        for one in self._files(rules, -(-sample // max(1, len(self._tars)))):
            self._hashed(one)
            differences.merge(one.differences)
            footers += [one.footer] if one.footer else []
            drawn += one.sample
            if one.scan is not None:
                differences.merge(one.scan.differences)
                counts.merge(one.scan.counts)
                scans.append(one.scan)
        self._numbers(footers, scans, counts)
        check_funnel(release, differences)
        shards.check_schema(footers, release, differences)
        prose = check_card(store, release, footers[0].schema if footers else None, differences)
        decoded = pictures.check(self._sample(footers, drawn, sample), differences)
        there = [store.entries[path].bytes for path in release.files if path in store.entries]
        found = sum(one.rows for one in (scans if self._full else footers))
        lines = differences.lines()
        return Checked(store.url, release, lines, found, sum(there), len(there), decoded, strangers, prose)

    def _listing(self) -> list[str]:
        """Files that are missing, too large or small, or not of the release; those of others that do no harm."""
        strangers = []
        files, entries = self._release.files, self._store.entries
        for path, file in files.items():
            if path not in entries:
                self._differences.add("missing", f"{path}: should be there by {NAME}, it is missing")
            else:
                self._differences.unequal("bytes", f"{path}: bytes", file["bytes"], entries[path].bytes)
        for path in entries:
            if path in files or path == NAME:
                continue
            # What a kill left is swept by the next release; an upload leaves alone what others put into a repository.
            left = TEMPORARY.fullmatch(path.partition("/")[0]) is not None
            if not left and (self._store.local or path.startswith(_OURS) or path.endswith(_READ)):
                self._differences.add("extra", f"{path}: should not be there, {NAME} does not list it")
            else:
                strangers.append(path)
        return strangers

    def _files(self, rules: rows.Rules, sample: int) -> Iterator[_File]:
        """Findings in all files that are there, looked at side by side, in the order of release.json."""
        there = [path for path in self._release.files if path in self._store.entries]
        size = sum(self._store.entries[path].bytes for path in there)
        workers = self._workers or (min(PARALLEL, os.cpu_count() or 1) if self._store.local else PARALLEL)

        def look(path: str) -> _File:
            return self._look(path, rules, sample)

        with (
            self._console.progress(size // MEGABYTE, unit="MB") as bar,
            _pool(workers, self._store.stop) as pool,
        ):
            done = 0
            for one in pool.map(look, there):
                before, done = done, done + self._store.entries[one.path].bytes
                bar.update(done // MEGABYTE - before // MEGABYTE)
                yield one

    def _look(self, path: str, rules: rows.Rules, sample: int) -> _File:
        """Look at one file; runs in a thread."""
        found = _File(path)
        entry, is_shard = self._store.entries[path], path.startswith(f"{self._release.what}/")
        if is_shard and path.endswith(".tar"):
            if self._full:
                found.scan, found.sha256, found.sample = tars.scan(self._store, path, rules, sample)
                wanted = self._release.files[path].get("rows")
                found.differences.unequal("rows", f"{path}: rows", wanted, found.scan.rows)
                return found
        elif is_shard:
            wanted = self._release.files[path].get("rows")
            found.footer = shards.read_footer(self._store, path, wanted, found.differences)
            if self._full and found.footer is not None:
                found.scan = rows.scan(self._store, found.footer, rules)
        if self._full or self._store.local or (entry.sha256 is None and entry.bytes <= SMALL):
            found.sha256 = sha256_of(self._store, path)
        return found

    def _hashed(self, one: _File) -> None:
        """The hash of a file, of its bytes and by the listing of the Hub."""
        wanted, where = self._release.files[one.path]["sha256"], f"{one.path}: sha256"
        if one.sha256 is not None:
            self._differences.unequal("sha256", where, wanted, one.sha256)
        listed = self._store.entries[one.path].sha256
        if listed is not None and listed != one.sha256:
            self._differences.unequal("sha256", f"{where} by the Hub", wanted, listed)

    def _numbers(self, footers: list[shards.Footer], scans: list[rows.Scan], counts: Counts) -> None:
        """Unique keys, and counts of release.json that the shards do not have; neither where one cannot be read."""
        if {"damaged", "missing"} & self._differences.kinds:
            return
        release = self._release
        if self._full:
            read = tars.keys if self._tars else rows.read_keys
            self._differences.merge(rows.repeated(scans, lambda path: read(self._store, path)))
            _compare("counts", release.counts, counts.as_dict(), self._differences)
            return
        for path in release.shards():
            counts.file(split_of(path), self._store.entries[path].bytes)
        for footer in footers:
            counts.splits[split_of(footer.path)]["rows"] += footer.rows
        names = ("bytes", "shards", *(() if self._tars else ("rows",)))
        told = release.counts.get("splits")
        _compare("counts.splits", _only(told, names), _only(counts.splits, names), self._differences)

    def _sample(
        self, footers: list[shards.Footer], drawn: list[tars.Place], count: int
    ) -> Iterator[pictures.SampledPicture]:
        """The pictures to decode."""
        if self._release.what != "images":
            return
        if not self._tars:
            yield from pictures.sample(self._store, footers, count, self._differences)
            return
        if not self._full:
            each = max(pictures.REMOTE, -(-count // len(self._tars)))
            for path in pictures.dealt(self._tars):
                if path in self._store.entries and (wanted := min(each, count - len(drawn))) > 0:
                    drawn += tars.first(self._store, path, wanted, self._differences)
        yield from tars.read(self._store, sorted(drawn, key=lambda one: one.key)[:count])


@contextmanager
def _pool(workers: int, stop: Callable[[], None]) -> Iterator[ThreadPoolExecutor]:
    """Threads that end soon after an error or Ctrl-C, whatever they are reading."""
    pool = ThreadPoolExecutor(workers)
    try:
        yield pool
    except BaseException:
        stop()
        raise
    finally:
        pool.shutdown(cancel_futures=True)


def _only(splits: Any, names: tuple[str, ...]) -> Any:
    """The counts of these names of each split; what is no such thing as it is."""
    if not isinstance(splits, dict) or not all(isinstance(one, dict) for one in splits.values()):
        return splits
    return {split: {name: counts.get(name) for name in names} for split, counts in splits.items()}


def _compare(where: str, wanted: Any, found: Any, differences: Differences) -> None:
    """Each number in which what release.json says and what was counted part ways."""
    if isinstance(wanted, dict) and isinstance(found, dict):
        for name in dict.fromkeys([*wanted, *found]):
            _compare(f"{where}.{name}", wanted.get(name), found.get(name), differences)
    elif wanted != found:
        differences.add("counts", f"{NAME}: {where} says {_brief(wanted)}, the shards have {_brief(found)}")


def _brief(value: Any) -> str:
    return str(value) if len(str(value)) <= 80 else str(value)[:77] + "..."
