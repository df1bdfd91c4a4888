"""The rows of a manifest as units of work: cut into shards that follow from two numbers, and read in their order.

Manifest ─▶ lay_out: rows [i*rows//n, (i+1)*rows//n) of a split are shard i of n ─▶ rows_of_shards ─▶ their tables

A text file is read from its beginning, so the parent process reads, and hands the rows of a shard to a worker.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import pyarrow as pa
from fsspec.utils import glob_translate

from ..disk.files import filesystem, is_local, is_within, local_path, resolved
from ..disk.ledger import ManifestRecord
from ..disk.reading import WEB, reading, type_of
from ..disk.root import Footprint
from ..errors import UsageError
from ..manifest import Manifest, ManifestOptions, known_encoding
from .shards import shard_count
from .shared import OfManifest


@dataclass(frozen=True, slots=True)
class ManifestShard:
    """The unit of work: rows [start, stop) of a split of the manifest; `index` of `count` in it, `number` in all."""

    number: int
    split: str
    index: int
    count: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows of the manifest it covers."""
        return self.stop - self.start

    @property
    def numbers(self) -> str:
        """The part of the file names that tells shards apart: 00000-of-00042."""
        return f"{self.index:05d}-of-{self.count:05d}"

    @property
    def stem(self) -> str:
        """The file name without folder and extension."""
        return f"{self.split}-{self.numbers}"


def lay_out(rows: Mapping[str, int], shard_size: int) -> tuple[ManifestShard, ...]:
    """The shards of every split, in order."""
    shards: list[ManifestShard] = []
    for split, total in rows.items():
        count = shard_count(total, shard_size)
        for i in range(count):
            shards.append(
                ManifestShard(len(shards), split, i, count, i * total // count, (i + 1) * total // count)
            )
    return tuple(shards)


def columns_of(config: OfManifest) -> ManifestOptions:
    """What the options say of the manifest's columns and text; UsageError for an encoding that there is not."""
    encoding = known_encoding(config.encoding)
    return ManifestOptions(config.schema, config.url_column, config.caption_column, config.quoting, encoding)


def record_of(manifest: Manifest) -> ManifestRecord:
    """What plan.json says of a manifest."""
    return {
        "fingerprint": manifest.fingerprint,
        "files": {file.url: file.as_json() for file in manifest.files},
    }


def rows_of_shards(
    manifest: Manifest, shards: Iterable[ManifestShard]
) -> Iterator[tuple[ManifestShard, pa.Table]]:
    """Each of the shards with its rows, split by split, read as they are asked for."""
    by_split: dict[str, list[ManifestShard]] = defaultdict(list)
    for shard in shards:
        by_split[shard.split].append(shard)
    for split, some in by_split.items():
        ranges = [(shard.start, shard.stop) for shard in some]
        yield from zip(some, manifest.tables(split, ranges), strict=True)


def as_bytes(schema: pa.Schema, parts: Iterable[pa.Table]) -> bytes:
    """Rows as an Arrow IPC stream, as they go to a worker process; each part is a batch of it.

    A Parquet file of 2 MB may hold a million texts of 10,000 characters: compressed, they are small here as well.
    """
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema, options=pa.ipc.IpcWriteOptions(compression="lz4")) as stream:
        for rows in parts:
            stream.write_table(rows.combine_chunks())
    return sink.getvalue().to_pybytes()


def check_apart(source: str, output: str, place: Footprint) -> None:
    """Raise UsageError where a manifest and what a stage makes of it are in each other's way."""
    if source.startswith(WEB):
        return
    fs, path = filesystem(source)
    manifest, root = resolved(source), resolved(output)
    with reading(source):
        kind = type_of(fs, path)
    if any(is_within(manifest, f"{root}/{name}") for name in place.names):
        why = "the manifest lies among the files of the root"
    elif kind == "directory" and manifest == root:
        why = "the root is the folder of the manifest"
    elif is_within(root, f"{manifest}/data"):
        why = "the root lies among the pairs of the manifest"
    elif kind is None and any(re.match(glob_translate(manifest), f"{root}/{name}") for name in place.written):
        why = "the files of the root would be taken for the manifest"
    else:
        return
    raise UsageError(f"{output}: {why}, {source}; name another folder for the root")


def check_folders(output: str, dropped: str, *taken: str) -> None:
    """Raise UsageError where what a stage makes, or its tables of dropped pairs, cannot lie where it is asked to.

    taken: folders of pairs beside `output`, among which these tables must not lie.
    """
    if is_local(output) and local_path(output).is_file():
        raise UsageError(f"{output}: is a file; OUTPUT is a folder, and a pattern of files needs quotes")
    if not dropped:
        return
    if is_local(dropped) and local_path(dropped).is_file():
        raise UsageError(f"--dropped {dropped}: is a file; name a folder")
    for folder in (output, *taken):
        if is_within(resolved(dropped), resolved(folder)):
            raise UsageError(
                f"--dropped {dropped}: lies in {folder}, where it would be read as pairs; name another folder"
            )
