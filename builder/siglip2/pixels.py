"""From the bytes of a picture to the uint8 pixels that a tower takes, as transformers' own processors make them.

bytes -> pixels in a row of a batch, and whether there was a picture. Upright, on white where it is transparent, in
RGB; then squashed to the square of a fixed-resolution checkpoint, or cut into the patches of a NaFlex one. What
cannot be decoded gives zeros and False, never an exception. To be called from many threads: of the 1.2 ms that a
256-pixel JPEG takes, 0.04 ms hold the GIL.

    exact   the pixels of transformers' Pillow processors, bit for bit, for pictures that are plain to it too
    fast    a JPEG is decoded at the smallest scale of 1/8 to 8/8 that covers the target, and resampled from there
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

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
_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}

cv2.setNumThreads(0)  # each decoding thread is one core
Image.init()
warnings.filterwarnings(
    "ignore", module=r"PIL\."
)  # odd files are an outcome, not something to tell the terminal


class Unreadable(Exception):
    """No picture, or none that is safe to decode."""


class Preparation(Protocol):
    """How the pictures of one checkpoint are prepared."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of one picture."""

    @property
    def name(self) -> str:
        """The decoding path, resampling and size, in one word for the record."""

    def fill(self, body: bytes, row: Array, grid: npt.NDArray[np.int32]) -> bool:
        """Put the picture into `row`; False and zeros where there is none. grid: its height and width in patches.

        Only a preparation that keeps the shape of pictures writes the grid, and only for a picture.
        """


@dataclass(frozen=True, slots=True)
class Squash:
    """A square of `size` pixels, whatever the shape of the picture. resample: Pillow's number of the filter."""

    size: int
    resample: int
    fast: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows, columns, RGB."""
        return (self.size, self.size, 3)

    @property
    def name(self) -> str:
        """As `pil-fast-bilinear-256`."""
        return f"pil-{'fast' if self.fast else 'exact'}-{_FILTERS[self.resample]}-{self.size}"

    def fill(self, body: bytes, row: Array, grid: npt.NDArray[np.int32]) -> bool:
        """See Preparation."""
        try:
            rgb = _resized(body, lambda _: (self.size, self.size), self.resample, fast=self.fast)
        except Unreadable:
            row[:] = 0
            return False
        row[:] = rgb
        return True


@dataclass(frozen=True, slots=True)
class Patches:
    """Up to `limit` patches of `patch` pixels a side, row by row, in the shape of the picture."""

    patch: int
    limit: int
    resample: int
    fast: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """Patches, and the RGB pixels of one in a row."""
        return (self.limit, self.patch * self.patch * 3)

    @property
    def name(self) -> str:
        """As `naflex-fast-bilinear-16x256`: patches of 16 pixels, 256 of them."""
        decode = "fast" if self.fast else "exact"
        return f"naflex-{decode}-{_FILTERS[self.resample]}-{self.patch}x{self.limit}"

    def fill(self, body: bytes, row: Array, grid: npt.NDArray[np.int32]) -> bool:
        """See Preparation."""
        row[:] = 0
        try:
            rgb = _resized(
                body, lambda size: _covering(size, self.patch, self.limit), self.resample, fast=self.fast
            )
        except Unreadable:
            return False
        high, wide = rgb.shape[0] // self.patch, rgb.shape[1] // self.patch
        grid[:] = (high, wide)
        tiles = rgb.reshape(high, self.patch, wide, self.patch, 3).transpose(0, 2, 1, 3, 4)
        row[: high * wide].reshape(high, wide, self.patch, self.patch, 3)[:] = tiles
        return True


@functools.lru_cache(maxsize=4096)
def _covering(size: Size, patch: int, limit: int) -> Size:
    """The largest size in whole patches, not more than `limit`, that keeps the shape of the picture nearly.

    transformers' search, kept to the bit (image_processing_pil_siglip2.get_image_size_for_max_num_patches): where it
    ends decides between two sizes of many pictures.
    """

    def at(scale: float) -> Size:
        width, height = (max(patch, math.ceil(side * scale / patch) * patch) for side in size)
        return width, height

    low, high = 1e-6, 100.0
    while high - low >= 1e-5:
        scale = (low + high) / 2
        width, height = at(scale)
        if (height / patch) * (width / patch) <= limit:
            low = scale
        else:
            high = scale
    return at(low)


def _resized(body: bytes, target_of: Callable[[Size], Size], resample: int, *, fast: bool) -> Array:
    """The picture as RGB of the size that `target_of` says for its upright size. Raises Unreadable."""
    try:
        image, target = (body.startswith(b"\xff\xd8") and _jpeg(body, target_of, fast=fast)) or _other(
            body, target_of
        )
        return _rgb(image if image.size == target else image.resize(target, resample))
    except MemoryError:
        raise EnvironmentProblem(
            "out of memory while a large picture was decoded; give fewer --workers and run the same command again"
        ) from None
    except Exception as error:  # decoders of hostile bytes raise nearly every class there is
        raise Unreadable from error


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
