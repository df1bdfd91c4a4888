"""Decoders of a checked picture: one path a format, each refusing what it cannot decode whole.

(bytes, Header) -> Pixels, or Dropped. The paths, chosen by measurement: CPU a picture (benchmarks' corpus), and the
memory that 2^26 pixels take at most, of which this module returns 192 MB, or 64 of grey:

    JPEG            simplejpeg   4.2 ms; OpenCV 5.0, equal pixels but silent about corrupt data; Pillow 7. 192 MB;
                                 385 to 577 where progressive, as libjpeg holds every coefficient (CMYK: 256, 768)
    WebP            OpenCV       3.4 ms, 448 MB, with alpha 512; Pillow 4.5, through two RGBA canvases: 1,025
    PNG, plain RGB  OpenCV       8.8 ms, 384 MB; Pillow 9.4, 448
    AVIF            Pillow       507 MB, with alpha 722; OpenCV 1,054 and 2,170
    JPEG 2000       Pillow       1,237 MB and OpenCV 982, as OpenJPEG holds 4 bytes a sample
    everything else Pillow       GIF at half of OpenCV's cost; palettes, alpha and 16 bits right. 132 to 528 MB

Every path releases the GIL while it decodes.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg
from PIL import AvifImagePlugin, Image, ImageFile

from ..reasons import Dropped, Reason
from .colour import Array, flatten, flattened
from .container import KINDS, opened
from .jpeg import bare, unpadded
from .structure import Header, essential, first_frame

# Each decode thread is one core; OpenCV's own pool would fight over them.
cv2.setNumThreads(0)
# A refused file is an outcome; OpenCV would also write a line about it on the terminal.
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

# How the eight EXIF orientations are flipped (OpenCV's codes), those from 5 on behind a transposition.
_FLIPS = {2: 1, 3: -1, 4: 0, 6: 1, 7: -1, 8: 0}
# The compressions of a BMP that mean masks: of three channels, and of four behind the shortest header.
_MASKS, _WITH_ALPHA = 3, 6
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


def decode(
    body: bytes, header: Header, least: tuple[int, int] | None = None, *, luma: bool = False
) -> Pixels:
    """The pixels of the first frame. Raises Dropped(TRUNCATED | CORRUPT).

    least: (width, height) that suffice; a JPEG is then decoded at the smallest scale of 1/8 to 8/8 that has them.
    luma: of a JPEG in colour decode the luma alone, as grey.
    """
    try:
        if header.format == "jpeg":
            return _jpeg(body, header, least, luma=luma)
        return _READERS.get(header.format, _pillow)(body, header)
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


def upright(pixels: Array, orientation: int) -> Array:
    """Pixels turned as their EXIF orientation says; as they are where it says nothing."""
    turned = cv2.transpose(pixels) if 5 <= orientation <= 8 else pixels
    flip = _FLIPS.get(orientation)
    return np.asarray(turned if flip is None else cv2.flip(turned, flip), np.uint8)


def _jpeg(body: bytes, header: Header, least: tuple[int, int] | None, *, luma: bool) -> Pixels:
    if header.channels not in _SPACES:
        raise Dropped(Reason.CORRUPT)
    space = "GRAY" if luma and header.channels == 3 else _SPACES[header.channels]
    try:
        array = _strict(body, header.channels, space, least or (0, 0))
    except ValueError as error:
        text = str(error)
        if "subsampling" in text:  # a chroma sampling that libjpeg-turbo has no name for
            return _pillow(bare(body, header.channels), header)._replace(profile=header.profile)
        raise Dropped(
            Reason.TRUNCATED if text.startswith("Premature end of JPEG") else Reason.CORRUPT
        ) from None
    if header.channels == 4:  # stored as 255 - ink, as every decoder takes it, with Adobe's marker or without
        array = np.invert(array, out=array)
    if space == "GRAY":
        array = array[:, :, 0]
    return Pixels(array, header.profile, "simplejpeg-fast" if least else "simplejpeg-exact")


def _strict(body: bytes, channels: int, space: str, least: tuple[int, int]) -> Array:
    """Decode, taking libjpeg's warnings for errors: of what is harmless there is nothing in a bare copy."""
    try:
        return _turbo(body, space, least)
    except ValueError as error:
        if not _ODD.search(str(error)):
            raise
    lone = bare(body, channels)
    for _ in range(_TIMES):
        try:
            return _turbo(lone, space, least)
        except ValueError as error:
            left = _LEFT.search(str(error))
            if not left:
                raise
        lone = unpadded(lone, int(left[1]))
    return _turbo(lone, space, least)


def _turbo(body: bytes, space: str, least: tuple[int, int]) -> Array:
    width, height = least
    array: Array = simplejpeg.decode_jpeg(body, space, min_width=width, min_height=height)
    return array


def _opencv(body: bytes, header: Header) -> Pixels:
    flags = cv2.IMREAD_COLOR_RGB if header.plain else cv2.IMREAD_UNCHANGED
    array = cv2.imdecode(np.frombuffer(body, np.uint8), flags | cv2.IMREAD_IGNORE_ORIENTATION)
    if array is None or array.shape[:2] != (header.height, header.width) or array.ndim != 3:
        raise Dropped(Reason.CORRUPT)
    if header.plain:
        return Pixels(np.asarray(array, np.uint8), header.profile, "opencv")

    def piece(rows: slice) -> Image.Image:
        strip = array[rows]
        if array.dtype == np.uint16:  # of AVIF alone, which has 10 or 12 bits
            strip = strip.view(np.uint16) >> (4 if body[body.index(b"av1C") + 6] & 0x20 else 2)
        strip = strip.astype(np.uint8, copy=False)
        mode, stored = ("RGBA", "BGRA") if strip.shape[2] == 4 else ("RGB", "BGR")
        return Image.frombuffer(mode, strip.shape[1::-1], strip, "raw", stored, 0, 1)

    return Pixels(flatten(header.height, header.width, piece), header.profile, "opencv")


def _pillow(body: bytes, header: Header) -> Pixels:
    image = _opened(KINDS[header.format], body, header)
    image.load()
    profile = image.info.get("icc_profile")
    return Pixels(flattened(image), profile if isinstance(profile, bytes) else None, "pillow")


def _opened(kind: type[ImageFile.ImageFile], body: bytes, header: Header) -> ImageFile.ImageFile:
    image = opened(kind, body)
    if image.size != (header.width, header.height):  # the limit on pixels was checked against the header
        raise Dropped(Reason.CORRUPT)
    return image


def _png(body: bytes, header: Header) -> Pixels:
    return (_opencv if header.plain else _pillow)(essential(body), header)


def _webp(body: bytes, header: Header) -> Pixels:
    """Pixels by OpenCV, as Pillow holds a picture with alpha four times; of an animation, the first frame."""
    if body[12:16] != b"VP8X":
        return _opencv(body, header)
    # OpenCV believes the flag for alpha, not the pixels, and then shows what is clear.
    if not body[20] & 0x02:
        return _opencv(body if header.plain else body[:20] + b"\x10" + body[21:], header)
    still = first_frame(body)
    return _opencv(still, header) if still else _pillow(body, header)


class _Frame(ImageFile.ImageFile):
    """A step that leaves the samples of a frame in `fp`, where Pillow's reader puts them, and makes no image."""

    def load(self) -> None:
        return None


class _Avif(AvifImagePlugin.AvifImageFile, _Frame):
    """Pillow's reader of AVIF with that as its next step: as an image, a frame would be there four times."""


def _avif(body: bytes, header: Header) -> Pixels:
    """Pixels by Pillow; by OpenCV where that wants to be told the size of the alpha plane, too."""
    try:
        image = _opened(_Avif, body, header)
    except Dropped:
        return _opencv(body, header)
    image.load()
    mode, frame, width = image.mode, image.fp, header.width
    assert frame is not None
    del image  # and with it the planes that the frame was made of

    def piece(rows: slice) -> Image.Image:
        size = width, rows.stop - rows.start
        return Image.frombuffer(mode, size, frame.read(len(mode) * size[0] * size[1]), "raw", mode, 0, 1)

    return Pixels(flatten(header.height, width, piece), header.profile, "pillow")


def _bmp(body: bytes, header: Header) -> Pixels:
    try:
        return _pillow(body, header)
    except Dropped:
        return Pixels(_masked(body, header), None, "numpy")


def _masked(body: bytes, header: Header) -> Array:
    """A BMP whose channels lie under masks that Pillow has no name for.

    OpenCV asks for the masks behind the longer headers only; behind the shortest, it takes red for blue.
    """
    start, length = struct.unpack_from("<II", body, 10)
    height, _, depth, packing = struct.unpack_from("<iHHI", body, 22)
    masks = struct.unpack_from("<4I", body, 54)
    masks = masks[:4] if masks[3] and (length >= 56 or packing == _WITH_ALPHA) else masks[:3]
    if length < 40 or depth not in (16, 32) or packing not in (_MASKS, _WITH_ALPHA) or 0 in masks:
        raise Dropped(Reason.CORRUPT)
    stride = (header.width * depth + 31) // 32 * 4
    stored = np.frombuffer(body, np.uint8, stride * header.height, start).reshape(header.height, stride)
    upright = stored.view(f"<u{depth // 8}")[:: 1 if height < 0 else -1, : header.width]

    def piece(rows: slice) -> Image.Image:
        values = upright[rows].astype(np.uint64)
        channels = []
        for mask in masks:
            lowest = mask & -mask
            most = mask // lowest
            channels.append((((values & mask) // lowest * 255 + most // 2) // most).astype(np.uint8))
        return Image.fromarray(np.dstack(channels))

    return flatten(header.height, header.width, piece)


_READERS = {"png": _png, "webp": _webp, "avif": _avif, "bmp": _bmp}
