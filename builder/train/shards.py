"""The shards of a root as what is trained on: which of their rows the loader serves, and the pairs of a row group.

    shard ─▶ look: its keys and what its judges say of them, no picture ─▶ read: a row group, with its pictures

Nothing here decides what is kept: disk/layout finds the files, disk/sidecar and disk/batches read them, as they do for
danqing.load. All of it may be called from many threads.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
from datasets import DownloadConfig

from ..disk import asked, batches, layout, ledger, sidecar
from ..disk.digests import keys_of
from ..disk.files import filesystem
from ..disk.parquet import check_rows, group_starts, parquet
from ..disk.reading import opened, reading
from ..errors import InputError, first_line
from .config import CAPTIONS
from .looked import PAIRS, Looked, cores

LOOKING = 8  # shards that are looked at side by side, at least: of a store, most of the time is waiting


class Shards:
    """The shards of a root. names: of their files; splits: of each; root: as it is asked for; rows: that are there.

    decisions: the names of those that judged it, by stage. Raises InputError where it is no root, or half judged.
    """

    def __init__(self, root: str, verdicts: Sequence[str], captions: Sequence[str], tell: Any) -> None:
        config = DownloadConfig(token=layout.placed({}).get("token"))
        with _explained(root):
            self.root = layout.location(root, None, tell)
            found = layout.find_shards("pairs", self.root, config)
            self._verdicts: Any = "all" if [*verdicts] == ["all"] else [*verdicts] or None
            self._sidecars = layout.find_sidecars(found, self._verdicts, config)
        places = [(url, split) for split, urls in found.items() for url in urls if split != "test"]
        self.names = [url for url, _ in places]
        self.splits = [split for _, split in places]
        self._captions = captions

    @property
    def decisions(self) -> dict[str, str]:
        """The name of each decision that says what is kept, by the stage that made it."""
        return {one.judge.stage: one.decision for some in self._sidecars.of.values() for one in some}

    @property
    def judged(self) -> str:
        """What was done to the root, as `scored and curated`; empty where it was judged by nothing beside it."""
        return " and ".join(judge.judged for judge in self._sidecars.judges)

    def checksums(self) -> dict[str, str]:
        """What the ledger recorded of the files, by their names in the root; of a root without one, nothing."""
        done = ledger.read_all(self.root, "rebuild")
        return {
            path: f"{file['bytes']}-{file.get('xxh3_128', '')}"
            for one in done
            for path, file in one.outputs.items()
            if path.startswith("images/")
        }

    def looked(self) -> list[Looked]:
        """What each shard holds. Raises what `look` raises."""
        with ThreadPoolExecutor(max(LOOKING, cores()), "danqing-look") as pool:
            return [*pool.map(self.look, range(len(self.names)))]

    def look(self, number: int) -> Looked:
        """Which rows of a shard are served. Raises InputError, as `read`; and where it is no shard of pairs."""
        url = self.names[number]
        with parquet(url) as file:
            fs, path = filesystem(url)
            check_rows(file.metadata, fs.size(path))
            starts = np.asarray(group_starts(file.metadata), np.int64)
            self._check(file.schema_arrow, url)
            key = ["key"] if "key" in file.schema_arrow.names else ["key", "url", "alt_text"]
        wanted = batches.Reading([*key, batches.ROW], verdicts=self._verdicts, judges=self._sidecars.judges)
        beside = self._sidecars.of.get(url, ())
        with contextlib.ExitStack() as stack:
            source = stack.enter_context(_open(url))
            there = [(stack.enter_context(_open(one.file)), one) for one in beside]
            stack.enter_context(_explained(url))
            found = sidecar.read(source, None, wanted, there) if there else batches.read(source, None, wanted)
            parts = [(keys_of(table["key"]), table[batches.ROW].to_numpy()) for table in found]
        rows = np.concatenate([np.empty(0, np.int64), *(rows for _, rows in parts)])
        for (_, valid), those in parts:
            if not valid.all():
                row = those[int(np.argmin(valid))]
                raise InputError(
                    f"{url}: row {row} has a key that is no 32 hex characters; make the root anew"
                )
        keys = np.concatenate([np.empty(0, "S16"), *(keys for (keys, _), _ in parts)])
        return Looked(starts, rows, keys)

    def read(self, number: int, group: int) -> pa.Table:
        """The pairs of a row group, as PAIRS. Raises InputError for a damaged file, EnvironmentProblem elsewhere."""
        url = self.names[number]
        with parquet(url, damaged=f"row group {group} is damaged; restore the file and go on") as file:
            key = ["key"] if "key" in file.schema_arrow.names else ["url"]
            table = file.read_row_group(group, columns=[*key, "image.bytes", *CAPTIONS], use_threads=False)
            return _as_pairs(table if "key" in table.column_names else batches.with_key(table))

    def _check(self, schema: pa.Schema, url: str) -> None:
        with _explained(url):
            options = SimpleNamespace(
                name="pairs",
                caption="alt_text",
                verdicts=self._verdicts,
                filters=None,
                sidecars=self._sidecars,
            )
            asked.check_schema(options, schema, url)
        for name in self._captions:
            if name not in schema.names:
                raise InputError(f"{url}: no column {name}, which --text names; leave it out of --text")
        if "key" not in schema.names and "url" not in schema.names:
            raise InputError(
                f"{url}: no column key, and no url of which it could be made; make the root anew"
            )
        for name in CAPTIONS:
            if name in schema.names and not _is_text(schema.field(name).type):
                raise InputError(
                    f"{url}: column {name} is {schema.field(name).type}, and no text; make the root anew"
                )
        kind = schema.field("image").type
        if not (pa.types.is_struct(kind) and kind.get_field_index("bytes") >= 0):
            raise InputError(
                f"{url}: column image is {kind}, and no picture with its bytes; rebuild the root"
            )


def _is_text(kind: pa.DataType) -> bool:
    """Whether a column of that type holds texts, or nothing at all."""
    plain = kind.value_type if pa.types.is_dictionary(kind) else kind
    return any(
        one(plain)
        for one in (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view, pa.types.is_null)
    )


def _as_pairs(table: pa.Table) -> pa.Table:
    """A table with the columns of PAIRS alone; a caption that is not there is null."""
    columns = []
    for field in PAIRS:
        if field.name not in table.column_names:
            columns.append(pa.nulls(table.num_rows, field.type))
            continue
        column: Any = table[field.name]
        if field.name == "image":
            column = batches.pc.struct_field(column, "bytes")
        columns.append(column if column.type == field.type else column.cast(field.type))
    return pa.Table.from_arrays(columns, schema=PAIRS)


@contextlib.contextmanager
def _open(url: str) -> Iterator[Any]:
    with reading(url), opened(*filesystem(url)) as file:
        yield file


@contextlib.contextmanager
def _explained(place: str) -> Iterator[None]:
    """Turn what the loader says of a root, or of a file, into an InputError."""
    try:
        with batches.named(place):
            yield
    except (ValueError, FileNotFoundError) as error:
        raise InputError(first_line(error)) from error
