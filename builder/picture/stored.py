"""A stored picture as RGB of the size that its reader wants, upright and on white where transparent; its measures.

Bytes -> uint8 RGB, or Measures, or None. A JPEG is libjpeg's; any other picture, and ink, is Pillow's, so that the
pixels are those of whoever opens the file with Pillow. Of the 1.2 ms that a 256-pixel JPEG takes, 0.04 ms hold the GIL.
Nothing here is as strict as `decode`: what is stored was judged when it came.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pyarrow as pa
import simplejpeg
from PIL import Image, ImageOps

from ..reasons import Dropped, Reason
from .colour import Array, flattened, to_srgb
from .container import recognised
from .decode import upright
from .jpeg import EXIF, SCAN, segments
from .limits import MAX_PIXELS
from .measure import measure
from .measures import Measures
from .structure import ORIENTATION

Size = tuple[int, int]  # width, height

_SPACES = ("YCbCr", "RGB", "Gray")  # of JPEGs that libjpeg turns into RGB; ink is Pillow's


def scaled(
    body: bytes,
    target_of: Callable[[Size], Size],
    resample: int,
    *,
    fast: bool,
    most: int = MAX_PIXELS,
) -> Array | None:
    """RGB of the size that `target_of` says for the picture's upright size; None where there is no picture.

    resample: Pillow's number of the filter; fast: a JPEG is decoded at the smallest scale of 1/8 to 8/8 that covers
    the target; most: pixels beyond which it is none. Raises MemoryError.
    """
    try:
        image: Image.Image
        jpeg = _jpeg(body, target_of, most, fast=fast) if body.startswith(b"\xff\xd8") else None
        if jpeg is None:
            image, target = _other(body, target_of, most)
        else:
            array, target = jpeg
            # Of 256 pixels a third of the time went into Pillow's Image and back.
            if array.shape[1::-1] == target:
                return array
            image = Image.fromarray(array)
        return _rgb(image if image.size == target else image.resize(target, resample))
    except MemoryError:
        raise
    except Exception:  # decoders of hostile bytes raise nearly every class there is
        return None


def measured(body: bytes, most: int = MAX_PIXELS) -> Measures | None:
    """The measures of a picture by its luminance (`measures.LUMA`); None where there is none. Raises MemoryError.

    most: pixels beyond which it is none.
    """
    try:
        grey = _luma(body, most) if body.startswith(b"\xff\xd8") else None
        return measure(flattened(_loaded(body, most)) if grey is None else grey)
    except MemoryError:
        raise
    except Exception:  # decoders of hostile bytes raise nearly every class there is
        return None


def _luma(body: bytes, most: int) -> Array | None:
    """The luminance of a JPEG, as it lies; None where it is a case for Pillow."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(body)
        if space not in _SPACES or width * height > most:
            return None
        grey: Array = simplejpeg.decode_jpeg(body, "GRAY")
    except ValueError:  # also what libjpeg merely warns about, and Pillow reads
        return None
    return grey[:, :, 0]


def _jpeg(
    body: bytes, target_of: Callable[[Size], Size], most: int, *, fast: bool
) -> tuple[Array, Size] | None:
    """The pixels of a JPEG upright, and the size wanted of it; None where it is a case for Pillow."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(body)
        if space not in _SPACES or width * height > most:
            return None
        turned = _turned(body)
        order = -1 if turned in range(5, 9) else 1
        target = target_of((width, height)[::order])
        least = target[::order] if fast else (0, 0)
        array = simplejpeg.decode_jpeg(body, "RGB", min_width=least[0], min_height=least[1])
    except (ValueError, IndexError, Dropped):  # also what libjpeg merely warns about, and Pillow reads
        return None
    return upright(array, turned), target


def _turned(body: bytes) -> int:
    """The orientation of a JPEG as Pillow reads it, by its first EXIF before the scans, whose bytes may be any."""
    for code, start, end in segments(body):
        if code == SCAN:
            break
        if code == EXIF and body[start + 4 : start + 10] == b"Exif\0\0":
            exif = Image.Exif()
            exif.load(body[start + 4 : end])
            turned = exif.get(ORIENTATION, 1)
            return turned if isinstance(turned, int) else 1
    return 1


def _other(body: bytes, target_of: Callable[[Size], Size], most: int) -> tuple[Image.Image, Size]:
    """The first frame of any other picture, upright and in RGB, and the size wanted of it."""
    image = ImageOps.exif_transpose(_loaded(body, most))
    if image.mode.startswith("I;16"):
        image.info.pop("transparency", None)  # of grey in 16 bits, no level has been clear to the towers
    if image.mode != "RGB" or image.has_transparency_data:
        image = Image.fromarray(to_srgb(flattened(image), None))
    return image, target_of(image.size)


def _loaded(body: bytes, most: int) -> Image.Image:
    """The first frame as Pillow decodes it. Raises Dropped, and whatever Pillow raises."""
    image = recognised(body)
    if image.width * image.height > most:
        raise Dropped(Reason.TOO_MANY_PIXELS)
    image.load()
    return image


def _rgb(image: Image.Image) -> Array:
    """The pixels of an RGB image, which Pillow holds four bytes apart: looked at in place, packed outside the GIL.

    np.asarray(image) would hold the GIL for 0.07 ms to copy 256 x 256 pixels three times.
    """
    width, height = image.size
    exported: Any = image  # by the Arrow PyCapsule interface, of which the stubs of pyarrow know nothing
    four = np.asarray(pa.array(exported).values).reshape(height, width, 4)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))
