"""Photo-like pictures, and JPEG files put together by segment, for the tests of what becomes of pixels."""

from __future__ import annotations

import functools
import struct

import cv2
import numpy as np
from PIL import Image

from ..pictures import save


@functools.cache
def photo(seed: int = 0, width: int = 400, height: int = 300) -> Image.Image:
    """Smooth shapes with a little grain; another picture for every seed."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    smooth = cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC).astype(np.int16)
    return Image.fromarray(np.clip(smooth + rng.integers(-6, 7, smooth.shape), 0, 255).astype(np.uint8))


@functools.cache
def photo_jpeg(seed: int = 0, width: int = 400, height: int = 300, progressive: bool = False) -> bytes:
    return save(photo(seed, width, height), "JPEG", quality=85, progressive=progressive)


def segment(code: int, payload: bytes) -> bytes:
    """One JPEG segment."""
    return bytes([0xFF, code]) + struct.pack(">H", len(payload) + 2) + payload


def after_start(jpeg: bytes, *segments: bytes) -> bytes:
    """`jpeg` with segments put in right after its first marker."""
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


def turned(orientation: int) -> bytes:
    """An EXIF block that says so."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()
