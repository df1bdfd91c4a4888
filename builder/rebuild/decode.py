"""From the bytes of a checked picture to its pixels: one path a format, each refusing what it cannot decode whole.

(bytes, Header) -> Pixels, or Dropped. The paths, chosen by measurement (CPU a picture, benchmarks' corpus):

    JPEG            simplejpeg   4.2 ms; OpenCV 5.0, equal pixels but silent about corrupt data; Pillow 7
    WebP, opaque    OpenCV       3.4 ms; Pillow 4.5, through an RGBA animation canvas
    PNG, plain RGB  OpenCV       8.8 ms; Pillow 9.4, and a copy more
    everything else Pillow       GIF at half of OpenCV's cost; palettes, alpha and 16 bits right

Every path releases the GIL while it decodes.
"""

from __future__ import annotations

import re
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ..schema import Reason
from .colour import Array
from .container import opened
from .header import Header
from .jpeg import bare, unpadded
from .outcome import Dropped
from .structure import essential

# Each decode thread is one core; OpenCV's own pool would fight over them.
cv2.setNumThreads(0)
# A refused file is an outcome; OpenCV would also write a line about it on the terminal.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_KINDS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
_SPACES = {1: "GRAY", 3: "RGB", 4: "CMYK"}
# The warnings that may leave every pixel right. Premature ends, bad codes, scans out of sequence and markers or bytes
# inside a scan are damage.
_ODD = re.compile(r"JFIF revision|Adobe color transform|SOS parameters|ICC marker|extraneous bytes before")
# Padding, of which libjpeg does not report the bytes that it has in hand: the more is cut away, the fewer are those.
_TIMES = 3
_LEFT = re.compile(r"(\d+) extraneous bytes before marker 0xd9")


class Pixels(NamedTuple):
    """Decoded pixels: uint8 of shape (height, width) grey, (..., 3) RGB or (..., 4) CMYK ink, not yet turned.

    profile: the ICC profile they are to be read with; decoder: the path that made them.
    """

    array: Array
    profile: bytes | None
    decoder: str


def decode(body: bytes, header: Header, least: tuple[int, int] | None = None) -> Pixels:
    """The pixels of the first frame. Raises Dropped(TRUNCATED | CORRUPT).

    least: (width, height) that suffice; a JPEG is then decoded at the smallest scale of 1/8 to 8/8 that has them.
    """
    try:
        if header.format == "jpeg":
            return _jpeg(body, header, least)
        if header.format == "png":
            body = essential(body)
        if header.format in ("webp", "png") and header.plain:
            return _opencv(body, header)
        return _pillow(body, header)
    except Dropped:
        raise
    except Exception as error:  # decoders of hostile bytes raise nearly every class there is
        raise Dropped(Reason.TRUNCATED if "truncated" in str(error) else Reason.CORRUPT) from None


def verify(body: bytes, header: Header) -> Pixels:
    """Small pixels, from all of the file: what a JPEG's entropy coding hides shows also at an eighth of its scale.

    Raises Dropped(TRUNCATED | CORRUPT).
    """
    found = decode(body, header, (64, 64))
    return found._replace(decoder="simplejpeg-verify") if found.decoder.startswith("simplejpeg") else found


def _jpeg(body: bytes, header: Header, least: tuple[int, int] | None) -> Pixels:
    if header.channels not in _SPACES:
        raise Dropped(Reason.CORRUPT)
    try:
        array = _strict(body, header.channels, least or (0, 0))
    except ValueError as error:
        text = str(error)
        if "subsampling" in text:  # a chroma sampling that libjpeg-turbo has no name for
            return _pillow(bare(body, header.channels), header)._replace(profile=header.profile)
        raise Dropped(
            Reason.TRUNCATED if text.startswith("Premature end of JPEG") else Reason.CORRUPT
        ) from None
    if header.channels == 4:  # stored as 255 - ink, as every decoder takes it, with Adobe's marker or without
        array = np.invert(array)
    if header.channels == 1:
        array = array[:, :, 0]
    return Pixels(array, header.profile, "simplejpeg-fast" if least else "simplejpeg-exact")


def _strict(body: bytes, channels: int, least: tuple[int, int]) -> Array:
    """Decode, taking libjpeg's warnings for errors: of what is harmless there is nothing in a bare copy."""
    try:
        return _turbo(body, channels, least)
    except ValueError as error:
        if not _ODD.search(str(error)):
            raise
    lone = bare(body, channels)
    for _ in range(_TIMES):
        try:
            return _turbo(lone, channels, least)
        except ValueError as error:
            left = _LEFT.search(str(error))
            if not left:
                raise
        lone = unpadded(lone, int(left[1]))
    return _turbo(lone, channels, least)


def _turbo(body: bytes, channels: int, least: tuple[int, int]) -> Array:
    width, height = least
    array: Array = simplejpeg.decode_jpeg(body, _SPACES[channels], min_width=width, min_height=height)
    return array


def _opencv(body: bytes, header: Header) -> Pixels:
    flags = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION
    array = cv2.imdecode(np.frombuffer(body, np.uint8), flags)
    if array is None or array.shape != (header.height, header.width, 3):
        raise Dropped(Reason.CORRUPT)
    return Pixels(np.asarray(array, np.uint8), header.profile, "opencv")


def _pillow(body: bytes, header: Header) -> Pixels:
    image = opened(_KINDS[header.format], body)
    if image.size != (header.width, header.height):  # the limit on pixels was checked against the header
        raise Dropped(Reason.CORRUPT)
    image.load()
    profile = image.info.get("icc_profile")
    return Pixels(_array(image), profile if isinstance(profile, bytes) else None, "pillow")


def _array(image: Image.Image) -> Array:
    """8-bit grey, RGB or CMYK of whatever Pillow decoded. Raises ValueError for modes without a known range."""
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
