"""The plan of a root: which rows make which shard, and whether manifest, root and an earlier run allow it.

RebuildConfig and manifest in, `ledger/rebuild/plan.json` and a list of shards out. Shard i of n holds the rows
[i*rows//n, (i+1)*rows//n) of its split, so the layout follows from two numbers and any run can take any shard.

A root may lie in the folder of its manifest, as its files are passed over there, and the manifest in the root, as
long as it is in no folder of the root's own: what a rebuild writes must not be the manifest of the next run.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..disk.ledger import PlanDocument, read_plan
from ..disk.removals import Removals
from ..errors import InputError, UsageError
from ..manifest import Manifest, known_encoding, open_manifest
from ..reasons import Reason
from ..stage import plan as plans
from ..stage.funnels import StageFunnel, known_funnels
from ..stage.rows import ManifestShard, as_bytes, columns_of, lay_out, record_of, rows_of_shards
from .config import RebuildConfig
from .removed import rows_of
from .units import STAGE, RebuildUnit


@dataclass(frozen=True, slots=True)
class RebuildPlan:
    """The manifest, its shards in order, the options that decide their bytes, and the hash of all that does.

    funnels: of the stages that made the manifest.
    """

    manifest: Manifest
    shards: tuple[ManifestShard, ...]
    config_hash: str
    config: dict[str, object]
    funnels: list[StageFunnel]

    @property
    def document(self) -> PlanDocument:
        """What plan.json holds."""
        return {
            **plans.document(STAGE, self.shards, self.funnels),
            "config": self.config,
            "config_hash": self.config_hash,
            "manifest": record_of(self.manifest),
        }


def make_plan(config: RebuildConfig) -> RebuildPlan:
    """Open the manifest and lay out the shards; refuse a root that was made from something else.

    Raises InputError when the manifest differs from the one the root was begun with, UsageError when an option
    does. Reads plan.json, writes nothing.
    """
    config = dataclasses.replace(config, encoding=known_encoding(config.encoding))  # GBK is gbk
    old = _read_plan(config)
    known = {} if old is None else old["manifest"]["files"]
    manifest = open_manifest(config.input, columns_of(config), config.limit, known)
    notes = [*manifest.notes]
    funnels = known_funnels(old, STAGE, config.input, sum(manifest.rows.values()), notes.append)
    manifest = dataclasses.replace(manifest, notes=tuple(notes))
    options = plans.content(config)
    shards = lay_out(manifest.rows, config.shard_size)
    plan = RebuildPlan(manifest, shards, plans.hash_of([options, manifest.fingerprint]), options, funnels)
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


def _same(root: str, old: PlanDocument, plan: RebuildPlan) -> None:
    remedy = "use the same, another root, or --overwrite"
    if plan.config.get("measure") and not old["config"].get("measure"):
        remedy += "; its stored pictures danqing curate measures without --measure"
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


def tasks(
    plan: RebuildPlan, todo: Sequence[tuple[ManifestShard, frozenset[Reason]]], removals: Removals | None
) -> Iterator[RebuildUnit]:
    """The shards of `todo`, with the reasons to fetch rows again for, and their rows, read as they are asked for."""
    chosen = {shard.number: again for shard, again in todo}
    for shard, rows in rows_of_shards(plan.manifest, [shard for shard, _ in todo]):
        yield RebuildUnit(
            shard.number, shard, as_bytes(rows.schema, [rows]), chosen[shard.number], rows_of(removals, rows)
        )
