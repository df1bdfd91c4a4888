"""The third pass and the last one: key buckets of all units ─▶ their pairs, each once ─▶ ranges of the keys.

a key bucket ─▶ its pairs within the thresholds, without copies, by split and key
those of all buckets ─▶ data/train-00000-of-00042.parquet, sorted by key

Shard i of n holds the pairs [i*pairs//n, (i+1)*pairs//n) of its split in the order of their keys, so what is in it
does not depend on the order of files, workers and ranks.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from ..disk.buckets import DAMAGED, distinct, gather, parts_of
from ..disk.digests import Bools
from ..disk.files import join, leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally, read_plan
from ..disk.parquet import parquet, rows_by_number, writer
from ..disk.schema import SPLITS
from ..reasons import Reason
from ..stage.engine import Unit
from ..stage.shards import markers, shard_count
from ..stage.spool import ROW_GROUP, data_of, in_buckets, range_of, stem
from .read import dropped_table
from .spool import BUCKETED, PAIR, READ, SHARDED, SPLIT, STAGE, STOP, TOLD, RefineSetup, pairs_of, rows_of
from .thresholds import Judge

Kept = dict[str, list[int]]  # pairs of each bucket, by split


@dataclass(frozen=True, slots=True)
class RefineShard(Unit):
    """A shard to write: `index` of `count` of a split. kept: of each bucket, by split."""

    split: str
    index: int
    count: int
    kept: Kept

    @property
    def stem(self) -> str:
        """The stem of its file."""
        return stem(self.split, self.index, self.count)

    @property
    def pairs(self) -> tuple[int, int]:
        """First and end of its pairs, of all of its split."""
        return range_of(self.index, self.count, sum(self.kept[self.split]))


def shards_done(root: str) -> list[ShardLedger] | None:
    """The markers of all shards; None as long as some are missing. Where no pair is kept there are none."""
    plan = read_plan(root, STAGE)
    counts = plan["shards"] if plan else {}
    if "bucket" not in counts or (kept := kept_of(root, counts["bucket"])) is None:
        return None
    done = list(markers(root, SHARDED).values())
    whole = all(split in counts for split in kept) and len(done) == sum(
        counts.get(split, 0) for split in kept
    )
    return done if whole else None


def buckets_of(root: str, inputs: int) -> int | None:
    """How many units the key buckets make; None as long as rows are to be read."""
    read = markers(root, READ)
    if len(read) < inputs:
        return None
    size = sum(one.outputs[rows_of(one.shard)]["bytes"] for one in read.values())
    return parts_of(sum(one.kept for one in read.values()), size)


def kept_of(root: str, buckets: int) -> Kept | None:
    """The pairs that each bucket keeps, by split; None as long as one is to be written."""
    done = markers(root, BUCKETED)
    if len(done) < buckets:
        return None
    counters = [done[stem("bucket", number, buckets)].counters for number in range(buckets)]
    return {
        split: [one.get(f"kept/{split}", 0) for one in counters]
        for split in SPLITS
        if any(one.get(f"kept/{split}") for one in counters)
    }


def lay_out(kept: Kept, shard_size: int) -> dict[str, RefineShard]:
    """The shards of all splits, by stem."""
    shards: dict[str, RefineShard] = {}
    for split in SPLITS:
        if total := sum(kept.get(split, ())):
            count = shard_count(total, shard_size)
            for index in range(count):
                one = RefineShard(len(shards), split, index, count, kept)
                shards[one.stem] = one
    return shards


def write_shard(setup: RefineSetup, shard: RefineShard) -> ShardLedger:
    """Write a shard, and its marker."""
    began, tally, path = time.monotonic(), Tally(), data_of(shard.stem)
    leave_if_orphaned()
    with writer(setup.temporary(path), setup.columns) as out:
        for rows in _rows(setup, shard):
            out.write_table(rows, row_group_size=ROW_GROUP)
            tally.rows += len(rows)
    tally.kept = tally.rows
    return setup.mark(
        SHARDED, shard.stem, tally, {path: setup.publish(path, tally.rows)}, time.monotonic() - began
    )


def _rows(setup: RefineSetup, shard: RefineShard) -> Iterator[pa.Table]:
    """The pairs of a shard, a row group of a bucket at a time; a bucket has its splits one after the other."""
    earlier = SPLITS[: SPLITS.index(shard.split)]
    for bucket, start, stop in in_buckets(shard.kept[shard.split], *shard.pairs):
        base = sum(shard.kept[split][bucket] for split in earlier if split in shard.kept)
        with parquet(join(setup.root, pairs_of(setup.bucket_stem(bucket))), DAMAGED) as file:
            for _, rows in rows_by_number(file, np.arange(base + start, base + stop), setup.columns.names):
                yield rows.cast(setup.columns)


# ---- the third pass


def write_bucket(setup: RefineSetup, number: int, judge: Judge) -> ShardLedger:
    """Write the pairs of a bucket, and its marker."""
    began, name, tally = time.monotonic(), setup.bucket_stem(number), Tally(counters={"buckets": 1})
    leave_if_orphaned()
    parts = (number, setup.buckets)
    masks: list[Bools] = []
    with setup.dropping(BUCKETED, name) as tell:
        for pairs in gather(setup.rows, *parts, None if setup.dropped else [STOP, TOLD]):
            masks.append(np.ones(len(pairs), np.bool_))
            for mask, reason in (
                (judge.empty(pairs), Reason.STOP_WORDS),
                (judge.dull(pairs), Reason.LOW_ENTROPY),
            ):
                lost = mask & masks[-1]
                masks[-1] &= ~mask
                tally.drop(reason.value, int(lost.sum()))
                if setup.dropped:
                    tell(_told(pairs.filter(pa.array(lost)), reason))

        def within(columns: Sequence[str] | None) -> Iterator[pa.Table]:
            for pairs, mask in zip(gather(setup.rows, *parts, columns), masks, strict=True):
                yield pairs.filter(pa.array(mask))

        rows, copies = distinct(within, setup.spooled, [PAIR])
        tally.drop(Reason.DUPLICATE.value, len(copies))
        if setup.dropped:
            tell(_told(copies, Reason.DUPLICATE))
    splits = rows[SPLIT].to_numpy()
    made: Any = rows.take(np.argsort(splits, kind="stable"))[PAIR].combine_chunks()
    counts = np.bincount(splits, minlength=len(SPLITS)).tolist()
    tally.counters |= {f"kept/{split}": count for split, count in zip(SPLITS, counts, strict=True) if count}
    tally.kept = len(rows)
    tally.rows += tally.kept
    table = pa.Table.from_arrays(made.flatten(), schema=setup.columns)
    return setup.mark(
        BUCKETED, name, tally, {pairs_of(name): setup.write(pairs_of(name), table)}, time.monotonic() - began
    )


def _told(pairs: pa.Table, reason: Reason) -> pa.Table:
    """The table of dropped pairs that --dropped asks for, with their texts as they were found."""
    made = pa.Table.from_struct_array(pairs[PAIR])
    return dropped_table(made, made["alt_text_raw"], [reason.value] * len(made))
