"""The plan of a root: which rows make which shard, and whether manifest, root and an earlier run allow it.

RebuildConfig and manifest in, `ledger/rebuild/plan.json` and a list of shards out. Shard i of n holds the rows
[i*rows//n, (i+1)*rows//n) of its split, so the layout follows from two numbers and any run can take any shard.

A root may lie in the folder of its manifest, as its files are passed over there, and the manifest in the root, as
long as it is in no folder of the root's own: what a rebuild writes must not be the manifest of the next run.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from fsspec.utils import glob_translate

from ..console import in_words
from ..disk.files import filesystem, is_within, resolved
from ..disk.ledger import PlanDocument, read_plan
from ..disk.reading import WEB, reading, type_of
from ..disk.removals import Removals
from ..disk.root import CARD, REBUILD, Earlier
from ..errors import InputError, UsageError
from ..manifest import Manifest, known_encoding, open_manifest
from ..reasons import Reason
from ..stage import plan as plans
from ..stage.funnels import StageFunnel, earlier_funnels, funnels_of
from ..stage.rows import ManifestShard, as_bytes, columns_of, lay_out, rows_of_shards
from .config import RebuildConfig
from .removed import rows_of
from .units import STAGE, Task

# Files as a rebuild writes them, which no pattern of the manifest may match.
_WRITTEN = (
    "images/train-00000-of-00001.parquet", "images/train-00000-of-00001.tar", "outcomes/train-00000-of-00001.parquet",
    "ledger/rebuild/plan.json", "ledger/rebuild/train-00000.json", CARD,
)  # fmt: skip


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
        document: PlanDocument = {
            **plans.document(STAGE, self.shards),
            "config": self.config,
            "config_hash": self.config_hash,
            "manifest": {
                "fingerprint": self.manifest.fingerprint,
                "files": {file.url: file.as_json() for file in self.manifest.files},
            },
        }
        if self.funnels:
            document["funnels"] = [{**one} for one in self.funnels]
        return document


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
    funnels = funnels_of(old, STAGE) if old else []
    funnels = funnels or earlier_funnels(config.input, sum(manifest.rows.values()), notes.append)
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


def check_apart(source: str, output: str) -> None:
    """Raise UsageError where manifest and root are in each other's way."""
    if source.startswith(WEB):
        return
    fs, path = filesystem(source)
    manifest, root = resolved(source), resolved(output)
    with reading(source):
        kind = type_of(fs, path)
    if any(is_within(manifest, f"{root}/{name}") for name in REBUILD.names):
        why = "the manifest lies among the files of the root"
    elif kind == "directory" and manifest == root:
        why = "the root is the folder of the manifest"
    elif kind is None and any(re.match(glob_translate(manifest), f"{root}/{name}") for name in _WRITTEN):
        why = "the files of the root would be taken for the manifest"
    else:
        return
    raise UsageError(f"{output}: {why}, {source}; name another folder for the root")


@dataclass(frozen=True, slots=True)
class PlanSummary:
    """What --dry-run prints."""

    plan: RebuildPlan
    config: RebuildConfig
    pending: int
    removals: Removals | None
    earlier: Earlier | None

    def as_dict(self) -> dict[str, object]:
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


def tasks(
    plan: RebuildPlan, todo: Sequence[tuple[ManifestShard, frozenset[Reason]]], removals: Removals | None
) -> Iterator[Task]:
    """The shards of `todo`, with the reasons to fetch rows again for, and their rows, read as they are asked for."""
    chosen = {shard.number: again for shard, again in todo}
    for shard, rows in rows_of_shards(plan.manifest, [shard for shard, _ in todo]):
        yield Task(shard.number, shard, as_bytes(rows), chosen[shard.number], rows_of(removals, rows))
