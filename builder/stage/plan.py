"""The plan of a stage, ledger/<stage>/plan.json: what it was asked for, and whether an earlier run was asked the same.

Options, shards and what the stage says of its input ─▶ plan.json; with the plan of an earlier run ─▶ UsageError that
names each option which changed, or nothing.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from .. import __version__
from ..disk.ledger import PlanDocument
from ..errors import UsageError
from ..options import flag_of, flags
from .shards import AnyShard


def content(config: Any) -> dict[str, object]:
    """The options that decide the bytes of a root; those that older builds lack only where they are not the default."""
    return {
        one.name: value
        for one in flags(config)
        if one.metadata.get("content")
        and not ((value := getattr(config, one.name)) == one.default and one.metadata.get("since"))
    }


def hash_of(made_from: Any) -> str:
    """16 hex characters that stand for all that decides the bytes, which JSON can hold."""
    return hashlib.blake2b(json.dumps(made_from, sort_keys=True).encode(), digest_size=8).hexdigest()


def document(
    stage: str, shards: Iterable[AnyShard], funnels: Iterable[Mapping[str, Any]] = ()
) -> PlanDocument:
    """What every plan.json says; the stage adds its options and what it says of its input.

    funnels: of the stages that made its input, where there are any.
    """
    rows: Counter[str] = Counter()
    counts: Counter[str] = Counter()
    for shard in shards:
        rows[shard.split] += shard.rows
        counts[shard.split] += 1
    said: PlanDocument = {
        "stage": stage,
        "version": __version__,
        "rows": dict(rows),
        "shards": dict(counts),
    }
    if before := [{**one} for one in funnels]:
        said["funnels"] = before
    return said


def refuse(
    made: str,
    then: Mapping[str, Any],
    now: Mapping[str, Any],
    config: Any,
    remedy: str,
    words: Callable[[Any], str] = repr,
) -> None:
    """UsageError where `now` has other values than an earlier run had `then`; an option it lacks was at its default.

    The same goes for one of later builds that `now` lacks, as `content` leaves it out.
    made: what was made, and how it is called; remedy: what to do instead; words: a value as it is told.
    """
    known = {one.name: one.default for one in flags(config)}
    old = {**known, **then}
    later = {one.name: one.default for one in flags(config) if one.metadata.get("since")}
    now = {**now, **{name: value for name, value in later.items() if name not in now}}
    changed = [
        f"{flag_of(name) if name in known else name.replace('_', '-')} {words(old[name])} then, {words(value)} now"
        for name, value in now.items()
        if name in old and old[name] != value
    ]
    if changed:
        raise UsageError(f"{made} with {'; '.join(changed)}: {remedy}")
