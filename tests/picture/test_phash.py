"""The perceptual hash: near for files of one picture, far for two pictures."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from builder.picture.phash import phash
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make

from ..pictures import save
from .photos import photo, photo_jpeg, turned


def distance(one: str | None, other: str | None) -> int:
    assert one is not None
    assert other is not None
    return (int(one, 16) ^ int(other, 16)).bit_count()


ORIGINAL = RebuildConfig(resize="none", encode="original")
VARIANTS = {
    "fast": (photo_jpeg(5, 900, 700), RebuildConfig(decode="fast")),
    "small": (photo_jpeg(5, 900, 700), RebuildConfig(image_size=96)),
    "served": (photo_jpeg(5, 900, 700), ORIGINAL),
    "shrunk": (save(photo(5, 900, 700).resize((450, 350)), "JPEG", quality=40), ORIGINAL),
    "webp": (save(photo(5, 900, 700), "WEBP", quality=30), RebuildConfig()),
    "turned": (save(photo(5, 900, 700).rotate(90, expand=True), "JPEG", exif=turned(6)), ORIGINAL),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_near_for_the_same_picture(variant: str) -> None:
    reference = make(photo_jpeg(5, 900, 700), RebuildConfig()).phash
    assert distance(reference, make(*VARIANTS[variant]).phash) <= 6


def test_far_for_other_pictures() -> None:
    hashes = [phash(np.asarray(photo(seed))) for seed in range(8)]
    assert all(len(value) == 16 for value in hashes)
    assert min(distance(one, other) for one, other in itertools.combinations(hashes, 2)) > 16


@pytest.mark.parametrize("shape", [(1, 1), (3, 500), (500, 3), (31, 33), (255, 129, 3), (16, 16, 3)])
def test_any_shape_has_one(shape: tuple[int, ...]) -> None:
    assert len(phash(np.full(shape, 7, np.uint8))) == 16
