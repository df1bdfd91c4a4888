"""ICC profiles move colours to sRGB; those that say nothing new, or nonsense, move none."""

from __future__ import annotations

import io

import cv2
import numpy as np
import pytest
from PIL import Image, ImageCms

from builder.picture.colour import to_srgb
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make

from ..pictures import GAMUTS, icc_profile, save, scene

AS_IS = RebuildConfig(resize="none", encode="png")
SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
RED = np.full((4, 4, 3), (200, 30, 30), np.uint8)


def by_little_cms(colour: tuple[int, int, int], gamut: str) -> np.ndarray:
    profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile(gamut)))
    image = Image.new("RGB", (1, 1), colour)
    return np.asarray(ImageCms.profileToProfile(image, profile, ImageCms.createProfile("sRGB"), 1))[
        0, 0
    ].astype(int)


@pytest.mark.parametrize("gamut", GAMUTS)
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_wide_gamut_becomes_srgb(kind: str, gamut: str) -> None:
    body = save(Image.new("RGB", (64, 64), (60, 160, 90)), kind, icc_profile=icc_profile(gamut), quality=95)
    stored = np.asarray(Image.open(io.BytesIO(make(body, AS_IS).data)))[32, 32].astype(int)
    assert np.abs(stored - by_little_cms((60, 160, 90), gamut)).max() <= 4
    assert np.abs(stored - (60, 160, 90)).max() > 10


@pytest.mark.parametrize(
    "profile", [None, b"", SRGB, b"junk" * 99, SRGB[:200], icc_profile("adobe-rgb")[:180], bytes(2 << 20)]
)
def test_profiles_that_move_nothing(profile: bytes | None) -> None:
    assert np.array_equal(to_srgb(RED, profile), RED)


def test_a_profile_of_another_space_is_ignored() -> None:
    assert np.array_equal(to_srgb(RED[:, :, 0], icc_profile("adobe-rgb")), np.full((4, 4, 3), 200))


def test_ink_becomes_light() -> None:
    ink = np.array([[[0, 0, 0, 0], [0, 0, 0, 255], [255, 0, 0, 0], [0, 255, 255, 0]]], np.uint8)
    assert to_srgb(ink, None).tolist() == [[[255, 255, 255], [0, 0, 0], [0, 255, 255], [255, 0, 0]]]


@pytest.mark.parametrize("transform", [None, 0, 2], ids=["no marker", "CMYK", "YCCK"])
@pytest.mark.parametrize("profile", [None, b"no profile"])
def test_ink_is_read_as_pillow_and_opencv_read_it(transform: int | None, profile: bytes | None) -> None:
    """Adobe's marker says only whether YCCK was made of the ink; that it is stored inverted goes without saying."""
    ink = Image.new("CMYK", (32, 32), (0, 0, 0, 0))
    ink.paste((100, 50, 20, 60), (0, 0, 16, 32))
    marker = b"\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"
    body = save(ink, "JPEG", quality=95, **({"icc_profile": profile} if profile else {}))
    assert body.count(marker + b"\0") == 1
    body = body.replace(marker + b"\0", b"" if transform is None else marker + bytes([transform]))
    ours = np.asarray(Image.open(io.BytesIO(make(body, AS_IS).data))).astype(int)
    assert np.array_equal(ours, np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))
    assert np.abs(ours - cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB)).max() <= 1


def test_broken_profile_does_not_drop_a_picture() -> None:
    body = save(scene(), "JPEG", icc_profile=b"no profile at all" * 20)
    assert make(body, AS_IS).data == make(save(scene(), "JPEG"), AS_IS).data
