"""What became of every pair, shard by shard: the done markers, and the counts of the shards in flight.

    <root>/ledger/<stage>/plan.json          what the stage set out to do
    <root>/ledger/<stage>/train-00000.json   one shard: its counts and files; it exists <=> the shard is done
    <root>/ledger/<stage>/decision.json      of a stage that judges pairs: the verdicts, counted; after all markers
    <root>/ledger/<stage>/progress-0.json    what rank 0 has counted of shards that have no marker yet

Files appear whole, by rename, and a marker is written after everything that it speaks of.
Rows in = rows kept + rows dropped, by reason: a ledger that does not add up cannot be made.
"""

from __future__ import annotations

import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, Self, TypedDict, Unpack

from ..errors import InputError
from . import documents
from .files import (
    file_digest,
    filesystem,
    is_local,
    join,
    listdir,
    local_bytes,
    local_path,
    read_bytes,
    remove,
    write_atomic,
)

WORST_HOSTS = 50  # of a shard, kept in its ledger: 10,000 shards stay readable in about a second
HOSTS_HELD = 50_000  # by a tally that merges others, before it forgets the better half: memory stays flat
DIGEST = "xxh3_128"  # the name of a file's checksum, as of files.file_digest
_SPLIT = re.compile(r"\w{1,64}")
_MARKER = re.compile(r"(?!progress-)\w+-\d{5,}\.json")
_PROGRESS = re.compile(r"progress-\d+\.json")
_BATCH = 512  # files asked of an object store at once


class WrittenFile(TypedDict):
    """What a marker says of a file of its shard; xxh3_128: in hex."""

    rows: int
    bytes: int
    xxh3_128: NotRequired[str]


class PlanDocument(TypedDict):
    """What readers of plan.json rely on; rows and shards are by split, the others say what it is made of."""

    rows: dict[str, int]
    shards: dict[str, int]
    stage: NotRequired[str]
    version: NotRequired[str]
    config: NotRequired[dict[str, Any]]
    config_hash: NotRequired[str]
    manifest: NotRequired[ManifestRecord]
    checkpoint: NotRequired[dict[str, str | float | None]]
    made_from: NotRequired[dict[str, Any]]


class ManifestRecord(TypedDict):
    """The manifest of a rebuild: its files by path."""

    fingerprint: str
    files: dict[str, ManifestFileRecord]


class ManifestFileRecord(TypedDict):
    """A file of a manifest."""

    rows: int
    fingerprint: str


class DecisionDocument(TypedDict):
    """What readers of decision.json rely on; verdicts, causes and hosts count pairs, all else are shares and levels."""

    decision: str
    verdicts: dict[str, int]
    kept: int
    suspects: int
    alpha: float
    tested: int
    pi0: float
    bound: float
    rows: NotRequired[int]
    causes: NotRequired[dict[str, int]]
    threshold: NotRequired[float | None]
    least_level: NotRequired[float | None]
    min_score: NotRequired[float | None]
    keep: NotRequired[list[str]]
    hosts: NotRequired[dict[str, dict[str, int]]]
    checkpoint: NotRequired[dict[str, Any]]
    rebuild_dropped: NotRequired[int]


class ProgressDocument(TypedDict):
    """progress-<rank>.json. shards: their counts so far, by stem."""

    at: str
    shards: dict[str, Tally]


class Made(TypedDict):
    """What the writer of a shard knows beside its counts; the fields of ShardLedger of the same names."""

    files: dict[str, dict[str, Any]]
    config: str
    version: str
    seconds: float


@dataclass(slots=True)
class Tally:
    """Counts of outcomes, cheap enough to add to once a row.

    rows: in; http_status: of those that had an answer; hosts: [kept, dropped] of each; bytes: of the bodies;
    requests: sent, all tries together.
    """

    rows: int = 0
    kept: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    http_status: dict[str, int] = field(default_factory=dict)
    hosts: dict[str, list[int]] = field(default_factory=dict)
    bytes: int = 0
    requests: int = 0

    def add(
        self,
        reason: str | None,
        http_status: int | None,
        host: str | None,
        bytes: int,  # noqa: A002
        attempts: int,
    ) -> None:
        """Count one pair; `reason` is None when it was kept."""
        self.rows += 1
        self.bytes += bytes
        self.requests += attempts
        if reason is None:
            self.kept += 1
        else:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        if http_status is not None:
            status = str(http_status)
            self.http_status[status] = self.http_status.get(status, 0) + 1
        if host is not None:
            counts = self.hosts.get(host)
            if counts is None:
                counts = self.hosts[host] = [0, 0]
            counts[reason is not None] += 1

    def merge(self, other: Tally | ShardLedger) -> None:
        """Add the counts of `other`; beyond HOSTS_HELD, the hosts that lost least are forgotten."""
        self.rows += other.rows
        self.kept += other.kept
        self.bytes += other.bytes
        self.requests += other.requests
        for mine, theirs in ((self.reasons, other.reasons), (self.http_status, other.http_status)):
            for name, count in theirs.items():
                mine[name] = mine.get(name, 0) + count
        for host, (kept, dropped) in other.hosts.items():
            counts = self.hosts.get(host)
            if counts is None:
                self.hosts[host] = [kept, dropped]
            else:
                counts[0] += kept
                counts[1] += dropped
        if len(self.hosts) > HOSTS_HELD:
            worst_first = sorted(self.hosts.items(), key=lambda one: one[1][1], reverse=True)
            self.hosts = dict(worst_first[: HOSTS_HELD // 2])

    def worst_hosts(self, limit: int) -> list[tuple[str, list[int]]]:
        """The hosts that lost pairs, with [kept, dropped], worst first, at most `limit`."""
        losing = ((host, counts) for host, counts in self.hosts.items() if counts[1])
        return sorted(losing, key=lambda one: (-one[1][1], one[1][0], one[0]))[:limit]

    def top_reasons(self, limit: int = 3) -> list[tuple[str, int]]:
        """The commonest reasons, counted."""
        return sorted(self.reasons.items(), key=lambda one: (-one[1], one[0]))[:limit]

    @property
    def kept_share(self) -> float | None:
        """Kept over rows in, 0 to 1; None before the first row."""
        return self.kept / self.rows if self.rows else None

    def as_dict(self) -> dict[str, Any]:
        """What JSON holds of it, with the worst hosts only."""
        counts = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        return counts | {"hosts": dict(self.worst_hosts(WORST_HOSTS))}


@dataclass(frozen=True, slots=True)
class ShardLedger:
    """The done marker of one shard.

    shard: its stem, `train-00000-of-00042`; hosts: the worst, [kept, dropped]; bytes: of the bodies fetched;
    files: rows, bytes and checksum of each, by its path in the root; config: hash of the options and the
    manifest; finished_at: ISO 8601, UTC.
    """

    stage: str
    shard: str
    rows: int
    kept: int
    reasons: dict[str, int]
    http_status: dict[str, int]
    hosts: dict[str, list[int]]
    bytes: int
    requests: int
    seconds: float
    files: dict[str, dict[str, Any]]
    config: str
    version: str
    finished_at: str

    def __post_init__(self) -> None:
        dropped = sum(self.reasons.values())
        if self.rows != self.kept + dropped:
            raise ValueError(f"{self.shard}: {self.rows} rows in, but {self.kept} kept and {dropped} dropped")

    @classmethod
    def of(cls, stage: str, shard: str, tally: Tally, **made: Unpack[Made]) -> Self:
        """The ledger of a shard that was finished now; ValueError when its counts do not add up."""
        return cls(stage=stage, shard=shard, finished_at=_now(), **tally.as_dict(), **made)

    @property
    def split(self) -> str:
        """The split that the shard belongs to."""
        return self.shard.partition("-")[0]

    def write(self, root: str) -> None:
        """Publish the marker: from here on the shard is done."""
        document = {one.name: getattr(self, one.name) for one in dataclasses.fields(self)}
        write_atomic(marker(root, self.stage, self.shard), _dump(document))


def entry(file: Path, rows: int) -> dict[str, Any]:
    """What a marker says of a file of its shard, which still is a local one."""
    return {"rows": rows, "bytes": file.stat().st_size, DIGEST: file_digest(file)}


def marker(root: str, stage: str, shard: str) -> str:
    """The path of the done marker of a shard, given its stem."""
    return join(root, "ledger", stage, f"{shard.partition('-of-')[0]}.json")


def read_all(root: str, stage: str) -> Iterator[ShardLedger]:
    """The shards that are done, by name; InputError naming the file that is no done marker inside."""
    names = [name for name in listdir(join(root, "ledger", stage)) if _MARKER.fullmatch(name)]
    for path, document in _documents(join(root, "ledger", stage), names):
        try:
            yield _marker_of(documents.build(ShardLedger, document))
        except ValueError as error:
            raise InputError(
                f"{path}: no done marker of a shard ({error}); remove it to redo the shard"
            ) from error


def _marker_of(one: ShardLedger) -> ShardLedger:
    """The marker, where what it names are shards and files of a root; ValueError elsewhere."""
    if not documents.STEM.fullmatch(one.shard):
        raise ValueError(f"shard: {one.shard[: documents.SHOWN]!r} is no name of a shard")
    for path, file in one.files.items():
        if not documents.is_inside(path):
            raise ValueError(f"files: {path[: documents.SHOWN]!r} is no path inside a root")
        documents.check(file, WrittenFile)
    if any(len(counts) != 2 for counts in one.hosts.values()):
        raise ValueError("hosts: not kept and dropped of each")
    return one


def write_progress(root: str, stage: str, rank: int, tallies: Mapping[str, Tally]) -> None:
    """Tell what is counted so far of the shards in flight, by stem. The parent calls it every few seconds."""
    document = {"at": _now(), "shards": {shard: tally.as_dict() for shard, tally in tallies.items()}}
    write_atomic(_progress(root, stage, rank), _dump(document))


def end_progress(root: str, stage: str, rank: int) -> None:
    """Nothing is in flight any more: the markers say it all."""
    remove(_progress(root, stage, rank))


def _progress(root: str, stage: str, rank: int) -> str:
    return join(root, "ledger", stage, f"progress-{rank}.json")


def read_progress(root: str, stage: str) -> tuple[str | None, dict[str, Tally]]:
    """When a run last told (ISO 8601, None: never), and the tallies of the shards that it told of, by stem.

    Some may be done by now. A killed run leaves its last word; where two ranks speak of a shard, the later one
    counts. InputError names a file that is something else.
    """
    folder = join(root, "ledger", stage)
    told = []
    for path, document in _documents(folder, [name for name in listdir(folder) if _PROGRESS.fullmatch(name)]):
        try:
            documents.check(document, ProgressDocument)
        except ValueError as error:
            raise InputError(f"{path}: no progress of a run ({error}); remove it") from error
        told.append((document["at"], {shard: Tally(**one) for shard, one in document["shards"].items()}))
    told.sort(key=lambda one: one[0])
    return (told[-1][0] if told else None), {
        shard: tally for _, part in told for shard, tally in part.items()
    }


def read_plan(root: str, stage: str) -> dict[str, Any] | None:
    """plan.json of a stage, or None where the stage has not begun; InputError where it is no plan."""
    folder = join(root, "ledger", stage)
    if "plan.json" not in listdir(folder):
        return None
    ((path, plan),) = _documents(folder, ["plan.json"])
    try:
        documents.check(plan, PlanDocument)
        if odd := [split for split in (*plan["rows"], *plan["shards"]) if not _SPLIT.fullmatch(split)]:
            raise ValueError(f"shards: {odd[0][: documents.SHOWN]!r} is no name of a split")
    except ValueError as error:
        raise InputError(
            f"{path}: no plan of a stage ({error}); restore it, or begin another root"
        ) from error
    return plan


def read_decision(root: str, stage: str) -> dict[str, Any] | None:
    """decision.json of a stage that judges pairs, or None where nothing was decided; InputError where it is none."""
    path = join(root, "ledger", stage, "decision.json")
    data = read_bytes(path)
    if data is None:
        return None
    try:
        decision = documents.parse(data)
        documents.check(decision, DecisionDocument)
    except ValueError as error:
        raise InputError(f"{path}: no decision ({error}); run danqing {stage} {root} --decide") from error
    return decision


def _documents(folder: str, names: Iterable[str]) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and JSON object of each file; an object store is asked for many at once."""
    for path, data in _contents(folder, list(names)):
        try:
            yield path, documents.parse(data)
        except ValueError as error:
            raise InputError(f"{path}: not JSON of ours ({error}); restore it, or remove it") from error


def _contents(folder: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each file; one that a run has removed since it was listed is left out."""
    if is_local(folder):
        for name in names:
            if (data := local_bytes(local_path(folder) / name)) is not None:
                yield join(folder, name), data
        return
    fs, path = filesystem(folder)
    for start in range(0, len(names), _BATCH):
        paths = [f"{path}/{name}" for name in names[start : start + _BATCH]]
        for name, found in fs.cat(paths, on_error="return").items():
            if isinstance(found, Exception) and not isinstance(found, FileNotFoundError):
                raise found
            if isinstance(found, bytes):
                yield str(name), found


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
