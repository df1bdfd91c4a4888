"""`danqing rebuild`: from a manifest to a root, by as many processes as there are cores.

Config ─▶ plan ─▶ lock ─▶ shards without a marker ─▶ pool of workers ─▶ summary from the ledger
"""

from __future__ import annotations

import dataclasses
import os
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

from ..console import Bar, Console, in_words
from ..disk import ledger
from ..disk.card import offer, root_card
from ..disk.files import Lock, environment, join, read_bytes, sweep, work_folder, write_atomic
from ..disk.ledger import ShardLedger, Tally
from ..disk.location import read_from
from ..disk.parquet import without_pandas
from ..disk.removals import Removals
from ..disk.root import REBUILD, Earlier, claim, earlier, is_spent
from ..disk.schema import carried
from ..errors import EnvironmentProblem, InputError
from ..reasons import Reason
from ..stage.shards import sizes_in
from ..stage.status import Summary, summary_of
from ..stage.stop import Stop
from . import removed
from .apart import check_apart
from .assemble import Layout
from .config import Config, Rules
from .judge import judged, loosened
from .messages import Done, Setup, Task, Told
from .plan import STAGE, Plan, Shard, make_plan, write_plan
from .pool import Pool

TARS = (
    "--format webdataset: danqing revalidate, danqing report and load_dataset('danqing') read no tars; for tars of "
    "kept pairs rebuild to Parquet, re-validate, then danqing release ROOT OUT --what images --format webdataset"
)
PROGRESS_SECONDS = 5.0  # between two writes of progress-<rank>.json


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What --dry-run prints."""

    plan: Plan
    config: Config
    pending: int
    removals: Removals | None
    earlier: Earlier | None

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON."""
        return {
            "manifest": self.config.input,
            "files": len(self.plan.manifest.files),
            "rows": self.plan.manifest.rows,
            "shards": len(self.plan.shards),
            "shards_to_do": self.pending,
            "root": self.config.output,
            "options": self.plan.config,
            "removals": None if self.removals is None else len(self.removals),
            **({} if self.earlier is None else {"overwritten": self.earlier.names}),
        }

    def lines(self) -> list[str]:
        """The plan for people."""
        files = self.plan.manifest.files
        size = in_words(sum(file.size for file in files))
        rows = ", ".join(f"{split} {count:,}" for split, count in self.plan.manifest.rows.items())
        options = ", ".join(
            f"{name} {value}" for name, value in self.plan.config.items() if value not in (None, 0, False)
        )
        removals = (
            [] if self.removals is None else [f"removals  {len(self.removals):,} entries: never asked for"]
        )
        return [
            f"manifest  {self.config.input}: {len(files)} files, {size}, rows: {rows}",
            f"columns   {', '.join(self.plan.manifest.schema.names)}",
            f"root      {self.config.output}: {len(self.plan.shards)} shards, {self.pending} to do",
            f"options   {options}",
            *removals,
            *(self.earlier.lines() if self.earlier else []),
            "nothing was written: --dry-run",
        ]


@dataclass(frozen=True, slots=True)
class Work:
    """What a run has to do. todo: shards, with the reasons for which rows of a finished one are fetched again."""

    plan: Plan
    todo: list[tuple[Shard, frozenset[Reason]]]
    removals: Removals | None

    def tasks(self) -> Iterator[Task]:
        """The shards with their rows, read from the manifest as they are asked for."""
        by_split = defaultdict(list)
        for shard, again in self.todo:
            by_split[shard.split].append((shard, again))
        for split, shards in by_split.items():
            ranges = [(shard.start, shard.stop) for shard, _ in shards]
            for (shard, again), table in zip(shards, self.plan.manifest.tables(split, ranges), strict=True):
                sink = pa.BufferOutputStream()
                with pa.ipc.new_stream(sink, table.schema) as stream:
                    stream.write_table(table)
                gone = removed.rows_of(self.removals, table)
                yield Task(shard, sink.getvalue().to_pybytes(), again, removed=gone)


@dataclass(slots=True)
class Progress:
    """Counts of the run for the bar and for progress-<rank>.json."""

    config: Config
    bar: Bar
    finished: Tally  # of the shards of this rank that are done
    flight: dict[str, Tally] = field(default_factory=dict)
    shown: int = 0
    bytes_before: int = 0
    began: float = field(default_factory=time.monotonic)
    written: float = 0.0

    def tell(self, message: Told | Done | None) -> None:
        """Take a message of the pool."""
        if isinstance(message, Told):
            self.flight.update(message.tallies)
        elif isinstance(message, Done):
            for one in message.ledgers:
                self.finished.merge(one)
            self.flight.pop(message.shard.stem, None)
        self.show()

    def show(self) -> None:
        """Move the bar, and write the progress file when it is due."""
        now = time.monotonic()
        total = Tally()
        for one in (self.finished, *self.flight.values()):
            total.merge(one)
        self.bar.update(
            total.rows - self.shown,
            kept_share=total.kept_share,
            mb_per_s=(total.counter("bytes") - self.bytes_before) / 1e6 / max(now - self.began, 1e-3),
            top_reasons=total.top_reasons(),
        )
        self.shown = total.rows
        if now - self.written >= PROGRESS_SECONDS:
            self.written = now
            self.write()

    def write(self) -> None:
        """Write what is known of the shards in flight."""
        ledger.write_progress(self.config.output, STAGE, self.config.rank, self.flight)


def run(config: Config, console: Console) -> Summary | PlanSummary:
    """Rebuild the pictures of a manifest; returns the funnel of the whole root.

    Raises UsageError, InputError, EnvironmentProblem and Interrupted; whatever is raised, the same command goes on.
    """
    config.check()
    without_pandas()
    lists = [read_from(one, console.info) for one in removed.sources(config.removals)]
    config = dataclasses.replace(
        config, input=read_from(config.input, console.info), removals=",".join(lists)
    )
    with environment(f"cannot use {config.output}"):
        check_apart(config.input, config.output)
        claim(config.output, REBUILD, overwrite=config.overwrite)
        plan = make_plan(config)
        for note in plan.manifest.notes:
            console.warn(note)
        removals = removed.look(config)
        before = earlier(config.output, REBUILD) if config.overwrite else None
        if config.format == "webdataset":
            console.warn(TARS)
        if config.dry_run:
            markers = {} if config.overwrite else _markers(config)
            return PlanSummary(plan, config, len(_todo(plan, markers, config)), removals, before)
        work = work_folder(config.output, ".spool")
        layout = Layout(config.output, work, config.format, config.validation, plan.config_hash)
        locks = _lock(layout.work, config)
        try:
            _begin(plan, config, layout.work, console)
            grown = removed.keep(config, removals)
            markers = _markers(config)
            if grown and markers:
                console.warn(
                    f"{config.output}: {len(markers)} finished shards were made before the removal list: their pairs "
                    f"stay until danqing release --remove, or a rebuild with --overwrite"
                )
            todo = _todo(plan, markers, config)
            _check_files(plan, markers, todo, config)
            _tidy(plan, todo, layout, config)
            if todo:
                redone = {stem for shard, _ in todo for stem in _stems(shard)}
                done = [one for stem, one in markers.items() if stem not in redone]
                _fetch(Work(plan, todo, removals), done, layout, config, console)
            ledger.end_progress(config.output, STAGE, config.rank)  # also where a run was killed before this
            return _judged(plan, markers, todo, config, console)
        finally:
            _unlock(layout.work, locks)


def _judged(
    plan: Plan,
    before: dict[str, ShardLedger],
    todo: list[tuple[Shard, frozenset[Reason]]],
    config: Config,
    console: Console,
) -> Summary:
    """The funnel of the root, and what is to be said where nobody can have wanted it; before: the markers then."""
    summary = summary_of(config.output)
    (funnel,) = (one for one in summary.funnels if one.stage == STAGE)
    again = [before[stem] for shard, reasons in todo if reasons for stem in _stems(shard) if stem in before]
    now = _markers(config)
    mine = [now[stem] for shard in _mine(plan, config) for stem in _stems(shard) if stem in now]
    if not todo and not config.retry_failed and (said := loosened(config, funnel.counted.reasons)):
        console.warn(said)
    return dataclasses.replace(summary, failure=judged(config, plan, again, mine, funnel.lost))


def _lock(work: Path, config: Config) -> list[Lock]:
    """One run a rank, one world size at a time. The kernel frees the locks of a run that was killed.

    The exclusive lock on the world is held for moments only, by the first to come and the last to leave.
    """
    world, rank = Lock(work / "world.lock"), Lock(work / f"rank-{config.rank}.lock")
    size = work / "world.size"
    while True:
        if world.acquire():
            size.write_text(str(config.world_size))
            for folder in (config.output, join(config.output, "ledger", STAGE)):
                sweep(folder)
        world.acquire(shared=True, wait=True)
        if size.exists():
            break
        world.release()  # the last to leave took the folder while we waited for it
    if size.read_text() == str(config.world_size) and rank.acquire():
        return [rank, world]
    rank.release()
    world.release()
    raise EnvironmentProblem(
        f"another danqing rebuild is at work on {config.output}; wait for it, or use another root"
    )


def _unlock(work: Path, locks: list[Lock]) -> None:
    """Free the locks; the last run to leave a root without unfinished shards takes the folder with it."""
    *_, world = locks
    if is_spent(work) and world.acquire():
        world.clear()
    for lock in locks:
        lock.release()


def _begin(plan: Plan, config: Config, work: Path, console: Console) -> None:
    if config.overwrite:
        before = earlier(config.output, REBUILD)
        before.remove()
        for spool in work.glob("*.spool"):
            if before.named.file(spool.name):
                spool.unlink()
        if before.stays:
            console.warn(f"there stays {before.stays}")
    write_plan(config, plan)
    card = join(config.output, "README.md")
    if read_bytes(card) is None:
        columns = carried(plan.manifest.schema)
        text = root_card(_splits(plan, config), config.format, columns, config.encode)
        write_atomic(card, text.encode())
        if read_bytes(join(config.output, "ledger", "revalidate", "decision.json")) is not None:
            offer(config.output, scored=True)


def _splits(plan: Plan, config: Config) -> list[str]:
    return [*plan.manifest.rows, *(["validation"] if config.validation else [])]


def _markers(config: Config) -> dict[str, ShardLedger]:
    """What is done, by stem; without the hosts, of which ten thousand shards have a great deal."""
    done = ledger.read_all(config.output, STAGE)
    return {one.shard: dataclasses.replace(one, hosts={}) for one in done}


def _check_files(
    plan: Plan,
    markers: dict[str, ShardLedger],
    todo: list[tuple[Shard, frozenset[Reason]]],
    config: Config,
) -> None:
    """InputError where a file of a finished shard, of this rank and not to be redone, is lost or has another size."""
    redone = {shard.stem for shard, _ in todo}
    mine = [stem for shard in _mine(plan, config) if shard.stem not in redone for stem in _stems(shard)]
    sizes = {folder: sizes_in(join(config.output, folder)) for folder in ("images", "outcomes")}
    for one in (markers[stem] for stem in mine if stem in markers):
        for path, file in one.outputs.items():
            folder, _, name = path.rpartition("/")
            found = sizes.get(folder, {}).get(name)
            if found != file["bytes"]:
                now = "is not there" if found is None else f"has {found:,} bytes"
                raise InputError(
                    f"{join(config.output, path)}: {now}, {file['bytes']:,} were written: restore it, or remove "
                    f"{ledger.marker(config.output, STAGE, one.shard)}: the shard is then made anew"
                )


def _stems(shard: Shard) -> tuple[str, str]:
    """The stem of a shard, and of the pairs that may be carved out of it."""
    return shard.stem, f"validation-{shard.numbers}"


def _mine(plan: Plan, config: Config) -> list[Shard]:
    return [shard for shard in plan.shards if shard.number % config.world_size == config.rank]


def _todo(
    plan: Plan, markers: dict[str, ShardLedger], config: Config
) -> list[tuple[Shard, frozenset[Reason]]]:
    """The shards of this rank that are not done, and those with rows to fetch again, with the reasons."""
    again = config.retried - {Reason.REMOVED}
    todo = []
    for shard in _mine(plan, config):
        parts = [markers[stem] for stem in _stems(shard) if stem in markers]
        if shard.stem not in markers:
            todo.append((shard, frozenset[Reason]()))
        elif any(again & one.reasons.keys() for one in parts):
            todo.append((shard, again))
    return todo


def _tidy(plan: Plan, todo: list[tuple[Shard, frozenset[Reason]]], layout: Layout, config: Config) -> None:
    """Remove the spools, of this rank, that a run killed between marker and clean-up left beside finished shards."""
    unfinished = {shard.stem for shard, again in todo if not again}
    for shard in _mine(plan, config):
        if shard.stem not in unfinished:
            layout.spool(shard).unlink(missing_ok=True)


def _fetch(work: Work, done: list[ShardLedger], layout: Layout, config: Config, console: Console) -> None:
    cores, plan = len(os.sched_getaffinity(0)), work.plan
    count = min(config.workers or cores, len(work.todo))
    rules = Rules(
        per_host=max(1, config.per_host // count),
        retries=config.retries,
        concurrency=config.concurrency,
        threads=max(1, cores // count),
        seed=config.seed,
        expect_failures=bool(config.retry_failed),
    )
    digest = plan.manifest.hash_column if config.verify_hash else None
    mine = _mine(plan, config)
    stems = {stem for shard in mine for stem in _stems(shard)}
    finished = Tally()
    for one in done:
        if one.shard in stems:
            finished.merge(one)
    total = sum(shard.rows for shard in mine)
    with console.progress(total, initial=finished.rows) as bar:
        progress = Progress(
            config, bar, finished, shown=finished.rows, bytes_before=finished.counter("bytes")
        )
        setup = Setup(config, layout, digest, rules, None)
        try:
            with Stop(console, graceful=True) as stop:
                Pool(setup, work.tasks(), count, progress.tell, stop).run()
        finally:
            progress.write()
