"""A released set of captioned pictures and what its addresses serve later, with the truth of each pair.

For tests and benchmarks of the verdicts: (seed, number) -> Planted, on its own, so that processes may share the
work. The pictures are scenes of the demo as real JPEG files. Most addresses serve the bytes of then; the others a
harmless version of the picture, one placeholder of a few, another picture, or the same scene with one thing changed.
Some captions were wrong from the start, which is nothing that has drifted.
"""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw

from builder.demo.scene import (
    COLOURS,
    COUNTS,
    FORMATS,
    GROUNDS,
    PLACES,
    SHAPES,
    Attributes,
    attributes,
    draw,
    scene,
)
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import pair_key
from builder.picture.phash import phash

SHARES = {"same": 0.62, "harmless": 0.24, "placeholder": 0.06, "replaced": 0.05, "subtle": 0.03}
INTACT = ("same", "harmless")
WRONG = 0.03  # of the captions, from the start
HARSH = 0.25  # of the hosts: what they serve is re-encoded so that it can be seen
HOSTS, BANNERS = 40, 8
LONG = 128  # pixels; the checkpoint of the demo sees 60 x 60
OTHER = 10_000_000  # added to a number: scenes that no pair shows
WORDS = {"colour": list(COLOURS), "shape": list(SHAPES), "count": list(COUNTS), "place": list(PLACES),
         "ground": list(GROUNDS)}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planted:
    """One pair: what was done to it, and its picture as released and as it is now, as files."""

    number: int
    kind: str
    wrong_caption: bool
    url: str
    alt_text: str
    before: bytes
    now: bytes


def plant(seed: int, number: int) -> Planted:
    """Pair `number` of the world of `seed`."""
    rng = np.random.default_rng((seed, number, 71))
    kind = str(rng.choice(list(SHARES), p=list(SHARES.values())))
    wrong = bool(rng.random() < WRONG)
    host = int(rng.integers(HOSTS))
    size = _size(rng)
    one = scene(number, seed, size=size)
    text = one.alt_text if not wrong else scene(number + OTHER // 2, seed, size=(16, 16)).alt_text
    before = _jpeg(one.image, int(rng.integers(70, 96)))
    now = before if kind == "same" else _changed(kind, one.image, (seed, number, host), rng)
    return Planted(number, kind, wrong, f"http://host{host}.test/{seed}/{number}.jpg", text, before, now)


def _changed(kind: str, image: Image.Image, place: tuple[int, int, int], rng: np.random.Generator) -> bytes:
    seed, number, host = place
    if kind == "harmless":
        return _harmless(image, rng, harsh=host < HARSH * HOSTS)
    if kind == "placeholder":
        return banner(seed, min(BANNERS - 1, int(rng.geometric(0.35)) - 1))
    if kind == "replaced":
        return _jpeg(scene(_other(number, seed), seed, size=_size(rng)).image, 88)
    shown = _one_thing_changed(replace(attributes(number, seed), size=image.size), rng)
    return _jpeg(draw(shown, rng), 88)


def _other(number: int, seed: int) -> int:
    """A scene of which no caption of this one is true: each tells colour and shape."""
    shown = attributes(number, seed)
    others = ((other, attributes(other, seed)) for other in itertools.count(number + OTHER, OTHER))
    return next(other for other, one in others if (one.colour, one.shape) != (shown.colour, shown.shape))


def _size(rng: np.random.Generator) -> tuple[int, int]:
    across, down = FORMATS[int(rng.integers(len(FORMATS)))]
    return round(LONG * across / max(across, down)), round(LONG * down / max(across, down))


def _one_thing_changed(shown: Attributes, rng: np.random.Generator) -> Attributes:
    name = str(rng.choice(list(WORDS)))
    taken = {getattr(shown, name), shown.colour, shown.ground}
    return replace(shown, **{name: str(rng.choice([word for word in WORDS[name] if word not in taken]))})


def _harmless(image: Image.Image, rng: np.random.Generator, *, harsh: bool) -> bytes:
    """Encoded anew, and by chance cropped, of another size or marked: by a harsh host so that one sees it."""
    width, height = image.size
    if rng.random() < 0.4:
        left, top, right, bottom = rng.uniform(0, 0.07 if harsh else 0.035, 4) * (
            width,
            height,
            width,
            height,
        )
        image = image.crop((round(left), round(top), round(width - right), round(height - bottom)))
    if rng.random() < 0.5:
        scale = rng.uniform(0.5, 0.8) if harsh else rng.uniform(0.7, 1.3)
        image = image.resize((round(width * scale), round(height * scale)), Image.Resampling.BICUBIC)
    if rng.random() < 0.3:
        image = _marked(image, rng, 0.1 if harsh else 0.07)
    return _jpeg(image, int(rng.integers(30, 55) if harsh else rng.integers(55, 92)))


def _marked(image: Image.Image, rng: np.random.Generator, share: float) -> Image.Image:
    """With the name of a site in half transparent letters, `share` of the short side high, at the lower rim."""
    layer = Image.new("L", image.size, 0)
    height = share * min(image.size)
    place = (float(rng.uniform(0.02, 0.6)) * image.width, image.height - 1.4 * height)
    ImageDraw.Draw(layer).text(place, "www.host.test", 150, font_size=height)
    tone = int(rng.integers(256))
    return Image.composite(Image.new("RGB", image.size, (tone, tone, tone)), image, layer)


@functools.cache
def banner(seed: int, number: int) -> bytes:
    """A card with lines that stand for writing: what hosts send in place of a picture that is gone."""
    rng = np.random.default_rng((seed, number, 73))
    back, ink = (tuple(int(c) for c in rng.integers(low, high, 3)) for low, high in ((190, 256), (0, 140)))
    image = Image.new("RGB", (int(rng.integers(90, 160)), int(rng.integers(80, 130))), back)
    brush = ImageDraw.Draw(image)
    for line in range(int(rng.integers(2, 6))):
        y = int(image.height * (0.2 + 0.14 * line))
        brush.rectangle((12, y, int(image.width * rng.uniform(0.5, 0.9)), y + 5), fill=ink)
    return _jpeg(image, 85)


def _jpeg(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_root(root: Path, pairs: Sequence[Planted], *, later: bool, shard: int = 1000) -> None:
    """images/ of a root without a ledger: the pictures as released, or as they are later."""
    (root / "images").mkdir(parents=True)
    count = -(-len(pairs) // shard)
    schema = image_schema()
    for index in range(count):
        rows = [
            _row(pair, pair.now if later else pair.before)
            for pair in pairs[index * shard : (index + 1) * shard]
        ]
        with writer(root / "images" / f"train-{index:05d}-of-{count:05d}.parquet", schema) as file:
            file.write_table(pa.Table.from_pylist(rows, schema))


def _row(pair: Planted, data: bytes) -> dict[str, Any]:
    key = pair_key(pair.url, pair.alt_text)
    with Image.open(io.BytesIO(data)) as image:
        digest = phash(np.asarray(image.convert("RGB")))
    return {
        "key": key,
        "url": pair.url,
        "alt_text": pair.alt_text,
        "image": {"bytes": data, "path": f"{key}.jpg"},
        "sha256": hashlib.sha256(data).hexdigest(),
        "phash": digest,
    }


def write_manifest(path: Path, release: Path, *, codes: bool = True) -> None:
    """What a release records, from its scored root: key, sha256, and with `codes` code and score too."""
    names = ["key", "code", "score_alt_text"] if codes else ["key"]
    parts = []
    for file in sorted((release / "scores").glob("*.parquet")):
        table = pq.read_table(file, columns=names)
        hashes = pq.read_table(release / "images" / file.name, columns=["sha256"])
        parts.append(table.append_column("sha256", hashes["sha256"]))
    pq.write_table(pa.concat_tables(parts), path)


def figures(pairs: Sequence[Planted], kept: Sequence[bool]) -> dict[str, float]:
    """How a rule did that keeps some of the pairs: shares in percent, NaN of nothing.

    false_drops: of intact pairs whose caption was right; false_share: of what is dropped, the intact, a caption that
    was wrong from the start being no drift; junk: of changed pairs that are kept, placeholders and replaced ones.
    """
    keep, kind = np.array(kept, np.bool_), np.array([pair.kind for pair in pairs])
    right = ~np.array([pair.wrong_caption for pair in pairs], np.bool_)
    intact = np.isin(kind, INTACT)
    dropped = {name: _percent(~keep[kind == name]) for name in ("placeholder", "replaced", "subtle")}
    return {
        "false_drops": _percent(~keep[intact & right]),
        "false_share": _percent(intact[~keep]),
        **dropped,
        "junk": _percent(np.isin(kind, ("placeholder", "replaced"))[keep & (kind != "same")]),
    }


def _percent(flags: npt.NDArray[np.bool_]) -> float:
    return 100 * float(flags.mean()) if flags.size else float("nan")
