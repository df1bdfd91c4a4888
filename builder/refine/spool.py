"""Where the rows of a refinement lie between its passes: ledger/refine/spool/, which goes after the last marker.

rows/input-00012-of-00100.arrow      the pairs that are left of some rows of the manifest, dealt to key buckets
words/input-00012-of-00100.parquet   how often each word comes in their texts
pairs/bucket-00003-of-00256.parquet  a bucket of all, without copies, by split and key
words.parquet                        how often each word comes in all texts

ledger/refine/thresholds.json stays: the thresholds, and what those that lose as many pairs as in the paper would be.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import NotRequired, TypedDict

import pyarrow as pa

from ..disk import documents
from ..disk.buckets import KEY, ORDER
from ..disk.files import join, write_atomic
from ..stage.spool import PassSetup, read_document, stem
from .config import MOST_BITS, RefineConfig

STAGE = "refine"
READ, WEIGHED, BUCKETED, SHARDED = (
    "refine/1-steps",
    "refine/2-thresholds",
    "refine/3-buckets",
    "refine/4-shards",
)
PASSES = (READ, WEIGHED, BUCKETED, SHARDED)
SPOOL = "ledger/refine/spool"
WORDS = f"{SPOOL}/words.parquet"
THRESHOLDS = "ledger/refine/thresholds.json"
# Columns of a pair on its way, beside KEY and ORDER: the place of its split in SPLITS, its share of function words, the
# hashes of its words, and what will be written of it.
SPLIT, STOP, TOLD, PAIR = "split", "stop", "words", "pair"
MOST = {"stop_words": 1.0, "entropy": MOST_BITS}  # of thresholds


class Values(TypedDict):
    """What a pair must not be beyond. stop_words: share of function words, at most; entropy: bits, at least."""

    stop_words: NotRequired[float]
    entropy: NotRequired[float]


class ThresholdsDocument(TypedDict):
    """thresholds.json. used: by this run, without those of steps that are skipped; calibrated: as in the paper.

    words, different: how many words all texts have.
    """

    used: Values
    calibrated: Values
    words: int
    different: int


def rows_of(name: str) -> str:
    """The pairs of some rows of the manifest, below the root."""
    return f"{SPOOL}/rows/{name}.arrow"


def words_of(name: str) -> str:
    """The words of some rows of the manifest, below the root."""
    return f"{SPOOL}/words/{name}.parquet"


def pairs_of(name: str) -> str:
    """The pairs of a bucket, below the root."""
    return f"{SPOOL}/pairs/{name}.parquet"


def read_thresholds(root: str) -> ThresholdsDocument | None:
    """The thresholds of a root; None before they are known; InputError where they are none."""
    document = read_document(root, THRESHOLDS, "thresholds", _check)
    if document is None:
        return None
    return ThresholdsDocument(
        used=document["used"],
        calibrated=document["calibrated"],
        words=document["words"],
        different=document["different"],
    )


def _check(document: documents.Document) -> None:
    documents.check(document, ThresholdsDocument)
    for name, value in document["used"].items():
        if not 0 <= value <= MOST[name]:
            raise ValueError(f"{name} {value:g} out of its range")


def write_thresholds(root: str, document: ThresholdsDocument) -> None:
    """Write thresholds.json."""
    write_atomic(join(root, THRESHOLDS), json.dumps(document, indent=1).encode())


@dataclass(frozen=True, slots=True)
class RefineSetup(PassSetup):
    """What every worker is started with.

    columns: of the refined manifest; names: those that are carried, by their names in tables of the manifest; inputs:
    units that its rows make; buckets: units that the key buckets make.
    """

    config: RefineConfig
    columns: pa.Schema
    names: dict[str, str]
    inputs: int
    buckets: int = 0

    @property
    def spooled(self) -> pa.Schema:
        """The columns of a pair on its way."""
        return pa.schema(
            [  # type: ignore[arg-type]  # the stubs make it a list of objects
                pa.field(KEY, pa.binary(16)),
                pa.field(ORDER, pa.uint64()),
                pa.field(SPLIT, pa.uint8()),
                pa.field(STOP, pa.uint16()),
                pa.field(TOLD, pa.list_(pa.uint32())),
                pa.field(PAIR, pa.struct([*self.columns])),
            ]
        )

    def input_stem(self, number: int) -> str:
        """The stem of what a unit of rows writes."""
        return stem("input", number, self.inputs)

    def bucket_stem(self, number: int) -> str:
        """The stem of what a unit of key buckets writes."""
        return stem("bucket", number, self.buckets)

    @property
    def rows(self) -> list[str]:
        """The files of pairs that the first pass wrote."""
        return [join(self.root, rows_of(self.input_stem(number))) for number in range(self.inputs)]
