"""What happens to a batch of rows between a shard and the training script: Arrow table in, Arrow table out.

The loader's steps that look into rows: the validation split, missing keys, broken pictures, the caption. Only
pyarrow is imported here, as in danqing.py.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import math
import operator
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.dataset as pds
import pyarrow.parquet as pq

from ..reasons import KEPT
from .digests import hex_of
from .filters import Filters
from .parquet import group_starts
from .schema import COS_MODEL, SCORING, JudgingStage, pair_key, said_by

pc: Any = compute  # its stubs know no mix of column and constant
Verdicts = str | Sequence[str] | None  # some, or `all`; None: of the pairs that are kept
# A column that can be read of a whole file: the number of each row. No file would have that name.
ROW = " row"


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read of a shard.

    columns: names; those that the shard lacks are left out, `key` is made where it is lacking, and ROW always
    filters: an expression, or lists as of pyarrow.parquet.read_table
    batch_size: rows; None: a row group
    part: `validation`, `train` for what that leaves, or None for all; share: of the validation split
    scan_options: how Arrow reads
    verdicts: those whose pairs to read, of a shard that is scored
    judges: of the shards, not necessarily of this one, where the columns of a judge that it lacks are null
    check: raises ValueError where the names of its columns are not those of such a shard
    """

    columns: list[str]
    filters: Any = None
    batch_size: int | None = None
    part: str | None = None
    share: float = 0.0
    scan_options: pds.ParquetFragmentScanOptions | None = None
    verdicts: Verdicts = None
    judges: tuple[JudgingStage, ...] = ()
    check: Callable[[list[str]], None] = lambda _: None


@contextlib.contextmanager
def named(file: str) -> Iterator[None]:
    """Have Arrow's errors name the file that is read: it has been given an open one, and knows no name."""
    try:
        yield
    except GeneratorExit:  # Python may be ending, and `pa` be gone
        raise
    except (pa.ArrowException, OSError) as error:
        if isinstance(error, OSError) and (type(error) is not OSError or error.errno):
            raise  # of the disk or the network
        raise ValueError(
            f"{file} is not a Parquet file, or damaged: {(str(error).splitlines() or [''])[0]}"
        ) from error


def read(source: Any, groups: tuple[int, ...] | None, reading: Reading) -> Iterator[pa.Table]:
    """The rows of an open Parquet file, or of some of its row groups, in batches."""
    fragment = open_fragment(source, reading)
    schema = with_judged(fragment.physical_schema, reading.judges)
    terms = [chosen(fragment.physical_schema, reading.verdicts, mixed=SCORING in reading.judges)]
    asked = Filters(reading.filters, schema)
    terms = [term for term in (*terms, asked.whole) if term is not None]
    filters = functools.reduce(operator.and_, terms) if terms else None
    if groups is not None:
        fragment = fragment.subset(row_group_ids=groups)
    present = fragment.physical_schema.names
    if ROW in reading.columns:
        columns = [*dict.fromkeys([*reading.columns, "kept", "verdict", *asked.named])]
        tables = _numbered(scan(fragment, columns, reading.batch_size), filters)
    else:
        if reading.part == "validation" and "key" in present:
            fragment = with_validation(fragment, reading.share)
        tables = scan(fragment, reading.columns, reading.batch_size, filters, schema)
    for table in tables:
        if "key" in reading.columns and "key" not in present:
            table = with_key(table)
        yield table if reading.part is None else table.filter(in_part(table["key"], reading))


def _numbered(tables: Iterable[pa.Table], filters: Any) -> Iterator[pa.Table]:
    """The rows that pass, with their numbers: a filter that Arrow applies while it reads counts nothing it left out."""
    done = 0
    for table in tables:
        numbers = pa.array(range(done, done + table.num_rows), pa.int64())
        done += table.num_rows
        table = table.append_column(ROW, numbers)
        yield table if filters is None else table.filter(filters)


def with_judged(schema: pa.Schema, judges: Iterable[JudgingStage]) -> pa.Schema:
    """The schema with the columns of some judges that it lacks."""
    lacking = (field for judge in judges for field in judge.columns if field.name not in schema.names)
    return pa.schema([*schema, *lacking]).with_metadata(schema.metadata)


def words_of(verdicts: Verdicts) -> list[str]:
    """Verdicts as a list of words."""
    return [verdicts] if isinstance(verdicts, str) else [*(verdicts or ())]


def chosen(schema: pa.Schema, verdicts: Verdicts, mixed: bool = False) -> Any:
    """The filter of a shard whose own columns say what is kept, as a release's do; None: all of its rows.

    Raises ValueError where verdicts are asked for and the shard has none, unless other shards have some.
    """
    # Else `verdict` and `kept` were carried from a manifest, or these are the scores themselves, which have no url.
    released = "url" in schema.names and bool(said_by(schema))
    words = words_of(verdicts)
    if verdicts is None:
        return pc.field("kept") if released and "kept" in schema.names else None
    released = released and "verdict" in schema.names
    if words == ["all"]:
        return None
    if not (released or mixed):
        raise ValueError(
            "verdicts= needs a root with scores or a release with verdicts: "
            "make them with `danqing revalidate ROOT`"
        )
    if not released:
        return pc.scalar(False)
    # Of a curated release: a pair that is out although its verdict is one of those that are kept fell to curate.
    among = pc.field("verdict").isin(words)
    curated = {"kept", COS_MODEL.name} <= {*schema.names}
    return among & (pc.field("kept") | ~pc.field("verdict").isin([*KEPT])) if curated else among


def open_fragment(source: Any, reading: Reading) -> Any:
    """An open Parquet file as a fragment of a pyarrow data set."""
    layout = pds.ParquetFileFormat(default_fragment_scan_options=reading.scan_options)
    fragment = layout.make_fragment(source)
    reading.check(fragment.physical_schema.names)
    return fragment


def scan(
    fragment: Any, columns: list[str], batch_size: int | None, filters: Any = None, schema: Any = None
) -> Iterator[pa.Table]:
    """The rows of a fragment in order, in batches within its row groups; of the columns, those that it has.

    schema: of the columns that `filters` may name, where these are more; those that it has not are null.
    """
    if not fragment.row_groups:
        return
    present = fragment.physical_schema.names
    for batch in fragment.to_batches(
        batch_size=batch_size or fragment.row_groups[0].num_rows,
        columns=[name for name in columns if name in present],
        filter=filters,
        schema=schema,
        batch_readahead=0,  # of batches that hold pictures; as the Parquet builder of `datasets` has it
        fragment_readahead=0,
    ):
        yield pa.Table.from_batches([batch])


def row_ranges(source: Any, groups: tuple[int, ...]) -> list[tuple[int, int]]:
    """The half-open row ranges of some row groups of an open Parquet file."""
    starts = group_starts(pq.read_metadata(source))
    return [(starts[group], starts[group + 1]) for group in groups]


def in_validation(keys: Any, share: float) -> Any:
    """Which keys fall under the share: schema.validation_share(key) < share, for a column at once.

    The last 8 of the 32 hex characters have a fixed width, so they compare as text as they do as numbers.
    """
    limit = math.ceil(share * 2**32)
    return pc.less(pc.utf8_slice_codeunits(keys, start=-8), f"{limit:08x}" if limit < 2**32 else "g")


def with_validation(fragment: Any, share: float) -> Any:
    """A Parquet fragment with the row groups that hold a validation pair, found by reading the keys alone.

    Of 1 pair in 1000 and groups of 256 rows, one group in four is left to be read with its pictures.
    """
    chosen = []
    for group in fragment.row_groups:
        keys = fragment.subset(row_group_ids=[group.id]).to_table(columns=["key"])["key"]
        if pc.any(in_validation(keys, share)).as_py():
            chosen.append(group.id)
    return fragment.subset(row_group_ids=chosen)


def in_part(keys: Any, reading: Reading) -> Any:
    """Which keys are of the validation split, or with any other part of those that it leaves."""
    inside = in_validation(keys, reading.share)
    return inside if reading.part == "validation" else pc.invert(inside)


def with_key(table: pa.Table) -> pa.Table:
    """A manifest's rows with their key, where it does not hold one; needs the columns url and alt_text."""
    urls = table["url"].to_pylist()
    texts = table["alt_text"].to_pylist() if "alt_text" in table.column_names else [None] * len(urls)
    return table.append_column("key", pa.array(map(pair_key, urls, texts), pa.string()))


def without_broken(table: pa.Table, is_intact: Callable[[bytes], bool]) -> pa.Table:
    """The table without the rows whose `image` has no bytes or such that are not intact; itself where all are."""
    files = pc.struct_field(table["image"], "bytes").to_pylist()
    keep = [file is not None and is_intact(file) for file in files]
    return table if all(keep) else table.filter(pa.array(keep, pa.bool_()))


def caption(table: pa.Table, choice: str, seed: int) -> Any:
    """The column `caption` of strings.

    choice: `alt_text` as it is; `recaption`, or alt_text where that is null; `random`, one of the two by a
    bit of key and seed, and the other where that is null.
    """
    alt_text = table["alt_text"]
    recaption = table["recaption"] if "recaption" in table.column_names else alt_text
    if choice == "alt_text":
        return alt_text
    if choice == "recaption":
        return pc.coalesce(recaption, alt_text)
    # The parity of the key under a mask drawn from the seed: keys are hashes, so each seed deals anew.
    mask = int.from_bytes(hashlib.blake2b(str(seed).encode(), digest_size=16).digest())
    keys: list[Any] = table["key"].to_pylist()
    bits = pa.array([bool((int(key, 16) & mask).bit_count() & 1) for key in keys], pa.bool_())
    return pc.if_else(bits, pc.coalesce(recaption, alt_text), pc.coalesce(alt_text, recaption))


def conform(table: pa.Table, target: pa.Schema) -> pa.Table:
    """The columns of `target`, null where there are none; without a copy where the types are those already."""
    for field in target:
        if field.name not in table.column_names:
            table = table.append_column(field.name, pa.nulls(table.num_rows, field.type))
    table = table.select(target.names)
    columns = [_served(column, kind) for column, kind in zip(table.columns, target.types, strict=True)]
    if [column.type for column in columns] == target.types:
        return pa.Table.from_arrays(columns, schema=target)
    from datasets.table import table_cast

    return table_cast(pa.table(columns, target.names), target)  # type: ignore[no-any-return]


def _served(column: Any, kind: pa.DataType) -> Any:
    """A column as the loader hands it out: torch knows no dates, and turns large hashes into negative numbers."""
    if pa.types.is_timestamp(column.type) and kind == pa.int64():
        moments = column.cast(pa.timestamp(column.type.unit))
        return pc.floor_temporal(moments, unit="millisecond").cast(pa.timestamp("ms")).cast(kind)
    if column.type == pa.uint64() and kind == pa.string():
        return pc.if_else(column.is_valid(), hex_of(pc.fill_null(column, 0).to_numpy().astype(">u8")), None)
    return column
