"""The last pass of `danqing revalidate`: from the scores of all shards to a verdict for each pair, and how it is told.

    danqing revalidate ./danqing --decide --alpha 0.05

No model, no GPU: the numbers of scores/*.parquet are read, all pairs are judged together, and each file is written
anew with the columns of the verdict, then its marker; ledger/revalidate/decision.json comes last. A decision is named
by what it follows from, and a file that bears its name is left alone: killed and run again, or asked for another level
and back, it ends in the same bytes. 44 bytes a pair are held.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from functools import partial
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

from ..console import Console, shares, table
from ..disk import ledger
from ..disk.card import offer
from ..disk.files import environment, join, remove, write_atomic
from ..disk.ledger import WORST_HOSTS, DecisionDocument, ShardLedger, read_curation
from ..disk.schema import outdated
from ..errors import InputError
from ..reasons import Cause, Verdict
from ..stage.counts import HostCounts
from ..stage.doubt import Lost, doubt
from ..stage.shards import Shard, find_shards
from .config import BOUNDS, RevalidateConfig
from .judge import PAIR, Decision, check_numbers
from .plan import STAGE, scored
from .scores import ShardScores

THREADS = 8  # that read and write files; more would hold more tables at once, and a disk gives no more
CHECKPOINT = ("model", "name", "revision", "fingerprint", "preprocessing", "dtype", "caption", "reference")
HOSTS_SHOWN = 10
NO_LEVEL = f"no --alpha up to {BOUNDS['alpha'][1]:g}, the highest, keeps any"


@dataclass(slots=True)
class Deciding:
    """What is decided by: alpha, min_score, keep and workers of `config`; and what came of it."""

    config: RevalidateConfig
    console: Console
    verdicts: Verdicts | None = None


def decide(config: RevalidateConfig, console: Console) -> Verdicts:
    """Give every pair of a scored root its verdict.

    InputError, before anything is overwritten, where shards are not scored, where a file is no file of scores or does
    not match images/, or where two checkpoints are mixed; VerificationError, likewise, where too many pairs came to no
    numbers.
    """
    root = config.root
    shards = find_shards(root, "scored")
    markers = _markers(root, shards)
    document_at = ledger.decision_at(root, STAGE)
    files = [ShardScores(shard) for shard in shards]
    ends = list(accumulate((shard.rows for shard in shards), initial=0))
    spans = [slice(start, stop) for start, stop in pairwise(ends)]
    threads = min(THREADS, config.workers or os.cpu_count() or 1)
    console.info(f"deciding about {ends[-1]:,} pairs in {len(files):,} shards")
    with environment(f"{root}: deciding"), ThreadPoolExecutor(threads) as pool:
        pairs = np.empty(ends[-1], PAIR)
        said = list(pool.map(lambda scores, span: scores.read(pairs[span]), files, spans))
        _check_same(files, said)
        decision = Decision.of(pairs, config)
        check_numbers(root, decision.void, len(pairs))
        done = [one.get("decision") == decision.name for one in said]
        if not all(done):
            remove(document_at)
        hosts = HostCounts()
        for counted in pool.map(partial(_write, decision), markers, files, spans, done):
            hosts.merge(counted)
        document = _document(root, decision, hosts, said)
        # Before the decision: a scored root is never offered as if it were not.
        if not offer(root, scored=True):
            console.warn(
                f"{join(root, 'README.md')} is not the card that danqing writes, and stays as it is: who loads the "
                "root without importing danqing gets the dropped pairs too"
            )
        write_atomic(document_at, json.dumps(document, sort_keys=True, ensure_ascii=False).encode())
    if decision.unknown:
        console.warn(
            f"{decision.unknown:,} pairs have no score, and so do not reach --min-score {config.min_score}: a pair "
            "with the recorded bytes has the score that the reference recorded, if any"
        )
    summary = Verdicts(root, document, whole=config.place[1] == 1 and not config.limit)
    if (curation := read_curation(root)) is not None and curation["scores"] != decision.name:
        console.warn(
            f"{root}: {outdated(curation['scores'], decision.name)}, so it is not served or released until it is "
            f"curated anew: run danqing curate {root} --decide"
        )
    for line in summary.warnings():
        console.warn(line)
    return summary


def _markers(root: str, shards: Sequence[Shard]) -> list[ShardLedger]:
    """The markers of the shards, in their order; InputError where some are not scored."""
    found = scored(root, shards)
    if missing := [shard.stem for shard in shards if shard.stem not in found]:
        raise InputError(
            f"{root}: {len(missing):,} of {len(shards):,} shards are not scored, {missing[0]} for one; "
            f"danqing revalidate {root} without --decide scores them"
        )
    return [found[shard.stem] for shard in shards]


def _document(
    root: str, decision: Decision, hosts: HostCounts, said: Sequence[Mapping[str, Any]]
) -> DecisionDocument:
    """The content of decision.json; said: by the files of scores."""
    return {
        **decision.document(),
        "hosts": {one.host: dict(one.words) for one in hosts.worst(WORST_HOSTS)},
        "checkpoint": {name: said[0].get(name) for name in CHECKPOINT} if said else {},
        "rebuild_dropped": sum(sum(one.reasons.values()) for one in ledger.read_all(root, "rebuild")),
    }


def _write(
    decision: Decision, marker: ShardLedger, scores: ShardScores, span: slice, done: bool
) -> HostCounts:
    """Publish a file with its verdicts, then its marker; what is right is left alone. Its pairs, counted.

    span: its place among all pairs; done: it bears the name of this decision already.
    """
    file = scores.entry() if done else None
    decided = decision.table(span)
    if file is None or file != marker.outputs.get(scores.name):  # or it was changed since
        file = scores.rewrite(decided, decision.name)
    hosts = HostCounts()
    hosts.add_columns(scores.hosts(), decided["verdict"], decided["kept"])
    told = dataclasses.replace(
        marker,
        kept=int(decision.kept[span].sum()),
        reasons=decision.reasons(span),
        hosts=hosts.told(),
        outputs=marker.outputs | {scores.name: file},
    )
    if told != marker:
        told.write(scores.shard.root)
    return hosts


def _check_same(files: Sequence[ShardScores], said: Sequence[Mapping[str, Any]]) -> None:
    """InputError where two files were not scored in the same way."""
    for scores, one in zip(files, said, strict=True):
        names = sorted({*one, *said[0]} - {"decision"})
        differing = [name for name in names if one.get(name) != said[0].get(name)]
        if differing:
            what = "name" if "fingerprint" in differing and "name" in differing else differing[0]
            raise InputError(
                f"{scores.path}: scored with {what} {one.get(what)}, {files[0].name} with {said[0].get(what)}; "
                "scores of two kinds never mix: --overwrite scores the root anew"
            )


@dataclass(frozen=True, slots=True)
class Verdicts:
    """The decision about one root. document: as decision.json has it; whole: by a run that did all of the root."""

    root: str
    document: DecisionDocument
    whole: bool = True

    def as_dict(self) -> dict[str, Any]:
        """The document, with the rows that rebuild dropped among the dead; kept + dropped = rows of the manifest."""
        gone = self.document["rebuild_dropped"]
        return self.document | {
            "root": self.root,
            "rows": self.document["rows"] + gone,
            "verdicts": _with(self.document["verdicts"], Verdict.DEAD, gone),
            "causes": _with(self.document["causes"], Cause.NO_PICTURE, gone),
            "dropped": self.document["rows"] + gone - self.document["kept"],
            **({"warning": self.failure} if self.failure else {}),
        }

    @property
    def failure(self) -> str | None:
        """What nobody can have wanted: no pair kept, or nearly all of them lost for one reason."""
        one = self.document
        reasons = {verdict: count for verdict, count in one["verdicts"].items() if verdict not in one["keep"]}
        if low := one["causes"].get(Cause.MIN_SCORE):
            reasons[Cause.MIN_SCORE] = low
        lost = Lost(one["rows"], one["kept"], reasons, self.whole)
        strict = lost.reason == Verdict.DRIFTED and one["tested"] and not one["threshold"]
        level = _level(one["least_level"])
        again = f"danqing revalidate {self.root} --decide --alpha"
        mend = NO_LEVEL if level is None else f"{again} {level:g} keeps some"
        return doubt(self.root, lost, mend=mend if strict else None)

    def lines(self) -> list[str]:
        """The counts by verdict, cause and host, the level and what it promises."""
        told = self.as_dict()
        rows, kept = told["rows"], told["kept"]
        first = f"{self.root}: {kept:,} of {rows:,} pairs kept ({kept / max(1, rows):.1%})"
        suspects = f", {told['suspects']:,} of them suspect" if told["suspects"] else ""
        counts = [
            *_shares("verdict", told["verdicts"], tuple(Verdict)),
            "",
            *_shares("cause", told["causes"], tuple(Cause)),
            "",
            *self._hosts(),
        ]
        return [first + suspects, "", *(counts if rows else []), *self.promise()]

    def promise(self) -> list[str]:
        """The level and its bound in plain words."""
        one = self.document
        if not one["tested"]:
            return ["no pair had to be tested: each is dead, has the recorded bytes or is a placeholder"]
        tested = f"{one['tested']:,} changed pairs were tested at level {one['alpha']:g}"
        if not one["threshold"]:
            return [f"{tested}, and none has a p small enough to be kept"]
        return [
            f"{tested}: p up to {one['threshold']:.2g} is kept; pi0, the share of junk among them, is at most "
            f"{one['pi0']:.1%} by Storey's estimate",
            f"of those kept no more than {one['alpha']:g} x {one['pi0']:.1%} = {one['bound']:.2%} are expected to be "
            "junk: neither the recorded picture nor what the caption says",
        ]

    def warnings(self) -> Iterator[str]:
        """What the user may want to act on."""
        one = self.document
        if one["kept"] and one["tested"] and not one["threshold"]:  # else that is the failure
            level = _level(one["least_level"])
            yield (
                f"none of the {one['tested']:,} changed pairs tested is kept at level {one['alpha']:g}: "
                "too few of them, or no checkpoint sharp enough; "
                + (NO_LEVEL if level is None else f"from --alpha {level:g} on some are")
            )

    def _hosts(self) -> list[str]:
        worst = list(self.document["hosts"].items())[:HOSTS_SHOWN]
        if not worst:
            return []
        ordered = [verdict for verdict in Verdict if any(verdict in counts for _, counts in worst)]
        rows = [(host, *(f"{counts.get(verdict, 0):,}" for verdict in ordered)) for host, counts in worst]
        return [*table([("worst hosts", *ordered), *rows]), ""]


def _shares(title: str, counts: dict[str, int], order: Sequence[str]) -> list[str]:
    """A table of counts and their shares, in the order of an enum, with the total."""
    rows = sum(counts.values())
    return shares(title, [*((str(n), counts[n]) for n in order if counts.get(n)), ("total", rows)], rows)


def _level(least_level: float | None) -> float | None:
    """The level to ask for: two digits, rounded up, as one that is rounded down keeps nothing; None: none does."""
    if least_level is None:  # nothing was tested
        return None
    level = float(Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(least_level))
    return None if level > BOUNDS["alpha"][1] else level


def _with(counts: dict[str, int], name: str, more: int) -> dict[str, int]:
    return counts | {str(name): counts.get(name, 0) + more} if more else counts
