"""The plan of a refinement: its manifest and rows, and whether an earlier run was asked the same.

RefineConfig and the manifest ─▶ RefinePlan: plan.json, refusals by name of what changed, the lines of --dry-run
markers of the passes ─▶ the units of the next one, as far as they are known
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..console import Console
from ..disk.ledger import PlanDocument, read_plan
from ..errors import InputError
from ..manifest import Manifest, known_encoding, open_manifest
from ..stage import plan as plans
from ..stage.engine import Unit
from ..stage.funnels import StageFunnel, known_funnels
from ..stage.rows import ManifestShard, columns_of, lay_out, record_of
from ..stage.spool import stem
from .config import RefineConfig
from .recipe import recipe_of
from .spool import STAGE, Values
from .steps import made_with

ROWS, FEWEST, UNITS = 50_000, 1000, 16  # rows of a unit, of a small one; units that a small manifest makes
BYTES = 64 << 20  # of the files of a manifest that a unit is of


@dataclass(frozen=True, slots=True)
class RefinePlan:
    """The manifest of a refinement, its rows as units, and the options that decide its bytes.

    skipped: steps; made_with: fingerprints of the files and models that options name; funnels: of the stages before.
    """

    manifest: Manifest
    inputs: tuple[ManifestShard, ...]
    options: dict[str, object]
    skipped: frozenset[str]
    made_with: dict[str, str]
    funnels: list[StageFunnel]

    @property
    def config_hash(self) -> str:
        """The hash of all that decides the bytes."""
        return plans.hash_of([self.options, self.manifest.fingerprint, self.made_with])

    @property
    def units(self) -> dict[str, Unit]:
        """The units of the first pass, by stem, without their rows."""
        count = len(self.inputs)
        return {stem("input", one.number, count): Unit(one.number) for one in self.inputs}

    def document(self, units: Mapping[str, int], used: Values) -> PlanDocument:
        """What plan.json holds. units: of the later passes, used: the thresholds, as far as they are known."""
        return {
            **plans.document(STAGE, self.inputs, self.funnels),
            "shards": {"input": len(self.inputs), **units},
            "config": self.options,
            "config_hash": self.config_hash,
            "recipe": {**recipe_of(self.skipped, used)},
            "made_from": {**self.made_with},
            "manifest": record_of(self.manifest),
        }


def make_plan(config: RefineConfig, console: Console) -> RefinePlan:
    """Open the manifest; refuse a folder that was made from another, or with other options. Writes nothing."""
    config = dataclasses.replace(config, encoding=known_encoding(config.encoding))  # GBK is gbk
    old = None if config.overwrite else read_plan(config.output, STAGE)
    known: Any = old["manifest"]["files"] if old and "manifest" in old else {}
    manifest = open_manifest(config.input, columns_of(config), config.limit, known)
    options = plans.content(config)
    skipped = config.skipped if config.tokenizer else config.skipped | {"unknown"}
    rows = sum(manifest.rows.values())
    funnels = known_funnels(old, STAGE, config.input, rows, console.warn)
    plan = RefinePlan(
        manifest,
        lay_out(manifest.rows, _size(manifest)),
        options,
        skipped,
        made_with(config),
        funnels,
    )
    if old is not None:
        _same(config, old, plan)
    return plan


def _size(manifest: Manifest) -> int:
    """Rows of a unit: fewer of a small manifest, so that every process has some, and of one with large columns."""
    rows = sum(manifest.rows.values())
    heavy = BYTES * rows // max(1, sum(file.size for file in manifest.files))
    return max(1, min(ROWS, heavy, max(FEWEST, rows // UNITS)))


def _same(config: RefineConfig, old: PlanDocument, plan: RefinePlan) -> None:
    remedy = "use the same, another folder, or --overwrite"
    plans.refuse(f"{config.output} was made", old.get("config", {}), plan.options, RefineConfig, remedy)
    for name, fingerprint in plan.made_with.items():
        if old.get("made_from", {}).get(name, "") != fingerprint:
            raise InputError(f"--{name}: has changed since {config.output} was begun; {remedy}")
    if old.get("config_hash") != plan.config_hash:
        raise InputError(
            f"{config.input}: the manifest has changed since {config.output} was begun: restore it, use another "
            "folder, or --overwrite"
        )
