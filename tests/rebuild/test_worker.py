"""A worker on its own, over its pipe: what it does with rows at which a decoder died before."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from builder.rebuild.assemble import Layout
from builder.rebuild.config import Config, Rules
from builder.rebuild.job import Job
from builder.rebuild.messages import Done, Finish, Setup, Task, Told, Want
from builder.rebuild.plan import make_plan
from builder.rebuild.spool import Spool, Tried
from builder.rebuild.worker import Watch, Worker
from builder.web.pace import PAUSE_CAP
from tests.faulthost import FaultHost

from .runs import reasons, write_manifest


def ipc(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    return sink.getvalue().to_pybytes()


async def test_rows_that_killed_a_decoder_are_dropped_without_another_try(tmp_path: Path) -> None:
    async with FaultHost() as host:
        manifest = write_manifest(tmp_path / "m.parquet", [host.url(f"/picture/{i}.jpg") for i in range(5)])
        config = Config(manifest, str(tmp_path / "root"), allow_private=True)
        plan = make_plan(config)
        (table,) = plan.manifest.tables("train", [(0, 5)])
        layout = Layout(config.output, tmp_path / "root" / ".spool", "parquet", 0.0, plan.config_hash)
        ours, theirs = multiprocessing.Pipe()
        with ours, theirs:
            ours.send(Task(plan.shards[0], ipc(table), poison=frozenset({1, 3})))
            ours.send(Finish())
            await Worker(Setup(config, layout, None, Rules(), [-1, -1]), theirs).run()
            said = [ours.recv() for _ in iter(ours.poll, False)]
        assert reasons(tmp_path / "root") == [None, "corrupt", None, "corrupt", None]
        assert sorted(host.asked) == ["/picture/0.jpg", "/picture/2.jpg", "/picture/4.jpg"]
    kinds = [type(message) for message in said]
    assert (kinds[0], kinds.count(Done)) == (Want, 1)
    assert set(kinds) <= {Want, Told, Done}


async def test_a_row_that_an_earlier_run_asked_waits_until_it_is_due(tmp_path: Path) -> None:
    async with FaultHost() as host:
        urls = [host.url("/picture/0.jpg"), host.url("/picture/1.jpg?a=1&amp;b=2")]
        config = Config(
            write_manifest(tmp_path / "m.parquet", urls), str(tmp_path / "root"), allow_private=True
        )
        plan = make_plan(config)
        (table,) = plan.manifest.tables("train", [(0, 2)])
        layout = Layout(config.output, tmp_path / "root" / ".spool", "parquet", 0.0, plan.config_hash)
        due = time.time() + 0.5
        with contextlib.closing(Spool(layout.spool(plan.shards[0]), layout.owner(plan.shards[0]))) as spool:
            spool.append_tried(0, Tried(2, due, False))
            spool.append_tried(1, Tried(1, 0.0, True))
        ours, theirs = multiprocessing.Pipe()
        with ours, theirs:
            ours.send(Task(plan.shards[0], ipc(table)))
            ours.send(Finish())
            await Worker(Setup(config, layout, None, Rules(), [-1, -1]), theirs).run()
    first, second = pq.read_table(tmp_path / "root" / "outcomes").to_pylist()
    assert (first["attempts"], second["attempts"]) == (3, 2)
    assert first["fetched_at"].timestamp() > due - 0.05
    assert sorted(host.asked) == ["/picture/0.jpg", "/picture/1.jpg?a=1&b=2"]


@pytest.mark.parametrize(("due", "wait"), [(0.0, 0.0), (990.0, 0.0), (1020.0, 20.0), (1e9, PAUSE_CAP)])
def test_a_clock_that_was_set_makes_no_row_wait_long(due: float, wait: float) -> None:
    assert Job(None, 0, "http://x/", due=due).wait(1000.0) == wait


def test_a_decode_thread_notes_where_it_is() -> None:
    class Owner:
        shard = type("Shard", (), {"number": 4})

    slots = [-1, -1]
    watch = Watch(slots)
    job = type("Job", (), {"owner": Owner, "row": 17})
    with watch(job):  # type: ignore[arg-type]
        assert slots == [4, 17]
    assert slots[0] == -1
