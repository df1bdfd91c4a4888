"""The work of a refinement, pass by pass: rows of a manifest ─▶ thresholds ─▶ key buckets ─▶ shards.

steps        rows through the steps that a text goes through by itself; what is left, dealt to key buckets
thresholds   of function words and entropy, over all texts
buckets      a bucket of all: pairs beyond the thresholds and copies dropped, the rest by key
shards       ranges of the keys: data/train-00000-of-00042.parquet
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from ..stage.engine import Done, Pass, Tell, Unit, Units
from ..stage.shards import of_rank
from ..stage.spool import over, todo
from .plan import RefinePlan
from .read import RefineTask, RowsReader, tasks
from .shards import RefineShard, buckets_of, kept_of, lay_out, write_bucket, write_shard
from .spool import BUCKETED, READ, WEIGHED, RefineSetup, read_thresholds
from .steps import Steps
from .thresholds import NAME, decide, judge_of


def passes(
    setup: RefineSetup, plan: RefinePlan, known: Callable[[Mapping[str, int]], None]
) -> Iterator[Pass]:
    """The passes of a run, each once the one before has every marker, on whatever rank.

    known: told how many units later passes have, as soon as that is known.
    """
    config, root, units = setup.config, setup.root, plan.units
    mine = sum(one.rows for one in of_rank(plan.inputs, config.place))
    filled = partial(tasks, plan.manifest, plan.inputs)
    yield from over(setup, "builder.refine.work:1-steps", units, config, mine, filled)
    if (count := buckets_of(root, setup.inputs)) is None or todo(root, READ, units)[0]:
        return
    if todo(root, WEIGHED, {NAME: Unit(0)})[0] or read_thresholds(root) is None:
        yield Pass(
            "builder.refine.work:thresholds", setup, iter([Unit(0)]), lock=setup.work / "thresholds.lock"
        )
    setup = dataclasses.replace(setup, buckets=count)
    dealt = {setup.bucket_stem(number): Unit(number) for number in range(count)}
    known({"bucket": count})
    yield from over(setup, "builder.refine.work:3-buckets", dealt, config, "buckets")
    if (kept := kept_of(root, count)) is None or todo(root, BUCKETED, dealt)[0]:
        return
    ranges = lay_out(kept, config.shard_size)
    known({"bucket": count, **Counter(one.split for one in ranges.values())})
    pairs = sum(one.pairs[1] - one.pairs[0] for one in of_rank(ranges.values(), config.place))
    yield from over(setup, "builder.refine.work:4-shards", ranges, config, pairs)


def steps(setup: RefineSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Refine the rows that come."""
    each = Steps(setup.config)
    for unit in units:
        assert isinstance(unit, RefineTask)
        reader, name = RowsReader(setup, each, unit), setup.input_stem(unit.number)
        yield Done(unit.number, name, [reader.read(partial(tell, {name: reader.told}))])


def thresholds(setup: RefineSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Decide on the thresholds, once."""
    for unit in units:
        yield Done(unit.number, NAME, [decide(setup)])


def buckets(setup: RefineSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the buckets that come."""
    decided = read_thresholds(setup.root)
    assert decided is not None  # the pass before wrote them
    judge = judge_of(setup, decided)
    for unit in units:
        yield Done(unit.number, setup.bucket_stem(unit.number), [write_bucket(setup, unit.number, judge)])


def shards(setup: RefineSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the shards that come."""
    for unit in units:
        assert isinstance(unit, RefineShard)
        yield Done(unit.number, unit.stem, [write_shard(setup, unit)])
