"""What a year does to the demo's web: the same addresses, and behind some of them something else.

    folder/web-later/*           the files that are served instead
    folder/truth-later.parquet   row by row what truth.parquet says, as it is now, and `change`: what was planted

`write` returns the new routes. A change is planted in a share of the pairs that had a picture of their own, dealt by
the seed alone. The harmless ones alter every byte and leave what is seen; the others are what re-validation is for.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image, ImageDraw, ImageEnhance

from ..reasons import Reason
from .host import Route
from .pictures import file, save
from .scene import Attributes, attributes, scene
from .web import TRUTH, target_of, thumbnail

REPLACED, BANNER, GONE = "replaced", "banner", "gone"
BANNERS = 4  # different ones
FEWEST = 4  # addresses that show one banner: fewer are no cluster
LATER = TRUTH.append(pa.field("change", pa.string()))  # null: the same bytes as before, or nothing as before


@dataclass(frozen=True, slots=True)
class Change:
    """A name; the share of the pairs that it is planted in; what makes the new file of a harmless one."""

    name: str
    share: float
    write: Callable[[Image.Image], tuple[str, bytes]] | None = None


def _jpeg(image: Image.Image, quality: int = 88) -> tuple[str, bytes]:
    return "jpeg", save(image, "JPEG", quality=quality)


def _smaller(image: Image.Image) -> tuple[str, bytes]:
    return _jpeg(image.resize((image.width * 7 // 10, image.height * 7 // 10), Image.Resampling.LANCZOS))


def _cropped(image: Image.Image) -> tuple[str, bytes]:
    dx, dy = image.width // 32, image.height // 32
    return _jpeg(image.crop((dx, dy, image.width - dx, image.height - dy)))


def _marked(image: Image.Image) -> tuple[str, bytes]:
    """A half transparent mark in the lower right corner, as sites put on what they host."""
    width, height = image.width // 4, max(8, image.height // 16)
    mark = Image.new("RGB", (width, height), (225, 225, 225))
    brush = ImageDraw.Draw(mark)
    for x in range(3, width - 3, 6):
        brush.line((x, 3, x + 3, height - 4), (90, 90, 90), 2)
    corner = (image.width - width - 4, image.height - height - 4)
    made = image.copy()
    made.paste(mark, corner, Image.new("L", mark.size, 140))
    return _jpeg(made)


CHANGES: tuple[Change, ...] = (
    Change(REPLACED, 0.06),
    Change(BANNER, 0.06),
    Change(GONE, 0.05),
    Change("lower quality", 0.05, lambda image: _jpeg(image, 55)),
    Change("other format", 0.04, lambda image: ("webp", save(image, "WEBP", quality=75, method=0))),
    Change("smaller", 0.05, _smaller),
    Change("cropped", 0.04, _cropped),
    Change("brighter", 0.04, lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.08))),
    Change("watermark", 0.03, _marked),
)
HARMLESS = tuple(change.name for change in CHANGES if change.write)


@dataclass(frozen=True, slots=True)
class File:
    """What an address serves now: a file and what is seen in it; None where there is nothing any more."""

    path: Path | None
    kind: str | None = None
    seen: bytes | None = None

    def of(self, route: Route) -> Route:
        """The route that serves this in place of what `route` served, and misbehaves as it did."""
        if self.path is None:
            return replace(route, status=404, file=None, content_type="text/html")
        return replace(route, file=self.path, content_type=f"image/{self.kind}")


def write(
    folder: Path, seed: int, rows: Sequence[Mapping[str, Any]], routes: Mapping[str, Route]
) -> dict[str, Route]:
    """Write the changed web beside the first one; `rows` are those of truth.parquet, in its order.

    Returns all routes as they are now. What had no picture of its own before serves what it served.
    """
    web = folder / "web-later"
    web.mkdir()
    plan = _plan(rows, seed)
    maker = _Maker(web, seed, len(rows), _banners(web, [i for i, name in plan.items() if name == BANNER]))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made = dict(zip(plan, pool.map(maker.file, plan.keys(), plan.values()), strict=True))
    later = dict(routes)
    for index, one in made.items():
        for target in (target_of(rows[index]["url"]), f"/moved/{index}"):
            if target in routes and routes[target].status == 200:
                later[target] = one.of(routes[target])
    truth = [{**row, "change": plan.get(index), **_seen(made.get(index))} for index, row in enumerate(rows)]
    pq.write_table(pa.Table.from_pylist(truth, LATER), folder / "truth-later.parquet")
    return later


def _plan(rows: Sequence[Mapping[str, Any]], seed: int) -> dict[int, str]:
    """Index of a row -> its change, each in its share of the pairs with a picture of their own."""
    own = [index for index, row in enumerate(rows) if row["outcome"] == "kept" and row["kind"]]
    names = [change.name for change in CHANGES for _ in range(max(FEWEST, round(change.share * len(own))))]
    order = np.random.default_rng((seed, 17)).permutation(own).tolist()
    return dict(zip(order, names, strict=False))


def _seen(made: File | None) -> dict[str, Any]:
    """What the truth of a row says now where it was changed."""
    if made is None:
        return {}
    if made.path is None:
        gone = {"outcome": "dropped", "reason": Reason.HTTP_4XX.value}
        return {**gone, "kind": None, "thumbnail": None}
    return {"kind": made.kind, "thumbnail": made.seen}


def _banners(web: Path, rows: Sequence[int]) -> dict[int, File]:
    """Index of a row -> the picture that its host sends in place of what it no longer shows, FEWEST rows each."""
    made = []
    for number in range(max(1, min(BANNERS, len(rows) // FEWEST))):
        path = web / f"_banner-{number}.png"
        image = _banner(number)
        image.save(path)
        made.append(File(path, "png", thumbnail(image)))
    return dict(zip(rows, itertools.cycle(made), strict=False))


def _banner(number: int) -> Image.Image:
    """A card with a frame, a crossed box and lines that stand for writing; each in its own size and tones."""
    size = ((400, 300), (320, 320), (480, 280), (300, 400))[number]
    back, ink = (
        ((238, 240, 242), (150, 156, 164)),
        ((36, 40, 48), (220, 224, 230)),
        ((252, 246, 226), (188, 60, 40)),
        ((222, 234, 246), (40, 70, 120)),
    )[number]
    image = Image.new("RGB", size, back)
    brush = ImageDraw.Draw(image)
    width, height = size
    brush.rectangle((8, 8, width - 9, height - 9), outline=ink, width=3)
    box = (width // 3, height // 5, 2 * width // 3, height // 2)
    brush.rectangle(box, outline=ink, width=6)
    brush.line(box, ink, 6)
    for line in range(3):
        y = height * (12 + 2 * line) // 20
        brush.rectangle((width // 6, y, width * (5 - line) // 6, y + height // 30), fill=ink)
    return image


@dataclass(frozen=True, slots=True)
class _Maker:
    """Makes the changed files, in any order and in threads: everything follows from the index and the seed."""

    web: Path
    seed: int
    pairs: int
    banners: dict[int, File]

    def file(self, index: int, change: str) -> File:
        """What row `index` serves after its change."""
        if change == GONE:
            return File(None)
        if change == BANNER:
            return self.banners[index]
        before = file(index, self.seed)
        if change == REPLACED:
            image = scene(self._other(index, before.scene.attributes), self.seed).image
            return self._store(index, *_jpeg(image))
        harmless = next(one.write for one in CHANGES if one.name == change and one.write)
        return self._store(index, *harmless(before.seen))

    def _store(self, index: int, kind: str, data: bytes) -> File:
        path = self.web / f"{index:06d}.{kind}"
        path.write_bytes(data)
        with Image.open(path) as image:
            return File(path, kind, thumbnail(image))

    def _other(self, index: int, shown: Attributes) -> int:
        """The index of a scene outside this web that no caption of `shown` can mean: all that is told differs."""
        others = itertools.count(index + self.pairs, self.pairs)
        return next(other for other in others if _differ(attributes(other, self.seed), shown))


def _differ(one: Attributes, other: Attributes) -> bool:
    told = ("colour", "shape", "count", "place", "ground")
    return all(getattr(one, name) != getattr(other, name) for name in told)
