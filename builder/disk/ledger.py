"""What became of every pair, shard by shard: the done markers, and the counts of the shards in flight.

    <root>/ledger/<stage>/plan.json          what the stage set out to do
    <root>/ledger/<stage>/train-00000.json   one shard: its counts and files; it exists <=> the shard is done
    <root>/ledger/<stage>/decision.json      of a stage that judges pairs: the verdicts, counted; after all markers
    <root>/ledger/<stage>/progress-0.json    what rank 0 has counted of shards that have no marker yet

Files appear whole, by rename, and a marker is written after everything that it speaks of.
Rows in = rows kept + rows dropped, by reason: a ledger that does not add up cannot be made.

All but decisions are of format 2, as their field `format` says. Those of builds up to 0.1.0 have no such field,
and are read as well: they counted requests, bytes and HTTP statuses of every stage, and listed what a stage had
read among its files.
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NotRequired, Self, TypeAlias, TypedDict, Unpack, cast

from .. import __version__
from ..errors import InputError
from . import documents, files

FORMAT = 2  # of what is written; a document without the field is of format 1
WORST_HOSTS = 50  # of a shard, kept in its ledger: 10,000 shards stay readable in about a second
DIGEST = "xxh3_128"  # the name of a file's checksum, as of files.file_digest
_SPLIT = re.compile(r"\w{1,64}")
_MARKER = re.compile(r"(?!progress-)\w+-\d{5,}\.json")
_PROGRESS = re.compile(r"progress-\d+\.json")
_BATCH = 512  # files asked of an object store at once


class LaterFormat(ValueError):
    """A document that a later build has written: nothing is wrong with it, and it is not to be removed."""


class ReadFile(TypedDict):
    """What a marker says of a file that its shard was made from; xxh3_128: in hex."""

    rows: int
    xxh3_128: str


class WrittenFile(TypedDict):
    """What a marker says of a file of its shard; xxh3_128: in hex."""

    rows: int
    bytes: int
    xxh3_128: NotRequired[str]


CheckpointRecord: TypeAlias = dict[str, str | float | None]  # what names a checkpoint, by field


class PlanDocument(TypedDict):
    """What readers of plan.json rely on; rows and shards are by split, the others say what it is made of."""

    rows: dict[str, int]
    shards: dict[str, int]
    format: NotRequired[int]
    stage: NotRequired[str]
    version: NotRequired[str]
    config: NotRequired[dict[str, object]]
    config_hash: NotRequired[str]
    manifest: NotRequired[ManifestRecord]
    checkpoint: NotRequired[CheckpointRecord]
    made_from: NotRequired[dict[str, object]]
    recipe: NotRequired[dict[str, object]]
    funnels: NotRequired[list[dict[str, object]]]  # of the stages before


class ManifestRecord(TypedDict):
    """The manifest of a rebuild: its files by path."""

    fingerprint: str
    files: dict[str, ManifestFileRecord]


class ManifestFileRecord(TypedDict):
    """A file of a manifest. read: how the rows of a text file come about."""

    rows: int
    fingerprint: str
    read: NotRequired[Mapping[str, Any]]


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
    checkpoint: NotRequired[CheckpointRecord]
    rebuild_dropped: NotRequired[int]


class CurationDocument(TypedDict):
    """What readers of the decision.json of curate rely on. decision: its name; scores: of the decision of scores/.

    rows, kept, reasons: of images/; thresholds: as used, by name; recall: of the search for duplicates, [pairs, found]
    by band of cosine; sets: what was done about duplicates, counted; measured: pairs, by which picture; embedder: the
    checkpoint.
    """

    decision: str
    scores: str | None
    rows: int
    kept: int
    reasons: dict[str, int]
    thresholds: dict[str, float]
    embedder: CheckpointRecord
    recall: dict[str, list[int]]
    sets: dict[str, int]
    measured: dict[str, int]
    recipe: dict[str, object]


class ProgressDocument(TypedDict):
    """progress-<rank>.json. shards: their counts so far, by stem."""

    at: str
    shards: dict[str, Tally]


class ToldOfShard(TypedDict):
    """What the writer of a shard knows beside its counts; the fields of ShardLedger of the same names."""

    outputs: dict[str, WrittenFile]
    config: str
    seconds: float
    inputs: NotRequired[dict[str, ReadFile]]
    hosts: NotRequired[dict[str, list[int]]]


@dataclass(slots=True)
class Tally:
    """Counts of outcomes, cheap enough to add to once a row.

    rows: in; counters: what else the stage counts, by names of its own, `name` or `name/value`.
    """

    rows: int = 0
    kept: int = 0
    reasons: dict[str, int] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)

    def add(self, reason: str | None, counters: Mapping[str, int]) -> None:
        """Count one pair; `reason` is None when it was kept."""
        self.rows += 1
        if reason is None:
            self.kept += 1
        else:
            self.reasons[reason] = self.reasons.get(reason, 0) + 1
        _add(self.counters, counters)

    def drop(self, reason: str, pairs: int) -> None:
        """Count pairs that are dropped for a reason, if there are any."""
        self.rows += pairs
        if pairs:
            self.reasons[reason] = self.reasons.get(reason, 0) + pairs

    def merge(self, other: Tally | ShardLedger) -> None:
        """Add the counts of `other`."""
        self.rows += other.rows
        self.kept += other.kept
        _add(self.reasons, other.reasons)
        _add(self.counters, other.counters)

    def counter(self, name: str) -> int:
        """One of the stage's counters; 0 where it counted none."""
        return self.counters.get(name, 0)

    def counters_of(self, name: str) -> dict[str, int]:
        """The counters `name/value`, by value."""
        return {
            value: count
            for (group, _, value), count in ((one.partition("/"), n) for one, n in self.counters.items())
            if group == name and value
        }

    def top_reasons(self, limit: int = 3) -> list[tuple[str, int]]:
        """The commonest reasons, counted."""
        return by_count(self.reasons)[:limit]

    @property
    def kept_share(self) -> float | None:
        """Kept over rows in, 0 to 1; None before the first row."""
        return self.kept / self.rows if self.rows else None


def _add(mine: dict[str, int], theirs: Mapping[str, int]) -> None:
    for name, count in theirs.items():
        mine[name] = mine.get(name, 0) + count


def by_count(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    """Names with their counts, the largest first, then by name."""
    return sorted(counts.items(), key=lambda one: (-one[1], one[0]))


@dataclass(frozen=True, slots=True)
class ShardLedger:
    """The done marker of one shard of any stage.

    shard: its stem, `train-00000-of-00042`; counters: as of Tally; inputs, outputs: the files that it was made from
    and those that were written, by their path in the root; config: hash of the options and of what the stage read;
    finished_at: ISO 8601, UTC; hosts: those that lost most pairs, [kept, dropped].
    """

    stage: str
    shard: str
    rows: int
    kept: int
    reasons: dict[str, int]
    counters: dict[str, int]
    outputs: dict[str, WrittenFile]
    seconds: float
    config: str
    version: str
    finished_at: str
    inputs: dict[str, ReadFile] = field(default_factory=dict)
    hosts: dict[str, list[int]] = field(default_factory=dict)
    format: int = FORMAT

    def __post_init__(self) -> None:
        dropped = sum(self.reasons.values())
        if self.rows != self.kept + dropped:
            raise ValueError(f"{self.shard}: {self.rows} rows in, but {self.kept} kept and {dropped} dropped")

    @classmethod
    def of(cls, stage: str, shard: str, tally: Tally, **told: Unpack[ToldOfShard]) -> Self:
        """The marker of a shard that was finished now; ValueError when its counts do not add up."""
        counts = _fields(tally)
        return cls(stage=stage, shard=shard, version=__version__, finished_at=_now(), **counts, **told)

    @property
    def split(self) -> str:
        """The split that the shard belongs to."""
        return self.shard.partition("-")[0]

    def input_checksum(self, path: str) -> str | None:
        """The checksum of a file that the shard was made from; None where the marker names no such file."""
        file = self.inputs.get(path)
        return None if file is None else file["xxh3_128"]

    def write(self, root: str) -> None:
        """Publish the marker: from here on the shard is done."""
        files.write_atomic(marker(root, self.stage, self.shard), _dump(_fields(self)))


class FirstCounts(TypedDict):
    """What markers and tallies of format 1 counted of every stage: requests, bytes of bodies and HTTP statuses."""

    http_status: dict[str, int]
    bytes: int
    requests: int


class FirstMarker(FirstCounts):
    """What a marker of format 1 says in other fields than one of format 2."""

    files: dict[str, WrittenFile]


class FirstTally(FirstCounts):
    """A tally of format 1, without its hosts, which it had of no run."""

    rows: int
    kept: int
    reasons: dict[str, int]


class FirstProgress(TypedDict):
    """ProgressDocument of format 1."""

    at: str
    shards: dict[str, FirstTally]


def _at(root: str, stage: str, *names: str) -> str:
    """The ledger of a stage, or a file in it."""
    return files.join(root, "ledger", stage, *names)


def entry(file: Path, rows: int) -> WrittenFile:
    """What a marker says of a file of its shard, which still is a local one."""
    return {"rows": rows, "bytes": file.stat().st_size, "xxh3_128": files.file_digest(file)}


def marker(root: str, stage: str, shard: str) -> str:
    """The path of the done marker of a shard, given its stem."""
    return _at(root, stage, f"{shard.partition('-of-')[0]}.json")


def decision_at(root: str, stage: str) -> str:
    """The path of decision.json of a stage that judges pairs."""
    return _at(root, stage, "decision.json")


def read_all(root: str, stage: str) -> Iterator[ShardLedger]:
    """The shards that are done, by name; InputError naming the file that is no done marker inside."""
    folder = _at(root, stage)
    for path, document in _documents(folder, filter(_MARKER.fullmatch, files.listdir(folder))):
        with _refused(path, "no done marker of a shard", "remove it to redo the shard"):
            done = _marker_of(document)
        yield done


def _marker_of(document: documents.Document) -> ShardLedger:
    """The marker of a document of any format; ValueError where what it names are no shards and files of a root."""
    one = documents.build(ShardLedger, document if _format(document) > 1 else _second_marker(document))
    if not documents.STEM.fullmatch(one.shard):
        raise ValueError(f"shard: {one.shard[: documents.SHOWN]!r} is no name of a shard")
    for path in (*one.inputs, *one.outputs):
        if not documents.is_inside(path):
            raise ValueError(f"files: {path[: documents.SHOWN]!r} is no path inside a root")
    if any(len(counts) != 2 for counts in one.hosts.values()):
        raise ValueError("hosts: not kept and dropped of each")
    return one


def _format(document: Mapping[str, Any]) -> int:
    """The format of a document; ValueError where it is none, LaterFormat where a later build has written it."""
    found = document.get("format", 1)
    if not documents.is_count(found):
        raise ValueError(f"format: {str(found)[: documents.SHOWN]!r} is no number")
    if found > FORMAT:
        raise LaterFormat(f"format {found} of a later danqing, this one reads {FORMAT}")
    return int(found)


def _second_marker(first: documents.Document) -> dict[str, Any]:
    """A marker of format 1 as one of format 2; then the stages behind rebuild wrote no file of images/."""
    documents.check(first, FirstMarker)
    read = {
        path: {"rows": file["rows"], DIGEST: file[DIGEST]}
        for path, file in first["files"].items()
        if path.startswith("images/") and first.get("stage") != "rebuild" and DIGEST in file
    }
    same = {name: value for name, value in first.items() if name not in FirstMarker.__annotations__}
    outputs = {path: file for path, file in first["files"].items() if path not in read}
    return same | {"counters": _second_counters(first), "inputs": read, "outputs": outputs}


def _second_counters(first: Mapping[str, Any]) -> dict[str, int]:
    counters = {f"http_status/{status}": count for status, count in first["http_status"].items()}
    counters |= {name: first[name] for name in ("bytes", "requests")}
    return {name: count for name, count in counters.items() if count}


def _tallies_of(document: documents.Document) -> dict[str, Tally]:
    """The tallies of a progress document of any format, by stem."""
    if _format(document) > 1:
        documents.check(document, ProgressDocument)
        return {shard: Tally(**one) for shard, one in document["shards"].items()}
    documents.check(document, FirstProgress)
    return {
        shard: Tally(one["rows"], one["kept"], one["reasons"], _second_counters(one))
        for shard, one in document["shards"].items()
    }


def write_progress(root: str, stage: str, rank: int, tallies: Mapping[str, Tally]) -> None:
    """Tell what is counted so far of the shards in flight, by stem. The parent calls it every few seconds."""
    counts = {shard: _fields(tally) for shard, tally in tallies.items()}
    document = {"format": FORMAT, "at": _now(), "shards": counts}
    files.write_atomic(_progress(root, stage, rank), _dump(document))


def end_progress(root: str, stage: str, rank: int, world: int = 1) -> None:
    """Nothing is in flight any more: the markers say it all, of a killed run with more ranks than `world` too."""
    folder = _at(root, stage)
    for name in filter(_PROGRESS.fullmatch, files.listdir(folder)):
        if (of := int(name[len("progress-") : -len(".json")])) == rank or of >= world:
            files.remove(files.join(folder, name))


def _progress(root: str, stage: str, rank: int) -> str:
    return _at(root, stage, f"progress-{rank}.json")


def read_progress(root: str, stage: str) -> tuple[str | None, dict[str, Tally]]:
    """When a run last told (ISO 8601, None: never), and the tallies of the shards that it told of, by stem.

    Some may be done by now. A killed run leaves its last word; where two ranks speak of a shard, the later one
    counts. InputError names a file that is something else.
    """
    folder = _at(root, stage)
    told = []
    for path, document in _documents(folder, filter(_PROGRESS.fullmatch, files.listdir(folder))):
        with _refused(path, "no progress of a run", "remove it"):
            told.append((_tallies_of(document), document["at"]))
    told.sort(key=lambda one: one[1])
    return (told[-1][1] if told else None), {
        shard: tally for part, _ in told for shard, tally in part.items()
    }


def write_plan(root: str, stage: str, plan: PlanDocument) -> None:
    """Publish plan.json; every rank writes the same bytes."""
    document = json.dumps({"format": FORMAT, **plan}, indent=1, sort_keys=True, ensure_ascii=False)
    files.write_atomic(_at(root, stage, "plan.json"), document.encode())


def read_plan(root: str, stage: str) -> PlanDocument | None:
    """plan.json of a stage, or None where the stage has not begun; InputError where it is no plan."""
    folder = _at(root, stage)
    if "plan.json" not in files.listdir(folder):
        return None
    ((path, document),) = _documents(folder, ["plan.json"])
    with _refused(path, "no plan of a stage", "restore it, or begin another root"):
        _format(document)
        documents.check(document, PlanDocument)
        plan = cast(PlanDocument, document)
        if odd := [split for split in (*plan["rows"], *plan["shards"]) if not _SPLIT.fullmatch(split)]:
            raise ValueError(f"shards: {odd[0][: documents.SHOWN]!r} is no name of a split")
    return plan


def read_decision(root: str, stage: str) -> DecisionDocument | None:
    """decision.json of `revalidate`, or None where nothing was decided; InputError where it is none."""
    return cast("DecisionDocument | None", _decision(root, stage, DecisionDocument))


def read_curation(root: str) -> CurationDocument | None:
    """decision.json of `curate`, or None where nothing was decided; InputError where it is none."""
    return cast("CurationDocument | None", _decision(root, "curate", CurationDocument))


def decision_name(root: str, stage: str) -> str | None:
    """The name of the decision of a stage that judges pairs, None where nothing was decided."""
    found: DecisionDocument | CurationDocument | None
    found = read_curation(root) if stage == "curate" else read_decision(root, stage)
    return found and found["decision"]


def _decision(root: str, stage: str, kind: type) -> documents.Document | None:
    path = decision_at(root, stage)
    data = files.read_bytes(path)
    if data is None:
        return None
    with _refused(path, "no decision", f"run danqing {stage} {root} --decide"):
        decision = documents.parse(data)
        documents.check(decision, kind)
    return decision


@contextlib.contextmanager
def _refused(path: str, what: str, remedy: str) -> Iterator[None]:
    """Turn a ValueError about a document at `path` into the InputError that says what it is not."""
    try:
        yield
    except LaterFormat as error:
        raise InputError(f"{path}: {error}: update danqing") from error
    except ValueError as error:
        raise InputError(f"{path}: {what} ({error}); {remedy}") from error


def _documents(folder: str, names: Iterable[str]) -> Iterator[tuple[str, documents.Document]]:
    """Path and JSON object of each file; an object store is asked for many at once."""
    for path, data in _contents(folder, list(names)):
        with _refused(path, "not JSON of ours", "restore it, or remove it"):
            document = documents.parse(data)
        yield path, document


def _contents(folder: str, names: list[str]) -> Iterator[tuple[str, bytes]]:
    """Path and bytes of each file; one that a run has removed since it was listed is left out."""
    if files.is_local(folder):
        for name in names:
            if (data := files.local_bytes(files.local_path(folder) / name)) is not None:
                yield files.join(folder, name), data
        return
    fs, path = files.filesystem(folder)
    for start in range(0, len(names), _BATCH):
        paths = [f"{path}/{name}" for name in names[start : start + _BATCH]]
        for name, found in fs.cat(paths, on_error="return").items():
            if isinstance(found, Exception) and not isinstance(found, FileNotFoundError):
                raise found
            if isinstance(found, bytes):
                yield str(name), found


def _fields(one: Tally | ShardLedger) -> documents.Document:
    """The fields as they are; dataclasses.asdict would copy them, and makes nonsense of a Counter."""
    return {field.name: getattr(one, field.name) for field in dataclasses.fields(one)}


def _dump(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, sort_keys=True, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
