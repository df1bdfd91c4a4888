"""The join of a shard with its scores: row i of scores/ speaks of row i of images/, and bears the same key.

In: a file of images/ and the file of scores/ of the same name, both open. Out: Arrow tables of the pairs whose
verdict is wanted, with the columns SERVED appended. The scores are read first, for they are small; a row group of
pictures in which no pair is wanted is not read.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from .batches import Reading, in_part, named, open_fragment, scan, words_of
from .filters import Filters
from .parquet import group_starts
from .schema import SCORES, SERVED, said_by, unlike_scores

pc: Any = compute  # its stubs know no mix of column and constant

WANTED = " wanted"  # no name that a column of a file would have


@dataclass(frozen=True)
class ScoreFile:
    """Where the scores of a shard are. file: to read; url: as errors name it; decision: that it must bear."""

    file: str
    url: str
    decision: str

    @property
    def remedy(self) -> str:
        """The command that makes such scores anew."""
        return f"run `danqing revalidate {self.url.rpartition('/scores/')[0]}`"


def read(
    source: Any, groups: tuple[int, ...] | None, reading: Reading, file: Any, at: ScoreFile
) -> Iterator[pa.Table]:
    """The wanted pairs of an open file of images/, or of some of its row groups, in batches; file: of scores/, open.

    The columns and filters of `reading` may name those of both files: SERVED are of scores/ whatever the images
    carry, and any other that both have is the image's. What a filter says of image columns alone still skips row
    groups by their statistics. Raises ValueError where scores and pictures do not belong together.
    """
    fragment = open_fragment(source, reading)
    images = [field for field in fragment.physical_schema if field.name not in SERVED]
    own = set(SCORES.names) - {field.name for field in images}
    filters = Filters(reading.filters, pa.schema([*images, *(SCORES.field(name) for name in own)]))
    appended = sorted(own & {*reading.columns, *filters.named})

    starts = [0, *itertools.accumulate(group.num_rows for group in fragment.row_groups)]
    span = (0, starts[-1]) if groups is None else (starts[min(groups)], starts[max(groups) + 1])
    scores = _load(file, at, appended, span, starts[-1])
    scores = scores.append_column(WANTED, _wanted(scores, reading, filters.implied(own)))

    if groups is not None:
        fragment = fragment.subset(row_group_ids=groups)
    if (by_statistics := filters.implied(filters.named - own)) is not None:
        fragment = fragment.subset(filter=by_statistics)
    parts = {
        group.id: scores.slice(starts[group.id] - span[0], group.num_rows) for group in fragment.row_groups
    }
    parts = {group: part for group, part in parts.items() if pc.any(part[WANTED]).as_py()}
    if not parts:
        return
    columns = ["key", *reading.columns, *filters.named]
    columns = [name for name in dict.fromkeys(columns) if name not in own]
    tables = scan(fragment.subset(row_group_ids=[*parts]), columns, reading.batch_size)
    for table, beside in _abreast(tables, parts, [starts[group] for group in parts], at):
        for name in appended:
            table = table.append_column(name, beside[name])
        if not pc.all(beside[WANTED]).as_py():
            table = table.filter(beside[WANTED])
        if (rest := filters.beyond(own)) is not None:
            table = table.filter(rest)
        if table.num_rows:
            yield table


def _abreast(
    tables: Iterator[pa.Table], parts: dict[int, pa.Table], starts: list[int], at: ScoreFile
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Each batch of pictures with the rows of scores at its side; ValueError where their keys differ.

    parts: the scores of the row groups that `tables` come from; starts: the first row of each in the file.
    """
    scores, done = pa.concat_tables(parts.values()), 0
    for table in tables:
        beside = scores.slice(done, table.num_rows)
        if not table["key"].cast(pa.string()).equals(beside["key"]):
            there, here = table["key"].to_pylist(), beside["key"].to_pylist()
            wrong = [one == other for one, other in zip(there, here, strict=True)].index(False)
            rows = itertools.chain.from_iterable(
                range(start, start + part.num_rows)
                for start, part in zip(starts, parts.values(), strict=True)
            )
            row = [*rows][done + wrong]
            raise ValueError(
                f"{at.url}: row {row} is of pair {here[wrong]}, in images/ it is {there[wrong]}: "
                f"the shard was made anew since it was scored; {at.remedy}"
            )
        done += table.num_rows
        yield table, beside


def _load(source: Any, at: ScoreFile, columns: list[str], span: tuple[int, int], rows: int) -> pa.Table:
    """The rows `span` of the scores of a shard of `rows` pairs, of the decision that is in force."""
    try:
        file = pq.ParquetFile(source, pre_buffer=True)
    except pa.ArrowInvalid as error:
        raise ValueError(f"{at.url} is not a Parquet file: {at.remedy}") from error
    said = said_by(file.schema_arrow).get("decision")
    if said != at.decision:
        of = f"of decision {said}" if said else "without a decision"
        raise ValueError(f"{at.url}: {of}, ledger/ has {at.decision}: {at.remedy}")
    if file.metadata.num_rows != rows:
        raise ValueError(
            f"{at.url}: {file.metadata.num_rows} rows, in images/ there are {rows}: "
            f"the shard was made anew since it was scored; {at.remedy}"
        )
    starts = group_starts(file.metadata)
    inside = [n for n, (first, stop) in enumerate(pairwise(starts)) if first < span[1] and stop > span[0]]
    names = [*dict.fromkeys(["key", "verdict", "kept", *columns])]
    if what := unlike_scores(file.schema_arrow, names):
        raise ValueError(f"{at.url}: no scores of this version: {what}; {at.remedy}")
    with named(at.url):
        table = file.read_row_groups(inside, columns=names, use_threads=False)
    return table.slice(span[0] - starts[inside[0]] if inside else 0, span[1] - span[0])


def _wanted(scores: pa.Table, reading: Reading, filters: Any) -> Any:
    """Which rows to yield, as far as the scores can tell: by verdict, by the split and by filters on scores."""
    words = words_of(reading.verdicts)
    if reading.verdicts is None:
        wanted = pc.fill_null(scores["kept"], False)
    elif words == ["all"]:
        wanted = pa.chunked_array([pa.repeat(pa.scalar(True), scores.num_rows)])
    else:
        wanted = pc.is_in(scores["verdict"], value_set=pa.array(words, pa.string()))
    if reading.part is not None:
        wanted = pc.and_(wanted, in_part(scores["key"], reading))
    if filters is not None:
        rows = scores.append_column(WANTED, pa.array(range(scores.num_rows), pa.int64()))
        passing = rows.filter(filters)[WANTED]
        wanted = pc.and_(wanted, pc.is_in(rows[WANTED], value_set=passing))
    return wanted
