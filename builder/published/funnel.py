"""The way to the pairs of a release, as release.json tells it: it adds up to what was counted.

    Release ─▶ check_funnel ─▶ differences

Why a row was dropped, how many pairs were tested and what share of them is junk only the ledger of the root knew.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from typing import Any, TypedDict

from ..card.funnel import after, before
from ..disk import documents
from ..disk.release import NAME, Release
from ..reasons import Reason, Verdict
from .differences import Differences

_PASSED = (Verdict.MOVED, Verdict.MATCHING)  # of the pairs that were tested
_CLOSE = 1e-6  # p-values are compared as float32
_NEEDED = ("manifest", "pending", "fetched", "reasons", "left_out")


class Decided(TypedDict):
    """The decision about the pairs of a release, as its funnel tells it."""

    alpha: float
    bound: float
    pi0: float
    tested: int
    suspects: int
    threshold: float | None
    min_score: float | None
    keep: list[str]


def check_funnel(release: Release, differences: Differences) -> None:
    """Check that the rows of the manifest, less all that were lost on the way, are the pairs that were counted."""
    funnel, kept = release.funnel, release.counts.get("kept")
    if kept is None:
        differences.add("counts", f"{NAME}: counts.kept should be a number")
    if lacking := [name for name in _NEEDED if name not in funnel]:
        differences.add("funnel", f"{NAME}: funnel: {', '.join(lacking)} should be there")
        return
    _check_stages(funnel, kept or 0, differences)
    verdicts, left_out = funnel.get("verdicts", {}), funnel["left_out"]
    fetched = funnel["manifest"] - funnel["pending"] - sum(funnel["reasons"].values())
    judged = sum(left_out.values()) + sum(funnel.get("curated", {}).values())
    left = funnel["fetched"] - judged - funnel.get("removed", 0) - funnel.get("duplicates", 0)
    sums = {
        "fetched, manifest less pending and reasons,": (fetched, funnel["fetched"]),
        "counts.kept, fetched less left_out, curated, removed and duplicates,": (left, kept),
    }
    if release.validated:
        sums["sum of verdicts"] = (funnel["fetched"], sum(verdicts.values()))
        _check_decision(release, differences)
    for what, (wanted, found) in sums.items():
        differences.unequal("funnel", f"{NAME}: funnel: {what}", wanted, found)
    before = [one["version"] for one in funnel.get("revisions", ()) if one["version"] != release.version]
    differences.unequal("funnel", f"{NAME}: previous", before[-1] if before else None, release.previous)


def _check_stages(funnel: Mapping[str, Any], kept: int, differences: Differences) -> None:
    """Check that the stages on both sides of the rebuild add up, and that their shares are those of their counts."""
    for name in ("before", "after"):
        try:
            counted = before(funnel) if name == "before" else after(funnel, kept)
        except ValueError as error:
            differences.add("funnel", f"{NAME}: funnel.{name}: {error}")
            return
        for one, said in zip(counted, funnel.get(name, ()), strict=True):
            if (one["steps"], one["paper"]) != (said["steps"], said["paper"]):
                differences.add(
                    "funnel",
                    f"{NAME}: funnel.{name}: the shares of {one['stage']} should be those of its counts",
                )
    for one in counted:  # what curate dropped
        counts: Counter[str] = Counter()
        for step in one["steps"]:
            counts.update(step["reasons"])
        verdict = counts.pop(Reason.VERDICT, 0)
        where = f"{NAME}: funnel.after: {one['stage']}"
        differences.unequal("funnel", f"{where}: pairs", funnel["fetched"], one["pairs"])
        differences.unequal("funnel", f"{where}: verdict", sum(funnel["left_out"].values()), verdict)
        differences.unequal("funnel", f"{NAME}: funnel.curated", dict(counts), funnel.get("curated", {}))


def _check_decision(release: Release, differences: Differences) -> None:
    funnel, where = release.funnel, f"{NAME}: funnel"
    decision = funnel.get("decision", {})
    try:
        documents.check(decision, Decided)
    except ValueError as error:
        differences.add("funnel", f"{where}.decision: {error}")
        return
    if not math.isclose(decision["bound"], decision["alpha"] * decision["pi0"], rel_tol=1e-9):
        product = f"alpha × pi0 = {decision['alpha'] * decision['pi0']:g}"
        differences.add("funnel", f"{where}.decision: bound should be {product}, it is {decision['bound']:g}")
    verdicts, left_out = funnel.get("verdicts", {}), funnel["left_out"]
    _check_threshold(decision, verdicts, f"{where}.decision", differences)
    _check_suspects(release, decision["suspects"], f"{where}.decision", differences)
    here = release.counts.get("verdicts")
    for verdict, judged in verdicts.items():
        if verdict not in decision["keep"]:
            differences.unequal("funnel", f"{where}.left_out.{verdict}", judged, left_out.get(verdict, 0))
        elif isinstance(here, dict) and here.get(verdict, 0) > judged:
            differences.add(
                "funnel", f"{where}.verdicts.{verdict} says {judged:,}, the shards have {here[verdict]:,}"
            )


def _check_threshold(
    decision: Mapping[str, Any], verdicts: Mapping[str, int], where: str, differences: Differences
) -> None:
    """Check the p-value up to which is kept: Benjamini-Hochberg has it at the level times the share that passes."""
    passed = sum(verdicts.get(verdict, 0) for verdict in _PASSED)
    wanted = decision["alpha"] * passed / max(decision["tested"], 1)
    found = decision["threshold"] or 0.0
    if not math.isclose(found, wanted, rel_tol=_CLOSE):
        share = f"alpha × {passed:,} of {decision['tested']:,} tested = {wanted:g}"
        differences.add("funnel", f"{where}: threshold should be {share}, it is {found:g}")


def _check_suspects(release: Release, found: int, where: str, differences: Differences) -> None:
    """Check the suspects among the pairs that the decision keeps: those here, and some of those taken out since."""
    here = release.counts.get("suspects")
    if not isinstance(here, int):  # told of as a count that the shards do not have
        return
    taken = ("removed", "duplicates")
    out = sum(release.funnel.get(name, 0) for name in taken) + sum(release.funnel.get("curated", {}).values())
    if not here <= found <= here + out:
        wanted = f"{here:,}" + (f" to {here + out:,}" if out else "")
        differences.add("funnel", f"{where}: suspects should be {wanted}, it is {found:,}")
