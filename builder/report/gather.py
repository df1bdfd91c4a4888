"""The numbers of the page, counted from the files of a root: every pair once, in one pass over scores/ and outcomes/.

    ledger/, outcomes/, scores/ ─▶ Numbers

Pictures are not touched, and columns come in batches.
"""

from __future__ import annotations

import contextlib
import datetime
import io
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ..card.charts import BINS, Counts, histogram
from ..console import Bar, Console
from ..disk import ledger
from ..disk.files import filesystem, join, read_bytes, tables_in
from ..disk.ledger import DecisionDocument, PlanDocument
from ..disk.parquet import parquet
from ..disk.schema import SCORES, said_by, tested, unlike
from ..errors import InputError
from ..reasons import Cause, Verdict
from ..stage.counts import HostCounts
from ..stage.funnels import StageFunnel, funnels_of
from ..stage.shards import find_shards
from ..web.hostname import host_of
from .samples import DAMAGED, Row, Smallest, as_bytes, decoded

ROWS = 65_536  # of one batch: some ten megabytes of columns without pictures
KEPT, SUSPECT, FETCHED = "kept", "suspect", "outcomes"
_SCORES = ("key", "host", "score_alt_text", "score_recaption", "p", "verdict", "cause", "suspect", "kept")
_OUTCOMES = ("key", "url", "outcome", "reason", "http_status", "attempts", "content_type")


@dataclass(slots=True)
class Numbers:
    """What the page says. manifest = pending + dropped by rebuild + unscored + scored."""

    plan: PlanDocument  # ledger/revalidate/plan.json
    decision: DecisionDocument  # ledger/revalidate/decision.json
    decided_at: datetime.datetime | None = None
    manifest: int = 0  # rows
    has_outcomes: bool = False
    fetched: int = 0  # rows of outcomes/
    reasons: Counter[str] = field(default_factory=Counter)  # of pairs dropped by rebuild
    scored: int = 0  # rows of scores/
    fates: Counter[tuple[str, str, bool]] = field(default_factory=Counter)  # verdict, cause, kept
    suspects: int = 0
    hosts: HostCounts = field(default_factory=HostCounts)
    histograms: dict[str, Counts] = field(
        default_factory=lambda: defaultdict(lambda: np.zeros(BINS, np.int64))
    )
    null: Counts | None = None  # of the scores of captions with pictures of other pairs
    samples: Mapping[str, list[Row]] = field(default_factory=dict)
    before: list[StageFunnel] = field(default_factory=list)  # of the stages that made the manifest

    @property
    def rebuilt(self) -> int:
        """Pairs that have a picture."""
        return self.fetched - self.lost if self.has_outcomes else self.scored

    @property
    def lost(self) -> int:
        """Pairs that rebuild dropped."""
        return self.reasons.total()

    @property
    def kept(self) -> int:
        """Pairs that are left in the end."""
        return sum(count for (_, _, kept), count in self.fates.items() if kept)

    def verdict(self, verdict: Verdict, kept: bool | None = None) -> int:
        """Pairs of a verdict; with `kept`, only those that are kept or not. The rows rebuild dropped are dead."""
        mine = sum(n for (name, _, k), n in self.fates.items() if name == verdict and kept in (None, k))
        return mine + (self.lost if verdict is Verdict.DEAD and not kept else 0)


def gather(root: str, samples: int, console: Console) -> Numbers:
    """Count a root; InputError where it is not scored, not decided, or its files are not of one run."""
    numbers = _begun(root)
    smallest = Smallest(samples)
    total = sum(_rows(root, folder) for folder in ("scores", "outcomes"))
    with console.progress(total, unit="rows") as bar:
        for name in tables_in(root, "scores"):
            url = join(root, "scores", name)
            with parquet(url, DAMAGED) as file:
                _check(root, url, file, numbers.decision)
                for first, table in _batches(url, file, _SCORES):
                    if _fate(table).null_count:
                        raise InputError(
                            f"{url}: pairs without a verdict; run danqing revalidate {root} --decide"
                        )
                    _count_scores(numbers, table)
                    _offer(smallest, table, first, name)
                    bar.update(table.num_rows)
        if numbers.scored != (judged := numbers.decision["rows"]):
            raise InputError(
                f"{root}: scores/ has {numbers.scored:,} pairs, but its decision is about {judged:,}: files are "
                f"missing or cut short; restore them, danqing revalidate {root} --decide names one"
            )
        _count_all_outcomes(root, numbers, smallest, bar)
    numbers.null = _null(root)
    numbers.samples = smallest.groups
    return numbers


def _rows(root: str, folder: str) -> int:
    """How many rows the files of a folder have together, by their footers."""
    total = 0
    for name in tables_in(root, folder):
        with parquet(join(root, folder, name), DAMAGED) as file:
            total += file.metadata.num_rows
    return total


def _batches(url: str, file: pq.ParquetFile, columns: Sequence[str]) -> Iterator[tuple[int, pa.Table]]:
    """The number of the first row and the columns of each batch of an open file, text as bytes.

    Raises InputError where a column is missing.
    """
    if missing := sorted(set(columns) - set(file.schema_arrow.names)):
        raise InputError(f"{url}: lacks the columns {', '.join(missing)}; make it anew or restore it")
    first = 0
    for batch in file.iter_batches(ROWS, columns=list(columns)):
        yield first, as_bytes(pa.Table.from_batches([batch]))
        first += len(batch)


def _begun(root: str) -> Numbers:
    plan = ledger.read_plan(root, "revalidate")
    if plan is None or not tables_in(root, "scores"):
        find_shards(root, "reported on")  # is it a root at all, and whole?
        raise InputError(f"{root}: no scores yet; run danqing revalidate {root}")
    decision = ledger.read_decision(root, "revalidate")
    if decision is None:
        raise InputError(f"{root}: scored, but without verdicts yet; run danqing revalidate {root} --decide")
    fs, path = filesystem(ledger.decision_at(root, "revalidate"))
    with contextlib.suppress(NotImplementedError):  # some stores tell no dates
        return Numbers(plan, decision, fs.modified(path))
    return Numbers(plan, decision)


def _check(root: str, url: str, file: pq.ParquetFile, decision: DecisionDocument) -> None:
    """InputError where a shard's verdicts are missing or not those of the decision."""
    name = said_by(file.schema_arrow).get("decision")
    wrong = unlike(file.schema_arrow, SCORES, SCORES.names)
    if wrong or name != decision["decision"]:
        raise InputError(
            f"{url}: {wrong or 'has no verdicts of the last decision'}; run danqing revalidate {root} --decide"
        )


def _count_scores(numbers: Numbers, table: pa.Table) -> None:
    numbers.scored += table.num_rows
    numbers.suspects += pc.sum(table["suspect"]).as_py() or 0
    for row in table.group_by(["verdict", "cause", "kept"]).aggregate([([], "count_all")]).to_pylist():
        verdict, cause = _word(row["verdict"]), _word(row["cause"])
        numbers.fates[verdict, cause, bool(row["kept"])] += row["count_all"]
    fate = _fate(table)
    numbers.hosts.add_columns(pc.fill_null(table["host"], _scalar("")), fate, table["kept"])
    score = scores_of(table, numbers.plan)
    for group in pc.unique(fate):
        chosen = score[pc.equal(fate, group).to_numpy(zero_copy_only=False)]
        numbers.histograms[_word(group.as_py())] += histogram(chosen)


def _fate(table: pa.Table) -> pa.ChunkedArray[Any]:
    """`kept`, or why not: the verdict, or min_score where the verdict would have kept it."""
    by_score = pc.equal(table["cause"], _scalar(Cause.MIN_SCORE))
    lost = pc.if_else(by_score, _scalar(Cause.MIN_SCORE), table["verdict"])
    fate: pa.ChunkedArray[Any] = pc.if_else(table["kept"], _scalar(KEPT), lost)
    return fate


def captions(plan: PlanDocument) -> tuple[str, ...]:
    """The captions that were scored; InputError where the plan names others."""
    caption = str(plan.get("config", {}).get("caption", "alt_text"))
    found = ("alt_text", "recaption") if caption == "both" else (caption,)
    if not set(found) <= {"alt_text", "recaption"}:
        raise InputError(
            f"ledger/revalidate/plan.json: caption {caption!r} is none of alt_text, recaption, both"
        )
    return found


def scores_of(table: pa.Table, plan: PlanDocument) -> npt.NDArray[np.float64]:
    """The score that was tested, NaN where there is none."""
    return tested(table, captions(plan)).astype(np.float64)


def _offer(smallest: Smallest, table: pa.Table, first: int, shard: str) -> None:
    numbered = table.append_column("row", pa.array(np.arange(first, first + table.num_rows)))
    for verdict in Verdict:
        smallest.offer(verdict, numbered.filter(pc.equal(table["verdict"], _scalar(verdict))), shard)
    smallest.offer(SUSPECT, numbered.filter(table["suspect"]), shard)


def _count_all_outcomes(root: str, numbers: Numbers, smallest: Smallest, bar: Bar) -> None:
    """Count outcomes/, where there are any, and hold them against the plan of rebuild and against scores/."""
    for name in tables_in(root, "outcomes"):
        numbers.has_outcomes = True
        url = join(root, "outcomes", name)
        with parquet(url, DAMAGED) as file:
            for first, table in _batches(url, file, _OUTCOMES):
                _count_outcomes(numbers, table, smallest, first, name)
                bar.update(table.num_rows)
    plan = ledger.read_plan(root, "rebuild") if numbers.has_outcomes else None
    numbers.before = [] if plan is None else funnels_of(plan, "rebuild")
    numbers.manifest = max(numbers.rebuilt if plan is None else sum(plan["rows"].values()), numbers.fetched)
    if numbers.rebuilt < numbers.scored:
        raise InputError(
            f"{root}: scores/ has {numbers.scored:,} pairs, of which outcomes/ kept {numbers.rebuilt:,}: they are of "
            "different rebuilds; run danqing revalidate again"
        )


def _count_outcomes(numbers: Numbers, table: pa.Table, smallest: Smallest, first: int, name: str) -> None:
    numbers.fetched += table.num_rows
    numbered = table.append_column("row", pa.array(np.arange(first, first + table.num_rows)))
    dropped = numbered.filter(pc.not_equal(table["outcome"], _scalar(KEPT)))
    for row in dropped.group_by(["reason"]).aggregate([([], "count_all")]).to_pylist():
        numbers.reasons[_word(row["reason"])] += row["count_all"]
    urls = (None if url is None else decoded(url) for url in dropped["url"].to_pylist())
    numbers.hosts.add(Counter(host_of(url) or "" for url in urls), Verdict.DEAD, kept=False)
    smallest.offer(FETCHED, dropped, name)


def _null(root: str) -> Counts | None:
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
    counts = np.zeros(BINS, np.int64)
    for start in range(0, len(image), 512):
        scores = image[start : start + 512] @ caption.T
        others = np.ones(scores.shape, bool)
        np.fill_diagonal(others[:, start:], False)
        counts += histogram(scores[others])
    return counts


def _scalar(word: str) -> pa.Scalar[Any]:
    return pa.scalar(word.encode())


def _word(raw: bytes | None) -> str:
    return "" if raw is None else decoded(raw)
