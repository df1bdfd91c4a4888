"""The third pass: a key bucket of all units ─▶ its pairs within the thresholds, each once, by split and key."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from ..disk.buckets import distinct, gather
from ..disk.digests import Bools
from ..disk.files import leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.schema import SPLITS
from ..reasons import Reason
from ..stage.spool import DROPPED
from .columns import pages_of
from .spool import BUCKETED, PAIR, SPLIT, RefineSetup, pairs_of
from .thresholds import Judge


def write_bucket(setup: RefineSetup, number: int, judge: Judge) -> ShardLedger:
    """Write the pairs of a bucket, and its marker."""
    began, name, tally = time.monotonic(), setup.bucket_stem(number), Tally(counters={"buckets": 1})
    leave_if_orphaned()
    parts = (number, setup.buckets)
    masks: list[Bools] = []
    with setup.dropping(BUCKETED, name) as tell:
        for pairs in gather(setup.rows, *parts):
            masks.append(np.ones(len(pairs), np.bool_))
            for mask, reason in (
                (judge.empty(pairs), Reason.STOP_WORDS),
                (judge.dull(pairs), Reason.LOW_ENTROPY),
            ):
                lost = mask & masks[-1]
                masks[-1] &= ~mask
                _count(tally, reason, int(lost.sum()))
                if setup.dropped:
                    tell(_told(pairs.filter(pa.array(lost)), reason))

        def within(columns: Sequence[str] | None) -> Iterator[pa.Table]:
            for pairs, mask in zip(gather(setup.rows, *parts, columns), masks, strict=True):
                yield pairs.filter(pa.array(mask))

        rows, copies = distinct(within, setup.spooled, [PAIR])
        _count(tally, Reason.DUPLICATE, len(copies))
        if setup.dropped:
            tell(_told(copies, Reason.DUPLICATE))
    splits = rows[SPLIT].to_numpy()
    made: Any = rows.take(np.argsort(splits, kind="stable"))[PAIR].combine_chunks()
    counts = np.bincount(splits, minlength=len(SPLITS)).tolist()
    tally.counters |= {f"kept/{split}": count for split, count in zip(SPLITS, counts, strict=True) if count}
    tally.kept = len(rows)
    tally.rows = tally.kept + sum(tally.reasons.values())
    table = pa.Table.from_arrays(made.flatten(), schema=setup.columns)
    return setup.mark(
        BUCKETED, name, tally, {pairs_of(name): setup.write(pairs_of(name), table)}, time.monotonic() - began
    )


def _count(tally: Tally, reason: Reason, pairs: int) -> None:
    if pairs:
        tally.reasons[reason.value] = tally.reasons.get(reason.value, 0) + pairs


def _told(pairs: pa.Table, reason: Reason) -> pa.Table:
    """The table of dropped pairs that --dropped asks for, with their texts as they were found."""
    made = pa.Table.from_struct_array(pairs[PAIR])
    columns = [
        made["url"],
        made["alt_text_raw"],
        pages_of(made),
        pa.array([reason.value] * len(made), pa.string()),
    ]
    return pa.Table.from_arrays(columns, schema=DROPPED)
