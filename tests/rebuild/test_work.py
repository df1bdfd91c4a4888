"""The work of a rebuild on its own: what it does with rows at which a decoder died before."""

from __future__ import annotations

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from builder.console import Console
from builder.rebuild.assemble import Setup
from builder.rebuild.config import RebuildConfig
from builder.rebuild.job import Job
from builder.rebuild.plan import RebuildPlan, make_plan, tasks
from builder.rebuild.spool import Spool, Tried
from builder.rebuild.work import Worker
from builder.stage.engine import Done, Units
from builder.stage.stop import Stop
from builder.web.pace import PAUSE_CAP
from tests.faulthost import FaultHost

from .runs import reasons, write_manifest


async def finished(config: RebuildConfig, plan: RebuildPlan, **given: Any) -> tuple[list[Done], list[Any]]:
    """What the work on the only shard of a plan yields, and what it tells; given: fields of its RebuildUnit."""
    (task,) = tasks(plan, [(plan.shards[0], frozenset())], None)
    units = Units(iter([replace(task, **given)]), Stop(Console(quiet=True)))
    told: list[Any] = []
    worker = Worker(setup_of(config, plan), units, told.append)
    return [done async for done in worker.finished()], told


def setup_of(config: RebuildConfig, plan: RebuildPlan) -> Setup:
    return Setup(config, Path(config.output, ".spool"), plan.config_hash)


async def test_rows_that_killed_a_decoder_are_dropped_without_another_try(tmp_path: Path) -> None:
    async with FaultHost() as host:
        manifest = write_manifest(tmp_path / "m.parquet", [host.url(f"/picture/{i}.jpg") for i in range(5)])
        config = RebuildConfig(manifest, str(tmp_path / "root"), allow_private=True)
        plan = make_plan(config)
        done, told = await finished(config, plan, poison=frozenset({1, 3}))
        assert reasons(tmp_path / "root") == [None, "corrupt", None, "corrupt", None]
        assert sorted(host.asked) == ["/picture/0.jpg", "/picture/2.jpg", "/picture/4.jpg"]
    assert [(one.number, one.stem, len(one.markers)) for one in done] == [(0, "train-00000-of-00001", 1)]
    assert all(counts.keys() == {"train-00000-of-00001"} for counts in told)


async def test_a_row_that_an_earlier_run_asked_waits_until_it_is_due(tmp_path: Path) -> None:
    async with FaultHost() as host:
        urls = [host.url("/picture/0.jpg"), host.url("/picture/1.jpg?a=1&amp;b=2")]
        config = RebuildConfig(
            write_manifest(tmp_path / "m.parquet", urls), str(tmp_path / "root"), allow_private=True
        )
        plan = make_plan(config)
        setup, due = setup_of(config, plan), time.time() + 0.5
        with contextlib.closing(Spool(setup.spool(plan.shards[0]), setup.owner(plan.shards[0]))) as spool:
            spool.append_tried(0, Tried(2, due, False))
            spool.append_tried(1, Tried(1, 0.0, True))
        await finished(config, plan)
    first, second = pq.read_table(tmp_path / "root" / "outcomes").to_pylist()
    assert (first["attempts"], second["attempts"]) == (3, 2)
    assert first["fetched_at"].timestamp() > due - 0.05
    assert sorted(host.asked) == ["/picture/0.jpg", "/picture/1.jpg?a=1&b=2"]


@pytest.mark.parametrize(("due", "wait"), [(0.0, 0.0), (990.0, 0.0), (1020.0, 20.0), (1e9, PAUSE_CAP)])
def test_a_clock_that_was_set_makes_no_row_wait_long(due: float, wait: float) -> None:
    assert Job(None, 0, "http://x/", due=due).wait(1000.0) == wait
