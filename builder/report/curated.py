"""What the curation says of the pairs of a root, counted: reasons, measures beside their thresholds, duplicate sets.

ledger/curate/, curated/, measures/, urls of images/ ─▶ CuratedCounts
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa

from ..console import Bar
from ..disk import ledger
from ..disk.files import join, listdir, tables_in
from ..disk.ledger import CurationDocument, PlanDocument
from ..disk.parquet import parquet
from ..disk.schema import CURATED, MEASURES, PAIR, said_by
from ..errors import InputError
from ..reasons import Reason
from ..stage.counts import HostCounts, hosts_of
from ..stage.funnels import StageFunnel, checked_funnels
from ..stage.recipe import checked_recipe, funnel_of
from .columns import AGAIN, abreast, numbered, pc, scalar, word
from .couples import THRESHOLD, Couples, count_couples
from .measures import KEPT, RULES, Measured
from .samples import DAMAGED, Smallest, visible
from .scored import dated
from .strips import SetCounts, compare

DUPLICATES = (Reason.COPY, Reason.NEAR_DUPLICATE, Reason.CROSS_BATCH, Reason.KNOWN)
LOOKS = {"risk": "look_risk", "text_share": "look_text"}  # what the plan calls the folders of outside models
SIDES = 4  # of --samples, the part that is shown on each side of a threshold
_COLUMNS = pa.schema([CURATED.field(name) for name in ("key", "cos", "dup_count", "reason")])
_URLS = pa.schema([PAIR.field(name) for name in ("key", "url")])
_VALUE = pa.schema([MEASURES.field("key"), MEASURES.field("spread").with_name("value")])
_REASONS = frozenset(map(str, Reason))


@dataclass(slots=True)
class CuratedCounts:
    """The curation of a root. funnel: its pairs through the recipe."""

    plan: PlanDocument  # ledger/curate/plan.json
    decision: CurationDocument  # ledger/curate/decision.json
    funnel: StageFunnel
    decided_at: datetime.datetime | None = None
    rows: Counter[str] = field(default_factory=Counter)  # of each file of curated/
    reasons: Counter[str] = field(default_factory=Counter)
    measured: list[Measured] = field(default_factory=list)
    sets: SetCounts = field(default_factory=SetCounts)
    couples: Couples | None = None

    @property
    def pairs(self) -> int:
        """Pairs that were judged."""
        return self.rows.total()

    @property
    def kept(self) -> int:
        """Pairs that are left in the end."""
        return self.pairs - self.reasons.total()

    @property
    def known(self) -> int:
        """Pairs left out as an earlier data set has their picture."""
        return self.reasons[Reason.KNOWN]

    @property
    def duplicates(self) -> int:
        """Pairs left out as duplicates of whatever kind."""
        return sum(self.reasons[reason] for reason in DUPLICATES)

    @property
    def others(self) -> int:
        """Pairs left out by other steps, but for those that the re-validation dropped."""
        return self.reasons.total() - self.duplicates - self.reasons[Reason.VERDICT]


def find_curated(root: str) -> CuratedCounts | None:
    """The curation of a root, not counted yet; None where it is not curated. InputError where its decision is none."""
    decision = ledger.read_curation(root)
    if decision is None:
        return None
    plan = ledger.read_plan(root, "curate")
    at = ledger.decision_at(root, "curate")
    if plan is None:
        raise InputError(f"{root}: ledger/curate/plan.json is not there; run danqing curate {root}")
    if wrong := [name for name, found in decision["recall"].items() if len(found) != 2]:
        raise InputError(
            f"{at}: recall of {wrong[0][:40]!r} is no two counts; run danqing curate {root} --decide"
        )
    recipe = checked_recipe(decision["recipe"], at)
    funnel = StageFunnel(
        **funnel_of(recipe, decision["rows"], decision["reasons"]), stage="curate", counters={}
    )
    try:
        (funnel,) = checked_funnels([funnel], decision["kept"])
    except ValueError as error:
        raise InputError(f"{at}: its recipe is none ({error}); run danqing curate {root} --decide") from error
    return CuratedCounts(plan, decision, funnel, dated(at))


def count_curated(root: str, curated: CuratedCounts, hosts: HostCounts, samples: int, bar: Bar) -> None:
    """Count curated/ and what lies beside it. InputError where a shard is not of the decision, or not all are there."""
    sides = -(-samples // SIDES)
    curated.measured = [
        Measured(one, curated.decision["thresholds"], Smallest(sides, ("distance", "key"))) for one in RULES
    ]
    names = tables_in(root, "curated")
    folders = _folders(root, curated, names)
    wanted = {"curated": _COLUMNS, "images": _URLS}
    wanted |= {folder: _VALUE if number else MEASURES for number, folder in folders.items()}
    for name in names:
        url = join(root, "curated", name)
        with parquet(url, DAMAGED) as file:
            if said_by(file.schema_arrow).get("decision") != curated.decision["decision"]:
                raise InputError(f"{url}: is not of the last decision; run danqing curate {root} --decide")
        for first, tables in abreast(root, name, wanted):
            table = numbered(tables["curated"], first)
            curated.rows[name] += table.num_rows
            _count(curated, url, table, hosts_of(tables["images"]["url"]), hosts)
            columns = _numbers(folders, tables)
            for one in curated.measured:
                if one.measure.name in columns:
                    one.count(table, columns[one.measure.name], name)
            curated.sets.count(table, name)
            bar.update(table.num_rows)
    _whole(root, curated)
    if samples:
        curated.sets.find_members(root)
        embedder = curated.plan.get("made_from", {}).get("embedder")
        compare(root, curated.sets.strips, f"{embedder}")
    threshold = curated.decision["thresholds"].get(THRESHOLD)
    curated.couples = count_couples(root, curated.rows, threshold, sides)


def _folders(root: str, curated: CuratedCounts, names: Sequence[str]) -> dict[str, str]:
    """The folders of measures by what they hold: those that the plan names, where they are there for all shards."""
    made = curated.plan.get("made_from", {})
    told = {number: f"measures/{made.get(look)}" for number, look in LOOKS.items() if made.get(look)}
    slugs = {f"measures/{one}" for one in listdir(join(root, "measures"))}
    folders = {"": "measures", **{number: folder for number, folder in told.items() if folder in slugs}}
    return {number: folder for number, folder in folders.items() if {*names} <= {*tables_in(root, folder)}}


def _numbers(folders: Mapping[str, str], tables: Mapping[str, pa.Table]) -> dict[str, Any]:
    """The columns of numbers of a batch, by measure."""
    found = {"cos": tables["curated"]["cos"]}
    for number, folder in folders.items():
        table = tables[folder]
        found |= {number: table["value"]} if number else {name: table[name] for name in MEASURES.names[1:]}
    return found


def _count(curated: CuratedCounts, url: str, table: pa.Table, places: object, hosts: HostCounts) -> None:
    """Count the reasons of a batch, and with them its hosts (places). InputError for a word that is no reason."""
    left = pc.is_null(table["reason"])
    for one in pc.value_counts(table["reason"].filter(pc.invert(left))).to_pylist():
        if (reason := word(one["values"])) not in _REASONS:
            raise InputError(f"{url}: {visible(reason[:40])!r} is no reason to drop a pair; {AGAIN}")
        curated.reasons[reason] += one["counts"]
    hosts.add_columns(pc.fill_null(places, ""), pc.fill_null(table["reason"], scalar(KEPT)), left)


def _whole(root: str, curated: CuratedCounts) -> None:
    """InputError where curated/ has other pairs than its decision is about."""
    told = curated.decision
    if (
        curated.pairs != told["rows"]
        or curated.kept != told["kept"]
        or curated.reasons != Counter(told["reasons"])
    ):
        raise InputError(
            f"{root}: curated/ has {curated.pairs:,} pairs and keeps {curated.kept:,}, its decision is about "
            f"{told['rows']:,} and keeps {told['kept']:,}, or counts other reasons: files are missing or changed; "
            f"run danqing curate {root} --decide"
        )
