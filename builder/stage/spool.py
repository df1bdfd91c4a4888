"""Several passes of one stage: where their files lie between them, the markers of their units, and what is left to do.

units by stem ─▶ todo ─▶ Pass ─▶ PassSetup.publish, write, mark ─▶ a file below the root and the marker of its unit

What lies between the passes is in ledger/<stage>/spool/, as the markers name it, and goes after the last one.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk import documents
from ..disk.files import join, leave_if_orphaned, publish, read_bytes, remove_files, remove_if_empty
from ..disk.ledger import ShardLedger, Tally, WrittenFile, entry
from ..errors import InputError
from .engine import Pass, Unit
from .shards import lost_files, markers, of_rank
from .shared import Sharded

ROW_GROUP, GROUP_BYTES = 16_384, 8 << 20  # rows of a group, and bytes in memory, at most
_OFTEN = {
    "text_source",
    "page_url",
    "host",
    "page_lang",
    "crawl",
    "license_url",
    "word",
}  # columns of few values
DROPPED = pa.schema(
    [
        pa.field("url", pa.string()),
        pa.field("alt_text", pa.string()),
        pa.field("page_url", pa.string()),
        pa.field("reason", pa.string(), nullable=False),
    ]
)


def stem(kind: str, number: int, count: int) -> str:
    """The stem of what a unit writes, `file-00012-of-00100`."""
    return f"{kind}-{number:05d}-of-{count:05d}"


@dataclass(frozen=True, slots=True)
class PassSetup:
    """What every worker of a pass is started with.

    root: of what the stage makes; work: a local folder for unfinished files; dropped: the folder of --dropped, or
    nothing.
    """

    root: str
    work: Path
    config_hash: str
    dropped: str

    def temporary(self, path: str) -> Path:
        """Where a file is written before it is published."""
        self.work.mkdir(parents=True, exist_ok=True)
        return self.work / f"{path.rpartition('/')[2]}.{path.split('/')[-2]}.tmp"

    def publish(self, path: str, rows: int) -> WrittenFile:
        """Put what was written there into its place below the root; what a marker says of it."""
        local = self.temporary(path)
        told = entry(local, rows)
        publish(local, join(self.root, path))
        return told

    def write(self, path: str, table: pa.Table) -> WrittenFile:
        """Write a table below the root; what a marker says of it."""
        leave_if_orphaned()
        often = [
            name for name in table.column_names if name in _OFTEN
        ]  # a dictionary of keys costs half of the time
        fit = max(1, min(ROW_GROUP, GROUP_BYTES * len(table) // max(table.nbytes, 1)))
        how: dict[str, Any] = {"compression": "zstd", "row_group_size": fit, "use_dictionary": often}
        pq.write_table(table, self.temporary(path), **how)
        return self.publish(path, len(table))

    @contextlib.contextmanager
    def dropping(self, stage: str, name: str) -> Iterator[Callable[[pa.Table], None]]:
        """Where dropped pairs go as they come, to nowhere unless asked for. stage: the pass that drops them."""
        if not self.dropped:
            yield lambda table: None
            return
        path = f"{stage.rpartition('/')[2]}/{name}.parquet"
        local = self.temporary(f"dropped/{path}")
        with pq.ParquetWriter(local, DROPPED, compression="zstd") as out:
            yield out.write_table
        publish(local, join(self.dropped, path))

    def mark(
        self, stage: str, name: str, tally: Tally, outputs: Mapping[str, WrittenFile], seconds: float
    ) -> ShardLedger:
        """Write the marker of a unit."""
        told = ShardLedger.of(
            stage, name, tally, outputs=dict(outputs), config=self.config_hash, seconds=round(seconds, 3)
        )
        told.write(self.root)
        return told


def read_document(
    root: str, path: str, word: str, check: Callable[[documents.Document], None]
) -> documents.Document | None:
    """A JSON object that a pass wrote below the root; None before it is there; InputError where it is no `word`.

    check: raises ValueError where it is none.
    """
    data = read_bytes(join(root, path))
    if data is None:
        return None
    try:
        document = documents.parse(data)
        check(document)
    except ValueError as error:
        raise InputError(f"{join(root, path)}: no {word} ({error}); remove it, and run it again") from error
    return document


def todo(
    root: str, name: str, units: Mapping[str, Unit], place: tuple[int, int] = (0, 1)
) -> tuple[list[Unit], list[ShardLedger]]:
    """The units of a pass that have no marker, or lost a file since, and the markers of the others.

    units: by stem; place: rank and world size, of which alone; every unit where it is not given.
    """
    mine = {one.number for one in of_rank(units.values(), place)}
    done = markers(root, name)
    lost = {one.shard for one, _, _ in lost_files(root, done.values())}
    whole = {marked: one for marked, one in done.items() if marked not in lost}
    left = [one for marked, one in units.items() if one.number in mine and marked not in whole]
    return left, [one for marked, one in whole.items() if marked in units and units[marked].number in mine]


def over(
    setup: PassSetup,
    work: str,
    units: Mapping[str, Unit],
    config: Sharded,
    end: int | str,
    filled: Callable[[list[Unit]], Iterator[Unit]] = iter,
) -> Iterator[Pass]:
    """The pass over the units of this rank that are to do, if there are any.

    end: pairs of this rank, or the counter by which the bar goes; filled: gives the units what they need beside their
    number, one by one.
    work: "module:name-of-pass", as in "builder.crawl.work:1-files", whose function is that without its number.
    """
    module, _, name = work.partition(":")
    stage = module.split(".")[1]
    left, done = todo(setup.root, f"{stage}/{name}", units, config.place)
    if left:
        count = min(config.workers or len(os.sched_getaffinity(0)), len(left))
        function, counted = f"{module}:{name.partition('-')[2]}", end if isinstance(end, str) else ""
        rows = end if isinstance(end, int) else len(left) + len(done)
        yield Pass(function, setup, filled(left), rows=rows, done=done, processes=count, counted=counted)


def clear(root: str, stage: str, passes: Iterable[str], more: Iterable[str] = ()) -> None:
    """Remove what lies between the passes of a stage, as their markers name it. more: other files of its spool."""
    spool = f"ledger/{stage}/spool"
    folders: dict[str, list[str]] = {spool: [*more]}
    for name in passes:
        for one in markers(root, name).values():
            for path in one.outputs:
                folder, _, base = path.rpartition("/")
                if path.startswith(f"{spool}/"):
                    folders.setdefault(folder, []).append(base)
    for folder, names in reversed(folders.items()):
        remove_files(join(root, folder), names)
        remove_if_empty(join(root, folder))


# ---- the shards of the last pass: ranges of the keys


def data_of(name: str) -> str:
    """The file of a shard, below the root."""
    return f"data/{name}.parquet"


def range_of(number: int, count: int, total: int) -> tuple[int, int]:
    """The pairs of a shard of `count`, of all `total` in the order of their keys."""
    return number * total // count, (number + 1) * total // count


def in_buckets(kept: Sequence[int], start: int, stop: int) -> Iterator[tuple[int, int, int]]:
    """Where the pairs [start, stop) of all lie: bucket, and first and end among those that it keeps. kept: of each."""
    for bucket, end in enumerate(accumulate(kept)):
        base = end - kept[bucket]
        if kept[bucket] and end > start and base < stop:
            yield bucket, max(0, start - base), min(stop - base, kept[bucket])
