"""Is what a run leaves what its user can have wanted? Judged from the markers, also where a run had nothing to do.

markers before, markers after ─▶ Lost ─▶ the line that the command ends with, or None
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ..disk.ledger import ShardLedger, Tally
from ..reasons import Reason
from ..stage.doubt import Lost, doubt
from .config import RebuildConfig
from .plan import RebuildPlan

# Options that are no part of the plan, and for which reasons a higher value may keep more rows.
LOOSENS: Mapping[str, tuple[Reason, ...]] = {
    "allow_private": (Reason.BLOCKED_ADDRESS,),
    "timeout": (Reason.TIMEOUT,),
    "retries": (Reason.TIMEOUT, Reason.CONNECT, Reason.HTTP_5XX, Reason.THROTTLED, Reason.TRUNCATED),
}


def judged(
    config: RebuildConfig,
    plan: RebuildPlan,
    again: Sequence[ShardLedger],
    mine: Iterable[ShardLedger],
    whole: Lost,
) -> str | None:
    """What is to be said of a run, or None.

    again: the markers of shards with rows that were asked again, before; mine: of the shards of this rank, now;
    whole: of the root. A single rank, --limit and --retry-failed are judged by whether they kept anything.
    """
    if again:
        lost = _gained({one.shard: one for one in again}, mine, config.retried - {Reason.REMOVED})
    elif config.world_size > 1 or config.limit or config.retry_failed:
        lost = _of(mine)
    else:
        lost = whole
    known = ""
    if lost.reason == Reason.INVALID_URL:
        url, caption, *_ = plan.manifest.columns.sources
        known = f"URLs were read from the column {url!r}, captions from {caption!r}"
    return doubt(config.output, lost, known)


def loosened(config: RebuildConfig, counted: Mapping[str, int]) -> str | None:
    """What to say where a finished root is given options that would keep more, of rows which nobody asks again."""
    defaults = RebuildConfig()
    reasons = {
        reason: counted[reason]
        for name, reasons in LOOSENS.items()
        if getattr(config, name) > getattr(defaults, name)
        for reason in reasons
        if counted.get(reason)
    }
    if not reasons or config.retry_failed:
        return None
    return (
        f"{config.output}: is finished, and its {sum(reasons.values()):,} rows lost as {', '.join(reasons)} are not "
        f"asked again; to ask them, add --retry-failed {','.join(reasons)}"
    )


def _of(markers: Iterable[ShardLedger]) -> Lost:
    total = Tally()
    for one in markers:
        total.merge(one)
    return Lost(total.rows, total.kept, total.reasons, whole=False)


def _gained(before: Mapping[str, ShardLedger], now: Iterable[ShardLedger], asked: frozenset[Reason]) -> Lost:
    """What became of the rows that were lost for the reasons `asked`, in the shards that had some."""
    was, then = _of(before.values()), _of(one for one in now if one.shard in before)
    reasons = Counter(then.reasons)
    reasons.subtract({reason: count for reason, count in was.reasons.items() if reason not in asked})
    rows = sum(count for reason, count in was.reasons.items() if reason in asked)
    return Lost(rows, then.kept - was.kept, +reasons, whole=False)
