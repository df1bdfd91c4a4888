"""From a decoded picture of any mode to 8-bit grey, RGB or CMYK: deep samples scaled, transparency put on white.

Pieces of a picture as Pillow images -> one array. Every mode in between is one more copy of what is converted: of a
whole picture of 2^26 pixels up to 1.4 GB, of a strip of it some megabytes. The pixels are the same, as each depends
on nothing but itself.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image

from .colour import Array, in_strips


def flatten(height: int, width: int, piece: Callable[[slice], Image.Image]) -> Array:
    """uint8 of shape (height, width) or (height, width, 3 or 4); `piece` gives the rows of a slice, from the top down.

    Raises ValueError for modes without a known range.
    """
    return in_strips(height, width, lambda rows: _array(piece(rows)))


def flattened(image: Image.Image) -> Array:
    """The same of a whole image."""
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
