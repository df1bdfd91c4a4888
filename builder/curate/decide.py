"""The last pass of a curation, once: from the numbers of all pairs to a reason for each that drops, or none.

    danqing curate ./danqing --decide --dedup-cosine 0.92

No model: images/, measures/, scores/ and what the search left are read, all pairs are judged together by the recipe,
and curated/ is written, a file a shard, then its marker; ledger/curate/decision.json comes last. A decision is named by
what it follows from, so killed and run again it ends in the same bytes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..console import Console, table
from ..disk import ledger
from ..disk.card import offer
from ..disk.digests import hex_of
from ..disk.files import join, remove, write_atomic
from ..disk.ledger import CurationDocument, Tally
from ..disk.schema import CURATED, saying
from ..options import flags
from ..reasons import Reason
from ..stage import plan as plans
from ..stage.doubt import Lost, doubt
from ..stage.embeddings import Halves, pictures_at
from ..stage.recipe import RecipeFunnel, checked_recipe, funnel_lines, funnel_of
from ..stage.shards import lost_files, markers
from .joined import ENOUGH, WANTED, load
from .judge import CODES, REASONS, PairJudge
from .pairs import read_pairs
from .plan import CuratePlan
from .recipe import ORDERS, WITHIN, recipe_of
from .redundancy import Redundancy, Told
from .sets import Rows
from .spool import JUDGED, KNOWN, MATCHES, STAGE, CurateSetup, check_numbers, made, mark, read_found

REDUNDANT = ("known", *WITHIN, "union")
# Options that decide nothing: how it is run.
_HOW = {"root", "decide", "device", "batch_size"}


def decide(setup: CurateSetup, plan: CuratePlan, console: Console) -> CurationDocument:
    """Judge all pairs of a root, and write what came of it.

    Raises InputError, before anything is overwritten, where files do not belong together.
    """
    config, root = setup.config, setup.root
    scores = ledger.decision_name(root, "revalidate")
    console.info(f"judging {setup.own_rows:,} pairs")
    pairs = read_pairs(setup, config.batch, scores, plan.looks)
    judge = PairJudge(config, pairs.numbers, plan.embedder)
    vectors = setup.temporary("spool/vectors.arrow")
    graph = load(setup, min(config.dedup_cosine, float(np.nextafter(config.copy_cosine, 0))))
    redundancy = Redundancy(judge, pairs, graph, _recorded(setup), lambda rows: _load(setup, rows, vectors))
    skipped = dict.fromkeys(config.skipped, "")
    skipped |= {name: f": no {flag}" for name, flag in plan.lacking.items() if name not in skipped}
    for name in ORDERS[config.order]:
        if name not in skipped:
            (redundancy.step if name in REDUNDANT else judge.step)(name)
    told = redundancy.told()
    vectors.unlink(missing_ok=True)
    found = read_found(root)
    document = CurationDocument(
        decision=_name(setup, scores, judge.used),
        scores=scores,
        rows=len(judge.reasons),
        kept=int(np.count_nonzero(judge.left)),
        reasons=_counted(judge.reasons),
        thresholds=judge.used,
        embedder=plan.checkpoint,
        recall=found["recall"] if found else {},
        sets=redundancy.counts,
        measured={"original": len(judge.reasons) - pairs.stored, "stored": pairs.stored},
        recipe={**recipe_of(config.order, skipped, judge.used)},
    )
    _publish(setup, document, judge, told)
    if not offer(root, curated=True):
        console.warn(
            f"{join(root, 'README.md')} is not the card that danqing writes, and stays as it is: who loads the root "
            "without importing danqing gets the dropped pairs too"
        )
    write_atomic(
        ledger.decision_at(root, STAGE), json.dumps(document, sort_keys=True, ensure_ascii=False).encode()
    )
    return document


def _recorded(setup: CurateSetup) -> dict[int, str]:
    """Rows that releases of --against have, and their keys there."""
    if not setup.releases:
        return {}
    url = join(setup.root, KNOWN)
    with made(url, MATCHES) as file:
        table: Any = file.read()
    check_numbers(url, table["row"], setup.own_rows)
    return dict(zip(table["row"].to_pylist(), table["key"].to_pylist(), strict=True))


def _load(setup: CurateSetup, rows: Rows, path: Any) -> Halves:
    path.parent.mkdir(parents=True, exist_ok=True)
    return pictures_at([(one.embeddings, one.first, one.rows) for one in setup.sources], rows, path)


def _name(setup: CurateSetup, scores: str | None, used: Mapping[str, float]) -> str:
    """The name of a decision: a hash of all that decides it."""
    options = {
        one.name: getattr(setup.config, one.name)
        for one in flags(setup.config)
        if not one.metadata.get("shared") and not one.metadata.get("content") and one.name not in _HOW
    }
    return plans.hash_of([setup.config_hash, scores, options, dict(sorted(used.items()))])


def _counted(reasons: npt.NDArray[np.uint8]) -> dict[str, int]:
    counts = np.bincount(reasons, minlength=len(REASONS))
    return {reason.value: int(counts[code]) for reason, code in CODES.items() if counts[code]}


def _publish(setup: CurateSetup, document: CurationDocument, judge: PairJudge, told: Told) -> None:
    """Write a file and a marker for each shard of the root; what bears the decision already is left alone."""
    done = markers(setup.root, JUDGED)
    lost = {one.shard for one, _, _ in lost_files(setup.root, done.values())}
    names: Any = pa.array([None if one is None else one.value for one in REASONS], pa.string())
    left = [
        source
        for source in setup.own
        if source.stem in lost or source.stem not in done or done[source.stem].config != document["decision"]
    ]
    if left:
        remove(ledger.decision_at(setup.root, STAGE))
    schema = saying(
        CURATED, {"decision": document["decision"], "scores": document["scores"], **document["embedder"]}
    )
    for source in left:
        span = slice(source.first, source.first + source.rows)
        reasons, cos = judge.reasons[span], judge.numbers["cos"][span].astype(np.float32)
        columns = [
            hex_of(told.keys[span]),
            pa.array(cos, mask=np.isnan(cos)),
            *told.columns(span, reasons == CODES[Reason.KNOWN]),
            names.take(pa.array(reasons)),
        ]
        path = f"curated/{source.stem}.parquet"
        counts = _counted(reasons)
        tally = Tally(source.rows, source.rows - sum(counts.values()), counts)
        outputs = {path: setup.write(path, pa.Table.from_arrays(columns, schema=schema))}
        mark(setup.root, JUDGED, source, tally, outputs, document["decision"])


@dataclass(frozen=True)
class Curated:
    """The decision about one root. document: as decision.json has it."""

    root: str
    document: CurationDocument

    def as_dict(self) -> dict[str, Any]:
        """The document, and its funnel."""
        one = self.document
        return {
            **one,
            "root": self.root,
            "dropped": one["rows"] - one["kept"],
            "funnel": self.funnel,
            **({"warning": self.failure} if self.failure else {}),
        }

    @cached_property
    def funnel(self) -> RecipeFunnel:
        """The pairs as they went through the recipe."""
        one = self.document
        return funnel_of(checked_recipe(one["recipe"]), one["rows"], one["reasons"])

    @cached_property
    def failure(self) -> str | None:
        """What nobody can have wanted: no pair kept, or nearly all of them lost for one reason."""
        one = self.document
        return doubt(self.root, Lost(one["rows"], one["kept"], one["reasons"], curated=True))

    def lines(self) -> list[str]:
        """The funnel, the thresholds, what was done about duplicates, and how much of them was found."""
        one = self.document
        share = one["kept"] / max(1, one["rows"])
        used = ", ".join(f"{name} {value:.4g}" for name, value in one["thresholds"].items())
        return [
            f"{self.root}: {one['kept']:,} of {one['rows']:,} pairs kept ({share:.1%})",
            "",
            *funnel_lines(self.funnel),
            "",
            f"thresholds: {used}",
            *self._measured(),
            *self._sets(),
            *self._recall(),
        ]

    def _measured(self) -> Iterator[str]:
        if stored := self.document["measured"]["stored"]:
            yield f"measured as stored, not as fetched: {stored:,} pictures; the smaller, the sharper"

    def _sets(self) -> Iterator[str]:
        sets = self.document["sets"]
        if sets.get("connected"):
            yield (
                f"duplicates: {sets['dropped']:,} dropped for a picture that they show again; all but one of each "
                f"connected set, as published (--dedup paper), are {sets['connected']:,}"
            )

    def _recall(self) -> list[str]:
        rows = [
            (name, f"{pairs:,}", f"{found / pairs:.2%}")
            for name, (pairs, found) in self.document["recall"].items()
            if pairs
        ]
        return ["", *table([("cosine", "pairs near the sample", "found"), *rows])] if rows else []

    def warnings(self) -> Iterator[str]:
        """What the user may want to act on."""
        for name, (pairs, found) in self.document["recall"].items():
            if pairs >= ENOUGH and found < WANTED * pairs:
                yield (
                    f"of pictures of cosine {name} only {found / pairs:.2%} were found, {WANTED:.1%} are wanted: some "
                    "duplicates stay"
                )
