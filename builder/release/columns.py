"""The columns of what is released, and how a table of pairs with its scores becomes them.

columns of images/ and scores/ ─▶ those of a verified manifest, or of released images
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from ..disk.parquet import HUGGINGFACE
from ..disk.schema import IMAGES, PAIR, SCORE, SCORE_MODEL, SCORES, SERVED, TIMESTAMP, saying, tested
from .source import Root

VERIFIED = pa.schema(
    [  # type: ignore[arg-type]  # the stubs make it a list of objects
        pa.field("key", pa.string()),
        pa.field("width", pa.int32()),  # of the picture as fetched
        pa.field("height", pa.int32()),
        pa.field("sha256", pa.string()),
        pa.field("phash", pa.string()),
    ]
)
# A root whose carried columns include these was rebuilt from a verified manifest: what that recorded is superseded.
_RECORDED = {"manifest_key", "manifest_sha256", "manifest_fetched_at"}
_MADE = {*VERIFIED.names, *SERVED, "score", "score_model", "code", "kept", "fetched_at"}  # by any release
_FETCHED = {"width": "original_width", "height": "original_height"}


@dataclass(frozen=True, slots=True)
class Columns:
    """The way from a root to what is released.

    schema: of the shards; carried: the name in images/ of each column that the manifest carried; images: the
    columns to read of images/; scores: those of scores/.
    """

    schema: pa.Schema
    carried: dict[str, str]
    images: tuple[str, ...]
    scores: tuple[str, ...]
    captions: tuple[str, ...]
    model: str

    def table(self, pairs: pa.Table, scores: pa.Table | None) -> pa.Table:
        """Rows of images/, and of scores/ the same rows, as the release has them."""
        arrays: list[Any] = []
        picture = "image" in self.schema.names
        for field in self.schema:
            name = field.name
            if name in self.carried:
                arrays.append(pairs[self.carried[name]])
            elif scores is not None and name == "score":
                score = tested(scores, self.captions)
                arrays.append(pa.array(score, from_pandas=True))
            elif scores is not None and name == "score_model":
                arrays.append(pa.repeat(pa.scalar(self.model, pa.string()), pairs.num_rows))
            elif scores is not None and name in self.scores and name != "key":
                arrays.append(scores[name])
            else:
                arrays.append(pairs[name if picture else _FETCHED.get(name, name)])
        return pa.Table.from_arrays(arrays, schema=self.schema)


def columns_of(root: Root, what: str) -> Columns:
    """The columns of a release of a root."""
    made = _manifest(root) if what == "manifest" else _images(root)
    own = {field.name for field in made}
    carried = _carried(root.schema, own)
    place = 3 if what == "manifest" else len(PAIR.names)
    fields = [
        *made[:place],
        *(root.schema.field(old).with_name(new) for new, old in carried.items()),
        *made[place:],
    ]
    said = saying(pa.schema([]), root.model).metadata if root.validated else {}
    metadata: dict[bytes | str, bytes | str] = dict(HUGGINGFACE) if what == "images" else {}
    for name, text in (said or {}).items():
        metadata[name] = text
    read = [*own & {*IMAGES.names}, *carried.values()]
    if what == "manifest":
        read = [_FETCHED.get(name, name) for name in read]
    scores = tuple(
        dict.fromkeys(["key", *_scores(root), *sorted(own & {"code", "p", "verdict", "suspect", "kept"})])
    )
    return Columns(
        pa.schema(fields, metadata=metadata or None),
        carried,
        tuple(name for name in root.schema.names if name in {*read, "key"}),
        scores if root.validated else (),
        root.captions,
        str(root.said.get("name", "")),
    )


def _manifest(root: Root) -> list[pa.Field[Any]]:
    texts = [PAIR.field(name) for name in ("url", "alt_text", "recaption")]
    judged = [SCORES.field("code"), SCORE, *_both(root), SCORE_MODEL, *_of_scores("verdict", "suspect")]
    return [*texts, *VERIFIED, *(judged if root.validated else ()), pa.field("fetched_at", TIMESTAMP)]


def _images(root: Root) -> list[pa.Field[Any]]:
    judged = [SCORE, *_both(root), SCORE_MODEL, *_of_scores("p", "verdict", "suspect", "kept")]
    return [*(root.schema.field(name) for name in IMAGES.names), *(judged if root.validated else ())]


def _both(root: Root) -> tuple[pa.Field[Any], ...]:
    return _of_scores("score_alt_text", "score_recaption") if len(root.captions) > 1 else ()


def _of_scores(*names: str) -> tuple[pa.Field[Any], ...]:
    return tuple(SCORES.field(name) for name in names)


def _scores(root: Root) -> list[str]:
    return [f"score_{caption}" for caption in root.captions]


def _carried_names(schema: pa.Schema) -> list[str]:
    return [name for name in schema.names if name not in IMAGES.names]


def _carried(schema: pa.Schema, own: set[str]) -> dict[str, str]:
    """The carried columns, by the name they are released under: manifest_<name> where the release uses theirs."""
    names = _carried_names(schema)
    if {*names} >= _RECORDED:
        made = own | _MADE
        superseded = made | {f"manifest_{name}" for name in made}
        names = [name for name in names if name not in superseded]
    released: dict[str, str] = {}
    for name in names:
        new = name
        while new in own or (new != name and new in names):
            new = f"manifest_{new}"
        released[new] = name
    return released
