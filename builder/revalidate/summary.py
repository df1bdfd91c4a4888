"""What was decided, for people and for programs: decision.json ─▶ lines or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from typing import Any

from ..console import shares, table
from ..disk.ledger import DecisionDocument
from ..reasons import Cause, Verdict
from ..stage.doubt import Lost, doubt
from .config import BOUNDS

HOSTS_SHOWN = 10
NO_LEVEL = f"no --alpha up to {BOUNDS['alpha'][1]:g}, the highest, keeps any"


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
