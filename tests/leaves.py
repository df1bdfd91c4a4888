"""Drawn photographs: leaves that fell on each other, each with a texture of its own; another for each number."""

from __future__ import annotations

import functools

import cv2
import numpy as np
from PIL import Image

SIZE = (320, 240)


@functools.cache
def leaves(seed: int) -> Image.Image:
    """The photograph of that number."""
    return _drawn(seed, 0)


@functools.cache
def again(seed: int) -> Image.Image:
    """Another photograph of the same leaves, of which each lies a few pixels elsewhere."""
    return _drawn(seed, 6)


def _drawn(seed: int, moved: int) -> Image.Image:
    rng, aside = np.random.default_rng((seed, 17)), np.random.default_rng((seed, 18))
    wide, high = SIZE
    canvas = np.full((high, wide, 3), 128, np.uint8)
    grain = rng.integers(-30, 31, (high, wide, 1))
    for _ in range(120):
        x, y = int(rng.integers(wide)), int(rng.integers(high))
        place = (x + int(aside.integers(-moved, moved + 1)), y + int(aside.integers(-moved, moved + 1)))
        axes = (int(rng.integers(6, 45)), int(rng.integers(4, 30)))
        colour = tuple(map(int, rng.integers(20, 236, 3)))
        cv2.ellipse(canvas, place, axes, float(rng.integers(180)), 0, 360, colour, -1, cv2.LINE_AA)
    soft = cv2.GaussianBlur(grain.astype(np.float32), (0, 0), 1.5)[:, :, None] * 2
    return Image.fromarray(np.clip(canvas + soft, 0, 255).astype(np.uint8))
