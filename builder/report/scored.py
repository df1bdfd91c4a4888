"""What the re-validation says of the pairs of a root: verdicts, causes and scores, counted.

ledger/revalidate/, scores/ ─▶ Scored
"""

from __future__ import annotations

import contextlib
import datetime
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..card.histogram import FloatHistogram
from ..console import Bar
from ..disk import ledger
from ..disk.files import filesystem, join, read_bytes, tables_in
from ..disk.ledger import DecisionDocument, PlanDocument
from ..disk.parquet import parquet
from ..disk.schema import SCORES, said_by, tested, unlike
from ..errors import InputError
from ..reasons import Cause, Verdict
from ..stage.counts import HostCounts
from .columns import batches, numbered, pc, scalar, word
from .samples import DAMAGED, Row, Smallest

KEPT, SUSPECT = "kept", "suspect"
_COLUMNS = pa.schema(
    [
        SCORES.field(name)
        for name in ("key", "host", "score_alt_text", "score_recaption", "p", "verdict", "cause", "suspect", "kept")
    ]
)  # fmt: skip


@dataclass(slots=True)
class Scored:
    """The verdicts of a root."""

    plan: PlanDocument  # ledger/revalidate/plan.json
    decision: DecisionDocument  # ledger/revalidate/decision.json
    decided_at: datetime.datetime | None = None
    pairs: int = 0  # rows of scores/
    fates: Counter[tuple[str, str, bool]] = field(default_factory=Counter)  # verdict, cause, kept
    suspects: int = 0
    histograms: dict[str, FloatHistogram] = field(default_factory=lambda: defaultdict(FloatHistogram))
    null: FloatHistogram | None = None  # of the scores of captions with pictures of other pairs
    samples: Mapping[str, list[Row]] = field(default_factory=dict)

    @property
    def kept(self) -> int:
        """Pairs that the verdicts leave."""
        return sum(count for (_, _, kept), count in self.fates.items() if kept)

    def verdict(self, verdict: Verdict, kept: bool | None = None) -> int:
        """Pairs of a verdict; with `kept`, only those that are kept or not."""
        return sum(n for (name, _, k), n in self.fates.items() if name == verdict and kept in (None, k))


def find_scored(root: str) -> Scored | None:
    """The verdicts of a root, not counted yet; None where it has none. InputError where it is scored and not judged."""
    plan = ledger.read_plan(root, "revalidate")
    if plan is None or not tables_in(root, "scores"):
        return None
    decision = ledger.read_decision(root, "revalidate")
    if decision is None:
        raise InputError(f"{root}: scored, but without verdicts yet; run danqing revalidate {root} --decide")
    return Scored(plan, decision, dated(ledger.decision_at(root, "revalidate")))


def count_scores(root: str, scored: Scored, hosts: HostCounts | None, smallest: Smallest, bar: Bar) -> None:
    """Count scores/, and hosts where these are given.

    InputError where a shard is not of the decision, or not all pairs are there that it is about.
    """
    for name in tables_in(root, "scores"):
        url = join(root, "scores", name)
        _check(root, url, scored.decision)
        for first, table in batches(url, _COLUMNS):
            if fate_of(table).null_count:
                raise InputError(f"{url}: pairs without a verdict; run danqing revalidate {root} --decide")
            _count(scored, table, hosts)
            _offer(smallest, numbered(table, first), name)
            bar.update(table.num_rows)
    if scored.pairs != (judged := scored.decision["rows"]):
        raise InputError(
            f"{root}: scores/ has {scored.pairs:,} pairs, but its decision is about {judged:,}: files are "
            f"missing or cut short; restore them, danqing revalidate {root} --decide names one"
        )
    scored.null = null_of(root)
    scored.samples = smallest.groups


def _check(root: str, url: str, decision: DecisionDocument) -> None:
    """InputError where a shard's verdicts are missing or not those of the decision."""
    with parquet(url, DAMAGED) as file:
        name = said_by(file.schema_arrow).get("decision")
        wrong = unlike(file.schema_arrow, SCORES, SCORES.names)
    if wrong or name != decision["decision"]:
        raise InputError(
            f"{url}: {wrong or 'has no verdicts of the last decision'}; run danqing revalidate {root} --decide"
        )


def _count(scored: Scored, table: pa.Table, hosts: HostCounts | None) -> None:
    scored.pairs += table.num_rows
    scored.suspects += pc.sum(table["suspect"]).as_py() or 0
    for row in table.group_by(["verdict", "cause", "kept"]).aggregate([([], "count_all")]).to_pylist():
        scored.fates[word(row["verdict"]), word(row["cause"]), bool(row["kept"])] += row["count_all"]
    fate = fate_of(table)
    if hosts is not None:
        hosts.add_columns(pc.fill_null(table["host"], scalar("")), fate, table["kept"])
    score = scores_of(table, scored.plan)
    for group in pc.unique(fate):
        scored.histograms[word(group.as_py())].add(score[np.asarray(pc.equal(fate, group))])


def fate_of(table: pa.Table) -> pa.ChunkedArray[Any]:
    """`kept`, or why not: the verdict, or min_score where the verdict would have kept it."""
    by_score = pc.equal(table["cause"], scalar(Cause.MIN_SCORE))
    lost = pc.if_else(by_score, scalar(Cause.MIN_SCORE), table["verdict"])
    fate: pa.ChunkedArray[Any] = pc.if_else(table["kept"], scalar(KEPT), lost)
    return fate


def captions(plan: PlanDocument, stage: str = "revalidate") -> tuple[str, ...]:
    """The captions that pictures were compared with; InputError where the plan of the stage names others."""
    caption = str(plan.get("config", {}).get("caption", "alt_text"))
    found = ("alt_text", "recaption") if caption == "both" else (caption,)
    if not set(found) <= {"alt_text", "recaption"}:
        raise InputError(
            f"ledger/{stage}/plan.json: caption {caption!r} is none of alt_text, recaption, both"
        )
    return found


def scores_of(table: pa.Table, plan: PlanDocument) -> npt.NDArray[np.float32]:
    """The score that was tested, NaN where there is none."""
    return tested(table, captions(plan))


def _offer(smallest: Smallest, table: pa.Table, shard: str) -> None:
    for verdict in Verdict:
        smallest.offer(verdict, table.filter(pc.equal(table["verdict"], scalar(verdict))), shard)
    smallest.offer(SUSPECT, table.filter(table["suspect"]), shard)


def null_of(root: str) -> FloatHistogram | None:
    """The scores of every caption of the panel with the pictures of the others; None where there is no panel."""
    url = join(root, "ledger", "revalidate", "panel.npz")
    data = read_bytes(url)
    if data is None:
        return None
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as panel:
            image, caption = panel["image"].astype(np.float32), panel["caption"].astype(np.float32)
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"{url}: no panel of scored pairs ({error}); score the root again") from error
    null = FloatHistogram()
    for start in range(0, len(image), 512):
        scores = image[start : start + 512] @ caption.T
        others = np.ones(scores.shape, bool)
        np.fill_diagonal(others[:, start:], False)
        null.add(scores[others])
    return null


def dated(url: str) -> datetime.datetime | None:
    """When a file was written; None where the store tells no dates."""
    fs, path = filesystem(url)
    with contextlib.suppress(NotImplementedError):
        return cast("datetime.datetime", fs.modified(path))
    return None
