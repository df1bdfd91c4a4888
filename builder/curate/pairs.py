"""What is known of every pair before it is judged: images/, measures/, scores/ and numbers/ ─▶ arrays, a row a pair.

All of these lie beside each other, a row for each row of images/, and bear the same keys; a file that does not is an
error that names it. 90 bytes a pair are held.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.digests import KEY, Bools, Digests, keys_of, unhex
from ..disk.files import join
from ..disk.parquet import parquet
from ..disk.schema import MEASURES, SCORES, floats, said_by, unlike
from ..errors import InputError, UsageError
from .judge import NUMBERS
from .spool import NUMBERS as NUMBERED
from .spool import Compared, CurateSetup, made, numbers_of

pc: Any = compute  # its stubs know no mix of column and constant
BATCHES = ("batch", "crawl")  # columns that may say which batch a pair is of
_KEY: Any = pa.field("key", pa.string())
LOOK = pa.schema([_KEY, pa.field("value", pa.float32())])  # of an outside model
KEPT = pa.schema([_KEY, SCORES.field("kept")])


@dataclass(frozen=True, slots=True)
class Pairs:
    """What is known of all rows, those of the root first and then those of --against, n in all.

    numbers: (own,) of NUMBERS; keys: (n,); size: pixels of the original (n,), 0 of --against; batch, phash: numbers
    from 0 on of each value (own,); hashed: which have a phash (own,); batches: how many batches there are; stored:
    how many pairs were measured as they are stored.
    """

    numbers: npt.NDArray[np.void]
    keys: Digests
    size: npt.NDArray[np.int64]
    batch: npt.NDArray[np.int64]
    phash: npt.NDArray[np.int64]
    hashed: Bools
    batches: int
    stored: int


def read_pairs(setup: CurateSetup, batch: str, scores: str | None, looks: Mapping[str, str]) -> Pairs:
    """All that is known of the rows of a root.

    batch: as --batch; scores: the decision of scores/, None where there is none; looks: slugs of outside models by the
    name of their number. Raises InputError where files do not belong together, UsageError for no column of --batch.
    """
    rows = setup.own_rows
    numbers, hashes, hashed = np.zeros(rows, NUMBERS), np.zeros(rows, np.uint64), np.zeros(rows, np.bool_)
    for name in ("spread", "sharpness", "entropy", "risk", "text"):
        numbers[name] = np.nan
    keys, names, stored = np.empty(setup.rows, KEY), [], 0
    for source in setup.sources:
        span = slice(source.first, source.first + source.rows)
        with made(join(setup.root, numbers_of(setup.part(source.number))), NUMBERED, source.rows) as file:
            table = file.read()
        keys[span] = digests(table["key"])
        if source.own:
            part = numbers[span]
            part["embedded"] = table["embedded"].to_numpy()
            part["cos"] = pc.fill_null(table["cos"], float("nan")).to_numpy()
            measures = _beside(source, "measures", MEASURES, keys[span])
            stored += source.rows if said_by(measures.schema).get("on") == "stored" else 0
            for name in MEASURES.names[1:]:
                part[name] = floats(measures[name])
            for name, slug in looks.items():
                part[name] = floats(_beside(source, f"measures/{slug}", LOOK, keys[span])["value"])
            part["kept"] = True if scores is None else _kept(source, scores, keys[span])
            names.append(_pictures(source, batch, part, hashes[span], hashed[span]))
    size = np.zeros(setup.rows, np.int64)
    size[:rows] = numbers["width"].astype(np.int64) * numbers["height"]
    whole: Any = pa.chunked_array(names, pa.string()).combine_chunks().dictionary_encode()
    of = pc.fill_null(whole.indices, len(whole.dictionary)).to_numpy(zero_copy_only=False).astype(np.int64)
    _, phash = np.unique(hashes, return_inverse=True)
    return Pairs(numbers, keys, size, of, phash, hashed, len(np.unique(of)), stored)


def digests(column: Any) -> Digests:
    """Keys of 16 bytes, as numbers/ has them (n,)."""
    data = column.combine_chunks().cast(pa.binary(16))
    return np.frombuffer(data.buffers()[1] or b"", KEY, len(data), 16 * data.offset)


def _pictures(
    source: Compared, batch: str, numbers: npt.NDArray[np.void], hashes: npt.NDArray[np.uint64], hashed: Bools
) -> Any:
    """Read the columns of images/ into the arrays, and return the batch of each row as text."""
    url = join(source.root, "images", f"{source.stem}.parquet")
    with parquet(url) as file:
        there = file.schema_arrow.names
        if batch not in ("auto", "none", *there):
            raise UsageError(f"--batch {batch}: images/ has no such column; it has {', '.join(there)}")
        column = next((one for one in BATCHES if one in there), None) if batch == "auto" else batch
        columns = ["original_width", "original_height", "phash", *([column] if column in there else [])]
        table = file.read(columns=columns, use_threads=False)
        if column in there and not _is_text(kind := file.schema_arrow.field(column).type):
            raise UsageError(
                f"{url}: {column} is {kind}, which names no batch; --batch NAME, or --batch none"
            )
    for name in ("width", "height"):
        numbers[name] = pc.fill_null(table[f"original_{name}"], 0).to_numpy()
    data, hashed[:] = unhex(table["phash"], 8)
    hashes[:] = data.view(">u8").reshape(-1)
    if column not in there:
        return pa.nulls(len(table), pa.string())
    return table[column].cast(pa.string()).combine_chunks()


def _is_text(kind: pa.DataType) -> bool:
    """Whether values of a type can be written as text."""
    return not (pa.types.is_nested(kind) or pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _kept(source: Compared, decision: str, keys: Digests) -> Bools:
    """Which pairs of a shard scores/ keeps, by the decision of that name."""
    found = _beside(source, "scores", KEPT, keys, decision)["kept"]
    return np.asarray(pc.fill_null(found, False).to_numpy(), np.bool_)


def _beside(
    source: Compared, folder: str, promised: pa.Schema, keys: Digests, decision: str = ""
) -> pa.Table:
    """Columns of the file of a shard in a folder of the root; InputError where it is not of the rows of images/.

    decision: that the file must bear, where it bears one.
    """
    url = join(source.root, folder, f"{source.stem}.parquet")
    stage = "revalidate" if decision else "curate"
    with parquet(url) as file:
        if wrong := unlike(file.schema_arrow, promised, promised.names):
            raise InputError(f"{url}: {wrong}; remove it, and run danqing {stage} again")
        if decision and said_by(file.schema_arrow).get("decision") != decision:
            raise InputError(
                f"{url}: not of the decision in ledger/revalidate/; run danqing revalidate --decide"
            )
        table = file.read(columns=promised.names, use_threads=False)
    found, _ = keys_of(table["key"])
    if len(found) != len(keys) or not (found == keys).all():
        raise InputError(
            f"{url}: its rows are not those of images/: the shard was made anew since; run danqing {stage} again"
        )
    return table
