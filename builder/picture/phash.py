"""The perceptual hash: pixels in, 64 bits out, nearly the same ones wherever the same picture is stored otherwise."""

from __future__ import annotations

import cv2
import numpy as np

from .colour import Array


def phash(pixels: Array) -> str:
    """The perceptual hash of uint8 RGB (height, width, 3) or grey (height, width) pixels: 16 hex characters.

    Grey, halved while no side is under 128 (which costs a tenth of averaging it at once; an odd last row is left
    out), averaged to 32x32, discrete cosine transform; a bit for each of the 8x8 lowest frequencies, row by row
    from the most significant: set where the coefficient is above their median. The layout is that of `phash` in
    the imagehash library. Two files of one picture differ in a few bits of 64, two pictures in about 32.
    """
    grey = pixels if pixels.ndim == 2 else cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    while min(height := grey.shape[0], width := grey.shape[1]) >= 128:
        even = grey[: height & ~1, : width & ~1]
        grey = cv2.resize(even, (width // 2, height // 2), interpolation=cv2.INTER_AREA)
    small = cv2.resize(grey, (32, 32), interpolation=cv2.INTER_AREA).astype(np.float32)
    low = cv2.dct(small)[:8, :8]
    ranked = sorted(low.ravel().tolist())  # np.median takes longer than the transform
    return np.packbits(low > (ranked[31] + ranked[32]) / 2).tobytes().hex()
