"""Synthetic pictures with Chinese captions that say what is in them: (index, seed) -> Scene.

A scene is a few shapes of one colour, at one place, on a ground of another colour with a pattern, under
uneven light and grain as in a photograph. Everything follows from the index and the seed, so that a scene
need not be stored to be compared with. Nothing here knows of the web or of files: whoever wants captioned
pictures uses it.
"""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageChops, ImageDraw

RGB = tuple[int, int, int]
Size = tuple[int, int]  # width and height in pixels

COLOURS: dict[str, RGB] = {
    "红色": (208, 36, 44), "橙色": (242, 134, 28), "黄色": (246, 212, 48), "绿色": (38, 150, 72),
    "蓝色": (34, 88, 204), "紫色": (122, 54, 160), "白色": (246, 246, 246), "黑色": (24, 24, 24),
}  # fmt: skip
GROUNDS: dict[str, RGB] = {
    "灰色": (136, 136, 136), "白色": (250, 250, 250), "黑色": (34, 34, 34), "青色": (96, 204, 204),
    "粉色": (246, 176, 198), "棕色": (126, 84, 52), "蓝色": (58, 112, 214), "绿色": (84, 168, 98),
}  # fmt: skip
NEUTRAL = ("灰色", "白色", "黑色")  # what stays true in a picture without colour
PATTERNS = ("纯色", "条纹", "格子", "圆点")
COUNTS = ("一个", "两个", "三个", "四个")
# Where the shapes stand: the centre of their group, in shares of width and height.
PLACES: dict[str, tuple[float, float]] = {
    "左上方": (0.26, 0.26), "上方": (0.5, 0.26), "右上方": (0.74, 0.26),
    "左侧": (0.26, 0.5), "正中央": (0.5, 0.5), "右侧": (0.74, 0.5),
    "左下方": (0.26, 0.74), "下方": (0.5, 0.74), "右下方": (0.74, 0.74),
}  # fmt: skip
# For each count the radius of one shape and the centres of all, in shares of the short side around the place.
LAYOUTS: dict[str, tuple[float, list[tuple[float, float]]]] = {
    "一个": (0.18, [(0, 0)]),
    "两个": (0.11, [(-0.125, 0), (0.125, 0)]),
    "三个": (0.10, [(0, -0.115), (-0.12, 0.105), (0.12, 0.105)]),
    "四个": (0.095, [(-0.11, -0.11), (0.11, -0.11), (-0.11, 0.11), (0.11, 0.11)]),
}
COMMA = "\uff0c"  # full width
SHARE_FULL = 0.65  # of the alt texts that tell everything; the others leave something out, as on the web
SIDES = (200, 1600)  # of the long side, in pixels; small ones are more frequent
FORMATS = ((4, 3), (3, 4), (1, 1), (3, 2), (16, 9), (2, 3))


@dataclass(frozen=True, slots=True)
class Attributes:
    """What a scene shows, in the words of its captions."""

    colour: str
    shape: str
    count: str
    place: str
    ground: str
    pattern: str
    size: Size


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture (RGB), an alt text telling all or part of it, a recaption telling all in other words."""

    image: Image.Image
    alt_text: str
    recaption: str
    attributes: Attributes


def _outline(corners: int, *radii: float) -> list[tuple[float, float]]:
    """The corners of a shape around (0, 0), the first at the top, at the radii by turns."""
    angle = np.arange(corners) * 2 * np.pi / corners
    r = np.resize(radii, corners)
    return list(zip((r * np.sin(angle)).tolist(), (-r * np.cos(angle)).tolist(), strict=True))


def _heart() -> list[tuple[float, float]]:
    t = np.linspace(0, 2 * np.pi, 60, endpoint=False)
    x = np.sin(t) ** 3
    y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
    return list(zip(x.tolist(), y.tolist(), strict=True))


_ARM = 0.34
# Outlines in units of the radius; the ring is the circle with a hole.
SHAPES: dict[str, list[tuple[float, float]]] = {
    "圆形": _outline(72, 1),
    "圆环": _outline(72, 1),
    "三角形": _outline(3, 1.15),
    "正方形": [(-0.88, -0.88), (0.88, -0.88), (0.88, 0.88), (-0.88, 0.88)],
    "五角星": _outline(10, 1.12, 0.45),
    "爱心": _heart(),
    "十字": [
        (-_ARM, -1), (_ARM, -1), (_ARM, -_ARM), (1, -_ARM), (1, _ARM), (_ARM, _ARM),
        (_ARM, 1), (-_ARM, 1), (-_ARM, _ARM), (-1, _ARM), (-1, -_ARM), (-_ARM, -_ARM),
    ],
}  # fmt: skip


def attributes(index: int, seed: int = 0, *, neutral: bool = False) -> Attributes:
    """What scene `index` of `seed` shows, without drawing it; `neutral` keeps to black, grey and white."""
    rng = np.random.default_rng((seed, index, int(neutral)))
    ground = str(rng.choice(NEUTRAL if neutral else list(GROUNDS)))
    colours = [name for name in COLOURS if name != ground and (name in NEUTRAL or not neutral)]
    colour, shape, count = (str(rng.choice(names)) for names in (colours, list(SHAPES), COUNTS))
    place, pattern = str(rng.choice(list(PLACES))), str(rng.choice(PATTERNS))
    long = SIDES[0] * (SIDES[1] / SIDES[0]) ** float(rng.random() ** 1.6)
    across, down = FORMATS[int(rng.integers(len(FORMATS)))]
    size = round(long * across / max(across, down)), round(long * down / max(across, down))
    return Attributes(colour, shape, count, place, ground, pattern, size)


def unlike(index: int, step: int, seed: int, shown: Attributes) -> int:
    """A scene that no caption of `shown` can mean, as all that is told differs: the first of index + n * step."""
    told = ("colour", "shape", "count", "place", "ground")
    others = ((other, attributes(other, seed)) for other in itertools.count(index + step, step))
    return next(
        other for other, one in others if all(getattr(one, name) != getattr(shown, name) for name in told)
    )


def scene(
    index: int, seed: int = 0, *, size: Size | None = None, neutral: bool = False, plain: bool = False
) -> Scene:
    """Draw scene `index` of `seed`.

    size: instead of the scene's own; neutral: only black, grey and white;
    plain: a white ground without pattern.
    """
    shown = attributes(index, seed, neutral=neutral)
    if plain:
        colour = "红色" if shown.colour == "白色" else shown.colour
        shown = replace(shown, ground="白色", pattern="纯色", colour=colour)
    shown = replace(shown, size=size or shown.size)
    rng = np.random.default_rng((seed, index, 7))
    alt_text, recaption = captions(shown, rng)
    return Scene(draw(shown, rng), alt_text, recaption, shown)


def captions(shown: Attributes, rng: np.random.Generator) -> tuple[str, str]:
    """An alt text, full or partial, and a recaption in other words that is always full."""
    things = f"{shown.count}{shown.colour}的{shown.shape}"
    ground = f"{shown.ground}{shown.pattern}背景"
    full = [
        f"{ground}上有{things}{COMMA}在{shown.place}",
        f"{things}位于画面{shown.place}{COMMA}{ground}",
        f"{shown.place}是{things}{COMMA}{ground}",
    ]
    part = [
        f"{shown.colour}{shown.shape}图片",
        things,
        f"{shown.place}的{things}",
        f"{things}{COMMA}{shown.ground}背景",
    ]
    pool = full if rng.random() < SHARE_FULL else part
    recaption = f"这张图片以{shown.ground}{shown.pattern}为背景{COMMA}画面{shown.place}有{things}。"
    return str(rng.choice(pool)), recaption


def draw(shown: Attributes, rng: np.random.Generator) -> Image.Image:
    """The picture of `shown`, RGB; `rng` moves, tints and lights it a little."""
    width, height = shown.size
    over = 2 if max(shown.size) < 400 else 1  # large pictures need no supersampling to have clean edges
    ground = _ground(shown, (width * over, height * over), rng)
    image = ground.copy()
    brush = ImageDraw.Draw(image)
    short = min(image.size)
    across, down = PLACES[shown.place]
    radius, centres = LAYOUTS[shown.count]
    radius *= short * rng.uniform(0.92, 1.08)
    jitter = rng.normal(0, 0.008 * short, 2)
    for dx, dy in centres:
        x = across * image.width + dx * short + jitter[0]
        y = down * image.height + dy * short + jitter[1]
        corners = [(x + a * radius, y + b * radius) for a, b in SHAPES[shown.shape]]
        brush.polygon(corners, _tint(COLOURS[shown.colour], rng))
        if shown.shape == "圆环":
            hole = radius * 0.52
            box = (round(x - hole), round(y - hole), round(x + hole), round(y + hole))
            disc = Image.new("L", (box[2] - box[0], box[3] - box[1]))
            ImageDraw.Draw(disc).ellipse((0, 0, disc.width - 1, disc.height - 1), 255)
            image.paste(ground.crop(box), box[:2], disc)
    if over > 1:
        image = image.resize(shown.size, Image.Resampling.BOX)
    return _light(image, rng)


def _tint(colour: RGB, rng: np.random.Generator) -> RGB:
    red, green, blue = np.clip(np.array(colour) + rng.normal(0, 4, 3), 0, 255).astype(int).tolist()
    return red, green, blue


def _ground(shown: Attributes, size: Size, rng: np.random.Generator) -> Image.Image:
    """The ground with its pattern, whose second tone is a darker or lighter one of the same colour."""
    base = GROUNDS[shown.ground]
    shift = 38 if sum(base) < 300 else -34
    second = _tint((base[0] + shift, base[1] + shift, base[2] + shift), rng)
    image = Image.new("RGB", size, base)
    brush = ImageDraw.Draw(image)
    step = max(8, min(size) // 10)
    line = step // 4 if shown.pattern == "格子" else step // 2
    if shown.pattern == "圆点":
        for y in range(step // 2, size[1] + step, step):
            for x in range(step // 2, size[0] + step, step):
                brush.ellipse((x - step // 4, y - step // 4, x + step // 4, y + step // 4), second)
    if shown.pattern in ("条纹", "格子"):
        for y in range(0, size[1], step):
            brush.rectangle((0, y, size[0], y + line - 1), second)
    if shown.pattern == "格子":
        for x in range(0, size[0], step):
            brush.rectangle((x, 0, x + line - 1, size[1]), second)
    return image


@functools.cache
def _grain() -> Image.Image:
    """One fixed 256 x 256 tile of grain: drawn anew for each picture it would cost more than the picture."""
    noise = np.random.default_rng(0).normal(128, 5, (256, 256)).clip(0, 255).astype(np.uint8)
    return Image.fromarray(noise)


def _light(image: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light that falls off to one side, and grain: without them a picture compresses like no photograph."""
    corners = (128 + rng.uniform(-14, 14, (2, 2))).astype(np.uint8)
    light = Image.fromarray(corners).resize(image.size, Image.Resampling.BILINEAR)
    grain = Image.new("L", image.size)
    for y in range(0, image.height, 256):
        for x in range(0, image.width, 256):
            grain.paste(_grain(), (x, y))
    for layer in (light, grain):
        image = ImageChops.add(image, Image.merge("RGB", (layer, layer, layer)), 1, -128)
    return image
