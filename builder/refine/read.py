"""The first pass: rows of the manifest ─▶ the steps that a text goes through by itself ─▶ pairs, dealt to key buckets.

Beside them it writes how often each word comes in their texts. Memory holds the rows of one unit, whatever the
manifest.

The columns of a refined manifest are url, alt_text, alt_text_raw, source_key, recaption where there is one, then what
is carried, by its own names. A manifest that was refined before keeps its alt_text_raw and source_key: they are of the
text as it was found.
"""

from __future__ import annotations

import dataclasses
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute
import pyarrow.types as types
import xxhash

from ..disk.buckets import KEY, Numbers, Scatter, first_bytes
from ..disk.files import leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.schema import SPLITS, pair_key
from ..manifest import Manifest
from ..reasons import Reason
from ..stage.engine import Unit
from ..stage.rows import ManifestShard, as_bytes, rows_of_shards
from ..stage.spool import DROPPED
from . import pii
from .entropy import counted
from .recipe import LONGEST_READ
from .spool import READ, RefineSetup, rows_of, words_of
from .steps import Refined, Steps
from .words import Hashes, Words

ROWS, BYTES = 32_768, 64 << 20  # of a batch; pairs that are held have as many bytes
CHARACTERS = 1 << 19  # of a batch, and one more text

RAW, SOURCE = "alt_text_raw", "source_key"
_OWN = ("url", "alt_text", RAW, SOURCE, "recaption")

pc: Any = compute  # its stubs know no mix of column and constant


@dataclass(frozen=True, slots=True)
class RefineTask(Unit):
    """Rows of the manifest. rows: these, as an Arrow IPC stream."""

    shard: ManifestShard
    rows: bytes


def tasks(manifest: Manifest, inputs: Sequence[ManifestShard], todo: Sequence[Unit]) -> Iterator[RefineTask]:
    """Some units with their rows, read as they are asked for and held ROWS at a time. inputs: all units."""
    parts = [
        dataclasses.replace(shard, start=start, stop=min(start + ROWS, shard.stop))
        for shard in (inputs[one.number] for one in todo)
        for start in range(shard.start, max(shard.stop, shard.start + 1), ROWS)
    ]
    for number, some in groupby(rows_of_shards(manifest, parts), key=lambda one: one[0].number):
        rows = as_bytes(manifest.schema, (table for _, table in some))
        yield RefineTask(number, shard=inputs[number], rows=rows)


class RowsReader:
    """The refinement of the rows of one unit. told: its counts so far."""

    def __init__(self, setup: RefineSetup, steps: Steps, task: RefineTask) -> None:
        self._setup, self._steps, self._task = setup, steps, task
        self._parts = [setup.spooled.empty_table()]
        self._words: list[Hashes] = []
        self.told = Tally()

    def read(self, look: Callable[[], None]) -> ShardLedger:
        """Refine them, and write what is left and then the marker."""
        began, setup, name = time.monotonic(), self._setup, self._setup.input_stem(self._task.number)
        leave_if_orphaned()
        self._steps.counters.clear()
        scatter = Scatter(setup.temporary(rows_of(name)), setup.spooled, setup.root)
        with setup.dropping(READ, name) as tell, pa.ipc.open_stream(self._task.rows) as stream:
            for part in batches(pa.Table.from_batches([one]) for one in stream):
                look()
                refined = self._steps.refine(part["alt_text"].to_pylist(), languages(part))
                self._count(refined)
                if setup.dropped:
                    tell(told_of(part, refined.reasons))
                self._parts.append(self._pairs(part, refined))
                if sum(one.nbytes for one in self._parts) > BYTES:
                    self._scatter(scatter)
            self._scatter(scatter)
        scatter.close()
        self.told.counters |= {"inputs": 1, **self._steps.counters}
        outputs = {
            rows_of(name): setup.publish(rows_of(name), self.told.kept),
            words_of(name): setup.write(words_of(name), counted(self._words)),
        }
        return setup.mark(READ, name, self.told, outputs, time.monotonic() - began)

    def _count(self, refined: Refined) -> None:
        for reason, count in Counter(refined.reasons).items():
            if reason is None:
                self.told.rows += count
                self.told.kept += count
            else:
                self.told.drop(reason.value, count)

    def _pairs(self, rows: pa.Table, refined: Refined) -> pa.Table:
        """The pairs that are left, as they go on."""
        setup, left = self._setup, rows.take(refined.rows)
        urls, raws = left["url"].to_pylist(), left["alt_text"].to_pylist()
        sources = [*map(pair_key, urls, raws)]
        same = zip(urls, refined.texts, raws, sources, strict=True)
        keys = [source if text == raw else pair_key(url, text) for url, text, raw, source in same]
        made: dict[str, Any] = {name: left[field] for name, field in setup.names.items()}
        made["alt_text"] = pa.array(refined.texts, pa.string())
        made[RAW] = pc.coalesce(made[RAW], left["alt_text"]) if RAW in made else left["alt_text"]
        told = pa.array(sources, pa.string())
        made[SOURCE] = pc.coalesce(made[SOURCE], told) if SOURCE in made else told
        pairs = pa.Table.from_arrays([made[name] for name in setup.columns.names], schema=setup.columns)
        self._words.append(refined.words.spoken[0])
        split = SPLITS.index(self._task.shard.split)
        # Of copies that of a later split stays: what a benchmark holds is not to be trained on.
        order = np.uint64((len(SPLITS) - split) << 62) | fingerprints(
            pairs.drop_columns(["url", "alt_text"])
        ) >> np.uint64(2)
        columns = [
            pa.array([bytes.fromhex(key) for key in keys], pa.binary(16)),
            pa.array(order),
            pa.array(np.full(len(keys), split, np.uint8)),
            pa.array(refined.words.stop),
            lists_of(refined.words),
            pairs.to_struct_array().combine_chunks()
            if len(keys)
            else pa.array([], pa.struct([*setup.columns])),
        ]
        return pa.Table.from_arrays(columns, schema=setup.spooled)

    def _scatter(self, scatter: Scatter) -> None:
        """Deal the pairs that are held to key buckets."""
        pairs = pa.concat_tables(self._parts)
        keys: Any = pairs[KEY].to_pylist()
        scatter.write(pairs, first_bytes(np.frombuffer(b"".join(keys), "S16")))
        self._parts = self._parts[:1]


def lists_of(words: Words) -> pa.ListArray[Any]:
    """The hashes of the words of each text."""
    hashes, counts = words.spoken
    offsets: Any = np.concatenate([[0], np.cumsum(counts)]).astype(np.int32)
    lists: pa.ListArray[Any] = pa.ListArray.from_arrays(offsets, pa.array(hashes))
    return lists


def batches(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Rows in parts of at most ROWS and some BYTES, whose texts are together not much longer than CHARACTERS."""
    for rows in tables:
        yield from _batches(rows)


def _batches(rows: pa.Table) -> Iterator[pa.Table]:
    most = max(1, min(ROWS, BYTES * len(rows) // max(rows.nbytes, 1)))
    lengths = pc.fill_null(pc.utf8_length(rows["alt_text"]), 0).to_numpy()
    ends = np.cumsum(np.minimum(lengths, LONGEST_READ), dtype=np.int64)
    start = 0
    while start < len(rows):
        before = int(ends[start - 1]) if start else 0
        stop = min(start + most, 1 + int(np.searchsorted(ends, before + CHARACTERS)))
        yield rows.slice(start, stop - start)
        start = min(stop, len(rows))


def languages(rows: pa.Table) -> list[str | None]:
    """The languages of the pages, where the manifest has them as text."""
    if "page_lang" in rows.column_names and pa.types.is_string(rows["page_lang"].type):
        langs: list[str | None] = rows["page_lang"].to_pylist()
        return langs
    return [None] * len(rows)


def told_of(rows: pa.Table, reasons: list[Reason | None]) -> pa.Table:
    """The table of dropped pairs that --dropped asks for, without texts that hold personal data or are none."""
    (some,) = np.nonzero([reason is not None for reason in reasons])
    words = [str(reasons[place]) for place in some]
    lost = rows.take(some)
    return dropped_table(lost, pa.array(_impersonal(lost["alt_text"].to_pylist(), words), pa.string()), words)


def dropped_table(rows: pa.Table, texts: Any, reasons: Sequence[str]) -> pa.Table:
    """Pairs as --dropped lists them. texts: as they are to be shown."""
    place = rows.schema.get_field_index("page_url")
    text = place >= 0 and types.is_string(rows.schema.field(place).type)
    pages = rows.column(place) if text else pa.nulls(len(rows), pa.string())
    return pa.Table.from_arrays([rows["url"], texts, pages, pa.array(reasons, pa.string())], schema=DROPPED)


def _impersonal(texts: list[str | None], words: list[str]) -> list[str | None]:
    """Texts as they may be written: none that holds personal data, whatever it is dropped for, nor a whole page."""
    short = [text if text and len(text) <= LONGEST_READ else "" for text in texts]
    personal = {row for row, _ in pii.find(short)}
    return [
        None if word == Reason.PII or row in personal or (text and not short[row]) else text
        for row, (text, word) in enumerate(zip(texts, words, strict=True))
    ]


# ---- columns


def columns_of(manifest: Manifest) -> tuple[pa.Schema, dict[str, str]]:
    """The columns of the refined manifest, and where they come from: for names of it, names in tables of `manifest`."""
    text = pa.string()
    fields: list[pa.Field[Any]] = [pa.field(name, text) for name in _OWN[:4]]
    names = {"url": "url"}
    for field, source in zip(manifest.schema, manifest.columns.sources, strict=True):
        if field.name in ("url", "alt_text") or source is None:
            continue
        again = source in (RAW, SOURCE) and types.is_string(field.type)
        name = source if source not in _OWN or field.name == "recaption" or again else f"manifest_{source}"
        while name in names:
            name = f"manifest_{name}"
        names[name] = field.name
        if not again:
            fields.append(pa.field(name, field.type))
    return pa.schema(fields), names


def fingerprints(rows: pa.Table) -> Numbers:
    """A hash of each row, (n,): of two with one key it says which is kept, whatever their order."""
    texts = [_as_bytes(column) for column in rows.combine_chunks().itercolumns()]
    joined = pc.binary_join_element_wise(*texts, b"\x1f", null_handling="replace", null_replacement=b"\x1e")
    return np.array([xxhash.xxh3_64_intdigest(row) for row in joined.to_pylist()], np.uint64)


def _as_bytes(column: Any) -> Any:
    """The values of a column written as bytes."""
    if types.is_binary(column.type):
        return column
    try:
        return column.cast(pa.string()).cast(pa.binary())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):  # lists and structs, and numbers of 16 bits
        pass
    return pa.array(
        [repr(value).encode("utf-8", "surrogatepass") for value in column.to_pylist()], pa.binary()
    )
