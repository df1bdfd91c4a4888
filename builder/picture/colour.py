"""Colours: a decoded picture of any mode to 8-bit grey, RGB or CMYK on white, and those to sRGB.

Pieces of a picture as Pillow images -> one array (`flatten`): every mode in between is one more copy of what is
converted, of a whole picture of 2^26 pixels up to 1.4 GB, of a strip of it some megabytes. The pixels are the same, as
each depends on nothing but itself. uint8 pixels -> uint8 RGB by their ICC profile (`to_srgb`): it runs after the
resize, on a tenth of the pixels, as averaging before or after differs by less than the JPEG coding does, and a CMYK
profile costs 20 ns a pixel.
"""

from __future__ import annotations

import functools
import io
from collections.abc import Callable

import cv2
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageCms

Array = npt.NDArray[np.uint8]

_SPACES = {"L": "GRAY", "RGB": "RGB", "CMYK": "CMYK"}
_SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
# Press profiles take half a megabyte; beyond one, it is not a profile worth the memory.
_MAX_PROFILE = 1 << 20
# The sRGB profiles in circulation differ from each other by as much, of 255.
_SAME = 3
# Pixels of a picture that is converted at once, and of the strips of a larger one.
_WHOLE, _STRIP = 1 << 22, 1 << 18


def to_srgb(pixels: Array, profile: bytes | None) -> Array:
    """RGB of shape (height, width, 3) from (height, width) grey, (..., 3) RGB or (..., 4) CMYK ink.

    A profile that cannot be read, or is of another colour space than the pixels, is ignored.
    """
    mode = "L" if pixels.ndim == 2 else "RGB" if pixels.shape[2] == 3 else "CMYK"
    transform = _transform(profile, mode) if profile else None
    if transform is None and mode != "CMYK":
        return pixels if mode == "RGB" else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2RGB), np.uint8)

    def converted(rows: slice) -> Array:
        strip = _image(pixels[rows], mode)
        return np.asarray(ImageCms.applyTransform(strip, transform) if transform else strip.convert("RGB"))

    return in_strips(pixels.shape[0], pixels.shape[1], converted)


def in_strips(height: int, width: int, made: Callable[[slice], Array]) -> Array:
    """Rows that `made` gives for slices, from the top down, as one array: what making them takes, it takes for few."""
    if height * width <= _WHOLE:
        return made(slice(0, height))
    step = min(max(1, _STRIP // width), height)
    first = made(slice(0, step))
    whole = np.empty((height, *first.shape[1:]), np.uint8)
    whole[:step] = first
    for top in range(step, height, step):
        rows = slice(top, min(top + step, height))
        whole[rows] = made(rows)
    return whole


def flatten(height: int, width: int, piece: Callable[[slice], Image.Image]) -> Array:
    """uint8 of shape (height, width) or (height, width, 3 or 4); `piece` gives the rows of a slice, from the top down.

    Raises ValueError for modes without a known range.
    """
    return in_strips(height, width, lambda rows: _array(piece(rows)))


def flattened(image: Image.Image) -> Array:
    """The array that `flatten` makes of a whole image."""
    width, height = image.size

    def piece(rows: slice) -> Image.Image:
        whole = rows == slice(0, height)
        return image if whole else image.crop((0, rows.start, width, rows.stop))

    return flatten(height, width, piece)


def _array(image: Image.Image) -> Array:
    if image.mode.startswith("I;16"):
        deep = np.asarray(image)
        array = (deep >> 8).astype(np.uint8)
        if isinstance(clear := image.info.get("transparency"), int):
            array[deep == clear] = 255
        return array
    if image.mode in ("I", "F"):
        raise ValueError(image.mode)
    if image.has_transparency_data or image.mode in ("La", "RGBa"):
        return _on_white(image)
    if image.mode == "1":
        image = image.convert("L")
    elif image.mode not in ("L", "RGB", "CMYK"):
        image = image.convert("RGB")
    return np.asarray(image)


def _on_white(image: Image.Image) -> Array:
    layer = image.convert("RGBA")
    if layer.getchannel("A").getextrema() == (255, 255):
        return np.asarray(layer.convert("RGB"))
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer)
    return np.asarray(page)


def _image(pixels: Array, mode: str) -> Image.Image:
    height, width = pixels.shape[:2]
    return Image.frombuffer(mode, (width, height), np.ascontiguousarray(pixels), "raw", mode, 0, 1)


@functools.lru_cache(maxsize=32)
def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    """The transform to sRGB, or None where there is none, or none that is needed."""
    if len(profile) > _MAX_PROFILE:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if source.profile.xcolor_space.strip() != _SPACES[mode]:
            return None
        transform = ImageCms.buildTransform(
            source,
            _SRGB,
            mode,
            "RGB",
            ImageCms.Intent.RELATIVE_COLORIMETRIC,
            ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
        return None if mode != "CMYK" and _changes_nothing(transform, mode) else transform
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return None


def _changes_nothing(transform: ImageCms.ImageCmsTransform, mode: str) -> bool:
    """Whether a grid of colours stays what it is: the profile is sRGB, by whatever name."""
    steps = np.linspace(0, 255, 16 if mode == "L" else 9).astype(np.uint8)
    if mode == "L":
        grid = np.broadcast_to(steps[:, None, None], (16, 1, 3))
        moved = np.asarray(ImageCms.applyTransform(_image(steps[:, None], mode), transform))
    else:
        grid = np.stack(np.meshgrid(steps, steps, steps), -1).reshape(27, 27, 3)
        moved = np.asarray(ImageCms.applyTransform(_image(grid, mode), transform))
    return int(np.abs(moved.astype(np.int16) - grid).max()) <= _SAME
