"""The plan of a re-validation: the shards of a root, and whether an earlier run scored them the same way.

Config, checkpoint and root in, shards and `ledger/revalidate/plan.json` out. What a shard is follows from the
ledger of `rebuild`: a root that is not whole is refused. A root without a ledger is taken as it is found.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from .. import __version__
from ..disk import ledger
from ..disk.ledger import CheckpointRecord, PlanDocument
from ..disk.parquet import parquet
from ..errors import InputError, UsageError
from ..stage import shards as rebuilt
from .config import Config

if TYPE_CHECKING:
    from ..towers import Checkpoint

STAGE = "revalidate"
SETTLED = ("dtype", "preprocessing")  # what `auto` came to, and the way from a file to pixels


class Shard(rebuilt.Shard):
    """One file of images/, as it is scored."""

    __slots__ = ()

    @contextmanager
    def opened(self, captions: Sequence[str]) -> Iterator[pq.ParquetFile]:
        """The file, open; InputError, with what to do, where it is damaged or has no such columns."""
        with self.remedy(), parquet(self.url) as file:
            names = file.schema_arrow.names
            missing = [name for name in ("key", "url", "image", *captions) if name not in names]
            if missing:
                raise InputError(f"{self.url}: no column {missing[0]}; it has {', '.join(names)}")
            yield file

    @contextmanager
    def remedy(self) -> Iterator[None]:
        """Say of an InputError raised while the file is read how the shard is made again."""
        try:
            yield
        except InputError as error:
            marker = ledger.marker(self.root, "rebuild", self.stem)
            raise InputError(f"{error}; to make it anew, remove {marker} and run danqing rebuild") from error


@dataclass(frozen=True, slots=True)
class Plan:
    """The shards in order, and all that decides their scores. made_from: by flag, what a root must not mix."""

    shards: tuple[Shard, ...]
    config: dict[str, object]
    checkpoint: CheckpointRecord
    made_from: dict[str, object]

    @property
    def config_hash(self) -> str:
        """Of what decides the scores."""
        text = json.dumps(self.made_from, sort_keys=True).encode()
        return hashlib.blake2b(text, digest_size=8).hexdigest()

    def settled(self, known: Mapping[str, Any]) -> Plan:
        """The plan with what is known once the checkpoint was loaded: SETTLED."""
        return dataclasses.replace(
            self, checkpoint={**self.checkpoint, **known}, made_from={**self.made_from, **known}
        )

    def write(self, root: str) -> None:
        """Write plan.json; every rank writes the same bytes."""
        rows: Counter[str] = Counter()
        for shard in self.shards:
            rows[shard.split] += shard.rows
        document: PlanDocument = {
            "stage": STAGE,
            "version": __version__,
            "rows": dict(rows),
            "shards": dict(Counter(shard.split for shard in self.shards)),
            "config": self.config,
            "config_hash": self.config_hash,
            "made_from": self.made_from,
            "checkpoint": self.checkpoint,
        }
        ledger.write_plan(root, STAGE, document)


def make_plan(
    config: Config, shards: tuple[Shard, ...], checkpoint: Checkpoint, reference: str | None
) -> Plan:
    """Lay out the scoring of a root's shards; refuse one that was scored in another way. Writes nothing.

    reference: its fingerprint. Raises UsageError where an option, the checkpoint or the reference is not the one
    that the root was scored with.
    """
    options = {
        f.name: getattr(config, f.name) for f in dataclasses.fields(config) if f.metadata.get("content")
    }
    made_from = {
        "model": f"{checkpoint.name} {checkpoint.fingerprint}",
        "reference": reference,
        **{name: options[name] for name in ("caption", "decode", "embeddings")},
        **({} if config.dtype == "auto" else {"dtype": config.dtype}),
    }
    before = agree(config, made_from)
    # The same checkpoint may be called by another path now; scores of one root all call it as the first run did.
    called: CheckpointRecord = {**((before and before.get("checkpoint")) or checkpoint.as_dict())}
    plan = Plan(shards, (before and before.get("config")) or options, called, made_from)
    return plan.settled({name: called[name] for name in SETTLED if name in called})


def agree(config: Config, made_from: Mapping[str, Any]) -> PlanDocument | None:
    """plan.json of the run that began the root, if any; UsageError, naming what differs, where it was no such run."""
    old = None if config.overwrite else ledger.read_plan(config.root, STAGE)
    before = old.get("made_from", {}) if old else {}
    flags = {field.name for field in dataclasses.fields(config)}
    changed = [
        f"{'--' * (name in flags)}{name} {_words(before[name])} then, {_words(value)} now"
        for name, value in made_from.items()
        if name in before and before[name] != value
    ]
    if changed:
        raise UsageError(
            f"{config.root} was scored with {'; '.join(changed)}: use the same, or --overwrite to score it anew"
        )
    return old


def _words(value: Any) -> str:
    return "none" if value is None else str(value)


def find_shards(root: str) -> tuple[Shard, ...]:
    """The shards of a root in order: train, validation, test, and by number.

    Raises InputError, naming the file and what to do, for no root, one of tars, one half rebuilt, and a shard
    that is missing or has another size than rebuild wrote.
    """
    found = rebuilt.find_shards(root, "scored")
    return tuple(Shard(one.number, root, one.stem, one.rows, one.checksum) for one in found)
