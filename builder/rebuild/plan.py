"""The plan of a root: which rows make which shard, and whether an earlier run made it the same way.

RebuildConfig and manifest in, `ledger/rebuild/plan.json` and a list of shards out. Shard i of n holds the rows
[i*rows//n, (i+1)*rows//n) of its split, so the layout follows from two numbers and any run can take any shard.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

from ..disk.ledger import PlanDocument, read_plan
from ..errors import InputError, UsageError
from ..manifest import Manifest, ManifestOptions, known_encoding, open_manifest
from ..stage import plan as plans
from .config import RebuildConfig

STAGE = "rebuild"


@dataclass(frozen=True, slots=True)
class ManifestShard:
    """The unit of work: rows [start, stop) of a split of the manifest; `index` of `count` in it, `number` in all."""

    number: int
    split: str
    index: int
    count: int
    start: int
    stop: int

    @property
    def rows(self) -> int:
        """How many rows of the manifest it covers."""
        return self.stop - self.start

    @property
    def numbers(self) -> str:
        """The part of the file names that tells shards apart: 00000-of-00042."""
        return f"{self.index:05d}-of-{self.count:05d}"

    @property
    def stem(self) -> str:
        """The file name without folder and extension."""
        return f"{self.split}-{self.numbers}"


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """The manifest, its shards in order, the options that decide their bytes, and the hash of all that does."""

    manifest: Manifest
    shards: tuple[ManifestShard, ...]
    config_hash: str
    config: dict[str, object]

    @property
    def document(self) -> PlanDocument:
        """What plan.json holds."""
        return {
            **plans.document(STAGE, self.shards),
            "config": self.config,
            "config_hash": self.config_hash,
            "manifest": {
                "fingerprint": self.manifest.fingerprint,
                "files": {file.url: file.as_json() for file in self.manifest.files},
            },
        }


def shard_count(rows: int, shard_size: int) -> int:
    """Shards of at most `shard_size` rows; from 8 on a multiple of 8, so that they divide over nodes and workers."""
    count = max(1, -(-rows // shard_size))
    return count if count < 8 else -(-count // 8) * 8


def lay_out(rows: dict[str, int], shard_size: int) -> tuple[ManifestShard, ...]:
    """The shards of every split, in order."""
    shards: list[ManifestShard] = []
    for split, total in rows.items():
        count = shard_count(total, shard_size)
        for i in range(count):
            shards.append(
                ManifestShard(len(shards), split, i, count, i * total // count, (i + 1) * total // count)
            )
    return tuple(shards)


def make_plan(config: RebuildConfig) -> RebuildPlan:
    """Open the manifest and lay out the shards; refuse a root that was made from something else.

    Raises InputError when the manifest differs from the one the root was begun with, UsageError when an option
    does. Reads plan.json, writes nothing.
    """
    config = dataclasses.replace(config, encoding=known_encoding(config.encoding))  # GBK is gbk
    old = _read_plan(config)
    known = {} if old is None else old["manifest"]["files"]
    manifest = open_manifest(config.input, columns_of(config), config.limit, known)
    options = plans.content(config)
    shards = lay_out(manifest.rows, config.shard_size)
    plan = RebuildPlan(manifest, shards, plans.hash_of([options, manifest.fingerprint]), options)
    if config.verify_hash and manifest.hash_column is None:
        raise InputError(
            f"{config.input}: --verify-hash, but the manifest has no sha256 or md5 column; "
            f"its columns are {', '.join(manifest.schema.names)}"
        )
    if config.validation and "validation" in manifest.rows:
        raise UsageError(
            f"--validation {config.validation}: {config.input} has a validation split of its own"
        )
    if old is not None:
        _same(config.output, old, plan)
    return plan


def _read_plan(config: RebuildConfig) -> PlanDocument | None:
    plan = None if config.overwrite else read_plan(config.output, STAGE)
    if plan is not None and (missing := {"config", "config_hash", "manifest"} - plan.keys()):
        raise InputError(
            f"{config.output}: ledger/{STAGE}/plan.json lacks {', '.join(sorted(missing))}; restore it, use another "
            "root, or --overwrite"
        )
    return plan


def columns_of(config: RebuildConfig) -> ManifestOptions:
    """What the options say of the manifest's columns and text; UsageError for an encoding that there is not."""
    encoding = known_encoding(config.encoding)
    return ManifestOptions(config.schema, config.url_column, config.caption_column, config.quoting, encoding)


def _same(root: str, old: PlanDocument, plan: RebuildPlan) -> None:
    remedy = "use the same, another root, or --overwrite"
    plans.refuse(f"{root} was made", old["config"], plan.config, RebuildConfig, remedy)
    read = {one["fingerprint"]: one.get("read") for one in old["manifest"]["files"].values()}
    for file in plan.manifest.files:
        if file.fingerprint in read and read[file.fingerprint] != file.read:
            raise InputError(
                f"{root}: its plan.json does not say that {file.url} was read as text is now (quoting, encoding, "
                "types), so its rows may be others: load it as it is, use another root, or --overwrite"
            )
    if old["config_hash"] != plan.config_hash:
        raise InputError(
            f"the manifest has changed since {root} was begun: restore it, use another root, or --overwrite"
        )
