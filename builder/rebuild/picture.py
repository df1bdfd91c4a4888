"""A fetched body becomes a picture to store: checked, decoded, resized, turned upright, in sRGB, encoded.

(bytes, RebuildConfig) -> Picture, or Dropped. The limits on size and shape are held against the header, before a
pixel is decoded. With `exact` the pixels of a JPEG equal those of img2dataset (OpenCV decode, INTER_AREA, quality
95); `fast` lets libjpeg decode at a reduced scale that still covers the target. Safe to call from many threads,
each of which keeps one core busy and the GIL free.
"""

from __future__ import annotations

import io

import cv2
import numpy as np
from PIL import Image

from ..disk.schema import EXTENSIONS
from ..picture.colour import Array, to_srgb
from ..picture.decode import decode, upright, verify
from ..picture.header import check
from ..picture.intact import is_intact
from ..picture.limits import ROOM
from ..picture.measure import measure
from ..picture.measures import Measures
from ..picture.phash import phash
from ..picture.structure import Header
from ..reasons import Dropped, Reason
from .config import RebuildConfig
from .outcome import Picture

# The longest side that the format itself can hold.
_LONGEST = {"jpeg": 65_500, "webp": 16_383}
_WHITE = (255, 255, 255)


def make(body: bytes, options: RebuildConfig) -> Picture:
    """The picture to store, by the options of a rebuild.

    Raises Dropped: what `check` raises; TOO_MANY_PIXELS, TOO_SMALL and ASPECT by the header; TRUNCATED and CORRUPT
    where the pixels cannot be decoded faithfully. Nothing else, whatever the bytes.
    """
    header = check(body)
    _admit(*header.upright, options)
    original = options.encode == "original"
    target = (1, 1) if original else _fit(header.width, header.height, options)
    with ROOM.share(max(header.width * header.height, target[0] * target[1])):
        return _as_served(body, header, options) if original else _made(body, header, target, options)


def _made(body: bytes, header: Header, target: tuple[int, int], options: RebuildConfig) -> Picture:
    """The picture scaled to `target`; each step frees what the one before it made."""
    rgb, profile, decoder = decode(body, header, target if options.decode == "fast" else None)
    measures = _measured(body, header, rgb, options)
    rgb = _resize(rgb, target)
    rgb = to_srgb(rgb, profile)
    rgb = upright(rgb, header.orientation)  # after the resize, where there is less to move
    rgb = _frame(rgb, options)
    height, width = rgb.shape[:2]
    if _may_stay(header, width, height, options) and is_intact(body, header.format):
        data, decoder = body, f"{decoder}-kept"
    else:
        data = _encode(rgb, options)
    return Picture(
        data=data,
        width=width,
        height=height,
        original_width=header.upright[0],
        original_height=header.upright[1],
        phash=phash(rgb),
        format=header.format,
        extension=EXTENSIONS.get(options.encode, options.encode),
        decoder=decoder,
        measures=measures,
    )


def _admit(width: int, height: int, options: RebuildConfig) -> None:
    """Hold the size against the limits."""
    if width * height > options.max_pixels:
        raise Dropped(Reason.TOO_MANY_PIXELS)
    if min(width, height) < options.min_side:
        raise Dropped(Reason.TOO_SMALL)
    if options.max_aspect and max(width, height) > options.max_aspect * min(width, height):
        raise Dropped(Reason.ASPECT)


def _as_served(body: bytes, header: Header, options: RebuildConfig) -> Picture:
    """The body itself; decoded to verify it, unless `fast` is content with its structure.

    Raises Dropped(CORRUPT) also for a picture that is whole but that Pillow does not open as it was served.
    """
    if not is_intact(body, header.format):
        raise Dropped(Reason.CORRUPT)
    width, height = header.upright
    array, digest, decoder = None, None, "none"
    if options.decode == "exact":
        array, _, decoder = verify(body, header)
        digest = phash(upright(to_srgb(array, None), header.orientation))
    measures = _measured(body, header, array, options)
    extension = EXTENSIONS.get(header.format, header.format)
    return Picture(body, width, height, width, height, digest, header.format, extension, decoder, measures)


def _measured(body: bytes, header: Header, decoded: Array | None, options: RebuildConfig) -> Measures | None:
    """The measures of the original; None where nobody asked, or not all of it can be decoded.

    decoded: the pixels of it that were made anyway; of a JPEG perhaps an eighth of them.
    """
    if not options.measure:
        return None
    if decoded is not None and not (options.skims and header.format == "jpeg"):
        return measure(decoded)
    try:
        return measure(decode(body, header, luma=True).array)
    except Dropped:
        return None


def _fit(width: int, height: int, options: RebuildConfig) -> tuple[int, int]:
    """The size to scale to, before cropping and padding; rounded as img2dataset does.

    Raises Dropped: ASPECT where a side outgrows the format, TOO_MANY_PIXELS where enlarging passes the limit.
    """
    size, (short, long) = options.image_size, sorted((width, height))
    if options.resize == "squash":
        fitted = (size, size) if options.upscale else (min(width, size), min(height, size))
    else:
        scale = {"none": 1.0, "keep-ratio-largest": size / long, "border": size / long}.get(
            options.resize, size / short
        )
        scale = scale if options.upscale else min(scale, 1.0)
        fitted = max(1, round(width * scale)), max(1, round(height * scale))
    if max(fitted) > _LONGEST.get(options.encode, max(fitted)) and options.resize != "center-crop":
        raise Dropped(Reason.ASPECT)
    if fitted[0] * fitted[1] > options.max_pixels:
        raise Dropped(Reason.TOO_MANY_PIXELS)
    return fitted


def _resize(pixels: Array, target: tuple[int, int]) -> Array:
    height, width = pixels.shape[:2]
    if (width, height) == target:
        return pixels
    shrinks = target[0] <= width and target[1] <= height
    resized = cv2.resize(pixels, target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return np.asarray(resized, np.uint8)


def _frame(pixels: Array, options: RebuildConfig) -> Array:
    """Cut the middle out for center-crop, or put white around for border."""
    size, (height, width) = options.image_size, pixels.shape[:2]
    if options.resize == "center-crop":
        top, left = max(0, (height - size) // 2), max(0, (width - size) // 2)
        return np.ascontiguousarray(pixels[top : top + size, left : left + size])
    if options.resize == "border" and (width, height) != (size, size):
        top, left = (size - height) // 2, (size - width) // 2
        edges = (top, size - height - top, left, size - width - left)
        return np.asarray(cv2.copyMakeBorder(pixels, *edges, cv2.BORDER_CONSTANT, value=_WHITE), np.uint8)
    return pixels


def _may_stay(header: Header, width: int, height: int, options: RebuildConfig) -> bool:
    """Whether the file as served is what encoding would make, without the loss."""
    return (
        options.encode == "jpeg"
        and header.format == "jpeg"
        and header.plain
        and header.channels == 3
        and (width, height) == (header.width, header.height)
    )


def _encode(rgb: Array, options: RebuildConfig) -> bytes:
    """The file of an RGB array. WebP by Pillow: at method 2 it is as small as OpenCV's, for 0.6 of the time."""
    if options.encode == "webp":
        file = io.BytesIO()
        Image.fromarray(rgb).save(file, "WEBP", quality=options.quality, method=2)
        return file.getvalue()
    flags = [cv2.IMWRITE_JPEG_QUALITY, options.quality]
    if options.encode == "png":
        flags = [cv2.IMWRITE_PNG_COMPRESSION, 3]
    _, data = cv2.imencode(f".{options.encode}", cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR), flags)
    return data.tobytes()
