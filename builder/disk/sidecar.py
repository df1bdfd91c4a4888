"""The join of a shard with its sidecars: row i of scores/ and of curated/ is of the pair in row i of images/.

In: a file of images/ and the files of the same name that judge it, all open. Out: Arrow tables of the pairs that all of
them keep, with columns of theirs appended. The sidecars are read first, for they are small; a row group of pictures in
which no pair is wanted is not read.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.parquet as pq

from ..reasons import Reason
from .batches import ROW, Reading, in_part, named, open_fragment, scan, words_of
from .filters import Filters
from .parquet import group_starts
from .schema import SCORING, JudgingStage, said_by, unlike

pc: Any = compute  # its stubs know no mix of column and constant

WANTED = " wanted"  # no name that a column of a file would have


@dataclass(frozen=True)
class Sidecar:
    """A file of a judge beside a shard. file: to read; url: as errors name it; decision: that it must bear."""

    judge: JudgingStage
    file: str
    url: str
    decision: str

    @property
    def key(self) -> str:
        """What its column of keys is called beside those of others."""
        return f" key in {self.judge.folder}"

    @property
    def remedy(self) -> str:
        """The command that makes such a file anew."""
        return f"run `danqing {self.judge.stage} {self.url.rpartition(f'/{self.judge.folder}/')[0]}`"

    @property
    def outlived(self) -> str:
        """What happened where it speaks of other pairs than the shard has, and what to do."""
        return f"the shard was made anew since it was {self.judge.judged}; {self.remedy}"


Open = tuple[Any, Sidecar]  # a sidecar, open


def read(
    source: Any, groups: tuple[int, ...] | None, reading: Reading, beside: Sequence[Open]
) -> Iterator[pa.Table]:
    """The wanted pairs of an open file of images/, or of some of its row groups, in batches.

    The columns and filters of `reading` may name those of every file; JudgingStage.beside says whose counts where two
    bear one name. What a filter says of image columns alone still skips row groups by their statistics. Raises
    ValueError where a sidecar and the pictures do not belong together, by their keys.
    """
    fragment = open_fragment(source, reading)
    present = fragment.physical_schema.names
    here = [at.judge for _, at in beside]
    judges = [*here, *(judge for judge in reading.judges if judge not in here)]
    fields = [judge.columns.field(name) for judge in judges for name in judge.beside(present)]
    own = {field.name for field in fields}
    images = [field for field in fragment.physical_schema if field.name not in own]
    filters = Filters(reading.filters, pa.schema([*images, *fields]))
    appended = [field for field in fields if field.name in {*reading.columns, *filters.named}]

    starts = [0, *itertools.accumulate(group.num_rows for group in fragment.row_groups)]
    span = (0, starts[-1]) if groups is None else (starts[min(groups)], starts[max(groups) + 1])
    judged = _load(beside, appended, span, starts[-1])
    judged = judged.append_column(WANTED, _wanted(judged, beside, reading, filters.implied(own)))
    if ROW in reading.columns:
        appended.append(pa.field(ROW, pa.int64()))
        judged = judged.append_column(appended[-1], pa.array(range(*span), pa.int64()))

    if groups is not None:
        fragment = fragment.subset(row_group_ids=groups)
    if (by_statistics := filters.implied(filters.named - own)) is not None:
        fragment = fragment.subset(filter=by_statistics)
    parts = {
        group.id: judged.slice(starts[group.id] - span[0], group.num_rows) for group in fragment.row_groups
    }
    parts = {group: part for group, part in parts.items() if pc.any(part[WANTED]).as_py()}
    if not parts:
        return
    columns = ["key", *reading.columns, *filters.named]
    columns = [name for name in dict.fromkeys(columns) if name not in own]
    tables = scan(fragment.subset(row_group_ids=[*parts]), columns, reading.batch_size)
    for table, rows in _abreast(tables, parts, [starts[group] for group in parts], beside):
        for field in appended:
            table = table.append_column(field.name, rows[field.name])
        if not pc.all(rows[WANTED]).as_py():
            table = table.filter(rows[WANTED])
        if (rest := filters.beyond(own)) is not None:
            table = table.filter(rest)
        if table.num_rows:
            yield table


def _abreast(
    tables: Iterator[pa.Table], parts: dict[int, pa.Table], starts: list[int], beside: Sequence[Open]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """Each batch of pictures with the rows of its sidecars; ValueError where their keys differ.

    parts: these rows by the row groups that `tables` come from; starts: the first row of each in the file.
    """
    judged, done = pa.concat_tables(parts.values()), 0
    for table in tables:
        rows, there = judged.slice(done, table.num_rows), table["key"].cast(pa.string())
        for _, at in beside:
            if not there.equals(rows[at.key]):
                pairs = [*zip(rows[at.key].to_pylist(), there.to_pylist(), strict=True)]
                wrong = [one == other for one, other in pairs].index(False)
                numbers = itertools.chain.from_iterable(
                    range(start, start + part.num_rows)
                    for start, part in zip(starts, parts.values(), strict=True)
                )
                raise ValueError(
                    f"{at.url}: row {[*numbers][done + wrong]} is of pair {pairs[wrong][0]}, in images/ it is "
                    f"{pairs[wrong][1]}: {at.outlived}"
                )
        done += table.num_rows
        yield table, rows


def _load(
    beside: Sequence[Open], appended: Sequence[pa.Field[Any]], span: tuple[int, int], rows: int
) -> pa.Table:
    """The rows `span` of the sidecars of a shard of `rows` pairs; a column that none of them has is null."""
    columns: dict[str, Any] = {field.name: pa.nulls(span[1] - span[0], field.type) for field in appended}
    for source, at in beside:
        wanted = [field.name for field in appended if field.name in at.judge.columns.names]
        table = _read(source, at, [*dict.fromkeys(["key", *at.judge.says, *wanted])], span, rows)
        columns |= {at.key if name == "key" else name: table[name] for name in table.column_names}
    return pa.table(columns)


def _read(source: Any, at: Sidecar, names: list[str], span: tuple[int, int], rows: int) -> pa.Table:
    """Some columns of the rows `span` of one sidecar, which must be of the decision that is in force."""
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
            f"{at.url}: {file.metadata.num_rows} rows, in images/ there are {rows}: {at.outlived}"
        )
    if what := unlike(file.schema_arrow, at.judge.columns, names):
        raise ValueError(f"{at.url}: no {at.judge.folder} of this version: {what}; {at.remedy}")
    starts = group_starts(file.metadata)
    inside = [n for n, (first, stop) in enumerate(pairwise(starts)) if first < span[1] and stop > span[0]]
    with named(at.url):
        table = file.read_row_groups(inside, columns=names, use_threads=False)
    return table.slice(span[0] - starts[inside[0]] if inside else 0, span[1] - span[0])


def kept(judge: JudgingStage, rows: pa.Table, verdicts: Sequence[str] = ()) -> Any:
    """Which rows of a sidecar its judge keeps; with verdicts, as if these were the ones that are kept."""
    if judge == SCORING:
        return (
            pc.is_in(rows["verdict"], value_set=pa.array(verdicts, pa.string()))
            if verdicts
            else pc.fill_null(rows["kept"], False)
        )
    # Redundancy has chosen among the pairs that verdicts kept: of the others it says no more than that.
    by_verdict = pc.fill_null(pc.equal(rows["reason"], Reason.VERDICT), False)
    return pc.or_(pc.is_null(rows["reason"]), by_verdict) if verdicts else pc.is_null(rows["reason"])


def _wanted(judged: pa.Table, beside: Sequence[Open], reading: Reading, filters: Any) -> Any:
    """Which rows to yield, as far as the sidecars can tell: by all judges, by the split and by filters on theirs."""
    words = words_of(reading.verdicts)
    some = words == ["all"] or not words or any(at.judge == SCORING for _, at in beside)
    terms = [pa.chunked_array([pa.repeat(pa.scalar(some), judged.num_rows)])]
    if words != ["all"]:
        terms += [kept(at.judge, judged, words) for _, at in beside]
    if reading.part is not None:
        terms.append(in_part(judged[beside[0][1].key], reading))
    if filters is not None:
        rows = judged.append_column(WANTED, pa.array(range(judged.num_rows), pa.int64()))
        terms.append(pc.is_in(rows[WANTED], value_set=rows.filter(filters)[WANTED]))
    return functools.reduce(pc.and_, terms)
