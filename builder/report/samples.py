"""The pairs that a reader looks at: which, with what text, and as what picture.

    columns of all pairs ─▶ those with the smallest keys ─▶ their rows of images/ ─▶ Gallery

Captions, URLs and pictures come from the web, and some of them from people who want to do harm: text is clipped
and its control characters are spelled out, pictures are decoded with limits and written anew as small JPEGs.
"""

from __future__ import annotations

import base64
import io
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from PIL import Image

from ..disk.files import join
from ..disk.parquet import parquet, rows_by_number
from ..errors import InputError
from ..picture.stored import scaled
from ..reasons import KEPT, Verdict
from ..web.hostname import host_of

if TYPE_CHECKING:
    from .gather import Numbers

STAGES = {"scores": "revalidate", "curated": "curate"}  # by the folder that they judge in
CLIPS = {"scores": 96, "curated": 40}  # characters of a text that are shown at once, likewise
SIDE = 192  # pixels of the long side of a thumbnail, at most
DAMAGED = "no whole Parquet file; make it anew or restore it"  # of a shard of the root
SHORT, LONG = CLIPS["scores"], 2000  # characters of a text: at once, and when it is opened
# C0 and C1, zero-width and directional marks, isolates and overrides, tags, halves of characters.
_CONTROL = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffc\ud800-\udfff\U000e0000-\U000e007f]"
)


Row = dict[str, Any]  # of a table, by column; text as bytes


@dataclass(frozen=True, slots=True)
class Text:
    """A text fit for a page. short: its beginning; more: what follows, "" where short is all; length: of the whole."""

    short: str
    more: str
    length: int

    @property
    def cut(self) -> bool:
        """Whether even `more` is not the rest."""
        return self.length > LONG


@dataclass(frozen=True, slots=True)
class Gallery:
    """Samples of one verdict, or of the flag `suspect`. total, kept: pairs that have it; gone: without a picture."""

    name: str
    total: int
    kept: int
    pairs: list[Row]
    gone: list[Row]


@dataclass(slots=True)
class Smallest:
    """The rows with the smallest keys, at most `count` in each group: the same whatever the shard layout.

    by: the columns that they are ordered by, of which the last is the key.
    """

    count: int
    by: tuple[str, ...] = ("key",)
    groups: dict[str, list[Row]] = field(default_factory=lambda: defaultdict(list))

    def offer(self, group: str, table: pa.Table, shard: str) -> None:
        """Take from `table`, which has the columns of `by` (the key as bytes) and row (its number in the shard)."""
        best, first_by = self.groups[group], self.by[0]
        if best and len(best) == self.count:
            table = table.filter(pc.less_equal(table[first_by], best[-1][first_by]))
        if not table.num_rows or not self.count:
            return
        order = [(name, "ascending") for name in dict.fromkeys((*self.by, "row"))]
        first = pc.select_k_unstable(table, self.count, order)  # type: ignore[call-overload]  # the stubs lag behind
        found = [{**row, "shard": shard} for row in table.take(first).to_pylist()]
        self.groups[group] = sorted([*best, *found], key=itemgetter(*self.by))[: self.count]


def as_bytes(table: pa.Table) -> pa.Table:
    """The table with text as bytes, as a caption need not be UTF-8 to be looked at; nothing is copied."""
    kinds = [pa.binary() if pa.types.is_string(kind) else kind for kind in table.schema.types]
    fields = [field.with_type(kind) for field, kind in zip(table.schema, kinds, strict=True)]
    return table.cast(pa.schema(fields))


def decoded(raw: bytes) -> str:
    """Text of anybody's, what is no UTF-8 replaced."""
    return raw.decode("utf-8", "replace")


def text(raw: bytes | None, clip: int = SHORT) -> Text | None:
    """Bytes of any kind as harmless text: what is no UTF-8 replaced, invisible characters spelled out, clipped."""
    if raw is None:
        return None
    plain = decoded(raw)
    head = plain[: LONG + 1]
    if len(plain) <= clip * 5 // 4:  # nobody opens a text for its last few characters
        return Text(visible(head), "", len(plain))
    return Text(visible(head[:clip]), visible(head[clip:LONG]), len(plain))


def visible(plain: str) -> str:
    """`plain` with white space as one blank each, and other characters that nobody sees as their numbers."""
    return _CONTROL.sub(
        lambda one: " " if one[0].isspace() else f"⟨{ord(one[0]):04X}⟩", plain.replace("\r\n", "\n")
    )


def thumbnail(data: bytes | None) -> str | None:
    """A stored picture as a JPEG of at most SIDE pixels in a data: URI; None: not decodable."""
    pixels = scaled(data or b"", _fitted, Image.Resampling.LANCZOS, fast=True)
    if pixels is None:
        return None
    written = io.BytesIO()
    page = Image.fromarray(pixels)  # a new image: no EXIF, no comment of the old one
    page.save(written, "JPEG", quality=80, optimize=True)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def _fitted(size: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same shape within SIDE; a small one stays."""
    scale = min(1.0, SIDE / max(size))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def read(root: str, chosen: Sequence[Row], folder: str = "scores") -> list[Row]:
    """The samples of `chosen` rows of a folder, in their order, from the same rows of images/.

    Only the row groups that hold one of them are read. Raises InputError where a key is another one.
    """
    found: list[Row] = [{}] * len(chosen)
    by_shard: dict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(chosen):
        by_shard[row["shard"]].append(place)
    for shard, places in sorted(by_shard.items()):
        wanted = [chosen[place] for place in places]
        pairs = _pairs(join(root, "images", shard), wanted, folder)
        for place, row, pair in zip(places, wanted, pairs, strict=True):
            found[place] = _sample(row, pair, CLIPS[folder])
    return found


def galleries(root: str, numbers: Numbers) -> list[Gallery]:
    """The samples of every verdict that occurs, and of the flag `suspect`; what was dropped comes first."""
    scored = numbers.scored
    if scored is None:
        return []
    order = (Verdict.DRIFTED, Verdict.PLACEHOLDER, Verdict.DEAD, "suspect", *reversed(KEPT))
    found = []
    for name in order:
        verdict = None if name == "suspect" else Verdict(name)
        total = scored.suspects if verdict is None else numbers.verdict(verdict)
        kept = total if verdict is None else numbers.verdict(verdict, kept=True)
        gone = numbers.gone if verdict is Verdict.DEAD else []
        pairs = read(root, scored.samples.get(name, []))
        if total:
            found.append(Gallery(name, total, kept, pairs, [_gone(row) for row in gone]))
    return found


def _gone(row: Row) -> Row:
    """The sample of a row of outcomes/: no picture, no caption."""
    return _sample(row, {"url": row["url"]})


def _sample(row: Row, pair: Row, clip: int = SHORT) -> Row:
    """A row of scores/, curated/ or outcomes/ as the page shows it; pair: what images/ has of it.

    host, url, alt_text, recaption: a Text, or None; picture: a data: URI, None where there is none that can be decoded.
    """
    said = {name: visible(decoded(v)) if isinstance(v, bytes) else v for name, v in row.items()}
    texts = {name: text(pair.get(name), clip) for name in ("url", "alt_text", "recaption")}
    picture = thumbnail((pair.get("image") or {}).get("bytes"))
    host = None if pair["url"] is None else host_of(decoded(pair["url"]))
    return {**said, **texts, "host": None if host is None else text(host.encode()), "picture": picture}


def _pairs(url: str, wanted: list[Row], folder: str) -> Iterator[Row]:
    """The rows of an image shard that `wanted` names by number, in its order."""
    columns = ["key", "url", "alt_text", "recaption", "image"]
    numbers = np.unique([row["row"] for row in wanted])
    found: dict[int, Row] = {}
    with parquet(url, DAMAGED) as file:
        for inside, table in rows_by_number(file, numbers, columns):
            found |= zip(numbers[inside].tolist(), as_bytes(table).to_pylist(), strict=True)
    for row in wanted:
        pair = found.get(row["row"])
        if pair is None or pair["key"] != row["key"]:
            raise InputError(
                f"{url}: row {row['row']:,} is not the pair that {folder}/ has there; the shard was rebuilt since: "
                f"run danqing {STAGES[folder]} again"
            )
        yield pair
