"""The pairs that the tiny checkpoint learns from, and what else its training and its figures share.

(pairs, side, seed) -> Pool: pictures of scenes as they may arrive from the web, and what each shows
Pool -> a batch: pictures, captions, and which caption is true of which picture
"""

from __future__ import annotations

import io
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

from builder.demo import scene as scenes
from builder.demo.scene import Attributes

TOLD = ("colour", "shape", "count", "place", "ground", "pattern")
# Added to the seed of scenes, so that the demo's, the learnt and the held-out ones are others.
TRAINING, HELD_OUT = 1_000_000, 2_000_000
CROP = 0.07  # of a side, at most
QUALITIES = (70, 95)  # of the JPEG that a scene is learnt from
RECAPTIONS = 0.35  # share of the captions learnt that are recaptions


@dataclass(frozen=True)
class Pool:
    """Training pairs: pixels uint8 (n, 3, side, side), what each shows, and that as words (n, len(TOLD))."""

    pixels: npt.NDArray[np.uint8]
    shown: list[Attributes]
    words: npt.NDArray[np.str_]


def size_of(index: int, short: float) -> tuple[int, int]:
    """A (width, height) of one of the world's formats, its short side as given."""
    across, down = scenes.FORMATS[index % len(scenes.FORMATS)]
    return round(across * short / min(across, down)), round(down * short / min(across, down))


def jpeg(image: Image.Image, quality: int) -> Image.Image:
    """What a JPEG file of the picture shows."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return Image.open(buffer)


def picture(shown: Attributes, side: int, rng: np.random.Generator) -> npt.NDArray[np.uint8]:
    """A scene as it may arrive, (side, side, 3): of any format, cropped, marked, as a JPEG, squashed, re-lit."""
    short = 72 * (256 / 72) ** rng.random()
    image = scenes.draw(replace(shown, size=size_of(int(rng.integers(99)), short)), rng)
    if rng.random() < 0.5:
        sides = rng.uniform(0, CROP, 4) * (*image.size, *image.size)
        image = image.crop((sides[0], sides[1], image.width - sides[2], image.height - sides[3]))
    if rng.random() < 0.25:
        place = rng.uniform(0.02, 0.9, 2) * image.size
        tone = int(rng.integers(256))
        ImageDraw.Draw(image).text((place[0], place[1]), "danqing", (tone, tone, tone), font_size=short / 14)
    squashed = jpeg(image, int(rng.integers(QUALITIES[0], QUALITIES[1] + 1))).resize(
        (side, side), Image.Resampling.BILINEAR
    )
    light = rng.uniform(0.88, 1.12) if rng.random() < 0.5 else 1.0
    return (np.asarray(squashed) * light).clip(0, 255).astype(np.uint8)


def make_pool(pairs: int, side: int, seed: int) -> Pool:
    """Scenes in twos that differ in one attribute: of a batch of them half the wrong captions are nearly right."""
    rng = np.random.default_rng((seed, 0))
    shown = [scenes.attributes(index, TRAINING + seed) for index in range(pairs)]
    for index in range(1, pairs, 2):
        name = TOLD[int(rng.integers(len(TOLD)))]
        other = replace(shown[index - 1], **{name: getattr(shown[index], name)})
        shown[index] = other if other.colour != other.ground else shown[index]
    pixels = np.stack([picture(one, side, rng) for one in shown]).transpose(0, 3, 1, 2)
    return Pool(np.ascontiguousarray(pixels), shown, words_of(shown))


def truth(captions: list[str], words: npt.NDArray[np.str_]) -> npt.NDArray[np.bool_]:
    """Which caption is true of which picture, (captions, pictures); words: of each caption's own picture, in order."""
    told = np.array([[word in caption for word in row] for row, caption in zip(words, captions, strict=True)])
    true: npt.NDArray[np.bool_] = (~told[:, None] | (words[:, None] == words)).all(2)
    return true


def words_of(shown: list[Attributes]) -> npt.NDArray[np.str_]:
    """The attributes as an array of words, (n, len(TOLD))."""
    return np.array([[getattr(one, name) for name in TOLD] for one in shown])


def captioned(
    pool: Pool, size: int, rng: np.random.Generator
) -> tuple[list[int], list[str], npt.NDArray[np.bool_]]:
    """Numbers of `size` pictures, in twos nearly alike, a caption of each, and which caption is true of which."""
    twos = 2 * rng.choice(len(pool.shown) // 2, size // 2, replace=False)
    chosen = np.concatenate([twos, twos + 1]).tolist()
    captions = [scenes.captions(pool.shown[index], rng)[int(rng.random() < RECAPTIONS)] for index in chosen]
    return chosen, captions, truth(captions, pool.words[chosen])
