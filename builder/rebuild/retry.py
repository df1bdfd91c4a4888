"""`--retry-failed`: a finished shard becomes an unfinished one that lacks only the rows to fetch again.

images/ and outcomes/ in, a spool out; then the marker goes, and the shard is resumed like any other. Killed in
between, the shard is either still finished or already resumable.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..disk.files import fetched, join, leave_if_orphaned, remove
from ..disk.ledger import marker
from ..disk.parquet import parquet
from ..disk.reading import reading
from ..disk.schema import MEASURES, unlike
from ..disk.tars import read_pairs
from ..errors import InputError
from ..picture.measures import Measures
from ..reasons import Reason
from ..stage.rows import ManifestShard
from .assemble import Setup, carve
from .outcome import SHOWN, TOLD, Outcome, Picture
from .spool import Spool
from .units import STAGE

_MISSING = (None, None, None)  # beyond the last pair of a shard


def reopen(shard: ManifestShard, keys: list[str], setup: Setup, reasons: frozenset[Reason]) -> None:
    """Write into the spool of the finished `shard` every row of it but those dropped for one of `reasons`.

    keys: of the shard's rows in the manifest's order. InputError when a file is missing or does not fit them.
    """
    temporary = setup.spool(shard).with_suffix(".reopened")
    temporary.unlink(missing_ok=True)
    spool = Spool(temporary, setup.owner(shard))
    parts = carve(shard, keys, setup.config.validation)
    for split, rows in parts.items():
        for row, outcome in _outcomes(shard, split, {row: keys[row] for row in rows}, setup):
            if outcome.reason not in reasons:
                spool.append(row, outcome)
    spool.close()
    leave_if_orphaned()
    temporary.replace(setup.spool(shard))
    for split in reversed(list(parts)):
        remove(marker(setup.root, STAGE, f"{split}-{shard.numbers}"))


def _outcomes(
    shard: ManifestShard, split: str, keys: dict[int, str], setup: Setup
) -> Iterator[tuple[int, Outcome]]:
    """The rows of one split, with their pictures; keys: of each of its rows."""
    stem = f"{split}-{shard.numbers}"
    anew = f"restore it, or remove {marker(setup.root, STAGE, shard.stem)}: the shard is then made anew"
    with (
        fetched(join(setup.root, setup.images(stem)), setup.work) as images,
        fetched(join(setup.root, f"outcomes/{stem}.parquet"), setup.work) as outcomes,
    ):
        with parquet(str(outcomes)) as file:
            told = file.read().to_pylist()
        if [one["key"] for one in told] != [*keys.values()]:
            raise InputError(
                f"{setup.root}/outcomes/{stem}.parquet has {len(told):,} rows, the manifest {len(keys):,} for it, "
                f"and they differ; {anew}"
            )
        pictures, measures = _pictures(images, setup), _measures(stem, setup)
        for row, one in zip(keys, told, strict=True):
            outcome = Outcome(**{name: one[name] for name in TOLD})
            outcome.fetched_at = _milliseconds(one["fetched_at"])
            if one["reason"] is not None:
                outcome.reason = Reason(one["reason"])
            else:
                key, outcome.sha256, outcome.picture = next(pictures, _MISSING)
                if outcome.picture is None or key != one["key"]:
                    break
                outcome.picture.decoder = one["decoder"]
                if setup.config.measure:
                    of, outcome.picture.measures = next(measures, (None, None))
                    if of != key:
                        raise InputError(
                            f"{setup.root}/measures/{stem}.parquet and images/{stem}.parquet have other rows; {anew}"
                        )
            yield row, outcome
        else:
            if next(pictures, None) is None:
                return
        found = sum(1 for _ in _pictures(images, setup))
        kept = sum(one["reason"] is None for one in told)
        raise InputError(
            f"{setup.root}/{setup.images(stem)} has {found:,} pairs, outcomes/{stem}.parquet says {kept:,}, "
            f"and they differ; {anew}"
        )


def _milliseconds(when: datetime.datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1000)


def _pictures(path: Path, setup: Setup) -> Iterator[tuple[str, str, Picture]]:
    """Key, sha256 and picture of every pair of a shard, in order; `path` is of its file, or a copy of it."""
    if setup.config.format == "webdataset":
        with reading(str(path)):
            yield from (_picture(pair, data, name) for pair, name, data in read_pairs(path))
        return
    with parquet(str(path)) as file:
        for group in range(file.num_row_groups):
            for pair in file.read_row_group(group, columns=["key", "sha256", "image", *SHOWN]).to_pylist():
                yield _picture(pair, pair["image"]["bytes"], pair["image"]["path"])


def _measures(stem: str, setup: Setup) -> Iterator[tuple[str, Measures | None]]:
    """Key and measures of every pair of a shard, in order."""
    with (
        fetched(join(setup.root, f"measures/{stem}.parquet"), setup.work) as path,
        parquet(str(path)) as file,
    ):
        if wrong := unlike(file.schema_arrow, MEASURES, MEASURES.names):
            raise InputError(f"{setup.root}/measures/{stem}.parquet: {wrong}")
        for key, *numbers in zip(*file.read(MEASURES.names).to_pydict().values(), strict=True):
            yield key, None if None in numbers else Measures(*numbers)


def _picture(pair: Mapping[str, Any], data: bytes, name: str) -> tuple[str, str, Picture]:
    shown = {column: pair[column] for column in SHOWN}
    picture = Picture(data=data, extension=name.rsplit(".", 1)[-1], decoder="", **shown)
    return pair["key"], pair["sha256"], picture
