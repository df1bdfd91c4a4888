"""Where the numbers of a curation lie between its passes, and which of them stay so that --decide can go by them.

ledger/curate/spool/centroids.parquet        the centroids of the cells, float16
ledger/curate/spool/sample.parquet           pairs by which the search for duplicates is checked: row, vector
ledger/curate/spool/cells/part-00003-….arrow the pictures of a shard, dealt to the cells that they visit
ledger/curate/spool/sample/part-00003-….parquet  what lies near the sample in a shard, exactly

ledger/curate/numbers/part-00003-….parquet   of each pair of a shard: key, whether its picture is embedded, cosine
ledger/curate/edges/cell-00003-….parquet     two pictures that lie near each other, and their cosine
ledger/curate/twins/cell-00003-….parquet     pictures of one embedding, and the first of them
ledger/curate/found.json                     how many of the pairs near the sample were found, by band of cosine
ledger/curate/known.parquet                  rows that releases of --against have, and their keys there
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

import pyarrow as pa
import pyarrow.parquet as pq

from ..disk import documents
from ..disk.files import join, listdir, write_atomic
from ..disk.ledger import ReadFile, ShardLedger, Tally, WrittenFile
from ..disk.parquet import parquet, pc
from ..disk.schema import unlike
from ..errors import InputError
from ..stage.shards import Shard, lost_files, markers
from ..stage.spool import PassSetup, read_document, stem
from .config import CurateConfig

STAGE = "curate"
MEASURED, EMBEDDED, LOOKED, CENTERED, DEALT, SEARCHED, JUDGED = (
    "curate/1-measures",
    "curate/2-embeddings",
    "curate/3-looks",
    "curate/4-centroids",
    "curate/5-deal",
    "curate/6-cells",
    "curate/7-shards",
)
LEDGER, SPOOL = "ledger/curate", "ledger/curate/spool"
CENTROIDS, SAMPLE = f"{SPOOL}/centroids.parquet", f"{SPOOL}/sample.parquet"
FOUND, KNOWN = f"{LEDGER}/found.json", f"{LEDGER}/known.parquet"
NUMBERS = pa.schema(
    [  # type: ignore[arg-type]  # the stubs make it a list of objects
        pa.field("key", pa.binary(16), nullable=False),
        pa.field("embedded", pa.bool_(), nullable=False),
        pa.field("cos", pa.float64()),  # exact, of the stored float16; null: no embedding, or no caption
    ]
)
ROW = pa.int32()  # the number of a picture, among those of the root and then of --against
EDGES = pa.schema([pa.field("one", ROW), pa.field("other", ROW), pa.field("cos", pa.float64())])  # type: ignore[arg-type]
TWINS = pa.schema([pa.field("row", ROW), pa.field("first", ROW)])
MATCHES = pa.schema([pa.field("row", ROW), pa.field("key", pa.string())])  # type: ignore[arg-type]
ANEW = "remove it, and run danqing curate again without --decide: it is then made anew"


class FoundDocument(TypedDict):
    """found.json. recall: [pairs, found] by band of cosine, of the pairs near `sample` pictures."""

    sample: int
    recall: dict[str, list[int]]


@dataclass(frozen=True, slots=True)
class Compared:
    """A shard whose pictures are compared. first: the number of its first row; own: it is of the root itself.

    embeddings: the file of its embeddings; checksum: of its pictures.
    """

    number: int
    root: str
    stem: str
    rows: int
    first: int
    own: bool
    embeddings: str
    checksum: str


@dataclass(frozen=True, slots=True)
class CurateSetup(PassSetup):
    """What every worker is started with.

    sources: of the root, then of --against; releases: files of those; parts: that the cells fall into.
    """

    config: CurateConfig
    sources: tuple[Compared, ...]
    releases: tuple[str, ...] = ()
    parts: int = 0

    @property
    def rows(self) -> int:
        """The rows of all sources."""
        return sum(one.rows for one in self.sources)

    @property
    def own(self) -> list[Compared]:
        """The sources that are of the root itself, which come first."""
        return [one for one in self.sources if one.own]

    @property
    def own_rows(self) -> int:
        """The rows of the root itself."""
        return sum(one.rows for one in self.own)

    def part(self, number: int) -> str:
        """The stem of what is made of a source."""
        return stem("part", number, len(self.sources))

    def cell(self, number: int) -> str:
        """The stem of what is made of some cells."""
        return stem("cell", number, self.parts)


def mark(
    root: str, of: str, source: Compared | Shard, told: Tally, outputs: dict[str, WrittenFile], config: str
) -> ShardLedger:
    """Write the marker of a shard that a pass is done with. config: what else it was made with."""
    read = {f"images/{source.stem}.parquet": ReadFile(rows=source.rows, xxh3_128=source.checksum)}
    done = ShardLedger.of(of, source.stem, told, inputs=read, outputs=outputs, config=config, seconds=0.0)
    done.write(root)
    return done


def numbers_of(name: str) -> str:
    """The numbers of a source, below the root."""
    return f"{LEDGER}/numbers/{name}.parquet"


def dealt_of(name: str) -> str:
    """The pictures of a source by cell, below the root."""
    return f"{SPOOL}/cells/{name}.arrow"


def near_of(name: str) -> str:
    """What lies near the sample in a source, below the root."""
    return f"{SPOOL}/sample/{name}.parquet"


def edges_of(name: str) -> str:
    """The edges of some cells, below the root."""
    return f"{LEDGER}/edges/{name}.parquet"


def twins_of(name: str) -> str:
    """The twins of some cells, below the root."""
    return f"{LEDGER}/twins/{name}.parquet"


@contextmanager
def made(url: str, promised: pa.Schema, rows: int | None = None) -> Iterator[pq.ParquetFile]:
    """A file that a pass wrote, open. rows: that it has; None: any number.

    InputError where it is damaged, or has other columns or rows than that pass wrote.
    """
    with parquet(url, ANEW) as file:
        wrong = unlike(file.schema_arrow, promised, promised.names)
        if not wrong and rows not in (None, found := file.metadata.num_rows):
            wrong = f"{found:,} rows, not {rows:,}"
        if wrong:
            raise InputError(f"{url}: {wrong}; {ANEW}")
        yield file


def check_numbers(url: str, column: Any, rows: int) -> None:
    """InputError where a column of numbers of rows has one that is none of so many. url: the file that it is of."""
    ends = pc.min_max(column).as_py()
    if column.null_count or (len(column) and not 0 <= ends["min"] <= ends["max"] < rows):
        raise InputError(f"{url}: numbers that no row has; {ANEW}")


def lost(setup: CurateSetup) -> str | None:
    """A file that --decide goes by and that is not as it was written any more; None where all are."""
    done = [one for name in (DEALT, SEARCHED) for one in markers(setup.root, name).values()]
    paths = [path for _, path, _ in lost_files(setup.root, done) if not path.startswith(f"{SPOOL}/")]
    if setup.releases and KNOWN.rpartition("/")[2] not in listdir(join(setup.root, LEDGER)):
        paths.append(KNOWN)
    return min(paths, default=None)


def read_found(root: str) -> FoundDocument | None:
    """The recall of the search; None before it is known; InputError where it is none."""
    document = read_document(root, FOUND, "recall", _check)
    if document is None:
        return None
    return FoundDocument(sample=document["sample"], recall=document["recall"])


def _check(document: documents.Document) -> None:
    documents.check(document, FoundDocument)
    if any(len(counts) != 2 or counts[1] > counts[0] for counts in document["recall"].values()):
        raise ValueError("recall: not pairs and found of each band")


def write_found(root: str, document: FoundDocument) -> None:
    """Write found.json."""
    write_atomic(join(root, FOUND), json.dumps(document, indent=1).encode())
