"""The work of a curation, pass by pass: measures, embeddings, looks ─▶ centroids ─▶ cells ─▶ decision.

measures    pictures of shards that rebuild did not measure, as they are stored
embeddings  of pictures and captions, by the embedder, on its device
looks       what outside models say of pictures
centroids   of the cells that pictures are dealt to
deal        numbers and pictures of a shard, by cell
cells       what lies near each other in a cell
joined      how much of it was found, and what releases have
decision    a reason for each pair that drops; curated/
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa

from ..console import Console
from ..disk.buckets import parts_of
from ..disk.files import leave_if_orphaned
from ..disk.ledger import CurationDocument, Tally
from ..disk.parquet import parquet, pc
from ..stage.engine import Done, Pass, Tell, Unit, Units
from ..stage.shards import Shard, markers
from ..stage.spool import over, todo
from ..towers.looks import Look, load
from .config import CurateConfig
from .deal import CENTERS, Cells, write_centroids, write_dealt, write_edges
from .decide import decide
from .joined import write_joined
from .measures import measured
from .plan import CuratePlan
from .spool import CENTERED, DEALT, LOOKED, MEASURED, SEARCHED, CurateSetup, mark

PICTURES = 64  # that outside models look at at once


@dataclass(frozen=True, slots=True)
class OfShard(Unit):
    """A shard as a unit of work."""

    shard: Shard


@dataclass(frozen=True, slots=True)
class Looking:
    """Outside models that look at pictures. made_by: what the markers say of them."""

    setup: CurateSetup
    looks: Sequence[Look]
    made_by: str


@dataclass(slots=True)
class Curating:
    """What the verdicts follow from, and what came of it."""

    setup: CurateSetup
    plan: CuratePlan
    console: Console
    document: CurationDocument | None = field(default=None)


def between(setup: CurateSetup) -> Iterator[Pass]:
    """The passes that look for duplicates."""
    root, config, work = setup.root, setup.config, setup.work
    if todo(root, CENTERED, {CENTERS: Unit(0)})[0]:
        yield Pass("builder.curate.work:centroids", setup, iter([Unit(0)]), lock=work / "centroids.lock")
    dealt = {setup.part(one.number): Unit(one.number) for one in setup.sources}
    yield from over(setup, "builder.curate.work:5-deal", dealt, config, "parts")
    if (parts := parts_dealt(setup)) is None:
        return
    setup = dataclasses.replace(setup, parts=parts)
    searched = {setup.cell(number): Unit(number) for number in range(parts)}
    yield from over(setup, "builder.curate.work:6-cells", searched, config, "cells")
    if not todo(root, SEARCHED, searched)[0]:
        yield Pass("builder.curate.work:joined", setup, iter([Unit(0)]), lock=work / "joined.lock")


def parts_dealt(setup: CurateSetup) -> int | None:
    """How many parts the cells fall into; None before all pictures are dealt."""
    done = markers(setup.root, DEALT)
    if len(done) < len(setup.sources):
        return None
    visits = sum(one.counters.get("visits", 0) for one in done.values())
    size = sum(
        file["bytes"]
        for one in done.values()
        for path, file in one.outputs.items()
        if path.endswith(".arrow")
    )
    return parts_of(visits, size)


def looks_of(config: CurateConfig) -> dict[str, Look]:
    """The outside models that options name, by the name of their number."""
    named = {"risk": config.image_classifier, "text": config.text_in_image}
    return {name: load(model, config.device) for name, model in named.items() if model not in ("", "none")}


def measuring(setup: CurateSetup, shards: Sequence[Shard], rows: int) -> Pass:
    """The pass that measures some shards of so many rows."""
    count = min(setup.config.workers or len(os.sched_getaffinity(0)), len(shards))
    units = iter([OfShard(one.number, shard=one) for one in shards])
    return Pass("builder.curate.work:measures", setup, units, rows, processes=count)


def measures(setup: CurateSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Measure the stored pictures of the shards that come."""
    for unit in units:
        assert isinstance(unit, OfShard)
        leave_if_orphaned()
        shard, path = unit.shard, f"measures/{unit.shard.stem}.parquet"
        outputs = {path: setup.write(path, measured(shard))}
        tally = Tally(shard.rows, shard.rows)
        yield Done(unit.number, shard.stem, [mark(setup.root, MEASURED, shard, tally, outputs, "")])


def looks(looking: Looking, units: Units, tell: Tell) -> Iterator[Done]:
    """Have outside models look at the pictures of the shards that come."""
    setup = looking.setup
    for shard in units:
        keys: list[Any] = []
        seen: dict[str, list[Any]] = {look.slug: [np.empty(0, np.float32)] for look in looking.looks}
        with parquet(shard.url) as file:
            for batch in file.iter_batches(PICTURES, columns=["key", "image.bytes"]):
                keys.append(batch["key"])
                for look in looking.looks:
                    seen[look.slug].append(look(pc.struct_field(batch["image"], "bytes").to_pylist()))
                tell({shard.stem: Tally(sum(map(len, keys)), sum(map(len, keys)))})
        outputs = {}
        for slug, parts in seen.items():
            path, values = f"measures/{slug}/{shard.stem}.parquet", np.concatenate(parts)
            told = pa.array(values, mask=np.isnan(values))
            outputs[path] = setup.write(
                path, pa.table({"key": pa.chunked_array(keys, pa.string()).combine_chunks(), "value": told})
            )
        tally = Tally(shard.rows, shard.rows)
        yield Done(
            shard.number, shard.stem, [mark(setup.root, LOOKED, shard, tally, outputs, looking.made_by)]
        )


def centroids(setup: CurateSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the centroids, once."""
    for unit in units:
        yield Done(unit.number, "centroids", [write_centroids(setup)])


def deal(setup: CurateSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Deal the pictures of the shards that come."""
    cells = Cells(setup)
    for unit in units:
        yield Done(unit.number, setup.part(unit.number), [write_dealt(setup, unit.number, cells)])


def cells(setup: CurateSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Look into the cells that come."""
    for unit in units:
        yield Done(unit.number, setup.cell(unit.number), [write_edges(setup, unit.number)])


def joined(setup: CurateSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Check the search, once."""
    for unit in units:
        write_joined(setup)
        yield Done(unit.number, "joined", [])


def decision(deciding: Curating, units: Units, tell: Tell) -> Iterator[Done]:
    """Judge all pairs, once."""
    for unit in units:
        deciding.document = decide(deciding.setup, deciding.plan, deciding.console)
        yield Done(unit.number, "decision", [])
