"""The plan of a release: its version and date, its shards, and which row of the root goes into which.

    Config, Root, removals, last release ─▶ Plan ◀─▶ <work>/plan.json, <work>/place.npy

It is made once and kept in the work folder: a run that was killed goes on by it, and ends in the same bytes.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

import numpy as np

from ..console import in_words
from ..disk import documents
from ..disk import release as released
from ..disk.files import write_atomic
from ..disk.release import Release
from ..disk.removals import Removals
from ..errors import InputError, UsageError
from . import pinned
from .census import Census, take
from .config import Config
from .layout import OUT, Places, Planned, Size, lay_out, planned
from .source import Root
from .weights import Weights, larger, weigh

EXTENSIONS = {"parquet": "parquet", "webdataset": "tar"}


@dataclass(frozen=True, slots=True)
class Plan:
    """What is to be made. made_from: of all that decides the files; previous: the release before it.

    rows: of images/ by what becomes of them: kept, flagged (in it with kept=false), left_out, removed, duplicates;
    place: the number of the shard of each row of the root, or OUT; pinned: laid out by the release before it.
    """

    version: str
    created_at: str
    made_from: str
    shards: tuple[Planned, ...]
    place: Places
    rows: dict[str, int]
    pinned: bool
    previous: Release | None

    def write(self, work: Path) -> None:
        """Keep it in the work folder; plan.json last."""
        with (work / "place.npy.tmp").open("wb") as file:
            np.save(file, self.place)
        (work / "place.npy.tmp").replace(work / "place.npy")
        told = {
            name: getattr(self, name) for name in ("version", "created_at", "made_from", "rows", "pinned")
        }
        told["shards"] = [dataclasses.asdict(shard) for shard in self.shards]
        told["previous"] = None if self.previous is None else dataclasses.asdict(self.previous)
        write_atomic(str(work / "plan.json"), json.dumps(told, sort_keys=True, ensure_ascii=False).encode())


class UnfinishedPlan(TypedDict):
    """plan.json."""

    version: str
    created_at: str
    made_from: str
    rows: dict[str, int]
    pinned: bool
    shards: list[Planned]
    previous: dict[str, Any] | None


def read(work: Path) -> Plan | None:
    """The plan that an earlier run left in the work folder; None where there is none that can be believed."""
    try:
        told = documents.parse((work / "plan.json").read_bytes())
        documents.check(told, UnfinishedPlan)
        place = np.load(work / "place.npy", mmap_mode="r", allow_pickle=False)
        shards = tuple(Planned(**shard) for shard in told.pop("shards"))
        previous = told.pop("previous")
        plan = Plan(**told, shards=shards, place=place, previous=previous and released.checked(previous))
    except (FileNotFoundError, ValueError, TypeError, EOFError):
        return None
    return plan if _sound(plan) else None


def _sound(plan: Plan) -> bool:
    """Whether each row of the root has a place in one of the shards, or none, and these lie in a release."""
    place, count = plan.place, len(plan.shards)
    numbers = [shard.number for shard in plan.shards]
    return (
        (str(place.dtype), place.ndim, numbers) == ("int32", 1, [*range(count)])
        and sum(plan.rows.values()) == place.size
        and all(documents.is_inside(shard.path) and shard.stop <= place.size for shard in plan.shards)
        and (not place.size or (place.min() >= OUT and place.max() < count))
    )


def fingerprint(config: Config, root: Root, removals: Removals) -> str:
    """Of all that decides what is released: options, pictures, verdicts, removals."""
    names = [field.name for field in dataclasses.fields(config) if field.metadata.get("content")]
    options = {name: getattr(config, name) for name in names if name not in ("tag", "compact")}
    options = {name: value for name, value in options.items() if value or not name.startswith("license_")}
    removed = [[kind, digest] for kind, digest, _ in removals.rows()]
    text = json.dumps([options, root.fingerprint, removed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make(
    config: Config,
    root: Root,
    removals: Removals,
    previous: tuple[str, Release] | None,
    tell: Callable[[str], None] | None = None,
) -> Plan:
    """Lay out a release; `version` is left empty. InputError where nothing would be left in it.

    previous: the release before it and the URL at which it is; tell: takes a line where shards cannot be as asked for.
    """
    census = take(root, removals)
    wanted = census.wanted
    if not wanted.any():
        raise InputError(
            f"{root.url}: none of its {root.rows:,} pairs is kept, so there is nothing to release; see danqing status"
        )
    size, extension = Size(config.target_bytes, config.divide_by), EXTENSIONS[config.format]
    weights = weigh(root, config.what, extension, config.target_bytes)
    if tell and (large := larger(root, wanted, weights, config.target_bytes)):
        tell(
            f"larger than --shard-size {in_words(config.target_bytes)}, and so are their shards: {large:,} pairs"
        )
    place = _pinned(config, root, census, (size, weights), previous)
    is_pinned = place is not None
    if place is None:
        place, _ = lay_out(root, wanted, size, weights)
    shards = planned(root, place, weights, config.what, extension)
    return Plan(
        version="",
        created_at=_now(),
        made_from=fingerprint(config, root, removals),
        shards=shards,
        place=place,
        rows=_account(census, place),
        pinned=is_pinned,
        previous=previous[1] if previous else None,
    )


def _now() -> str:
    """ISO 8601, UTC; SOURCE_DATE_EPOCH is heeded, by which builds are reproduced."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.datetime.now(datetime.UTC)
    if seconds.isdecimal():
        now = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")


def _pinned(
    config: Config,
    root: Root,
    census: Census,
    sizes: tuple[Size, Weights],
    previous: tuple[str, Release] | None,
) -> Places | None:
    if previous is None or config.compact or config.what != "images" or config.format != "parquet":
        return None
    url, release = previous
    if not all(path.endswith(".parquet") for path in release.shards()):
        return None
    return pinned.pin(root, census, sizes, url, release)


def _account(census: Census, place: Places) -> dict[str, int]:
    """What becomes of each row of images/; they add up, or the code is wrong."""
    inside = place != OUT
    kept = int(np.count_nonzero(inside & census.kept))
    flagged = int(np.count_nonzero(inside & ~census.kept))
    left_out = int(np.count_nonzero(~inside & ~census.kept))
    rows = {"kept": kept, "flagged": flagged, "left_out": left_out, **census.counts()}
    assert sum(rows.values()) == place.size, f"{rows} of {place.size}"
    assert kept == int(np.count_nonzero(census.wanted))
    return rows


def version_of(config: Config, plan: Plan, taken: Sequence[str]) -> str:
    """The tag of a release that is new: --tag, or by its month the next that is free.

    Raises UsageError where --tag is taken, unless --overwrite.
    """
    if config.tag:
        if config.tag in taken and not config.overwrite:
            raise UsageError(
                f"--tag {config.tag}: {config.output} has that release, with other content; name another, leave it "
                "out for the next free one, or --overwrite"
            )
        return config.tag
    year, month = plan.created_at.split("-")[:2]
    name = first = f"v{year}.{month}"
    number = 0
    while name in taken:
        number += 1
        name = f"{first}.{number}"
    return name
