"""`danqing revalidate`: from a rebuilt root to scores, and once all of its shards are scored, to verdicts.

Config ─▶ plan ─▶ lock ─▶ panel ─▶ shards without a marker ─▶ scores/ ─▶ verdicts, by the last rank to finish

A marker names the checksum of its images file and the panel: a shard that was rebuilt since is scored again.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..console import Bar, Console
from ..disk import ledger
from ..disk.card import offer
from ..disk.files import environment, is_within, join, remove, resolved, work_folder
from ..disk.location import read_from
from ..disk.parquet import without_pandas
from ..disk.root import REVALIDATE, Earlier, claim, earlier
from ..errors import Interrupted, UsageError
from ..stage.hold import alone, hold
from ..stage.stop import Stop
from .config import Config
from .decide import decide
from .output import Output
from .panel import Panel, make_panel, read_panel, texts_of
from .pieces import Cutter, Pictures, Piece
from .plan import SETTLED, STAGE, Plan, Shard, agree, find_shards, make_plan
from .reference import Recorded, Reference, find_parts, open_reference
from .score import Scorer
from .summary import Summary

if TYPE_CHECKING:
    from ..towers import Checkpoint, Embedded, Options, Siglip, ToEmbed

ROUND = 500_000  # rows after which the threads of the model are drained: what they hold is bounded by it
NAMED = 3  # shards that are named where some are missing


@dataclass(frozen=True, slots=True)
class Progress:
    """What a run says that leaves shards unscored, or that with --dry-run would score them.

    todo: the shards that are not scored, of all ranks; mine: how many of them are of this rank.
    """

    root: str
    plan: Plan
    todo: tuple[Shard, ...]
    mine: int
    dry: bool
    earlier: Earlier | None = None

    def as_dict(self) -> dict[str, Any]:
        """It as JSON."""
        return {
            "root": self.root,
            "shards": len(self.plan.shards),
            "rows": sum(shard.rows for shard in self.plan.shards),
            "shards_to_do": len(self.todo),
            "shards_to_do_of_this_rank": self.mine,
            "missing": [shard.stem for shard in self.todo],
            "checkpoint": self.plan.checkpoint,
            "options": self.plan.config,
            **({} if self.earlier is None else {"overwritten": self.earlier.names}),
        }

    def lines(self) -> list[str]:
        """It for people."""
        rows, left = (sum(one.rows for one in shards) for shards in (self.plan.shards, self.todo))
        options = ", ".join(f"{name} {value}" for name, value in self.plan.config.items() if value)
        names = ", ".join(shard.stem for shard in self.todo[:NAMED]) + ", ..." * (len(self.todo) > NAMED)
        end = "no verdicts yet, as shards are missing: run the same command again, or the other ranks"
        return [
            f"root      {self.root}: {len(self.plan.shards):,} shards, {rows:,} pairs",
            f"to score  {len(self.todo):,} shards, {left:,} pairs; {self.mine:,} shards are of this rank",
            *([f"missing   {names}"] if self.todo else []),
            f"options   {options}",
            *(self.earlier.lines() if self.earlier else []),
            "nothing was written: --dry-run" if self.dry else end,
        ]


def run(config: Config, console: Console) -> Summary | Progress:
    """Score the shards of this rank; once no shard of the root is left, decide, and return what was decided.

    Raises UsageError, InputError, EnvironmentProblem and Interrupted; whatever is raised, the same command goes on.
    """
    config.check()
    without_pandas()
    with environment(f"cannot use {config.root}"):
        if config.decide:
            find_shards(config.root)  # before anything is made in what may be no root at all
            with _held(config) as work, alone(work / "decide.lock"):
                return decide(config.root, config, console)
        claim(config.root, REVALIDATE, overwrite=config.overwrite)
        before = _before(config)
        from ..towers.checkpoint import find, which

        # What costs little comes first: the model may have to come over the network.
        shards = find_shards(config.root)
        with shards[0].opened(config.captions):
            pass  # it opens, and has the columns
        source = config.reference and read_from(config.reference, console.info)
        parts = find_parts(source) if source else ()
        if line := which(config.model):
            console.info(line)
        checkpoint = find(config.model, config.revision)
        recorded = Recorded.of(source, parts, checkpoint) if source else None
        plan = make_plan(config, shards, checkpoint, recorded.fingerprint if recorded else None)
        if config.dry_run:
            return dataclasses.replace(_progress(config, plan, _panel(config), dry=True), earlier=before)
        with _held(config) as work:
            return _Run(config, console, work, checkpoint, recorded).whole(plan)


def _held(config: Config) -> AbstractContextManager[Path]:
    """The work folder, for this run."""
    root, place = config.root, REVALIDATE
    folders = (root, join(root, "ledger", STAGE), *(join(root, name) for name in place.swept))
    work = work_folder(root, place.work, place.cached)
    return hold(work, f"danqing revalidate is at work on {root}", config.place, folders)


def _before(config: Config) -> Earlier | None:
    """What --overwrite removes; UsageError where that would be the reference."""
    if not config.overwrite:
        return None
    if config.reference and is_within(resolved(config.reference), resolved(config.root)):
        raise UsageError(
            f"--reference {config.reference}: --overwrite would remove it; copy it to another place"
        )
    return earlier(config.root, REVALIDATE)


def _progress(config: Config, plan: Plan, panel: Panel | None, *, dry: bool) -> Progress:
    todo = _todo(config.root, plan, panel)
    return Progress(config.root, plan, todo, len(_own(config, todo)), dry)


def _panel(config: Config) -> Panel | None:
    return None if config.overwrite else read_panel(config.root, config.captions)


def _todo(root: str, plan: Plan, panel: Panel | None) -> tuple[Shard, ...]:
    """The shards, of all ranks, without a marker, or with one of other pictures or another panel."""
    if panel is None:
        return plan.shards
    made_from = _made_from(plan, panel)
    scored = {
        one.shard: one.input_checksum(f"images/{one.shard}.parquet")
        for one in ledger.read_all(root, STAGE)
        if one.config == made_from
    }
    return tuple(shard for shard in plan.shards if scored.get(shard.stem) != shard.checksum)


def _made_from(plan: Plan, panel: Panel) -> str:
    """What the marker of a scored shard says that it was made from."""
    return f"{plan.config_hash}-{panel.digest[:16]}"


def _own(config: Config, shards: tuple[Shard, ...]) -> list[Shard]:
    """Those of this rank."""
    rank, world = config.place
    return [shard for shard in shards if shard.number % world == rank]


def _limited(shards: list[Shard], limit: int) -> list[Shard]:
    """The first shards, until they hold `limit` pairs; all where it is 0."""
    taken: list[Shard] = []
    for shard in shards:
        if limit and sum(one.rows for one in taken) >= limit:
            break
        taken.append(shard)
    return taken


@dataclass(frozen=True, slots=True)
class _Run:
    """One run of one rank."""

    config: Config
    console: Console
    work: Path
    checkpoint: Checkpoint
    recorded: Recorded | None

    def whole(self, plan: Plan) -> Summary | Progress:
        """Score what this rank has to; decide when no shard of any rank is left."""
        config = self.config
        panel = _panel(config)
        if _own(config, _todo(config.root, plan, panel)):
            with Stop(self.console) as stop:
                plan, panel = self._score(plan, stop)
        left = _progress(config, plan, panel, dry=False)
        if left.todo:
            return left
        with alone(self.work / "decide.lock"):
            return decide(config.root, config, self.console)

    def _score(self, plan: Plan, stop: Stop) -> tuple[Plan, Panel]:
        """Score shards of this rank; the plan and the panel that they were scored by."""
        from ..towers import Siglip

        root, captions = self.config.root, self.config.captions
        siglip = Siglip.load(self.checkpoint, _options(self.config), self.console)
        known = dict(zip(SETTLED, (siglip.dtype_name, siglip.preprocessing), strict=True))
        agree(self.config, known)
        plan = plan.settled(known)
        reference = Reference.empty()
        if self.recorded is not None:
            self.recorded.warn(self.console, siglip.preprocessing, self.config.caption)
            reference = open_reference(self.recorded, self.work)
        panel = self._begin(plan, reference, siglip)
        todo = _todo(root, plan, panel)
        remove(
            join(root, "ledger", STAGE, "decision.json")
        )  # the verdicts are not those of the scores any more
        offer(root, scored=False)
        shards = _limited(_own(self.config, todo), self.config.limit)
        cutter = Cutter(reference, panel, captions)
        scorer = Scorer(siglip, panel, captions, embeddings=self.config.embeddings)
        temporary = self.work / f"rank-{self.config.place[0]}.tmp"
        output = Output(root, temporary, self._said(plan, panel), _made_from(plan, panel))
        own = _own(self.config, plan.shards)
        done = sum(one.rows for one in own) - sum(one.rows for one in _own(self.config, todo))
        with self.console.progress(sum(one.rows for one in own), initial=done) as bar:
            stop.graceful = True
            _stream(shards, cutter, siglip, _finisher(scorer, output, bar), stop)
        return plan, panel

    def _begin(self, plan: Plan, reference: Reference, siglip: Siglip) -> Panel:
        """Write the plan, and return the panel of the root: as some run published it, else made here.

        Nothing is written, nor removed by --overwrite, before all that can be wrong with the input was looked at.
        """
        root, captions = self.config.root, self.config.captions
        with alone(self.work / "panel.lock"):
            agree(
                self.config, plan.made_from
            )  # again: another rank may have begun while the model was loaded
            panel = _panel(self.config)
            if panel is None:
                self.console.info("choosing the panel, the pairs among which each pair is ranked")
                panel = make_panel(plan.shards, reference, siglip, captions)
                if self.config.overwrite:
                    earlier(root, REVALIDATE).remove()
                plan.write(root)
                panel.write(root)
                return read_panel(root, captions) or panel  # a rank on another machine may have been later
            plan.write(root)
            return panel

    def _said(self, plan: Plan, panel: Panel) -> dict[str, Any]:
        """The metadata of the files of scores."""
        return {
            **plan.checkpoint,
            "caption": self.config.caption,
            "projection": "danqing code 1",
            "panel": panel.digest,
            "reference": self.recorded.fingerprint if self.recorded else None,
        }


def _options(config: Config) -> Options:
    """How to run the checkpoint."""
    from ..towers import Options

    return Options(
        config.device, config.dtype, config.decode, config.batch_size, config.compile, config.workers
    )


def _finisher(scorer: Scorer, output: Output, bar: Bar) -> Callable[[Embedded], None]:
    """What is done with the embeddings of a piece."""

    def finish(made: Embedded) -> None:
        scores, embeddings = scorer.score(made.tag, made)
        tables = {"scores": scores} | ({} if embeddings is None else {"embeddings": embeddings})
        output.add(made.tag.shard, tables, last=made.tag.last)
        bar.update(len(scores))

    return finish


def _stream(
    shards: list[Shard],
    cutter: Cutter,
    siglip: Siglip,
    finish: Callable[[Embedded], None],
    stop: Stop,
) -> None:
    """Embed the shards, and score and write behind: the device waits for neither.

    Raises Interrupted once the shard in flight is written, when that was asked for.
    """
    behind: Future[None] | None = None
    pieces = (piece for shard in shards for piece in cutter.pieces(shard))
    with closing(pieces), ThreadPoolExecutor(1, "write") as pool:
        while (first := next(pieces, None)) is not None:
            embedded: Any = siglip.embed(_works(itertools.chain([first], pieces), cutter.captions))
            with closing(embedded):
                for made in embedded:
                    if behind is not None:
                        behind.result()
                    behind = pool.submit(finish, made)
                    if stop.asked and made.tag.last:
                        behind.result()
                        raise Interrupted("stopped; the shards scored are on disk, the same command goes on")
        if behind is not None:
            behind.result()


def _works(pieces: Iterator[tuple[Piece, Pictures]], captions: tuple[str, ...]) -> Iterator[ToEmbed]:
    """What to embed of some pieces, until they hold ROUND rows: rows that need no forward wait for those that do."""
    from ..towers import ToEmbed

    rows = 0
    for piece, pictures in pieces:
        yield ToEmbed(piece, pictures, texts_of(piece.rows.take(piece.forward), captions))
        rows += len(piece.same)
        if rows >= ROUND:
            return
