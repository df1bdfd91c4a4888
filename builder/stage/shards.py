"""The shards of a root: which a rebuilt one has, which are of a rank, which are done, and which lost a file since.

    <root>/images/, <root>/ledger/rebuild/ ─▶ find_shards ─▶ Shard, Shard ... ─▶ of_rank
    <root>/ledger/<stage>/ ─▶ markers ─▶ check_files
    <root>/scores/, <root>/curated/ ─▶ served

What a shard is follows from the ledger of `rebuild`: a root that is not whole is refused. A root without a ledger is
taken as it is found.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from ..disk import ledger
from ..disk.digests import Bools
from ..disk.files import filesystem, join, tables_in
from ..disk.ledger import DIGEST, ShardLedger
from ..disk.parquet import parquet
from ..disk.schema import JUDGES, SPLITS, unlike
from ..errors import InputError
from ..manifest.probe import probe

STAGE = "rebuild"
PARALLEL = 16  # footers read at once
_NAME = re.compile(rf"(?:{'|'.join(SPLITS)})-\d{{5,}}(?:-of-\d+)?\.parquet")


class Numbered(Protocol):
    """A unit of work, as far as ranks look at it."""

    @property
    def number(self) -> int:
        """The number, from 0 on."""


class AnyShard(Numbered, Protocol):
    """A shard of a manifest or of a root, as far as plans look at it."""

    @property
    def split(self) -> str:
        """The split that it belongs to."""

    @property
    def rows(self) -> int:
        """The number of pairs."""


N = TypeVar("N", bound=Numbered)


@dataclass(frozen=True, slots=True)
class Shard:
    """One file of images/. number: among all of the root; checksum: changes when the file does."""

    number: int
    root: str
    stem: str
    rows: int
    checksum: str

    @property
    def url(self) -> str:
        """The path or URL of the file."""
        return join(self.root, "images", f"{self.stem}.parquet")

    @property
    def split(self) -> str:
        """The split it belongs to."""
        return self.stem.partition("-")[0]


def find_shards(root: str, done: str) -> tuple[Shard, ...]:
    """The shards of a root in order: train, validation, test, and by number.

    done: what is done with them, for the error that only Parquet can be so.
    Raises InputError, naming the file and what to do, for no root, one of tars, one half rebuilt, and a shard
    that is missing or has another size than rebuild wrote.
    """
    folder = join(root, "images")
    sizes = sizes_in(folder)
    recorded = _recorded(root, done)
    names = {name for name in sizes if _NAME.fullmatch(name)} | recorded.keys()
    if not names:
        raise InputError(f"{root}: {_nothing(sizes, done)}")
    for name, file in recorded.items():
        if name not in sizes or sizes[name] != file["bytes"]:
            told = (
                "missing"
                if name not in sizes
                else f"{sizes[name]:,} bytes, but {file['bytes']:,} were written"
            )
            marker = ledger.marker(root, STAGE, name.removesuffix(".parquet"))
            raise InputError(
                f"{join(folder, name)}: {told}; to make it anew, remove {marker} and run danqing rebuild"
            )
    found = recorded | _footers(folder, sorted(names - recorded.keys()))
    ordered = sorted(names, key=lambda name: (SPLITS.index(name.partition("-")[0]), name))
    return tuple(
        Shard(number, root, name.removesuffix(".parquet"), found[name]["rows"], found[name][DIGEST])
        for number, name in enumerate(ordered)
    )


def shard_count(rows: int, shard_size: int) -> int:
    """Shards of at most `shard_size` rows; from 8 on a multiple of 8, so that they divide over nodes and workers."""
    count = max(1, -(-rows // shard_size))
    return count if count < 8 else -(-count // 8) * 8


def of_rank(shards: Iterable[N], place: tuple[int, int]) -> list[N]:
    """The shards of one rank. place: rank and world size."""
    rank, world = place
    return [shard for shard in shards if shard.number % world == rank]


def markers(root: str, stage: str) -> dict[str, ShardLedger]:
    """What a stage has done, by stem; without the hosts, of which ten thousand shards have a great deal."""
    return {one.shard: dataclasses.replace(one, hosts={}) for one in ledger.read_all(root, stage)}


def check_files(root: str, done: Iterable[ShardLedger]) -> None:
    """InputError where a file of a finished shard is lost, or has another size than was written."""
    for one, path, found in lost_files(root, done):
        now = "is not there" if found is None else f"has {found:,} bytes"
        raise InputError(
            f"{join(root, path)}: {now}, {one.outputs[path]['bytes']:,} were written: restore it, or remove "
            f"{ledger.marker(root, one.stage, one.shard)}: the shard is then made anew"
        )


def lost_files(root: str, done: Iterable[ShardLedger]) -> Iterator[tuple[ShardLedger, str, int | None]]:
    """The files of finished shards that have another size than was written: marker, path, bytes (None: lost)."""
    sizes: dict[str, dict[str, int]] = {}
    for one in done:
        for path, file in one.outputs.items():
            folder, _, name = path.rpartition("/")
            if folder not in sizes:
                sizes[folder] = sizes_in(join(root, folder))
            found = sizes[folder].get(name)
            if found != file["bytes"]:
                yield one, path, found


def sizes_in(folder: str) -> dict[str, int]:
    """Bytes of each file of a folder, by name; nothing where there is none."""
    fs, path = filesystem(folder)
    fs.invalidate_cache()
    try:
        files = fs.ls(path, detail=True)
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {str(f["name"]).rstrip("/").rpartition("/")[2]: f["size"] for f in files if f["type"] == "file"}


def served(root: str, stem: str, rows: int) -> Bools:
    """The pairs of a shard that all of its judges keep, and so its root serves (rows,).

    InputError where a judge has not decided, or its file lacks a column or rows.
    """
    # With it comes Arrow's reader of data sets, and pandas: 60 MB in each process of a rebuild, which asks for neither.
    from ..disk.sidecar import kept

    mask = np.ones(rows, np.bool_)
    for judge in JUDGES:
        url = join(root, judge.folder, f"{stem}.parquet")
        again = f"run danqing {judge.stage} there again"
        if ledger.decision_name(root, judge.stage) is None:
            if f"{stem}.parquet" in tables_in(root, judge.folder):
                raise InputError(f"{url}: without {judge.decision}, so nothing is final; {again}")
            continue
        with parquet(url) as file:
            if wrong := unlike(file.schema_arrow, judge.columns, judge.says):
                raise InputError(f"{url}: {wrong}; {again}")
            said = file.read(columns=[*judge.says], use_threads=False)
        if len(said) != rows:
            raise InputError(f"{url}: {len(said):,} rows, images/ has {rows:,}; {again}")
        mask &= kept(judge, said).to_numpy()
    return mask


def _nothing(sizes: Mapping[str, int], done: str) -> str:
    if any(name.endswith(".tar") for name in sizes):
        return f"a root of tars; only Parquet can be {done}: rebuild it with --format parquet"
    if any(name.endswith(".parquet") for name in sizes):
        return "no file in images/ is named as a shard is, such as train-00000-of-00042.parquet; rename them"
    return "no images/*.parquet in it; give the OUTPUT of danqing rebuild"


def _recorded(root: str, made: str) -> dict[str, Mapping[str, Any]]:
    """What rebuild's ledger says of each file of images/, by name; nothing where there is no such ledger."""
    plan = ledger.read_plan(root, STAGE)
    if plan is None:
        return {}
    if plan.get("config", {}).get("format") == "webdataset":
        raise InputError(f"{root}: {_nothing({'.tar': 0}, made)}")
    files: dict[str, Mapping[str, Any]] = {}
    done, total = 0, sum(plan["shards"].values())
    for one in ledger.read_all(root, STAGE):
        done += one.split in plan["shards"]
        for path, file in one.outputs.items():
            if path.startswith("images/"):
                files[path.removeprefix("images/")] = file
    if done < total:
        raise InputError(
            f"{root}: half rebuilt, {done:,} of {total:,} shards; run danqing rebuild to its end, then this again"
        )
    return files


def _footers(folder: str, names: list[str]) -> dict[str, Mapping[str, Any]]:
    """The same for files that no ledger speaks of: rows, and a digest of the size and both ends of each."""

    def look(name: str) -> Mapping[str, Any]:
        fs, path = filesystem(join(folder, name))
        found = probe(fs, path)
        return {"rows": found.rows, DIGEST: found.fingerprint}

    with ThreadPoolExecutor(PARALLEL) as pool:
        return dict(zip(names, pool.map(look, names), strict=True))
