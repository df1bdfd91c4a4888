"""Preparation of pictures: the uint8 pixels that a tower takes, as transformers' own processors make them.

A file's bytes, or pixels of the size that the tower wants -> pixels in a row of a batch, and whether there was a
picture. Bytes are decoded upright, on white where they are transparent, in RGB; then squashed to the square of a
fixed-resolution checkpoint, or cut into the patches of a NaFlex one. What cannot be decoded gives zeros and False,
never an exception. To be called from many threads. Decoders are loaded with the first bytes that come: whoever has
pixels needs neither OpenCV nor Arrow.

    exact   the pixels of transformers' Pillow processors, bit for bit, for pictures that are plain to it too
    fast    a JPEG is decoded at the smallest scale of 1/8 to 8/8 that covers the target, and resampled from there
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..errors import EnvironmentProblem

Array = npt.NDArray[np.uint8]
Picture = bytes | Array  # a file, or RGB of the size that the tower wants: (height, width, 3)
Size = tuple[int, int]  # width, height

_FILTERS = {0: "nearest", 1: "lanczos", 2: "bilinear", 3: "bicubic", 4: "box", 5: "hamming"}


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
        """A name as `pil-fast-bilinear-256`."""
        return f"pil-{'fast' if self.fast else 'exact'}-{_FILTERS[self.resample]}-{self.size}"

    def fill(self, picture: Picture, row: Array, grid: npt.NDArray[np.int32]) -> bool:
        """Put the picture into `row`; False and zeros where there is none. The grid is that of Patches."""
        rgb = _rgb(picture, lambda _: (self.size, self.size), self.resample, fast=self.fast)
        if rgb is None:
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
        """A name as `naflex-fast-bilinear-16x256`: patches of 16 pixels, 256 of them."""
        decode = "fast" if self.fast else "exact"
        return f"naflex-{decode}-{_FILTERS[self.resample]}-{self.patch}x{self.limit}"

    def fill(self, picture: Picture, row: Array, grid: npt.NDArray[np.int32]) -> bool:
        """Put the picture into `row`, and its height and width in patches into `grid`; False and zeros without one."""
        row[:] = 0
        wanted = functools.partial(_covering, patch=self.patch, limit=self.limit)
        rgb = _rgb(picture, wanted, self.resample, fast=self.fast)
        if rgb is None:
            return False
        high, wide = rgb.shape[0] // self.patch, rgb.shape[1] // self.patch
        grid[:] = (high, wide)
        tiles = rgb.reshape(high, self.patch, wide, self.patch, 3).transpose(0, 2, 1, 3, 4)
        row[: high * wide].reshape(high, wide, self.patch, self.patch, 3)[:] = tiles
        return True


Preparation = Squash | Patches  # of the pictures of one checkpoint


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


def _rgb(picture: Picture, target_of: Callable[[Size], Size], resample: int, *, fast: bool) -> Array | None:
    """RGB of the size that `target_of` says for the size of a file's picture; pixels as they are; None: no picture."""
    if isinstance(picture, np.ndarray):
        return picture
    from ..picture.stored import scaled

    try:
        return scaled(picture, target_of, resample, fast=fast)
    except MemoryError:
        raise EnvironmentProblem(
            "out of memory while a large picture was decoded; give fewer --workers and run the same command again"
        ) from None
