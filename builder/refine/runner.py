"""The run of a refinement: its plan, its passes, and what it made.

danqing refine ./candidates ./refined
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from ..console import Console
from ..disk.files import environment
from ..disk.ledger import Tally, read_plan, write_plan
from ..disk.location import read_from
from ..disk.root import REFINE, Earlier, earlier
from ..errors import InputError
from ..reasons import Reason
from ..stage import status
from ..stage.doubt import doubt
from ..stage.engine import Pass
from ..stage.funnels import write_funnel
from ..stage.preview import ManifestPreview, More
from ..stage.recipe import funnel_of
from ..stage.rows import check_apart, check_folders
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from ..stage.shards import check_files
from ..stage.spool import clear, todo
from .config import RefineConfig
from .pilot import pilot
from .plan import RefinePlan, make_plan
from .read import columns_of
from .recipe import advice, recipe_of
from .shards import shards_done
from .spool import PASSES, READ, STAGE, THRESHOLDS, RefineSetup, read_thresholds
from .work import passes

# What mends it where the manifest is not of our crawl, or texts are lost that this passed.
MENDED: Mapping[str | None, str] = dict.fromkeys(
    (Reason.NO_TEXT, Reason.BROKEN_TEXT, Reason.NOT_CHINESE),
    "refine anew with --caption-column NAME, or what the captions are written in as --encoding, into another folder",
)


def run(config: RefineConfig, console: Console) -> Result:
    """Refine the texts of a manifest; the funnel of the whole of it."""
    config.check()
    config = dataclasses.replace(config, input=read_from(config.input, console.info))
    with environment(f"cannot use {config.output}"):
        check_apart(config.input, config.output, REFINE)
        check_folders(config.output, config.dropped, config.input)
    if config.pilot:
        return pilot(config, make_plan(config, console), console)
    return run_stage(Refine(config, console))


class Refine(Stage[RefineConfig, RefinePlan]):
    """One run of a refinement."""

    name, place = STAGE, REFINE

    @property
    def root(self) -> str:
        """OUTPUT."""
        return self.config.output

    def plan(self) -> RefinePlan:
        """Look at the manifest, and at the files and models that options name."""
        plan = make_plan(self.config, self.console)
        for note in plan.manifest.notes:
            self.console.warn(note)
        return plan

    def preview(self, plan: RefinePlan, before: Earlier | None) -> ManifestPreview:
        """The plan, with how many units of this rank are to do."""
        whole = not self.config.overwrite and shards_done(self.root) is not None
        left = [] if whole else todo(self.root, READ, plan.units, self.config.place)[0]
        more = More("skipped", sorted(plan.skipped), ", ".join(sorted(plan.skipped)))
        return ManifestPreview(
            self.config, plan.manifest, plan.options, left, plan.inputs, before, more, "units", "output"
        )

    def begin(self, plan: RefinePlan, work: Path) -> RefinePlan:
        """Remove what --overwrite does, and write the plan."""
        if self.config.overwrite:
            earlier(self.root, REFINE).remove()
        self._write(plan)
        return plan

    def passes(self, plan: RefinePlan, work: Path) -> Iterator[Pass]:
        """Rows, thresholds, key buckets, shards: each once the one before has every marker, on whatever rank."""
        if shards_done(self.root) is not None:
            return
        columns, names = columns_of(plan.manifest)
        dropped, inputs = self.config.dropped, len(plan.inputs)
        setup = RefineSetup(self.root, work, plan.config_hash, dropped, self.config, columns, names, inputs)
        yield from passes(setup, plan, partial(self._write, plan))

    def facts(self, counts: Tally, before: Tally, seconds: float) -> Mapping[str, Any]:
        """The share kept and the commonest reasons."""
        return {"kept_share": counts.kept_share, "rows": counts.rows, "top_reasons": counts.top_reasons()}

    def summary(self, plan: RefinePlan, work: Path) -> status.Funnels:
        """The funnel of the refinement; once all is done, funnel.json is written and the spool removed."""
        done, found = shards_done(self.root), status.summary_of(self.root)
        if done is None:
            return found
        (funnel,) = (one for one in found.funnels if one.stage == STAGE)
        if (decided := read_thresholds(self.root)) is None:
            raise InputError(
                f"{self.root}: {THRESHOLDS} is not there: restore it, or refine anew with --overwrite"
            )
        recipe = recipe_of(plan.skipped, decided["used"])
        write_funnel(self.root, STAGE, recipe, funnel.counted, plan.funnels)
        check_files(self.root, done)
        clear(self.root, STAGE, PASSES[:-1])
        went = funnel_of(recipe, funnel.counted.rows, funnel.counted.reasons)
        for said in advice(went, decided["calibrated"], funnel.counted.counters_of("unknown")):
            self.console.warn(said)
        mend = MENDED.get(funnel.lost.reason)
        return dataclasses.replace(found, failure=doubt(self.root, funnel.lost, mend=mend))

    def _write(self, plan: RefinePlan, units: Mapping[str, int] | None = None) -> None:
        """Write plan.json, with what is known of the later passes; without `units` what was known stays."""
        old, decided = read_plan(self.root, STAGE), read_thresholds(self.root)
        known = {kind: count for kind, count in (old["shards"] if old else {}).items() if kind != "input"}
        document = plan.document(known if units is None else units, decided["used"] if decided else {})
        if old != document:
            write_plan(self.root, STAGE, document)
