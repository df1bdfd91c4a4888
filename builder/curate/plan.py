"""The plan of a curation: the shards that are compared, by what, and whether an earlier run did it the same way.

CurateConfig and the root ─▶ CuratePlan: plan.json, refusals by name of what changed, the lines of --dry-run

Measures and embeddings follow from a shard and a model alone, and stay. What was found between pictures follows from
all of them, and is found anew where a shard was made anew.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import TYPE_CHECKING

from ..disk import ledger
from ..disk.files import join, tables_in
from ..disk.ledger import CheckpointRecord, PlanDocument
from ..disk.root import Earlier
from ..errors import InputError
from ..stage import plan as plans
from ..stage.embeddings import embeddings_of
from ..stage.shards import STAGE as REBUILT
from ..stage.shards import Shard, find_shards, markers
from .against import roots_and_releases
from .config import CurateConfig
from .embeddings import embedded, made_with
from .recipe import recipe_of
from .spool import EMBEDDED, LOOKED, MEASURED, STAGE, Compared

if TYPE_CHECKING:
    from ..towers import Checkpoint

LOOK = "look_"  # before the name of a number of an outside model
MOST_ROWS = 2**31 - 1  # of all pictures that are compared: rows are numbers of 32 bits


@dataclass(frozen=True, slots=True)
class CuratePlan:
    """The shards of a root, and all that the numbers of its pairs follow from.

    foreign: shards of earlier roots; releases: files of such; slug: the folder of the embedder, below embeddings/;
    looks: folders of what outside models say, below measures/, by the name of the number; made_from: by flag; taken:
    files of embeddings that are there, by the URL of their pictures.
    """

    shards: tuple[Shard, ...]
    foreign: tuple[Shard, ...]
    releases: tuple[str, ...]
    options: dict[str, object]
    checkpoint: CheckpointRecord
    slug: str
    looks: dict[str, str]
    made_from: dict[str, object]
    taken: Mapping[str, str]

    @property
    def embedder(self) -> str:
        """The name of the checkpoint."""
        return str(self.checkpoint["name"])

    @property
    def sources(self) -> tuple[Compared, ...]:
        """The shards that are compared, those of the root first."""
        both = (*self.shards, *self.foreign)
        firsts = accumulate((one.rows for one in both), initial=0)
        return tuple(
            Compared(
                number, one.root, one.stem, one.rows, first, number < len(self.shards),
                self._embeddings(one), one.checksum,
            )
            for number, (one, first) in enumerate(zip(both, firsts, strict=False))
        )  # fmt: skip

    def _embeddings(self, shard: Shard) -> str:
        return self.taken.get(shard.url) or join(shard.root, embeddings_of(self.slug, shard.stem))

    @property
    def config_hash(self) -> str:
        """The hash of all that what lies between pictures follows from."""
        sums = [[one.stem, one.checksum] for one in (*self.shards, *self.foreign)]
        roots = dict.fromkeys(one.root for one in self.foreign)
        served = [[ledger.decision_name(root, stage) for stage in ("revalidate", STAGE)] for root in roots]
        return plans.hash_of([self.made_from, sums, served])

    @property
    def lacking(self) -> dict[str, str]:
        """The steps that cannot be taken, and the flags that would let them."""
        flags = {"safety": ("risk", "--image-classifier"), "text": ("text", "--text-in-image")}
        lacking = {step: flag for step, (number, flag) in flags.items() if number not in self.looks}
        return lacking if self.foreign or self.releases else {**lacking, "known": "--against"}

    def lacks(self, root: str, what: str) -> list[Shard]:
        """The shards without a number, or with that of other pictures. what: the pass that makes it."""
        if what == EMBEDDED:
            found = embedded(root, self.shards, self.checkpoint, *self._asked)
            return [one for one in self.shards if one.url not in found]
        folders = ["measures"] if what == MEASURED else [f"measures/{slug}" for slug in self.looks.values()]
        if not folders:
            return []
        there = set.intersection(*({*tables_in(root, folder)} for folder in folders))
        sums = {one.stem: one.checksum for one in self.shards}
        done = {
            stem
            for stem, one in markers(root, what).items()
            if one.config == self.made_by(what)
            and one.input_checksum(f"images/{stem}.parquet") == sums.get(stem)
        }
        if what == MEASURED:
            rebuilt = markers(root, REBUILT)
            done |= {stem for stem, one in rebuilt.items() if f"measures/{stem}.parquet" in one.outputs}
        return [one for one in self.shards if one.stem not in done or f"{one.stem}.parquet" not in there]

    @property
    def _asked(self) -> tuple[str, str]:
        """The caption and, where one is asked for, the precision of the embeddings."""
        return str(self.made_from["caption"]), str(self.made_from.get("dtype", ""))

    def made_by(self, what: str) -> str:
        """What the markers of a pass over shards say of what it was made with."""
        return {
            MEASURED: "",
            EMBEDDED: made_with(self.slug, *self._asked),
            LOOKED: " ".join(self.looks.values()),
        }[what]

    def document(self) -> PlanDocument:
        """What plan.json holds."""
        return {
            **plans.document(STAGE, self.shards),
            "config": self.options,
            "config_hash": self.config_hash,
            "made_from": self.made_from,
            "checkpoint": self.checkpoint,
            "recipe": {**recipe_of("late", self.lacking, {})},
        }


def make_plan(
    config: CurateConfig, checkpoint: Checkpoint, looks: Mapping[str, str], tell: Callable[[str], None]
) -> CuratePlan:
    """Look at a root and at what it is held against; refuse a root that was curated otherwise. Writes nothing.

    looks: slugs of the outside models by the name of their number.
    """
    roots, releases = roots_and_releases(config.earlier, tell)
    made_from: dict[str, object] = {
        "embedder": checkpoint.slug,
        "caption": config.caption,
        **({} if config.dtype == "auto" else {"dtype": config.dtype}),
        **{f"{LOOK}{name}": slug for name, slug in looks.items()},
        "against": ",".join([*roots, *releases]),
    }
    plan = _laid_out(config, plans.content(config), made_from, {**checkpoint.as_dict()}, (roots, releases))
    old = None if config.overwrite else ledger.read_plan(config.root, STAGE)
    if old is not None:
        then = {**dict.fromkeys(made_from, ""), **old.get("made_from", {})}
        again = "use the same, or --overwrite: measures and embeddings stay"
        plans.refuse(f"{config.root} was curated", then, made_from, config, again)
    return plan


def planned(config: CurateConfig) -> CuratePlan:
    """The plan of the run that a decision goes by; InputError where there was none, or not all was found then."""
    again = f"run danqing curate {config.root} without --decide"
    old = ledger.read_plan(config.root, STAGE)
    if old is None:
        raise InputError(f"{config.root}: nothing to decide by yet; {again}")
    made, checkpoint = old.get("made_from", {}), old.get("checkpoint", {})
    if (
        lacking := {"embedder", "caption", "against"} - made.keys()
        or {"name", "fingerprint"} - checkpoint.keys()
    ):
        raise InputError(f"{config.root}: ledger/{STAGE}/plan.json does not say {min(lacking)}; {again}")
    earlier = [one for one in str(made["against"]).split(",") if one]
    both = roots_and_releases(earlier, lambda _: None)
    plan = _laid_out(config, old.get("config", {}), made, checkpoint, both)
    if plan.config_hash != old.get("config_hash"):
        raise InputError(
            f"{config.root}: a shard, or what --against serves, is another since pictures were compared; {again}"
        )
    return plan


def _laid_out(
    config: CurateConfig,
    options: dict[str, object],
    made_from: dict[str, object],
    checkpoint: CheckpointRecord,
    earlier: tuple[list[str], list[str]],
) -> CuratePlan:
    """The plan that all of this makes. earlier: roots and files of releases."""
    shards, caption = find_shards(config.root, "curated"), str(made_from["caption"])
    foreign, taken = _foreign(earlier[0], checkpoint, config)
    plan = CuratePlan(
        shards=shards,
        foreign=foreign,
        releases=tuple(earlier[1]),
        options=options,
        checkpoint=checkpoint,
        slug=str(made_from["embedder"]),
        looks={name.removeprefix(LOOK): str(one) for name, one in made_from.items() if name.startswith(LOOK)},
        made_from=made_from,
        taken={**taken, **embedded(config.root, shards, checkpoint, caption)},
    )
    if (rows := sum(one.rows for one in (*plan.shards, *plan.foreign))) > MOST_ROWS:
        raise InputError(
            f"{config.root}: {rows:,} pictures are to be compared, {MOST_ROWS:,} can be; curate it in parts"
        )
    return plan


def _foreign(
    roots: Sequence[str], checkpoint: CheckpointRecord, config: CurateConfig
) -> tuple[tuple[Shard, ...], dict[str, str]]:
    """The shards of earlier roots and the files of their embeddings; InputError where one has none that compares."""
    found: list[Shard] = []
    files: dict[str, str] = {}
    for root in roots:
        shards = find_shards(root, "compared")
        there = embedded(root, shards, checkpoint)
        if lacking := [one.stem for one in shards if one.url not in there]:
            raise InputError(
                f"{root}: {lacking[0]} has no embeddings by {checkpoint['name']}, or of other pictures, and pictures "
                f"are compared by one checkpoint; run danqing curate {root} --embedder {config.embedder} first"
            )
        found += shards
        files |= there
    return tuple(found), files


@dataclass(frozen=True, slots=True)
class Uncurated:
    """What a run says that leaves something undone, or that with --dry-run would do it.

    left: shards, or units, that are to do, by pass; before: what --overwrite would remove.
    """

    config: CurateConfig
    plan: CuratePlan
    left: Mapping[str, int]
    before: Earlier | None = None

    @property
    def failure(self) -> None:
        """Nothing: what is left is done by the same command."""

    def as_dict(self) -> dict[str, object]:
        """The plan and what is left as JSON."""
        return {
            "root": self.config.root,
            "shards": len(self.plan.shards),
            "rows": sum(one.rows for one in self.plan.shards),
            "left": {**self.left},
            "checkpoint": self.plan.checkpoint,
            "options": self.plan.options,
            **({} if self.before is None else {"overwritten": self.before.names}),
        }

    def lines(self) -> list[str]:
        """The plan and what is left for people."""
        rows = sum(one.rows for one in self.plan.shards)
        left = ", ".join(f"{count:,} {name}" for name, count in self.left.items() if count)
        options = ", ".join(f"{name} {value}" for name, value in self.plan.options.items() if value)
        end = "no verdicts yet: run the same command again, or the other ranks"
        return [
            f"root      {self.config.root}: {len(self.plan.shards):,} shards, {rows:,} pairs",
            f"to do     {left or 'the verdicts'}",
            f"options   {options}",
            *(self.before.lines() if self.before else []),
            "nothing was written: --dry-run" if self.config.dry_run else end,
        ]
