"""What a run came to, for people and for programs: decision.json, or a plan with shards to do ─▶ lines or JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import ROUND_CEILING, Context
from typing import Any

from ..console import table
from ..disk.ledger import DecisionDocument
from ..disk.root import Earlier
from ..reasons import Cause, Verdict
from ..stage.doubt import Lost, doubt
from ..stage.shards import Shard
from .config import BOUNDS
from .plan import ScoringPlan

HOSTS_SHOWN = 10
NAMED = 3  # shards that are named where some are missing
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
        return doubt(self.root, lost, mend=self._mend() if strict else None)

    def _mend(self) -> str:
        level = _level(self.document["least_level"])
        if level is None:
            return NO_LEVEL
        return f"danqing revalidate {self.root} --decide --alpha {level:g} keeps some"

    def lines(self) -> list[str]:
        """The counts by verdict, cause and host, the level and what it promises."""
        told = self.as_dict()
        rows, kept = told["rows"], told["kept"]
        first = f"{self.root}: {kept:,} of {rows:,} pairs kept ({_share(kept, rows)})"
        suspects = f", {told['suspects']:,} of them suspect" if told["suspects"] else ""
        counts = [
            *shares("verdict", told["verdicts"], tuple(Verdict)),
            "",
            *shares("cause", told["causes"], tuple(Cause)),
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


@dataclass(frozen=True, slots=True)
class Unscored:
    """What a run says that leaves shards unscored, or that with --dry-run would score them.

    todo: the shards that are not scored, of all ranks; mine: how many of them are of this rank; before: what
    --overwrite would remove.
    """

    root: str
    plan: ScoringPlan
    todo: Sequence[Shard]
    mine: int
    dry: bool
    before: Earlier | None = None

    def as_dict(self) -> dict[str, Any]:
        """The plan and what is missing of it as JSON."""
        return {
            "root": self.root,
            "shards": len(self.plan.shards),
            "rows": sum(shard.rows for shard in self.plan.shards),
            "shards_to_do": len(self.todo),
            "shards_to_do_of_this_rank": self.mine,
            "missing": [shard.stem for shard in self.todo],
            "checkpoint": self.plan.checkpoint,
            "options": self.plan.config,
            **({} if self.before is None else {"overwritten": self.before.names}),
        }

    def lines(self) -> list[str]:
        """The plan and what is missing of it for people."""
        rows, left = (sum(one.rows for one in shards) for shards in (self.plan.shards, self.todo))
        options = ", ".join(f"{name} {value}" for name, value in self.plan.config.items() if value)
        names = ", ".join(shard.stem for shard in self.todo[:NAMED]) + ", ..." * (len(self.todo) > NAMED)
        end = "no verdicts yet, as shards are missing: run the same command again, or the other ranks"
        return [
            f"root      {self.root}: {len(self.plan.shards):,} shards, {rows:,} pairs",
            f"to score  {len(self.todo):,} shards, {left:,} pairs; {self.mine:,} shards are of this rank",
            *([f"missing   {names}"] if self.todo else []),
            f"options   {options}",
            *(self.before.lines() if self.before else []),
            "nothing was written: --dry-run" if self.dry else end,
        ]


def shares(title: str, counts: dict[str, int], order: Sequence[str]) -> list[str]:
    """A table of counts and their shares, in the order of an enum, with the total."""
    rows = sum(counts.values())
    told = [(str(name), counts[name]) for name in order if counts.get(name)]
    return table(
        [(title, "pairs", "share"), *((n, f"{c:,}", _share(c, rows)) for n, c in [*told, ("total", rows)])]
    )


def _level(least_level: float | None) -> float | None:
    """The level to ask for: two digits, rounded up, as one that is rounded down keeps nothing; None: none does."""
    if least_level is None:  # nothing was tested
        return None
    level = float(Context(prec=2, rounding=ROUND_CEILING).create_decimal_from_float(least_level))
    return None if level > BOUNDS["alpha"][1] else level


def _share(count: int, rows: int) -> str:
    return f"{count / rows:.1%}" if rows else "0.0%"


def _with(counts: dict[str, int], name: str, more: int) -> dict[str, int]:
    return counts | {str(name): counts.get(name, 0) + more} if more else counts
