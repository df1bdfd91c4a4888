"""The numbers of the page, counted from the files of a root: every pair once in each folder.

    ledger/, outcomes/, scores/, curated/, measures/ ─▶ Numbers

Pictures are not touched, and columns come in batches.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

import pyarrow as pa

from ..console import Bar, Console
from ..disk import ledger
from ..disk.files import join, listdir, tables_in
from ..disk.schema import OUTCOMES
from ..errors import InputError
from ..reasons import Verdict
from ..stage.counts import HostCounts
from ..stage.funnels import StageFunnel, funnels_of
from ..stage.shards import find_shards
from ..web.hostname import host_of
from .columns import batches, numbered, pc, rows_in, scalar, word
from .curated import CuratedCounts, count_curated, find_curated
from .samples import Row, Smallest, decoded
from .scored import KEPT, Scored, count_scores, find_scored

FETCHED = "outcomes"
_COLUMNS = pa.schema(
    [
        OUTCOMES.field(name)
        for name in ("key", "url", "outcome", "reason", "http_status", "attempts", "content_type")
    ]
)


@dataclass(slots=True)
class Numbers:
    """What the page says. manifest = pending + dropped by rebuild + not judged yet + judged.

    scored, curated: what re-validation and curation say, one of them at least; the latter has the last word.
    """

    scored: Scored | None = None
    curated: CuratedCounts | None = None
    manifest: int = 0  # rows
    has_outcomes: bool = False
    fetched: int = 0  # rows of outcomes/
    reasons: Counter[str] = field(default_factory=Counter)  # of pairs dropped by rebuild
    hosts: HostCounts = field(default_factory=HostCounts)
    gone: list[Row] = field(default_factory=list)  # pairs dropped by rebuild, to be shown
    before: list[StageFunnel] = field(default_factory=list)  # of the stages that made the manifest

    @property
    def judged(self) -> int:
        """Pairs that the last judge has seen."""
        return self.curated.pairs if self.curated else self.scored.pairs if self.scored else 0

    @property
    def rebuilt(self) -> int:
        """Pairs that have a picture."""
        return self.fetched - self.lost if self.has_outcomes else self.judged

    @property
    def lost(self) -> int:
        """Pairs that rebuild dropped."""
        return self.reasons.total()

    @property
    def kept(self) -> int:
        """Pairs that are left in the end."""
        return self.curated.kept if self.curated else self.scored.kept if self.scored else 0

    def verdict(self, verdict: Verdict, kept: bool | None = None) -> int:
        """Pairs of a verdict; with `kept`, only those that are kept or not. The rows rebuild dropped are dead."""
        mine = self.scored.verdict(verdict, kept) if self.scored else 0
        return mine + (self.lost if verdict is Verdict.DEAD and not kept else 0)


def gather(root: str, samples: int, console: Console) -> Numbers:
    """Count a root; InputError where it is not judged, or its files are not of one run."""
    numbers = Numbers(find_scored(root), find_curated(root))
    scored, curated = numbers.scored, numbers.curated
    if scored is None and curated is None:
        if not {"images", "ledger"} & {*listdir(root)}:
            raise InputError(f"{root}: neither a root nor a run; give the OUTPUT of danqing rebuild or train")
        find_shards(root, "reported on")  # is it whole?
        raise InputError(f"{root}: no scores yet; run danqing revalidate {root}, or danqing curate {root}")
    if curated:
        _check_order(root, scored, curated)
    folders = ("scores" if scored else "", "curated" if curated else "", "outcomes")
    with console.progress(sum(rows_in(root, one) for one in folders if one), unit="rows") as bar:
        if scored:
            count_scores(root, scored, None if curated else numbers.hosts, Smallest(samples), bar)
        if curated:
            count_curated(root, curated, numbers.hosts, samples, bar)
        _count_all_outcomes(root, numbers, Smallest(samples), bar)
    return numbers


def _check_order(root: str, scored: Scored | None, curated: CuratedCounts) -> None:
    """InputError where scores/ was decided anew since it was curated."""
    if curated.decision["scores"] != (scored.decision["decision"] if scored else None):
        raise InputError(
            f"{root}: curated with other verdicts than scores/ has now; run danqing curate {root} --decide"
        )


def _count_all_outcomes(root: str, numbers: Numbers, smallest: Smallest, bar: Bar) -> None:
    """Count outcomes/, where there are any, and hold them against the plan of rebuild and against what was judged."""
    for name in tables_in(root, "outcomes"):
        numbers.has_outcomes = True
        for first, table in batches(join(root, "outcomes", name), _COLUMNS):
            _count_outcomes(numbers, numbered(table, first), smallest, name)
            bar.update(table.num_rows)
    numbers.gone = smallest.groups[FETCHED]
    plan = ledger.read_plan(root, "rebuild") if numbers.has_outcomes else None
    numbers.before = [] if plan is None else funnels_of(plan, "rebuild")
    numbers.manifest = max(numbers.rebuilt if plan is None else sum(plan["rows"].values()), numbers.fetched)
    judged = {"scores": numbers.scored, "curated": numbers.curated}
    for folder, one in judged.items():
        if one and numbers.rebuilt < one.pairs:
            raise InputError(
                f"{root}: {folder}/ has {one.pairs:,} pairs, of which outcomes/ kept {numbers.rebuilt:,}: they are of "
                f"different rebuilds; run danqing {'revalidate' if folder == 'scores' else 'curate'} again"
            )


def _count_outcomes(numbers: Numbers, table: pa.Table, smallest: Smallest, name: str) -> None:
    numbers.fetched += table.num_rows
    dropped = table.filter(pc.not_equal(table["outcome"], scalar(KEPT)))
    for row in dropped.group_by(["reason"]).aggregate([([], "count_all")]).to_pylist():
        numbers.reasons[word(row["reason"])] += row["count_all"]
    urls = (None if url is None else decoded(url) for url in dropped["url"].to_pylist())
    numbers.hosts.add(Counter(host_of(url) or "" for url in urls), Verdict.DEAD, kept=False)
    smallest.offer(FETCHED, dropped, name)
