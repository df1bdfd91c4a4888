"""The plan of a re-validation: the shards of a root, and whether an earlier run scored them the same way.

Config, checkpoint and root in, shards and `ledger/revalidate/plan.json` out. What a shard is follows from the
ledger of `rebuild`: a root that is not whole is refused. A root without a ledger is taken as it is found.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from ..disk import ledger
from ..disk.files import join
from ..disk.ledger import CheckpointRecord, PlanDocument, ShardLedger
from ..disk.parquet import parquet
from ..disk.root import Earlier
from ..errors import InputError
from ..stage import plan as plans
from ..stage.shards import Shard, of_rank
from .config import RevalidateConfig

if TYPE_CHECKING:
    from ..towers import Checkpoint

STAGE = "revalidate"
NEEDED = ("key", "url", "image")  # columns of images/, beside the captions
SETTLED = ("dtype", "preprocessing")  # what `auto` came to, and the way from a file to pixels
NAMED = 3  # shards that are named where some are missing


@contextmanager
def opened(shard: Shard, columns: Sequence[str] = (), folder: str = "images") -> Iterator[pq.ParquetFile]:
    """A file of a shard, open; InputError, with what to do, where it is damaged or lacks one of `columns`."""
    url = join(shard.root, folder, f"{shard.stem}.parquet")
    try:
        with parquet(url) as file:
            names = file.schema_arrow.names
            if missing := [name for name in columns if name not in names]:
                raise InputError(f"{url}: no column {missing[0]}; it has {', '.join(names)}")
            yield file
    except InputError as error:
        stage, what = ("rebuild", "make it anew") if folder == "images" else (STAGE, "score it anew")
        marker = ledger.marker(shard.root, stage, shard.stem)
        raise InputError(f"{error}; to {what}, remove {marker} and run danqing {stage}") from error


def scored(root: str, shards: Iterable[Shard], made_from: str | None = None) -> dict[str, ShardLedger]:
    """The markers, by stem, of the shards that were scored from the pictures that are there now.

    made_from: what else, as a marker has it in `config`; None: whatever it was.
    """
    sums = {shard.stem: shard.checksum for shard in shards}
    return {
        one.shard: one
        for one in ledger.read_all(root, STAGE)
        if one.shard in sums
        and one.input_checksum(f"images/{one.shard}.parquet") in (None, sums[one.shard])
        and made_from in (None, one.config)
    }


@dataclass(frozen=True, slots=True)
class ScoringPlan:
    """The shards in order, and all that decides their scores. made_from: by flag, what a root must not mix."""

    shards: tuple[Shard, ...]
    config: dict[str, object]
    checkpoint: CheckpointRecord
    made_from: dict[str, object]

    @property
    def config_hash(self) -> str:
        """Hash of all that decides the scores."""
        return plans.hash_of(self.made_from)

    def settled(self, known: Mapping[str, Any]) -> ScoringPlan:
        """The plan with what is known once the checkpoint was loaded: SETTLED."""
        return dataclasses.replace(
            self, checkpoint={**self.checkpoint, **known}, made_from={**self.made_from, **known}
        )

    def made_with(self, panel: str) -> str:
        """What the marker of a scored shard says that it was made from; panel: its digest."""
        return f"{self.config_hash}-{panel[:16]}"

    def write(self, root: str) -> None:
        """Write plan.json; every rank writes the same bytes."""
        document = plans.document(STAGE, self.shards)
        document |= {"config": self.config, "config_hash": self.config_hash}
        document |= {"made_from": self.made_from, "checkpoint": self.checkpoint}
        ledger.write_plan(root, STAGE, document)


@dataclass(frozen=True, slots=True)
class Unscored:
    """What a run says that leaves shards unscored, or that with --dry-run would score them.

    todo: the shards that are not scored, of all ranks; before: what --overwrite would remove.
    """

    config: RevalidateConfig
    plan: ScoringPlan
    todo: Sequence[Shard]
    before: Earlier | None

    @property
    def mine(self) -> int:
        """How many of them are of this rank."""
        return len(of_rank(self.todo, self.config.place))

    def as_dict(self) -> dict[str, object]:
        """The plan and what is missing of it as JSON."""
        return {
            "root": self.config.root,
            "shards": len(self.plan.shards),
            "rows": sum(shard.rows for shard in self.plan.shards),
            "shards_to_do": len(self.todo),
            "shards_to_do_of_this_rank": self.mine,
            "missing": [shard.stem for shard in self.todo],
            "checkpoint": self.plan.checkpoint,
            "options": self.plan.config,
            **({} if self.before is None else {"overwritten": self.before.names}),
        }

    def lines(self) -> list[str]:
        """The plan and what is missing of it for people."""
        rows, left = (sum(one.rows for one in shards) for shards in (self.plan.shards, self.todo))
        options = ", ".join(f"{name} {value}" for name, value in self.plan.config.items() if value)
        names = ", ".join(shard.stem for shard in self.todo[:NAMED]) + ", ..." * (len(self.todo) > NAMED)
        end = "no verdicts yet, as shards are missing: run the same command again, or the other ranks"
        return [
            f"root      {self.config.root}: {len(self.plan.shards):,} shards, {rows:,} pairs",
            f"to score  {len(self.todo):,} shards, {left:,} pairs; {self.mine:,} shards are of this rank",
            *([f"missing   {names}"] if self.todo else []),
            f"options   {options}",
            *(self.before.lines() if self.before else []),
            "nothing was written: --dry-run" if self.config.dry_run else end,
        ]


def make_plan(
    config: RevalidateConfig, shards: tuple[Shard, ...], checkpoint: Checkpoint, reference: str | None
) -> ScoringPlan:
    """Lay out the scoring of a root's shards; refuse one that was scored in another way. Writes nothing.

    reference: its fingerprint. Raises UsageError where an option, the checkpoint or the reference is not the one
    that the root was scored with.
    """
    options = plans.content(config)
    made_from = {
        "model": f"{checkpoint.name} {checkpoint.fingerprint}",
        "reference": reference,
        **{name: options[name] for name in ("caption", "decode", "embeddings")},
        **({} if config.dtype == "auto" else {"dtype": config.dtype}),
    }
    before: PlanDocument = agree(config, made_from) or {"rows": {}, "shards": {}}
    # The same checkpoint may be called by another path now; scores of one root all call it as the first run did.
    called = before.get("checkpoint") or checkpoint.as_dict()
    plan = ScoringPlan(shards, before.get("config") or options, {**called}, made_from)
    return plan.settled({name: called[name] for name in SETTLED if name in called})


def agree(config: RevalidateConfig, made_from: Mapping[str, Any]) -> PlanDocument | None:
    """plan.json of the run that began the root, if any; UsageError, naming what differs, where it was no such run."""
    old = None if config.overwrite else ledger.read_plan(config.root, STAGE)
    if old is not None:
        then = {name: value for name, value in old.get("made_from", {}).items() if name in made_from}
        now = {name: made_from[name] for name in then}
        again = "use the same, or --overwrite to score it anew"
        plans.refuse(f"{config.root} was scored", then, now, config, again, _words)
    return old


def _words(value: Any) -> str:
    return "none" if value is None else str(value)
