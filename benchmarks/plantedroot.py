"""A root of drawn scenes that the checkpoint `tiny` knows, in which is planted what a curation is to drop.

    python benchmarks/plantedroot.py FOLDER --pairs 1000 --seed 0

In: sizes, a seed. Out: images/ of real files, and of each row what was planted in it, and of which group it is: two
rows show the same if they are of one group. Unrelated scenes have at most four of six attributes in common.
Banners have a white ground, one place for the mark of a family, and words; the marks differ in colour and shape, as
`tiny` cannot read.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageDraw, ImageFilter

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from builder.demo.scene import (
    COLOURS,
    GROUNDS,
    PLACES,
    SHAPES,
    Attributes,
    attributes,
    captions,
    draw,
    unlike,
)
from builder.disk.parquet import image_schema, writer
from builder.disk.schema import pair_key
from builder.picture.phash import phash

SIZE = (320, 240)
SHARD = 400
COMMON = 4  # attributes that two unrelated scenes share, at most: their cosine is .88 then, at most
TOLD = ("colour", "shape", "count", "place", "ground", "pattern")
WORDS = [
    "sale", "offer", "new", "login", "cart", "share", "menu", "search", "video", "photo", "green", "river", "mountain",
    "tea", "spring", "gold",
]  # fmt: skip
ALTERED = "one thing differs"  # in two scenes
# Shares of the pairs. A calibrated step drops its share of whatever comes, so as much is planted as the paper lost.
COUPLES = {"copy": 0.03, "stored again": 0.05, "cropped": 0.03, "drawn again": 0.03, ALTERED: 0.03}
SINGLES = {
    "too small": 0.02, "aspect": 0.02, "flat": 0.01, "blurred": 0.055, "few tones": 0.02, "text": 0.015,
    "wrong caption": 0.07,
}  # fmt: skip
BANNERS = 0.02
PLAIN, BANNER = "plain", "banner"

Rng = np.random.Generator


@dataclass(frozen=True, slots=True)
class Plant:
    """A row. kind: what was planted; origin: `number` of the row it was made of; data: the file, of `size` pixels."""

    kind: str
    number: int
    origin: int
    caption: str
    data: bytes
    size: tuple[int, int]
    hash: str
    recaption: str | None = None

    @property
    def group(self) -> int:
        """What rows have in common that show the same."""
        return self.number if self.kind == ALTERED else self.origin


@dataclass
class Garden:
    """Draws the rows of a seed. taken: the attributes of the scenes so far, as words (n, 6)."""

    seed: int
    pairs: int
    plants: list[Plant] = field(default_factory=list)
    taken: list[list[str]] = field(default_factory=list)
    _next: int = 0

    def __post_init__(self) -> None:
        self.rng = np.random.default_rng((self.seed, 3))

    def plant(self) -> list[Plant]:
        """All rows, in an order of their own."""
        for family in range(min(len(SHAPES), 1 + int(BANNERS * self.pairs / len(SHAPES)))):
            self._banners(family)
        for kind, share in COUPLES.items():
            for _ in range(round(share * self.pairs)):
                self._couple(kind)
        for kind, share in SINGLES.items():
            for _ in range(round(share * self.pairs)):
                self._single(kind)
        while len(self.plants) < self.pairs:
            shown = self._scene()
            self._add(PLAIN, jpeg(draw(shown, self.rng)), self._caption(shown))
        return [self.plants[number] for number in self.rng.permutation(self.pairs)]

    def _add(self, kind: str, data: bytes, caption: str, origin: int | None = None) -> None:
        with Image.open(io.BytesIO(data)) as image:
            size, digest = image.size, phash(np.asarray(image.convert("RGB")))
        number = len(self.plants)
        origin = number if origin is None else origin
        self.plants.append(Plant(kind, number, origin, caption, data, size, digest))

    def _caption(self, shown: Attributes) -> str:
        return captions(shown, self.rng)[0]

    def _scene(self) -> Attributes:
        """The next scene that is unlike all before."""
        while True:
            self._next += 1
            shown = replace(attributes(self._next, 3_000_000 + self.seed), size=SIZE)
            if self._fits(shown):
                self.taken.append(words_of(shown))
                return shown

    def _fits(self, shown: Attributes, but: int = 0) -> bool:
        """Whether it shares few attributes with each scene but the last ones."""
        others = np.array(self.taken[: len(self.taken) - but])
        return not len(others) or int((others == np.array(words_of(shown))).sum(1).max()) <= COMMON

    def _couple(self, kind: str) -> None:
        """A scene, and beside it what shows the same, or nearly."""
        shown, origin = self._scene(), len(self.plants)
        image = draw(shown, self.rng)
        self._add(PLAIN, jpeg(image), self._caption(shown))
        if kind == ALTERED:
            shown = self._altered(shown)
        makers: dict[str, Callable[[], bytes]] = {
            "copy": lambda: self.plants[origin].data,
            "stored again": lambda: stored_again(image, self.rng),
            "cropped": lambda: jpeg(image.crop(slightly(image.size))),
        }
        data = makers.get(kind, lambda: jpeg(draw(shown, self.rng)))()
        self._add(kind, data, self._caption(shown), origin)

    def _altered(self, shown: Attributes) -> Attributes:
        """The scene with one attribute that is another's, which no scene but that is like."""
        while True:
            self._next += 1
            name = str(self.rng.choice(TOLD))
            other = replace(shown, **{name: getattr(attributes(self._next, 3_000_000 + self.seed), name)})
            if other != shown and other.colour != other.ground and self._fits(other, but=1):
                self.taken.append(words_of(other))
                return other

    def _single(self, kind: str) -> None:
        """A picture that its own numbers are to give away."""
        shown = self._scene()
        caption = self._caption(shown)
        if kind == "wrong caption":
            caption = self._caption(attributes(unlike(self._next, 1, self.seed, shown), self.seed))
        elif kind == "text":
            caption = " ".join(self.rng.choice(WORDS, 4))
        size = {"too small": (128, 96), "aspect": (480, 130)}.get(kind, SIZE)
        makers: dict[str, Callable[[], Image.Image]] = {
            "flat": lambda: flat(shown, self.rng),
            "blurred": lambda: draw(shown, self.rng).filter(ImageFilter.GaussianBlur(8)),
            "few tones": lambda: few_tones(self.rng),
            "text": lambda: text(caption, self.rng),
        }
        image = makers.get(kind, lambda: draw(replace(shown, size=size), self.rng))()
        self._add(kind, png(image) if kind == "few tones" else jpeg(image), caption)

    def _banners(self, family: int) -> None:
        """White banners with the mark at one place, each of another colour and shape; none is of two families."""
        place, colours = list(PLACES)[family], [name for name in COLOURS if name != "白色"]
        shapes = np.roll(list(SHAPES), family).tolist()
        for colour, shape in zip(colours, shapes, strict=True):
            mark = Attributes(colour, shape, "一个", place, "白色", "纯色", SIZE)
            self.taken.append(words_of(mark))
            image = banner(mark, " ".join(self.rng.choice(WORDS, 3)))
            self._add(BANNER, jpeg(image), self._caption(mark))


def words_of(shown: Attributes) -> list[str]:
    """The attributes of a scene as words."""
    return [getattr(shown, name) for name in TOLD]


def jpeg(image: Image.Image, quality: int = 88) -> bytes:
    """As a JPEG file."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality)
    return file.getvalue()


def png(image: Image.Image) -> bytes:
    """As a PNG file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


def stored_again(image: Image.Image, rng: Rng) -> bytes:
    """In another quality, format or size."""
    which = rng.integers(3)
    if which == 0:
        return jpeg(image, int(rng.integers(40, 75)))
    if which == 1:
        file = io.BytesIO()
        image.save(file, "WEBP", quality=75, method=0)
        return file.getvalue()
    share = rng.uniform(0.5, 0.9)
    return jpeg(image.resize((round(SIZE[0] * share), round(SIZE[1] * share)), Image.Resampling.LANCZOS))


def slightly(size: tuple[int, int]) -> tuple[int, int, int, int]:
    """The box of a crop of a thirty-second of each side."""
    dx, dy = size[0] // 32, size[1] // 32
    return dx, dy, size[0] - dx, size[1] - dy


def flat(shown: Attributes, rng: Rng) -> Image.Image:
    """The ground alone, with the faintest grain."""
    pixels = np.array(GROUNDS[shown.ground]) + rng.normal(0, 1, (SIZE[1], SIZE[0], 1))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def few_tones(rng: Rng) -> Image.Image:
    """Sharp squares of four greys."""
    squares = rng.integers(0, 4, (SIZE[1] // 20, SIZE[0] // 20)) * 70 + 20
    return Image.fromarray(np.kron(squares, np.ones((20, 20))).astype(np.uint8)).convert("RGB")


def text(caption: str, rng: Rng) -> Image.Image:
    """A page of text that begins with the caption."""
    image = Image.new("RGB", SIZE, "white")
    brush = ImageDraw.Draw(image)
    for number, y in enumerate(range(16, SIZE[1] - 20, 24)):
        brush.text(
            (16, y), caption if number == 0 else " ".join(rng.choice(WORDS, 6)), (20, 20, 20), font_size=16
        )
    return image


def banner(mark: Attributes, words: str) -> Image.Image:
    """A mark and a line of words on white."""
    image = Image.new("RGB", SIZE, "white")
    brush = ImageDraw.Draw(image)
    x, y = (share * side for share, side in zip(PLACES[mark.place], SIZE, strict=True))
    radius = 0.18 * SIZE[1]
    corners = [(x + across * radius, y + down * radius) for across, down in SHAPES[mark.shape]]
    brush.polygon(corners, COLOURS[mark.colour])
    if mark.shape == "圆环":
        brush.ellipse((x - radius / 2, y - radius / 2, x + radius / 2, y + radius / 2), "white")
    brush.text((16, 220), words, (90, 90, 90), font_size=14)
    return image


def rows_of(plants: list[Plant]) -> Iterator[dict[str, Any]]:
    """The rows of images/."""
    for number, plant in enumerate(plants):
        url = f"http://images.test/{number}.jpg"
        width, height = plant.size
        yield {
            "key": pair_key(url, plant.caption), "url": url, "alt_text": plant.caption, "recaption": plant.recaption,
            "image": {"bytes": plant.data, "path": f"{number}.jpg"}, "phash": plant.hash,
            "sha256": hashlib.sha256(plant.data).hexdigest(), "width": width, "height": height,
            "original_width": width, "original_height": height,
        }  # fmt: skip


def write_root(folder: Path, plants: list[Plant]) -> list[str]:
    """images/ of these rows; their keys."""
    (folder / "images").mkdir(parents=True)
    rows, schema = list(rows_of(plants)), image_schema()
    count = -(-len(rows) // SHARD)
    for shard in range(count):
        with writer(folder / "images" / f"train-{shard:05d}-of-{count:05d}.parquet", schema) as file:
            file.write_table(pa.Table.from_pylist(rows[shard * SHARD : (shard + 1) * SHARD], schema))
    return [row["key"] for row in rows]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--pairs", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    write_root(asked.folder, Garden(asked.seed, asked.pairs).plant())


if __name__ == "__main__":
    main()
