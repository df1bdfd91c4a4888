"""`--retry-failed`: a finished shard becomes an unfinished one that lacks only the rows to fetch again.

images/ and outcomes/ in, a spool out; then the marker goes, and the shard is resumed like any other. Killed in
between, the shard is either still finished or already resumable.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from ..errors import InputError
from ..files import fetched, join, remove
from ..ledger import marker
from ..schema import Reason
from ..tars import read_pairs
from .assemble import Layout, carve
from .outcome import SHOWN, TOLD, Outcome, Picture
from .plan import STAGE, Shard
from .spool import Spool


def reopen(
    shard: Shard, keys: list[str], layout: Layout, spool_path: Path, reasons: frozenset[Reason]
) -> None:
    """Write at `spool_path` every row of the finished `shard` but those dropped for one of `reasons`.

    keys: of the shard's rows in the manifest's order. InputError when a file is missing or does not fit them.
    """
    temporary = spool_path.with_suffix(".reopened")
    temporary.unlink(missing_ok=True)
    spool = Spool(temporary, layout.owner(shard))
    parts = carve(shard, keys, layout.validation)
    for split, rows in parts.items():
        _copy(f"{split}-{shard.numbers}", rows, keys, layout, spool, reasons)
    spool.close()
    temporary.replace(spool_path)
    for split in reversed(list(parts)):
        remove(marker(layout.root, STAGE, f"{split}-{shard.numbers}"))


def _copy(
    stem: str, rows: list[int], keys: list[str], layout: Layout, spool: Spool, reasons: frozenset[Reason]
) -> None:
    with (
        fetched(join(layout.root, layout.images(stem)), layout.work) as images,
        fetched(join(layout.root, f"outcomes/{stem}.parquet"), layout.work) as outcomes,
    ):
        pictures = _tar_pictures(images) if layout.format == "webdataset" else _parquet_pictures(images)
        told = pq.read_table(outcomes).to_pylist()
        if [one["key"] for one in told] != [keys[row] for row in rows]:
            raise InputError(f"outcomes/{stem}.parquet does not fit the manifest; --overwrite starts anew")
        for row, one in zip(rows, told, strict=True):
            outcome = Outcome(**{name: one[name] for name in TOLD})
            outcome.fetched_at = _milliseconds(one["fetched_at"])
            if one["reason"] is not None:
                outcome.reason = Reason(one["reason"])
                if outcome.reason in reasons:
                    continue
            else:
                key, outcome.sha256, outcome.picture = next(pictures)
                outcome.picture.decoder = one["decoder"]
                if key != one["key"]:
                    raise InputError(
                        f"{layout.images(stem)} and outcomes/{stem}.parquet differ; --overwrite starts anew"
                    )
            spool.append(row, outcome)


def _milliseconds(when: datetime.datetime | None) -> int | None:
    return None if when is None else round(when.timestamp() * 1000)


def _parquet_pictures(path: Path) -> Iterator[tuple[str, str, Picture]]:
    with pq.ParquetFile(path) as file:
        for group in range(file.num_row_groups):
            for pair in file.read_row_group(group).to_pylist():
                yield _picture(pair, pair["image"]["bytes"], pair["image"]["path"])


def _tar_pictures(path: Path) -> Iterator[tuple[str, str, Picture]]:
    for pair, name, data in read_pairs(path):
        yield _picture(pair, data, name)


def _picture(pair: dict[str, Any], data: bytes, name: str) -> tuple[str, str, Picture]:
    shown = {column: pair[column] for column in SHOWN}
    picture = Picture(data=data, extension=name.rsplit(".", 1)[-1], decoder="", **shown)
    return pair["key"], pair["sha256"], picture
