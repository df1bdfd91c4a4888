"""What an earlier release recorded of each pair, found by key: hash, code and scores.

A verified manifest or an earlier scored root in; on disk, in the work folder, out comes one sorted index, which
every rank of a machine maps: 89 bytes a pair. Of an earlier root the pairs that were kept count as recorded:
what was judged drifted then must not be `same` now.

    <work>/reference-<fingerprint>/keys      16 bytes a pair, ascending
    <work>/reference-<fingerprint>/records   RECORD a pair, in the order of the keys
"""

from __future__ import annotations

import contextlib
import hashlib
import shutil
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from fsspec import AbstractFileSystem

from ..console import Console
from ..disk import release as document
from ..disk.digests import KEY, blobs, keys_of, locate, unhex
from ..disk.files import filesystem, join, listdir, tables_in
from ..disk.parquet import parquet
from ..disk.schema import CODE_BITS, floats, said_by
from ..errors import InputError
from ..manifest.find import find
from ..manifest.probe import probe
from ..manifest.source import Format, Source
from ..stage.hold import alone

if TYPE_CHECKING:
    from ..towers import Checkpoint

SCORES = ("score_alt_text", "score_recaption")
RECORD = np.dtype(
    [
        ("key", KEY),
        ("sha256", "u1", (32,)),
        ("code", "u1", (CODE_BITS // 8,)),
        ("scores", "<f4", (2,)),  # of SCORES; NaN: none
        ("hashed", "?"),
        ("coded", "?"),
    ]
)
# known: whether anything is recorded; same: the bytes are the recorded ones, where it is known (hashed).
FOUND = np.dtype([*RECORD.descr, ("known", "?"), ("same", "?")])
BATCH = 65_536  # rows read at once
BUCKET = 500_000  # rows sorted at once: 45 MB, and twice that while they are
PARALLEL = 16
Parts = Sequence[tuple[Source, Source]]  # as Recorded.files


@dataclass(frozen=True, slots=True)
class Recorded:
    """Where the reference is and what it is of. files: of each part the one with keys and hashes, and that with codes.

    meta: what its files say of the checkpoint; scored: they hold codes or scores of the one in use.
    """

    source: str
    files: tuple[tuple[Source, Source], ...]
    fingerprint: str
    meta: Mapping[str, Any]
    scored: bool

    @classmethod
    def of(cls, source: str, parts: Parts, checkpoint: Checkpoint) -> Recorded:
        """The reference of these parts; InputError where codes or scores in it are of another checkpoint."""
        metas = [said_by(scores.schema) for _, scores in parts]
        for (rows, scores), meta in zip(parts, metas, strict=True):
            coded = "code" in {*rows.schema.names, *scores.schema.names}
            if coded and meta.get("fingerprint") != checkpoint.fingerprint:
                of = meta.get("model", "a checkpoint that it does not name")
                raise InputError(
                    f"{scores.url}: its codes are of {of}, and codes of two checkpoints do not compare: "
                    "take that checkpoint by --model, or a reference without the column code"
                )
        digest = hashlib.blake2b(digest_size=16)
        for pair in parts:
            for one in dict.fromkeys(part.fingerprint for part in pair):
                digest.update(one.encode())
        scored = metas[0].get("fingerprint") == checkpoint.fingerprint
        return cls(source, tuple(parts), digest.hexdigest(), metas[0], scored)

    def warn(self, console: Console, preprocessing: str, caption: str) -> None:
        """Say what makes recorded codes and scores differ from new ones though the pictures do not."""
        for name, now in (("preprocessing", preprocessing), ("caption", caption)):
            then = self.meta.get(name, now)
            if self.scored and then != now:
                console.warn(
                    f"{self.source}: scored with {name} {then}, now it is {now}: scores compare less well"
                )


@dataclass(frozen=True, slots=True)
class Reference:
    """The index: keys ascending, and a RECORD of each."""

    keys: npt.NDArray[np.bytes_]
    records: npt.NDArray[np.void]

    @classmethod
    def empty(cls) -> Reference:
        """The reference that knows nothing."""
        return cls(np.empty(0, KEY), np.empty(0, RECORD))

    def lookup(self, keys: npt.NDArray[np.bytes_]) -> npt.NDArray[np.void]:
        """What is recorded of pairs, by their keys (n,), as FOUND; of a key that was recorded twice, the first.

        A code of zeros is none: builds up to 0.1.0 gave it to an embedding without numbers.
        """
        places, known = locate(self.keys, keys)
        found = np.zeros(len(keys), FOUND)
        found["scores"], found["known"] = np.nan, known
        records = self.records[places[known]]
        for name in RECORD.names or ():
            found[name][known] = records[name]
        found["coded"] &= found["code"].any(axis=1)
        return found

    def compare(
        self, keys: npt.NDArray[np.bytes_], table: pa.Table
    ) -> tuple[npt.NDArray[np.void], npt.NDArray[np.uint8]]:
        """What is recorded of the pairs of a table, as FOUND, and hashes of their bytes (n, 32), zeros for none."""
        found = self.lookup(keys)
        if "sha256" not in table.column_names:
            found["hashed"] = False
            return found, np.zeros((len(table), 32), np.uint8)
        digests, digested = unhex(table["sha256"], 32)
        found["hashed"] &= digested
        found["same"] = found["hashed"] & (digests == found["sha256"]).all(axis=1)
        return found, digests


def find_parts(source: str) -> Parts:
    """The parts of a reference: of a file, folder or glob of Parquet, or of a scored root. Reads footers alone.

    Raises InputError where it is neither, or lacks the columns.
    """
    parts = _of_root(source) or _of_manifest(source)
    for rows, scores in parts:
        names = {*rows.schema.names, *scores.schema.names}
        if "key" not in rows.schema.names or not names & {"sha256", "code"}:
            raise InputError(
                f"{rows.url}: no verified manifest: it needs the column key, and sha256 or code; "
                f"it has {', '.join(rows.schema.names)}"
            )
        if rows.rows != scores.rows:
            raise InputError(
                f"{scores.url}: {scores.rows:,} rows, but images/ has {rows.rows:,}; score that root again"
            )
    return parts


def _of_root(root: str) -> Parts:
    """The shards of a scored root; nothing where `root` is none: a release of images has no codes, and is refused."""
    try:
        names = tables_in(root, "images")
    except NotADirectoryError:
        names = []
    if not names or document.NAME in listdir(root):
        return []
    if "decision.json" not in listdir(join(root, "ledger", "revalidate")):
        raise InputError(
            f"{root}: a root without verdicts; run danqing revalidate on it first, or give a verified manifest"
        )
    if missing := sorted({*names} - {*tables_in(root, "scores")}):
        raise InputError(f"{root}: no scores/{missing[0]}; run danqing revalidate on it again")
    fs, path = filesystem(root)
    each = (_probed(fs, [f"{path}/{folder}/{name}" for name in names]) for folder in ("images", "scores"))
    return list(zip(*each, strict=True))


def _of_manifest(source: str) -> Parts:
    fs, entries = find(source)
    files = _probed(fs, [entry.path for entry in entries])
    for file in files:
        if file.kind is not Format.PARQUET:
            raise InputError(
                f"{file.url}: {file.kind}, but a verified manifest is Parquet; give its files by a glob"
            )
    return [(file, file) for file in files]


def _probed(fs: AbstractFileSystem, paths: Sequence[str]) -> list[Source]:
    with ThreadPoolExecutor(PARALLEL) as pool:
        return list(pool.map(lambda path: probe(fs, path), paths))


def open_reference(recorded: Recorded, work: Path, bucket: int = BUCKET) -> Reference:
    """The index of a reference, built in the folder `work` by the first that comes; the others wait for it.

    bucket: rows that are sorted at once.
    """
    folder = work / f"reference-{recorded.fingerprint}"
    with alone(work / "reference.lock"):
        if not folder.exists():
            made = work / "reference.tmp"
            shutil.rmtree(made, ignore_errors=True)
            made.mkdir()
            _build(recorded, made, bucket)
            made.rename(folder)
    return Reference(np.memmap(folder / "keys", KEY, "r"), np.memmap(folder / "records", RECORD, "r"))


def _build(recorded: Recorded, folder: Path, rows_of_bucket: int) -> None:
    """Deal the rows into buckets by the first bytes of their keys, then sort each bucket and append it."""
    total = sum(rows.rows or 0 for rows, _ in recorded.files)
    count = max(1, -(-total // rows_of_bucket))
    buckets = [folder / f"bucket-{i}" for i in range(count)]
    with contextlib.ExitStack() as stack:
        files = [stack.enter_context(bucket.open("wb")) for bucket in buckets]
        for rows, scores in recorded.files:
            for table in _tables(rows, scores):
                records = _records(table, recorded)
                # Keys are hashes, so their first 4 bytes, as a share of 2^32, deal them evenly and in order.
                leading = np.ascontiguousarray(records["key"]).view(">u4")[::4].astype(np.uint64)
                places = leading * np.uint64(count) >> np.uint64(32)
                for i in np.unique(places):
                    records[places == i].tofile(files[i])
    with (folder / "keys").open("wb") as keys, (folder / "records").open("wb") as sorted_records:
        for bucket in buckets:
            records = np.fromfile(bucket, RECORD)
            records = records[np.argsort(records["key"], kind="stable")]
            records["key"].tofile(keys)
            records.tofile(sorted_records)
            bucket.unlink()
        if not keys.tell():
            raise InputError(
                f"{recorded.source}: no row that has a key and a hash or a code; check --reference"
            )


def _tables(rows: Source, scores: Source) -> Iterator[pa.Table]:
    """The columns of a part, some rows at a time; of a root, whose two files go together, a shard at a time."""
    wanted = ("key", "sha256", "code", "score", "kept", *SCORES)
    if rows is scores:
        with parquet(rows.url) as file:
            names = [name for name in wanted if name in rows.schema.names]
            for batch in file.iter_batches(BATCH, columns=names):
                yield pa.Table.from_batches([batch])
        return
    with parquet(rows.url) as images, parquet(scores.url) as scored:
        table = scored.read(columns=[name for name in wanted if name in scores.schema.names])
        hashes = images.read(columns=[name for name in ("key", "sha256") if name in rows.schema.names])
        if not table["key"].equals(hashes["key"]):
            raise InputError(f"{scores.url}: its keys are not those of images/; score that root again")
        if "sha256" in hashes.column_names:
            table = table.append_column("sha256", hashes["sha256"])
        yield table.filter(table["kept"])


def _records(table: pa.Table, recorded: Recorded) -> npt.NDArray[np.void]:
    """The rows that have a key and a hash or a code, as RECORD."""
    records = np.zeros(table.num_rows, RECORD)
    records["scores"] = np.nan
    records["key"], valid = keys_of(table["key"])
    if "sha256" in table.column_names:
        records["sha256"], records["hashed"] = unhex(table["sha256"], 32)
    if "code" in table.column_names:
        code = table["code"].cast(pa.binary())
        records["code"], records["coded"] = blobs(code, CODE_BITS // 8)
    if recorded.scored:
        for i, name in enumerate(SCORES):
            # A manifest of one caption may call its score just that.
            plain = "score" if recorded.meta.get("caption") == name.removeprefix("score_") else name
            column = name if name in table.column_names else plain
            if column in table.column_names:
                records["scores"][:, i] = floats(table[column])
    usable: npt.NDArray[np.void] = records[valid & (records["hashed"] | records["coded"])]
    return usable
