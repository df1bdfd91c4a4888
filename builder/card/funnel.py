"""The way from the rows of the manifest to the pairs of a release, step by step, each pair counted once.

ledger of a root ─▶ of_root ─▶ Release.funnel ─▶ steps ─▶ the table and the figure of the card

manifest    rows of the manifest
pending     of them not asked for yet: the rebuild is not finished, or was limited
reasons     dropped by rebuild, by Reason
fetched     pairs that have a picture
verdicts    of them, as judged; empty where the root was not re-validated
left_out    of them dropped by re-validation: by verdict, or by min_score where that alone drops them
decision    alpha, bound, pi0, tested, threshold, min_score, keep of the decision; empty likewise
curated     of those that are left, dropped by curate: by Reason; where the root was curated
curation    decision, scores, thresholds, embedder, recall and sets of the decision of curate; likewise
after       funnels of the stages behind the rebuild: that of curate; likewise
before      funnels of the stages that made the manifest, oldest first; where its plan has them
options     of rebuild: how pictures were asked for and stored; empty for a root without a ledger of it
removed     kept by all judges, but taken out by the removal list (the release adds it)
duplicates  left out as its key was there already (the release adds it where there are any)
revisions   releases before this one, oldest first: version, created_at, kept, dropped (the release adds it)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from ..disk import ledger
from ..disk.files import join, listdir
from ..disk.release import Release, RevisionDocument
from ..disk.schema import CURATION, published
from ..errors import VerificationError
from ..reasons import Reason
from ..stage.funnels import StageFunnel, checked_funnels
from ..stage.recipe import RecipeFunnel, beside_paper, funnel_of
from ..stage.status import Funnel, summary_of
from .values import share

ASKED = ("alpha", "bound", "decision", "keep", "min_score", "pi0", "suspects", "tested", "threshold")
CURATED = ("decision", "scores", "thresholds", "embedder", "recall", "sets")
OPTIONS = ("encode", "ignore_opt_out", "image_size", "quality", "resize", "upscale")


def of_root(root: str, pairs: int) -> dict[str, object]:
    """Counts of the ledger of a root; pairs: rows of its images/, which count where it has no ledger of `rebuild`."""
    stages = {one.stage: one for one in summary_of(root).funnels} if listdir(join(root, "ledger")) else {}
    rebuilt, judged = stages.get("rebuild"), stages.get("revalidate")
    decision = judged.decision if judged else None
    plan = ledger.read_plan(root, "rebuild")
    options = plan.get("config", {}) if plan else {}
    return {
        "manifest": rebuilt.rows_total if rebuilt else pairs,
        "pending": rebuilt.rows_total - rebuilt.counted.rows if rebuilt else 0,
        "reasons": _counts(rebuilt.counted.reasons if rebuilt else {}),
        "fetched": rebuilt.counted.kept if rebuilt else pairs,
        "verdicts": _counts(decision["verdicts"] if decision else {}),
        "left_out": _counts(judged.counted.reasons if decision and judged else {}),
        "decision": {name: decision.get(name) for name in ASKED} if decision else {},
        "options": {name: value for name, value in options.items() if name in OPTIONS},
        **({"before": rebuilt.before} if rebuilt and rebuilt.before else {}),
        **_of_curation(stages.get(CURATION.stage)),
    }


def _of_curation(funnel: Funnel | None) -> dict[str, object]:
    """What a funnel says of a root that was curated; nothing of another."""
    if funnel is None or funnel.curation is None or funnel.recipe is None:
        return {}
    told: Mapping[str, Any] = {**funnel.curation}
    reasons = {name: count for name, count in told["reasons"].items() if name != Reason.VERDICT}
    went = funnel_of(funnel.recipe, told["rows"], told["reasons"])
    return {
        "curated": _counts(reasons),
        "curation": {name: told[name] for name in CURATED} | {"embedder": published(told["embedder"])},
        "after": [StageFunnel(**went, stage=CURATION.stage, counters={})],
    }


def _counts(counts: dict[str, int]) -> dict[str, int]:
    return {str(name): count for name, count in sorted(counts.items()) if count}


def revisions(previous: Release | None) -> list[RevisionDocument]:
    """The revisions before a release that comes after `previous`."""
    if previous is None:
        return []
    return [*previous.funnel.get("revisions", []), revision(previous)]


def revision(release: Release) -> RevisionDocument:
    """A row of the table of revisions."""
    return {
        "version": release.version,
        "created_at": release.created_at,
        "kept": release.counts.get("kept", 0),
        "dropped": dict(sorted(release.dropped.items())),
    }


def after(funnel: Mapping[str, Any], kept: int) -> list[StageFunnel]:
    """The funnels of the stages behind the rebuild, likewise. kept: pairs of the release."""
    return checked_funnels(funnel.get("after", []), kept)


def before(funnel: Mapping[str, Any]) -> list[StageFunnel]:
    """The funnels of the stages before the manifest, their shares counted anew; ValueError where they do not add up."""
    return checked_funnels(funnel.get("before", []), funnel["manifest"])


def beside(
    funnels: Sequence[RecipeFunnel], asked: int, fetched: int, gap: str = " "
) -> list[tuple[str, str, str]]:
    """The rows of the paper that stages and a rebuild answer: name, share dropped here, and in the paper."""
    return [
        (
            f"{row['row']} {row['name']}",
            share(row["found"], 1, gap),
            share(row["share"], 1, gap) if row["row"] else "–",
        )
        for row in beside_paper(funnels, asked, fetched)
    ]


class Step(NamedTuple):
    """A step of the funnel. kind: `stage` where pairs stand, else who took them: pending, or the stage that did.

    name: of the stage, or the reason; pairs: that stand there, or that were lost.
    """

    kind: str
    name: str
    pairs: int


def steps(release: Release) -> list[Step]:
    """The steps in order, the largest loss first within each part; VerificationError where they do not add up."""
    funnel = release.funnel
    listed = list(_steps(funnel, release.counts["kept"]))
    left = None
    for step in listed:
        if step.kind == "stage":
            if left is not None and left != step.pairs:
                raise VerificationError(
                    f"the funnel does not add up: {left:,} pairs should be {step.name}, {step.pairs:,} are; "
                    "the root has changed since it was read: run the same command again"
                )
            left = step.pairs
        elif left is not None:
            left -= step.pairs
    return listed


def _steps(funnel: Mapping[str, Any], kept: int) -> Iterator[Step]:
    yield Step("stage", "manifest", funnel["manifest"])
    if funnel["pending"]:
        yield Step("pending", "pending", funnel["pending"])
    yield from _lost("rebuild", funnel["reasons"])
    yield Step("stage", "fetched", funnel["fetched"])
    yield from _lost("revalidate", funnel["left_out"])
    yield from _lost("curate", funnel.get("curated", {}))
    yield from _lost("release", {name: funnel.get(name, 0) for name in ("removed", "duplicates")})
    yield Step("stage", "released", kept)


def _lost(kind: str, counts: dict[str, int]) -> Iterator[Step]:
    for name, count in ledger.by_count(counts):
        if count:
            yield Step(kind, name, count)
