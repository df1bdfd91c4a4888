"""The on-disk contract: the columns of every file of a root, the reasons, and the key of a pair.

`danqing.FEATURES` and the YAML of the root's card say the same to `datasets`; a test pins the three together.
"""

from __future__ import annotations

import hashlib

import pyarrow as pa

from .reasons import Reason as Reason

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


def carried(schema: pa.Schema) -> pa.Schema:
    """The columns of a manifest that are none of `url`, `alt_text`, `recaption`: they go along untouched."""
    return pa.schema([field for field in schema if field.name not in PAIR.names])
