"""What release.json tells of the way to its pairs: it adds up to what was counted, and the card tells the same.

    Release ─▶ check_funnel ─▶ differences
    text of the card, Release ─▶ check_text ─▶ differences

Why a row was dropped, how many pairs were tested and what share of them is junk only the ledger of the root knew: of
these it is seen that the two documents agree, and not that they are true.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple, TypedDict

from ..card import values
from ..card.facts import license_words
from ..disk import documents
from ..disk.release import NAME, Release
from ..reasons import Verdict
from .differences import Differences, shown

CARD = "README.md"
_NEEDED = ("manifest", "pending", "fetched", "reasons", "left_out")
_NUMBER, _SHARE, _DATE = r"([\d,]+)", r"(\S+ %)", r"(\d{4}-\d\d-\d\d)"


class Decided(TypedDict):
    """What a funnel says of the decision about its pairs."""

    alpha: float
    bound: float
    pi0: float
    tested: int
    threshold: float | None
    min_score: float | None
    keep: list[str]


def check_funnel(release: Release, differences: Differences) -> None:
    """Whether the rows of the manifest, less all that were lost on the way, are the pairs that were counted."""
    funnel, kept = release.funnel, release.counts.get("kept")
    if kept is None:
        differences.add("counts", f"{NAME}: counts.kept should be a number")
    if lacking := [name for name in _NEEDED if name not in funnel]:
        differences.add("funnel", f"{NAME}: funnel: {', '.join(lacking)} should be there")
        return
    verdicts, left_out = funnel.get("verdicts", {}), funnel["left_out"]
    fetched = funnel["manifest"] - funnel["pending"] - sum(funnel["reasons"].values())
    left = funnel["fetched"] - sum(left_out.values()) - funnel.get("removed", 0) - funnel.get("duplicates", 0)
    sums = {
        "fetched, manifest less pending and reasons,": (fetched, funnel["fetched"]),
        "counts.kept, fetched less left_out, removed and duplicates,": (left, kept),
    }
    if release.validated:
        sums["sum of verdicts"] = (funnel["fetched"], sum(verdicts.values()))
        _check_decision(release, differences)
    for what, (wanted, found) in sums.items():
        differences.unequal("funnel", f"{NAME}: funnel: {what}", wanted, found)
    before = [one["version"] for one in funnel.get("revisions", ()) if one["version"] != release.version]
    differences.unequal("funnel", f"{NAME}: previous", before[-1] if before else None, release.previous)


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
    here = release.counts.get("verdicts")
    for verdict, judged in verdicts.items():
        if verdict not in decision["keep"]:
            differences.unequal("funnel", f"{where}.left_out.{verdict}", judged, left_out.get(verdict, 0))
        elif isinstance(here, dict) and here.get(verdict, 0) > judged:
            differences.add(
                "funnel", f"{where}.verdicts.{verdict} says {judged:,}, the shards have {here[verdict]:,}"
            )


class Claim(NamedTuple):
    """What the text of the card tells. said: patterns with what is told in their group; wanted: in these words.

    Empty: nothing like it should be said. All that match are compared, and of the first one at least should.
    """

    what: str
    said: tuple[str, ...]
    wanted: tuple[str, ...]


def check_text(body: str, release: Release, differences: Differences) -> None:
    """Whether source, license, model, level, bound and the tables of the card are those of release.json."""
    for one in _claims(release):
        found = [re.findall(pattern, body, re.MULTILINE) for pattern in one.said]
        wrong = [words for part in found for words in part if words not in one.wanted]
        if wrong:
            told = f"it says {shown(wrong[0])}"
        elif one.wanted and not found[0]:
            told = "it does not"
        else:
            continue
        should = f"say {shown(one.wanted[0])}" if one.wanted else "say nothing"
        differences.add("card", f"{CARD}: of {one.what} the text should {should}, {told}")
    for what, pattern, wanted in _tables(release):
        rows = [one.groups() for one in re.finditer(pattern, body, re.MULTILINE)]
        for row in [*(one for one in wanted if one not in rows), *(one for one in rows if one not in wanted)]:
            should = "be" if row in wanted else "not be"
            differences.add(
                "card", f"{CARD}: table of {what}: {shown(' | '.join(row))} should {should} there"
            )


def _claims(release: Release) -> Iterator[Claim]:
    source = release.source
    link = (f"[{source}](https://huggingface.co/datasets/{source})", f"`{source}`")
    unknown = ("a manifest whose origin its maintainer did not state",)
    said = (r"^The source is (.+?): URLs with captions", r"and cite the source, (.+?)\.$")
    yield Claim("the source", said, link if source else unknown)
    yield Claim(
        "the license",
        (r"^This release is under \*\*(.+?)\*\*", r"许可证为 (.+?)，"),
        (license_words(release),),
    )
    yield Claim("the version", (r"^Version `([^`]+)` of",), (release.version,))
    yield Claim("the date", (rf"^Version `[^`]+` of {_DATE},",), (release.created_at[:10],))
    kept = (_count(release.counts.get("kept")),)
    yield Claim("the pairs", (rf"^Version `[^`]+` of [^,]+, with {_NUMBER} pairs",), kept)
    yield Claim("danqing", (r"Made with danqing (.+)\.$",), (release.danqing,))
    model = release.model if release.validated else {}
    for name, pattern in (
        ("name", r"^Every pair was scored with `([^`]+)`"),
        ("revision", r"^Every pair was scored with `[^`]+` \(revision `([^`]+)`\)"),
        ("preprocessing", r"Pictures were decoded in the mode `([^`]+)`"),
        ("fingerprint", r"The weights have the fingerprint `([^`]+)`"),
    ):
        yield Claim(f"the model's {name}", (pattern,), (str(model[name]),) if model.get(name) else ())
    yield from _of_decision(release)


def _of_decision(release: Release) -> Iterator[Claim]:
    decision = release.funnel.get("decision", {}) if release.validated else {}
    try:
        documents.check(decision, Decided)
    except ValueError:  # told of by check_funnel, where there should be one
        decision = {"tested": 0, "min_score": None}
    tested = decision["tested"]
    bounded = tested and decision["threshold"]
    alpha = (values.percent(decision["alpha"]),) if tested else ()
    yield Claim(
        "tested", (rf"^{_NUMBER} pairs with changed bytes were tested",), (f"{tested:,}",) if tested else ()
    )
    yield Claim("alpha", (rf"at level {_SHARE} decides", rf"of junk is at most {_SHARE} times"), alpha)
    for name, pattern in (
        ("pi0", rf"\(pi0\) is {_SHARE},"),
        ("bound", rf"no more than {_SHARE} of those kept"),
    ):
        yield Claim(name, (pattern,), (values.percent(decision[name]),) if bounded else ())
    least = decision["min_score"]
    wanted = () if least is None else (values.significant(least),)
    yield Claim("min_score", (r"^Pairs with a score below (\S+) were dropped too",), wanted)


def _tables(release: Release) -> Iterator[tuple[str, str, Sequence[tuple[str, ...]]]]:
    """Title, pattern of a row, and the rows that there should be, each as the words of its cells."""
    funnel, counts = release.funnel, release.counts
    stands = [funnel.get("manifest"), funnel.get("fetched"), counts.get("kept")]
    yield "what stands", rf"^\| \*\*[^|]+\*\* \| {_NUMBER} \| [^|]+ \|$", [(_count(one),) for one in stands]
    lost = [("pending", funnel.get("pending", 0))]
    lost += [*funnel.get("reasons", {}).items(), *funnel.get("left_out", {}).items()]
    lost += [(name, funnel.get(name, 0)) for name in ("removed", "duplicates")]
    gone = [(name, _count(count)) for name, count in lost if count]
    yield "what was lost", rf"^\| `([^`]+)`: [^|]+ \| \W{_NUMBER} \| [^|]+ \|$", gone
    judged, kept = funnel.get("verdicts", {}), _object(counts.get("verdicts"))
    names = [verdict.value for verdict in Verdict] if release.validated else []
    verdicts = [(name, _count(judged.get(name, 0)), _count(kept.get(name, 0))) for name in names]
    yield "verdicts", rf"^\| `([^`]+)` \| [^|]+ \| {_NUMBER} \| {_NUMBER} \|$", verdicts
    splits = _object(counts.get("splits")).items()
    shares = [(name, *(_count(_object(one).get(of)) for of in ("kept", "shards"))) for name, one in splits]
    yield "splits", rf"^\| `([^`]+)` \| {_NUMBER} \| {_NUMBER} \| [\d.,]+ [kMGT]?(?:B|bytes) \|$", shares
    before = [one for one in funnel.get("revisions", ()) if one["version"] != release.version]
    now = {name: getattr(release, name) for name in ("version", "created_at", "dropped")}
    rows = [_revision(one) for one in [*before, now | {"kept": counts.get("kept")}]]
    yield "revisions", rf"^\| `([^`]+)` \| {_DATE} \| {_NUMBER} \| (none|[\d,]+ `.+) \|$", rows


def _revision(one: dict[str, Any]) -> tuple[str, ...]:
    dropped = sorted(one["dropped"].items(), key=lambda each: (-each[1], each[0]))
    words = ", ".join(f"{_count(count)} `{reason}`" for reason, count in dropped)
    return one["version"], one["created_at"][:10], _count(one["kept"]), words or "none"


def _object(value: Any) -> dict[str, Any]:
    """What counts of anybody's hold by name; nothing where they are no such thing."""
    return value if isinstance(value, dict) else {}


def _count(value: Any) -> str:
    return f"{value:,}" if documents.is_count(value) else str(value)[:80]
