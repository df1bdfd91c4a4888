"""The plan of a release: its version and date, its shards, and which row of the root goes into which.

    ReleaseConfig, Root, removals, last release ─▶ ReleasePlan ◀─▶ <work>/plan.json, <work>/place.npy

It is made once and kept in the work folder: a run that was killed goes on by it, and ends in the same bytes.

Images that come after a release are pinned: every pair stays in the shard where it was, so that little is sent again.
One that is not kept any more stays too, and says kept=false; new pairs come in shards of their own at the end.
"""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, TypedDict

import numpy as np

from ..console import in_words
from ..disk import documents
from ..disk import release as released
from ..disk.digests import halves_of, keys_of, locate
from ..disk.files import join, write_atomic
from ..disk.parquet import parquet
from ..disk.release import Release
from ..disk.removals import Removals
from ..disk.schema import SPLITS
from ..errors import InputError, UsageError
from .census import Census, Ids, take
from .config import ReleaseConfig
from .layout import OUT, Places, PlannedShard, ShardSize, Weights, larger, lay_out, planned, weigh
from .source import Root

EXTENSIONS = {"parquet": "parquet", "webdataset": "tar"}
MOST_DROPPED = 0.2  # of the rows with kept=false; beyond it the images are laid out anew


class Previous(NamedTuple):
    """The release before this one. url: where it is, a folder or hf://, at its revision."""

    url: str
    release: Release


@dataclass(frozen=True, slots=True)
class ReleasePlan:
    """The plan of a release. made_from: the fingerprint of all that decides its files; previous: the release before it.

    rows: of images/ by what becomes of them: kept, flagged (in it with kept=false), left_out, removed, duplicates;
    place: the number of the shard of each row of the root, or OUT; pinned: laid out by the release before it.
    """

    version: str
    created_at: str
    made_from: str
    shards: tuple[PlannedShard, ...]
    place: Places
    rows: dict[str, int]
    pinned: bool
    previous: Release | None

    def write(self, work: Path) -> None:
        """Keep it in the work folder; plan.json last."""
        with (work / "place.npy.tmp").open("wb") as file:
            np.save(file, self.place)
        (work / "place.npy.tmp").replace(work / "place.npy")
        names = [field.name for field in dataclasses.fields(self) if field.name != "place"]
        document = {name: getattr(self, name) for name in names}
        text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=dataclasses.asdict)
        write_atomic(str(work / "plan.json"), text.encode())


class UnfinishedPlan(TypedDict):
    """plan.json."""

    version: str
    created_at: str
    made_from: str
    rows: dict[str, int]
    pinned: bool
    shards: list[PlannedShard]
    previous: Mapping[str, object] | None


def read(work: Path) -> ReleasePlan | None:
    """The plan that an earlier run left in the work folder; None where there is none that can be believed."""
    try:
        document = documents.parse((work / "plan.json").read_bytes())
        documents.check(document, UnfinishedPlan)
        place = np.load(work / "place.npy", mmap_mode="r", allow_pickle=False)
        shards = tuple(PlannedShard(**shard) for shard in document.pop("shards"))
        previous = document.pop("previous")
        before = previous and released.checked(previous)
        plan = ReleasePlan(**document, shards=shards, place=place, previous=before)
    except (FileNotFoundError, ValueError, TypeError, EOFError):
        return None
    return plan if _sound(plan) else None


def _sound(plan: ReleasePlan) -> bool:
    """Whether each row of the root has a place in one of the shards, or none, and these lie in a release."""
    place, count = plan.place, len(plan.shards)
    numbers = [shard.number for shard in plan.shards]
    return (
        (str(place.dtype), place.ndim, numbers) == ("int32", 1, [*range(count)])
        and sum(plan.rows.values()) == place.size
        and all(documents.is_inside(shard.path) and shard.stop <= place.size for shard in plan.shards)
        and (not place.size or (place.min() >= OUT and place.max() < count))
    )


def fingerprint(config: ReleaseConfig, root: Root, removals: Removals) -> str:
    """BLAKE2b-128 of all that decides what is released: options, pictures, verdicts, removals."""
    names = [field.name for field in dataclasses.fields(config) if field.metadata.get("content")]
    options = {name: getattr(config, name) for name in names if name not in ("tag", "compact")}
    options = {name: value for name, value in options.items() if value or not name.startswith("license_")}
    removed = [[kind, digest] for kind, digest, _ in removals.rows()]
    text = json.dumps([options, root.fingerprint, removed], sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


def make(
    config: ReleaseConfig,
    root: Root,
    removals: Removals,
    previous: Previous | None,
    tell: Callable[[str], None] | None = None,
) -> ReleasePlan:
    """Lay out a release; `version` is left empty. InputError where nothing would be left in it.

    tell: takes a line where shards cannot be as asked for.
    """
    census = take(root, removals)
    wanted = census.wanted
    if not wanted.any():
        raise InputError(
            f"{root.url}: none of its {root.rows:,} pairs is kept, so there is nothing to release; see danqing status"
        )
    size, extension = ShardSize(config.target_bytes, config.divide_by), EXTENSIONS[config.format]
    weights = weigh(root, config.what, extension, config.target_bytes)
    if tell and (large := larger(root, wanted, weights, config.target_bytes)):
        asked = in_words(config.target_bytes)
        tell(f"larger than --shard-size {asked}, and so are their shards: {large:,} pairs")
    place = _pinned(config, root, census, (size, weights), previous)
    is_pinned = place is not None
    if place is None:
        place = lay_out(root, wanted, size, weights)
    return ReleasePlan(
        version="",
        created_at=_now(),
        made_from=fingerprint(config, root, removals),
        shards=planned(root, place, weights, config.what, extension),
        place=place,
        rows=_account(census, place),
        pinned=is_pinned,
        previous=previous and previous.release,
    )


def _now() -> str:
    """ISO 8601, UTC; SOURCE_DATE_EPOCH is heeded, by which builds are reproduced."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH", "")
    now = datetime.datetime.now(datetime.UTC)
    if seconds.isdecimal():
        now = datetime.datetime.fromtimestamp(int(seconds), datetime.UTC)
    return now.isoformat(timespec="seconds").replace("+00:00", "Z")


def _account(census: Census, place: Places) -> dict[str, int]:
    """The number of rows of images/ by what becomes of them; they add up, or the code is wrong."""
    inside = place != OUT
    kept = int(np.count_nonzero(inside & census.kept))
    flagged = int(np.count_nonzero(inside & ~census.kept))
    left_out = int(np.count_nonzero(~inside & ~census.kept))
    rows = {"kept": kept, "flagged": flagged, "left_out": left_out, **census.counts()}
    assert sum(rows.values()) == place.size, f"{rows} of {place.size}"
    assert kept == int(np.count_nonzero(census.wanted))
    return rows


def _pinned(
    config: ReleaseConfig,
    root: Root,
    census: Census,
    sizes: tuple[ShardSize, Weights],
    previous: Previous | None,
) -> Places | None:
    """The place of each row, those of `previous` first; None where it does not pay, or is not possible.

    sizes: of new shards, and the weights of the rows. It is not possible for anything but Parquet of images, nor where
    the root has its pairs in another order, or splits, now.
    """
    paths = previous.release.shards() if previous else ()
    if previous is None or config.compact or (config.what, config.format) != ("images", "parquet"):
        return None
    if not all(path.endswith(".parquet") for path in paths):
        return None
    order = np.argsort(census.ids, kind="stable")
    ordered = census.ids[order]
    splits = np.empty(root.rows, np.int8)
    for part in root.parts:
        splits[part.first : part.stop] = SPLITS.index(part.shard.split)
    place = np.full(root.rows, OUT, np.int32)
    for number, path in enumerate(
        sorted(paths, key=lambda path: (SPLITS.index(released.split_of(path)), path))
    ):
        places, found = locate(ordered, _ids_in(join(previous.url, path)))
        rows = order[places[found]]  # one that is not in the root is left out
        if np.any(np.diff(rows) <= 0) or np.any(splits[rows] != SPLITS.index(released.split_of(path))):
            return None
        place[rows] = number
    place[census.removed | census.repeated] = OUT
    dropped = int(np.count_nonzero((place != OUT) & ~census.kept))
    new = census.wanted & (place == OUT)
    if dropped > MOST_DROPPED * (dropped + np.count_nonzero(census.wanted)):
        return None
    added = lay_out(root, new, *sizes, first=len(paths))
    return np.where(added == OUT, place, added)


def _ids_in(url: str) -> Ids:
    """The first halves of the keys in a shard, in its order."""
    with parquet(url) as file:
        batches = file.iter_batches(65_536, columns=["key"])
        halves = [halves_of(keys_of(batch["key"])[0]) for batch in batches]
    return np.concatenate([np.empty(0, np.uint64), *halves])


def version_of(config: ReleaseConfig, plan: ReleasePlan, taken: Sequence[str]) -> str:
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
