"""The on-disk contract: the columns of every file of a root, the reasons, and the key of a pair.

`danqing.FEATURES` and the YAML of the root's card say the same to `datasets`; a test pins the three together.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from .documents import Document

SPLITS = ("train", "validation", "test")


def pair_key(url: str | None, alt_text: str | None) -> str:
    """The stable 128-bit key of a pair as 32 hex characters: BLAKE2b-128 of url, a zero byte and alt_text.

    The url is the manifest's own string, untouched; a null counts as the empty string.
    """
    text = f"{url or ''}\x00{alt_text or ''}".encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def validation_share(key: str) -> float:
    """Where in [0, 1) a key falls; a pair is a validation pair when this is below the share asked for.

    It depends on the key alone, so the split is the same whatever the shard layout, world size or date.
    """
    return int(key[-8:], 16) / 2**32


TIMESTAMP = pa.timestamp("ms", tz="UTC")
EXTENSIONS = {"jpeg": "jpg"}  # of pictures by their format, where it has another name
STORED = ("jpeg", "png", "gif", "webp", "bmp", "tiff", "avif", "jp2")  # formats of pictures kept as served
IMAGE = pa.struct([pa.field("bytes", pa.binary()), pa.field("path", pa.string())])

# The columns of images/*.parquet that rebuild makes; the manifest's other columns are carried between
# `recaption` and `image`. One that bears a name used here is carried as manifest_<name>.
PAIR = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("alt_text", pa.string()),
        pa.field("recaption", pa.string()),
    ]
)
PICTURE = pa.schema(
    [
        pa.field("image", IMAGE),
        pa.field("width", pa.int32()),
        pa.field("height", pa.int32()),
        pa.field("original_width", pa.int32()),
        pa.field("original_height", pa.int32()),
        pa.field("sha256", pa.string()),  # of the bytes as fetched
        pa.field("phash", pa.string()),  # 64-bit DCT hash of the picture, 16 hex characters
        pa.field("format", pa.string()),  # of the file as fetched: jpeg, png, webp, gif ...
        pa.field("fetched_at", TIMESTAMP),
    ]
)
IMAGES = pa.unify_schemas([PAIR, PICTURE])

OUTCOMES = pa.schema(
    [  # type: ignore[arg-type]  # the stubs make it a list of objects
        pa.field("key", pa.string(), nullable=False),
        pa.field("url", pa.string()),
        pa.field("outcome", pa.string(), nullable=False),  # kept or dropped
        pa.field("reason", pa.string()),  # a Reason; null when kept
        pa.field("http_status", pa.int16()),
        pa.field("final_url", pa.string()),  # null when no redirect was followed
        pa.field("bytes", pa.int64()),  # of the body, after decompression
        pa.field("attempts", pa.int16(), nullable=False),  # requests made; 0: dropped without asking
        pa.field("milliseconds", pa.int32()),  # of the last attempt
        pa.field("content_type", pa.string()),
        pa.field("etag", pa.string()),
        pa.field("last_modified", pa.string()),
        pa.field("hash_verified", pa.bool_()),  # null: the manifest holds no hash or it was not asked for
        pa.field("decoder", pa.string()),  # the decode path that made the pixels
        pa.field("fetched_at", TIMESTAMP),
    ]
)

CODE_BITS = 256
CODE = pa.binary()  # of CODE_BITS // 8 bytes; `datasets` knows no binary of a fixed size

# scores/*.parquet: one row per row of images/, in the same order; the schema's metadata name the checkpoint.
SCORED = pa.schema(
    [  # type: ignore[arg-type]
        pa.field("key", pa.string(), nullable=False),
        pa.field("host", pa.string()),  # of the url
        pa.field("score_alt_text", pa.float32()),  # cosine; null: not asked for, or no caption or picture
        pa.field("score_recaption", pa.float32()),
        pa.field("code", CODE),  # of the picture as it is now; all zero where the pair came to no numbers
        pa.field("p_code", pa.float32()),  # null: no code recorded, or the bytes are the same
        pa.field("p_caption", pa.float32()),  # null: no caption, or the bytes are the same
        pa.field("same", pa.bool_()),  # the bytes hash as recorded; null: no hash recorded
        pa.field("code_distance", pa.int16()),  # bits of 256 between the recorded code and this one
        pa.field("score_change", pa.float32()),  # this score less the recorded one
        pa.field("phash", pa.uint64()),  # of images/, as a number
        pa.field("caption_hash", pa.uint64()),  # XXH3-64 of the caption as it was scored
    ]
)
DECIDED = pa.schema(
    [  # type: ignore[arg-type]
        pa.field("p", pa.float32()),  # of "neither the recorded picture nor the caption's"; null: not tested
        pa.field("verdict", pa.string()),  # a Verdict
        pa.field("cause", pa.string()),  # a Cause
        pa.field("suspect", pa.bool_()),  # kept, though its score fell by more than re-encoding explains
        pa.field("kept", pa.bool_()),
    ]
)
SCORES = pa.schema([*SCORED, *DECIDED])


def unlike(schema: pa.Schema, promised: pa.Schema, names: Iterable[str]) -> str | None:
    """What is wrong with some columns of a file, None where each has its type; nullable or not makes no odds."""
    for name in names:
        if name not in schema.names:
            return f"column {name} is missing"
        if (kind := schema.field(name).type) != promised.field(name).type:
            return f"column {name} is {kind}, not {promised.field(name).type}"
    return None


# measures/*.parquet: one row per row of images/, in the same order; null: the picture could not be decoded.
MEASURES = pa.schema(
    [  # type: ignore[arg-type]
        pa.field("key", pa.string(), nullable=False),
        pa.field("spread", pa.float32()),  # standard deviation of the luminance, of 256 levels
        pa.field("sharpness", pa.float32()),  # variance of its Laplacian
        pa.field("entropy", pa.float32()),  # of its histogram, bits
    ]
)
# curated/*.parquet: one row per row of images/, in the same order.
CURATED = pa.schema(
    [  # type: ignore[arg-type]
        pa.field("key", pa.string(), nullable=False),
        pa.field(
            "cos", pa.float32()
        ),  # of picture and caption, by the embedder; null: one of them has no embedding
        pa.field("nearest", pa.string()),  # the kept pair that stands for this duplicate; null: it is none
        pa.field(
            "dup_count", pa.int32()
        ),  # pairs that the kept one stands for, with itself; null: not looked at
        pa.field("dup_cluster", pa.string()),  # the least key of the set that duplicates connect; null: alone
        pa.field("reason", pa.string()),  # a Reason; null when kept
    ]
)
# changes/*.parquet of a release: a row per pair of the release before that it lacks.
CHANGES = pa.schema(
    [
        pa.field("key", pa.string(), nullable=False),
        pa.field("reason", pa.string(), nullable=False),
        pa.field("since", pa.string(), nullable=False),  # the release that it is not in
    ]
)
# What a release says of a pair that was judged, beside columns of scores/.
SCORE = pa.field("score", pa.float32())  # the one that was tested
SCORE_MODEL = pa.field("score_model", pa.string())
# What it says of a pair that was curated, beside columns of curated/; those of measures/ by their names there.
COS_MODEL = pa.field("cos_model", pa.string())
LUMINANCE = {f"luma_{name}": name for name in MEASURES.names[1:]}


@dataclass(frozen=True, slots=True)
class JudgingStage:
    """A stage that says of each pair of a root whether it is kept, in files beside those of images/.

    marked: the ledger with a marker for each of its files; folder: of these; columns: of these; own: those that count
    whatever images/ carries by their names, of any other that both have it is that of images/; appended: those that
    the loader appends unasked; judged: what was done to a root, as messages say it; says: the columns by which a pair
    is kept, the last one where nobody asks for some verdicts.
    """

    stage: str
    marked: str
    folder: str
    columns: pa.Schema
    own: tuple[str, ...]
    appended: tuple[str, ...]
    judged: str
    says: tuple[str, ...]

    @property
    def decision(self) -> str:
        """The path of its decision in a root."""
        return f"ledger/{self.stage}/decision.json"

    def beside(self, images: Iterable[str]) -> list[str]:
        """The columns that a shard has of it, beside these of images/."""
        return [name for name in self.columns.names if name in self.own or name not in {*images}]


# What the loader appends to a pair that was judged.
SERVED = ("score_alt_text", "score_recaption", "p", "verdict", "suspect")
SCORING = JudgingStage(
    "revalidate", "revalidate", "scores", SCORES, SERVED, SERVED, "scored", ("verdict", "kept")
)
CURATION = JudgingStage(
    "curate",
    "curate/7-shards",
    "curated",
    CURATED,
    tuple(CURATED.names[1:]),
    ("cos", "dup_count"),
    "curated",
    ("reason",),
)
JUDGES = (SCORING, CURATION)  # a pair is served where all that there are keep it


def outdated(read: str | None, there: str | None) -> str:
    """What is wrong where curate has read scores of another decision than those that are there now."""
    by = "no scores" if read is None else f"scores of decision {read}"
    return f"curated by {by}, and ledger/{SCORING.stage} has {there or 'no decision'}"


def is_list(kind: pa.DataType) -> bool:
    """Whether a column holds lists, of whatever kind of Arrow's."""
    return pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)


def measures_schema(on: str, decode: str) -> pa.Schema:
    """MEASURES that say of which pictures they are, `original` or `stored`, and by what their luminance was decoded."""
    return saying(MEASURES, {"measures": 1, "on": on, "decode": decode})


_SAID = b"danqing"  # the key of a schema's metadata under which a file of scores says what made it


def saying(schema: pa.Schema, said: Mapping[str, Any]) -> pa.Schema:
    """The schema of a file of scores that says of itself which checkpoint, panel, decision ... it is of."""
    return schema.with_metadata({_SAID: json.dumps(said, sort_keys=True, ensure_ascii=False).encode()})


def said_by(schema: pa.Schema) -> Document:
    """What a file of scores, or a verified manifest, says of itself; empty where it says nothing."""
    try:
        said = json.loads((schema.metadata or {}).get(_SAID, b"{}"))
    except (ValueError, RecursionError):
        return {}
    return said if isinstance(said, dict) else {}


def carried(schema: pa.Schema) -> pa.Schema:
    """The columns of a manifest that are none of `url`, `alt_text`, `recaption`: they go along untouched."""
    return pa.schema([field for field in schema if field.name not in PAIR.names])


def tested(scores: pa.Table, captions: Sequence[str]) -> npt.NDArray[np.float32]:
    """Mean of the columns score_<caption> of `scores` that are there, (n,); NaN where none is."""
    return mean_of([floats(scores[f"score_{caption}"]) for caption in captions])


def mean_of(columns: Sequence[npt.NDArray[np.float32]]) -> npt.NDArray[np.float32]:
    """Mean of columns of numbers, of those that are there, (n,); NaN where none is."""
    first, *others = columns
    for other in others:
        first = np.where(np.isnan(first), other, np.where(np.isnan(other), first, (first + other) / 2))
    return first


def floats(column: Any) -> npt.NDArray[np.float32]:
    """Numbers as float32 (n,), NaN for null and for what is not finite."""
    numbers = np.asarray(pc.fill_null(column.cast(pa.float32()), float("nan")).to_numpy(), np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32("nan"))


def published(checkpoint: Mapping[str, Any]) -> Document:
    """What scores say of their checkpoint, for others to read: of a folder, which has no revision, the name alone."""
    named = {} if checkpoint.get("revision") else {"model": checkpoint.get("name")}
    return {**checkpoint, **named}
