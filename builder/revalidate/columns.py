"""One file of scores/ as numbers to decide by, and written anew with what was decided.

Everything that a file must be is checked while it is read, before any is overwritten.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..disk import ledger
from ..disk.files import fetched, is_local, join, local_path, publish
from ..disk.parquet import parquet, writer
from ..disk.schema import CODE_BITS, DECIDED, SCORED, SCORES, floats, said_by, saying, tested, unlike_scores
from ..errors import InputError
from .clusters import NONE, hash_codes
from .judge import PAIR
from .plan import STAGE, Shard

pc: Any = compute  # its stubs know no mix of column and constant
Pairs = npt.NDArray[np.void]  # of dtype PAIR

# Column of the file -> field of PAIR, and what stands for null there.
_FLOATS = {"p_code": "p_code", "p_caption": "p_caption", "score_change": "change"}
_OTHERS = {
    "same": ("same", False),
    "phash": ("phash", 0),
    "caption_hash": ("caption", 0),
    "code_distance": ("distance", -1),
}
_SCORES = ("score_alt_text", "score_recaption")
_READ = ["key", "code", *_SCORES, *_FLOATS, *_OTHERS]


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of one shard."""

    shard: Shard

    @property
    def name(self) -> str:
        """The path below the root."""
        return f"scores/{self.shard.stem}.parquet"

    @property
    def path(self) -> str:
        """The path or URL of the file."""
        return join(self.shard.root, self.name)

    def read(self) -> tuple[dict[str, Any], Pairs]:
        """What its metadata say, and its rows as numbers.

        InputError when it cannot be read, is no file of scores, or its keys are not those of images/.
        """
        with self._opened() as file:
            said = said_by(file.schema_arrow)
            what = unlike_scores(file.schema_arrow, SCORED.names) or (
                None if said else "it names no checkpoint"
            )
            if what:
                raise InputError(f"{self.path}: no scores of this version: {what}")
            table = file.read(columns=_READ)
            self._check_keys(table["key"])
            return said, self._numbers(table)

    @contextmanager
    def _opened(self) -> Iterator[pq.ParquetFile]:
        try:
            with parquet(self.path) as file:
                yield file
        except InputError as error:
            marker = ledger.marker(self.shard.root, STAGE, self.shard.stem)
            raise InputError(
                f"{error}; to score it anew, remove {marker} and run danqing revalidate"
            ) from error

    def _check_keys(self, keys: Any) -> None:
        with self.shard.remedy(), parquet(self.shard.url) as file:
            of_images = file.read(columns=["key"])["key"]
        if len(keys) != len(of_images):
            raise InputError(f"{self.path}: {len(keys):,} rows, but images/ has {len(of_images):,}")
        if not keys.equals(of_images):
            raise InputError(f"{self.path}: its keys are not those of images/")

    def _numbers(self, table: pa.Table) -> Pairs:
        pairs = np.zeros(table.num_rows, PAIR)
        for column, field in _FLOATS.items():
            pairs[field] = floats(table[column])
        for column, (field, null) in _OTHERS.items():
            pairs[field] = pc.fill_null(table[column], null).to_numpy()
        code = table["code"].combine_chunks()
        try:
            codes = code.drop_null().cast(pa.binary(CODE_BITS // 8))
        except pa.ArrowInvalid as error:
            raise InputError(f"{self.path}: a code that has not {CODE_BITS} bits") from error
        pairs["decoded"] = decoded = code.is_valid().to_numpy(zero_copy_only=False)
        pairs["code"][decoded] = np.where(_bytes_of(codes).any(axis=1), hash_codes(_bytes_of(codes)), NONE)
        pairs["score"] = tested(table, ("alt_text", "recaption"))
        # So does a caption without a score: builds up to 0.1.0 gave such pairs p-values all the same.
        pairs["code"][(pairs["caption"] != NONE) & np.isnan(pairs["score"]) & ~pairs["same"]] = NONE
        return pairs

    def rewrite(self, decided: pa.Table, decision: str) -> None:
        """Publish the file anew with `decided`, the columns DECIDED, under the name of the decision.

        The rows, their groups and the other metadata stay as they are, so the same decision gives the same bytes.
        """
        with self._opened() as file:
            said = said_by(file.schema_arrow) | {"decision": decision}
            groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            table = file.read(columns=SCORED.names)
        schema = saying(SCORES, said)
        table = pa.Table.from_arrays([*table.columns, *decided.select(DECIDED.names).columns], schema=schema)
        with _beside(self.path) as local:
            with writer(local, schema) as out:
                for start, rows in zip(accumulate(groups, initial=0), groups, strict=False):
                    out.write_table(table.slice(start, rows))
            publish(local, self.path)

    def file(self) -> ledger.WrittenFile:
        """What the marker says of the file: rows, bytes and checksum."""
        with tempfile.TemporaryDirectory() as work, fetched(self.path, Path(work)) as local:
            return ledger.entry(local, self.shard.rows)

    def hosts(self) -> Any:
        """The column host."""
        with self._opened() as file:
            return file.read(columns=["host"])["host"]


@contextmanager
def _beside(url: str) -> Iterator[Path]:
    """A temporary local path from which `url` is published, always the same: what a kill leaves is overwritten."""
    if is_local(url):
        target = local_path(url)
        path = target.with_name(f".{target.name}.tmp")
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)
    else:
        with tempfile.TemporaryDirectory() as work:
            yield Path(work) / "scores.parquet"


def _bytes_of(codes: Any) -> npt.NDArray[np.uint8]:
    """Codes without nulls as (n, 32) bytes, without a copy."""
    width = CODE_BITS // 8
    if not len(codes):
        return np.zeros((0, width), np.uint8)
    data: npt.NDArray[np.uint8] = np.frombuffer(codes.buffers()[1], np.uint8)
    return data[codes.offset * width : (codes.offset + len(codes)) * width].reshape(-1, width)
