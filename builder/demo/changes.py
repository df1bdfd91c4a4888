"""What a year does to the demo's web: the same addresses, and behind some of them something else.

    folder/web-later/*           the files that are served instead
    folder/truth-later.parquet   row by row what truth.parquet says, as it is now, and `change`: what was planted

`write` returns the new routes. A change is planted in a share of the pairs that had a picture of their own, dealt by
the seed alone. The harmless ones alter every byte and leave what is seen; the others are what re-validation is for.
"""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw, ImageEnhance

from ..reasons import Reason
from .host import Route
from .pictures import file, save
from .scene import RGB, scene, unlike
from .web import PlantedRow, target_of, thumbnail, write_truth

REPLACED, BANNER, GONE = "replaced", "banner", "gone"
# Size, ground and ink of those that stand where a picture was.
BANNERS = (
    ((400, 300), (238, 240, 242), (150, 156, 164)),
    ((320, 320), (36, 40, 48), (220, 224, 230)),
    ((480, 280), (252, 246, 226), (188, 60, 40)),
    ((300, 400), (222, 234, 246), (40, 70, 120)),
)
FEWEST = 4  # addresses that show one banner: fewer are no cluster


class Alteration(NamedTuple):
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


CHANGES: tuple[Alteration, ...] = (
    Alteration(REPLACED, 0.06),
    Alteration(BANNER, 0.06),
    Alteration(GONE, 0.05),
    Alteration("lower quality", 0.05, lambda image: _jpeg(image, 55)),
    Alteration("other format", 0.04, lambda image: ("webp", save(image, "WEBP", quality=75, method=0))),
    Alteration("smaller", 0.05, _smaller),
    Alteration("cropped", 0.04, _cropped),
    Alteration("brighter", 0.04, lambda image: _jpeg(ImageEnhance.Brightness(image).enhance(1.08))),
    Alteration("watermark", 0.03, _marked),
)
WRITERS = {one.name: one.write for one in CHANGES if one.write}  # of the harmless ones


class Served(NamedTuple):
    """What an address serves now: a file and what is seen in it; no path where there is nothing any more."""

    path: Path | None
    kind: str | None = None
    seen: bytes | None = None

    def route(self, before: Route) -> Route:
        """The route that serves this in place of what `before` served, and misbehaves as it did."""
        if self.path is None:
            return replace(before, status=404, file=None, content_type="text/html")
        return replace(before, file=self.path, content_type=f"image/{self.kind}")

    def truth(self, before: PlantedRow, change: str) -> PlantedRow:
        """The truth of a row that was changed so."""
        row: PlantedRow = {**before, "kind": self.kind, "thumbnail": self.seen, "change": change}
        if self.path is None:
            row |= {"outcome": "dropped", "reason": Reason.HTTP_4XX.value}
        return row


def write(
    folder: Path, seed: int, rows: Sequence[PlantedRow], routes: Mapping[str, Route]
) -> dict[str, Route]:
    """Write the changed web beside the first one; `rows` are those of truth.parquet, in its order.

    Returns all routes as they are now. What had no picture of its own before serves what it served.
    """
    web = folder / "web-later"
    web.mkdir()
    plan = _plan(rows, seed)
    made = _banners(web, [index for index, change in plan.items() if change == BANNER])
    others = {index: change for index, change in plan.items() if index not in made}
    serve = partial(_serve, web, seed, len(rows))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        made |= zip(others, pool.map(serve, others.keys(), others.values()), strict=True)
    later, truth = dict(routes), list(rows)
    for index, one in made.items():
        truth[index] = one.truth(rows[index], plan[index])
        for target in (target_of(rows[index]["url"] or ""), f"/moved/{index}"):
            if target in routes and routes[target].status == 200:
                later[target] = one.route(routes[target])
    write_truth(folder / "truth-later.parquet", truth)
    return later


def _plan(rows: Sequence[PlantedRow], seed: int) -> dict[int, str]:
    """Index of a row -> its change, each in its share of the pairs with a picture of their own, and of no other."""
    shown = Counter(row["scene"] for row in rows)
    own = [
        index
        for index, row in enumerate(rows)
        if row["outcome"] == "kept" and row["kind"] and shown[row["scene"]] == 1
    ]
    names = [one.name for one in CHANGES for _ in range(max(FEWEST, round(one.share * len(own))))]
    order = np.random.default_rng((seed, 17)).permutation(own).tolist()
    return dict(zip(order, names, strict=False))


def _banners(web: Path, rows: Sequence[int]) -> dict[int, Served]:
    """Index of a row -> the picture that its host sends in place of what it no longer shows, FEWEST rows each."""
    made = []
    for number, look in enumerate(BANNERS[: max(1, len(rows) // FEWEST)]):
        path, image = web / f"_banner-{number}.png", _banner(*look)
        image.save(path)
        made.append(Served(path, "png", thumbnail(image)))
    return dict(zip(rows, itertools.cycle(made), strict=False))


def _banner(size: tuple[int, int], ground: RGB, ink: RGB) -> Image.Image:
    """A card with a frame, a crossed box and lines that stand for writing."""
    image = Image.new("RGB", size, ground)
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


def _serve(web: Path, seed: int, pairs: int, index: int, change: str) -> Served:
    """What row `index` of `pairs` serves after its change; its file follows from the index and the seed."""
    if change == GONE:
        return Served(None)
    before = file(index, seed)
    if change == REPLACED:
        kind, data = _jpeg(scene(unlike(index, pairs, seed, before.scene.attributes), seed).image)
    else:
        kind, data = WRITERS[change](before.seen)
    path = web / f"{index:06d}.{kind}"
    path.write_bytes(data)
    with Image.open(path) as image:
        return Served(path, kind, thumbnail(image))
