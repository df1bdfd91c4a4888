"""The run of a crawl: its plan, its passes, and what it made.

danqing crawl CC-MAIN-2025-30 ./candidates
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..console import Console
from ..disk.ledger import Tally, read_plan, write_plan
from ..disk.root import CRAWL, Earlier, earlier
from ..errors import need
from ..stage import status
from ..stage.doubt import doubt
from ..stage.engine import Pass, Unit
from ..stage.funnels import write_funnel
from ..stage.rows import check_folders
from ..stage.run import Result, Stage
from ..stage.run import run as run_stage
from ..stage.shards import check_files, of_rank
from ..stage.spool import clear, over, range_of, stem, todo
from .config import CrawlConfig
from .hosts import DeniedHosts
from .plan import CrawlPlan, CrawlPreview, ShardUnit, later_units, make_plan, shards_done
from .recipe import RECIPE
from .spool import BUCKETED, FILES, LAYOUT, PASSES, STAGE, CrawlSetup, is_laid_out, read_layout


def run(config: CrawlConfig, console: Console) -> Result:
    """Make the candidates of a crawl; the funnel of the whole of it."""
    need("crawl", ("fastwarc", "orjson", "pycld2", "selectolax"))
    config.check()
    check_folders(config.output, config.dropped)
    return run_stage(Crawl(config, console))


class Crawl(Stage[CrawlConfig, CrawlPlan]):
    """One run of a crawl."""

    name, place = STAGE, CRAWL

    @property
    def root(self) -> str:
        """OUTPUT."""
        return self.config.output

    def plan(self) -> CrawlPlan:
        """Find the files, and read the list of hosts once, so that a wrong one ends the run before it begins."""
        DeniedHosts.read(self.config.hosts)
        return make_plan(self.config, self.console)

    def preview(self, plan: CrawlPlan, before: Earlier | None) -> CrawlPreview:
        """The plan, with how many files of this rank are to do."""
        whole = not self.config.overwrite and shards_done(self.root)
        files = [] if whole else todo(self.root, FILES, plan.units, self.config.place)[0]
        return CrawlPreview(plan, self.config, len(files), before)

    def begin(self, plan: CrawlPlan, work: Path) -> CrawlPlan:
        """Remove what --overwrite does, and write the plan."""
        if self.config.overwrite:
            earlier(self.root, CRAWL).remove()
        self._write(plan)
        return plan

    def passes(self, plan: CrawlPlan, work: Path) -> Iterator[Pass]:
        """Files, key buckets, the layout, shards: each once the one before has every marker, on whatever rank."""
        if shards_done(self.root):
            return
        setup = CrawlSetup(
            self.root, work, plan.config_hash, self.config.dropped, self.config, len(plan.files)
        )
        files = plan.units
        yield from over(setup, "builder.crawl.work:1-files", files, self.config, "files")
        if todo(self.root, FILES, files)[0]:
            return
        self._write(plan)
        setup = dataclasses.replace(setup, buckets=later_units(self.root, len(plan.files))["bucket"])
        buckets = {setup.bucket_stem(number): Unit(number) for number in range(setup.buckets)}
        yield from over(setup, "builder.crawl.work:2-buckets", buckets, self.config, "buckets")
        if todo(self.root, BUCKETED, buckets)[0]:
            return
        if not is_laid_out(self.root):
            yield Pass("builder.crawl.work:layout", setup, iter([Unit(0)]), lock=work / "layout.lock")
        layout = read_layout(self.root)
        assert layout is not None  # the pass before wrote it
        count = layout["shards"]
        self._write(plan)
        shards: dict[str, Unit] = {stem("train", one, count): ShardUnit(one, layout) for one in range(count)}
        mine, total = of_rank(shards.values(), self.config.place), sum(layout["kept"])
        rows = sum(stop - start for start, stop in (range_of(one.number, count, total) for one in mine))
        yield from over(setup, "builder.crawl.work:4-shards", shards, self.config, rows)

    def facts(self, counts: Tally, before: Tally, seconds: float) -> Mapping[str, Any]:
        """Pages and pairs, the share kept, the speed of reading and the commonest reasons."""
        pages, read = counts.counter("pages"), counts.counter("bytes") - before.counter("bytes")
        return {
            "kept_share": counts.kept_share,
            "mb_per_s": read / 1e6 / seconds if read else None,
            "top_reasons": counts.top_reasons(),
            "rows": counts.rows,
            "also": [f"{pages:,} pages, {counts.rows:,} pairs"] if pages else [],
        }

    def summary(self, plan: CrawlPlan, work: Path) -> status.Funnels:
        """The funnel of the crawl; once all is done, funnel.json is written and the spool removed."""
        done = shards_done(self.root)
        found = status.summary_of(self.root)
        if done is None:
            return found
        (funnel,) = (one for one in found.funnels if one.stage == STAGE)
        write_funnel(self.root, STAGE, RECIPE, funnel.counted)
        check_files(self.root, done)
        clear(self.root, STAGE, PASSES[:-1], [LAYOUT.rpartition("/")[2]])
        said = doubt(self.root, funnel.lost, given=f"--from {self.config.from_}")
        return dataclasses.replace(found, failure=said or self._no_page(funnel.counted))

    def _no_page(self, counted: Tally) -> str | None:
        """What is to be said where no page was looked at; None where one was."""
        if counted.rows:
            return None
        pages = ", ".join(f"{count:,} {why}" for why, count in sorted(counted.counters_of("pages").items()))
        mend = (
            ""
            if self.config.gate == "none"
            else "; --gate none judges each text by itself, into another folder"
        )
        return f"{self.root}: none of {counted.counter('pages'):,} pages holds a pair ({pages}){mend}"

    def _write(self, plan: CrawlPlan) -> None:
        """Write plan.json, with what is known of the later passes."""
        document = plan.document(later_units(self.root, len(plan.files)))
        if read_plan(self.root, STAGE) != document:
            write_plan(self.root, STAGE, document)
