"""Measures of a luminance: by hand, and against numpy and a Laplacian of doubles."""

from __future__ import annotations

import io
import math

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from builder.picture import measure as module
from builder.picture.colour import Array, flattened
from builder.picture.measure import luminance, measure
from builder.picture.stored import measured

from ..pictures import save
from .photos import after_start, photo, photo_jpeg, segment


def plainly(grey: Array) -> tuple[float, float, float]:
    """The three numbers as everybody computes them."""
    shares = np.bincount(grey.ravel(), minlength=256) / grey.size
    shares = shares[shares > 0]
    return (
        float(grey.std()),
        float(cv2.Laplacian(grey, cv2.CV_64F).var()),
        float(-(shares * np.log2(shares)).sum()),
    )


def test_a_flat_picture_has_no_spread_no_edges_and_no_entropy() -> None:
    assert measure(np.full((50, 70), 137, np.uint8)) == (0, 0, 0)
    assert math.copysign(1, measure(np.zeros((3, 3), np.uint8)).entropy) == 1  # not -0.0


def test_a_checkerboard_has_one_bit_and_the_largest_laplacian() -> None:
    board = (np.indices((64, 64)).sum(0) % 2 * 255).astype(np.uint8)
    assert measure(board) == (127.5, 1020**2, 1)  # every Laplacian is +-4 * 255, also at the reflecting edge


def test_one_bright_pixel_by_hand() -> None:
    grey = np.zeros((5, 5), np.uint8)
    grey[2, 2] = 100
    found = measure(grey)
    # Laplacian: -400 there, 100 at its four neighbours, 0 elsewhere: its mean is 0.
    assert found.sharpness == pytest.approx((400**2 + 4 * 100**2) / 25, rel=1e-14)
    assert found.spread == pytest.approx(math.sqrt(100**2 / 25 - 4**2), rel=1e-14)
    assert found.entropy == pytest.approx(-(math.log2(1 / 25) / 25 + 24 / 25 * math.log2(24 / 25)), rel=1e-14)


@settings(deadline=None, max_examples=60)
@given(arrays.arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))), st.integers(1, 500))
def test_the_numbers_are_those_of_numpy_whatever_the_strips(grey: Array, strip: int) -> None:
    assert measure(grey, strip) == pytest.approx(plainly(grey), rel=1e-12, abs=1e-9)


def test_a_picture_of_many_strips_is_measured_as_a_whole() -> None:
    rng = np.random.default_rng(1)
    grey = cv2.GaussianBlur(rng.integers(0, 256, (1500, 1001), dtype=np.uint8), (0, 0), 2)
    assert grey.size > 4 * module.STRIP
    assert measure(grey) == pytest.approx(plainly(grey), rel=1e-13)


def test_counts_beyond_what_a_float_holds_are_exact() -> None:
    grey = np.zeros(
        (4097, 4097), np.uint8
    )  # one more than 2^24 of a level, as OpenCV's histograms count in float32
    grey[0, 0] = 255
    assert measure(grey) == pytest.approx(plainly(grey), rel=1e-9)


def test_colours_are_measured_by_their_luminance() -> None:
    rgb = np.asarray(photo(3))
    assert measure(rgb) == pytest.approx(plainly(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)), rel=1e-12)
    ink = np.dstack([255 - rgb, np.zeros(rgb.shape[:2], np.uint8)])
    assert measure(ink) == pytest.approx(measure(rgb), rel=1e-12)
    assert luminance(np.full((1, 1, 3), (255, 0, 0), np.uint8)) == 76


def test_turning_a_picture_changes_no_number() -> None:
    rgb = np.asarray(photo(4))
    for k in range(4):
        for turned in (np.rot90(rgb, k), np.rot90(rgb, k)[::-1]):
            assert measure(np.ascontiguousarray(turned)) == pytest.approx(measure(rgb), rel=1e-12)


@pytest.mark.parametrize(
    ("kind", "keywords"),
    [
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("TIFF", {}),
        ("GIF", {}),
        ("AVIF", {}),
        ("JPEG2000", {}),
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "progressive": True}),
        ("JPEG", {"quality": 90, "keep_rgb": True}),
    ],
)
def test_files_of_every_format_are_measured(kind: str, keywords: dict[str, object]) -> None:
    body = save(photo(5), kind, **keywords)
    rgb = np.asarray(Image.open(io.BytesIO(body)).convert("RGB"))
    rounding = 0.05 if kind == "JPEG" else 1e-12  # its own luma
    assert measured(body) == pytest.approx(plainly(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)), rel=rounding)


def test_a_jpeg_is_measured_by_its_own_luma() -> None:
    body = photo_jpeg(6)
    luma = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_GRAYSCALE)
    assert measured(body) == pytest.approx(plainly(np.asarray(luma, np.uint8)), rel=1e-12)
    colours = measure(cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR_RGB))
    assert measured(body) == pytest.approx(colours, rel=0.05)  # and not exactly


def test_black_on_transparent_is_black_on_white() -> None:
    logo = np.zeros((60, 80, 4), np.uint8)
    logo[20:40, 20:60, 3] = 255
    found = measured(save(Image.fromarray(logo), "PNG"))
    white = np.full((60, 80), 255, np.uint8)
    white[20:40, 20:60] = 0
    assert found == pytest.approx(plainly(white), rel=1e-12)


def test_ink_grey_and_sixteen_bits_are_measured() -> None:
    picture = photo(7)
    grey = np.asarray(picture.convert("L"))
    assert measured(save(picture.convert("L"), "PNG")) == pytest.approx(plainly(grey), rel=1e-12)
    deep = Image.fromarray(grey.astype(np.uint16) << 8)
    assert measured(save(deep, "PNG")) == pytest.approx(plainly(grey), rel=1e-12)
    assert measured(save(picture.convert("CMYK"), "JPEG", quality=95)) == pytest.approx(
        plainly(grey), rel=0.3
    )
    index = picture.quantize(32)
    assert measured(save(index, "PNG")) == pytest.approx(measure(flattened(index)), rel=1e-12)


def test_a_jpeg_that_libjpeg_warns_about_is_measured_as_pillow_reads_it() -> None:
    odd = after_start(photo_jpeg(8), segment(0xE2, b"ICC_PROFILE\0\1\2" + bytes(20)))  # piece 1 of 2
    assert measured(odd) == pytest.approx(measured(photo_jpeg(8)), rel=0.05)


@pytest.mark.parametrize(
    "body", [b"", b"\xff\xd8", b"text", photo_jpeg(9)[:2000], save(photo(9), "PNG")[:900]]
)
def test_what_is_no_picture_has_no_measures(body: bytes) -> None:
    assert measured(body) is None


def test_a_picture_of_too_many_pixels_has_no_measures() -> None:
    for kind in ("JPEG", "PNG"):
        body = save(photo(1), kind)
        assert measured(body, 400 * 300) is not None
        assert measured(body, 400 * 300 - 1) is None
