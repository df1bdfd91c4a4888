"""A picture's bytes as RGB of the size that a tower wants: what of `pixels` needs decoders, and loads them.

A JPEG is libjpeg's; any other picture, and ink, is Pillow's. Upright, and on white where it is transparent. Of the
1.2 ms that a 256-pixel JPEG takes, 0.04 ms hold the GIL.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import simplejpeg
from PIL import Image, ImageOps

from ..errors import EnvironmentProblem

Array = npt.NDArray[np.uint8]
Size = tuple[int, int]  # width, height

# Beyond, a picture is a bomb: at 4 bytes a pixel, Pillow would take over 1 GiB in every thread.
MAX_PIXELS = 1 << 28
# What `rebuild` keeps. Image.open would also run formats that nobody asked for, and warn of sizes decided on here.
_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000")
_SPACES = ("YCbCr", "RGB", "Gray")  # of JPEGs that libjpeg turns into RGB; ink is Pillow's
_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

cv2.setNumThreads(0)  # each decoding thread is one core
Image.init()
warnings.filterwarnings(
    "ignore", module=r"PIL\."
)  # odd files are an outcome, not something to tell the terminal


class Unreadable(Exception):
    """No picture, or none that is safe to decode."""


def decoded(body: bytes, target_of: Callable[[Size], Size], resample: int, *, fast: bool) -> Array | None:
    """RGB of the size that `target_of` says for the picture's upright size; None where there is no picture.

    resample: Pillow's number of the filter; fast: see pixels.
    """
    try:
        image, target = (body.startswith(b"\xff\xd8") and _jpeg(body, target_of, fast=fast)) or _other(
            body, target_of
        )
        return _rgb(image if image.size == target else image.resize(target, resample))
    except MemoryError:
        raise EnvironmentProblem(
            "out of memory while a large picture was decoded; give fewer --workers and run the same command again"
        ) from None
    except Exception:  # decoders of hostile bytes raise nearly every class there is
        return None


def _jpeg(body: bytes, target_of: Callable[[Size], Size], *, fast: bool) -> tuple[Image.Image, Size] | None:
    """A JPEG upright, and the size wanted of it; None where it is a case for Pillow."""
    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(body)
        if space not in _SPACES:
            return None
        turn = _turn(body)
        target = target_of(_upright((width, height), turn))
        least = _upright(target, turn) if fast else (0, 0)
        _limit(width, height)
        array = simplejpeg.decode_jpeg(body, "RGB", min_width=least[0], min_height=least[1])
    except (ValueError, IndexError):  # also what libjpeg merely warns about, and Pillow reads
        return None
    image = Image.fromarray(array)
    return image.transpose(_TURNS[turn]) if turn in _TURNS else image, target


def _other(body: bytes, target_of: Callable[[Size], Size]) -> tuple[Image.Image, Size]:
    """The first frame of any other picture, upright and in RGB, and the size wanted of it."""
    image = _opened(body)
    _limit(*image.size)
    image.load()
    image = _on_white(ImageOps.exif_transpose(image))
    return image, target_of(image.size)


def _opened(body: bytes) -> Image.Image:
    for name in _FORMATS:
        factory, accept = Image.OPEN[name]
        if accept is None or accept(body[:16]) is True:
            return factory(io.BytesIO(body), "")
    raise Unreadable


def _limit(width: int, height: int) -> None:
    if width * height > MAX_PIXELS:
        raise Unreadable


def _turn(body: bytes) -> int:
    """The EXIF orientation of a JPEG: 1 to 8. Walks the segments before the picture, as its bytes may hold anything."""
    at = 2
    while body[at] == 0xFF and body[at + 1] != 0xDA:
        if body[at + 1] == 0xFF:  # a marker may be preceded by any number of these
            at += 1
            continue
        length = int.from_bytes(body[at + 2 : at + 4], "big")
        if body[at + 1] == 0xE1 and body[at + 4 : at + 10] == b"Exif\0\0":
            exif = Image.Exif()
            exif.load(body[at + 4 : at + 2 + length])
            turn = exif.get(_ORIENTATION, 1)
            return turn if isinstance(turn, int) else 1
        at += 2 + length
    return 1


def _upright(size: Size, turn: int) -> Size:
    return size[::-1] if turn in (5, 6, 7, 8) else size


def _on_white(image: Image.Image) -> Image.Image:
    """The picture in RGB. Raises Unreadable for numbers without a known range."""
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in ("I", "F"):
        raise Unreadable
    if not image.has_transparency_data and image.mode not in ("La", "RGBa"):
        return image.convert("RGB")
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer)
    return page


def _rgb(image: Image.Image) -> Array:
    """The pixels of an RGB image, which Pillow holds four bytes apart: looked at in place, packed outside the GIL.

    np.asarray(image) would hold the GIL for 0.07 ms to copy 256 x 256 pixels three times.
    """
    width, height = image.size
    exported: Any = image  # by the Arrow PyCapsule interface, of which the stubs of pyarrow know nothing
    four = np.asarray(pa.array(exported).values).reshape(height, width, 4)
    return np.asarray(cv2.cvtColor(four, cv2.COLOR_RGBA2RGB))
