"""Pixels are those of transformers' processors; what a browser shows upright, on white, in colour, so is embedded."""

from __future__ import annotations

import io
import sys
import threading
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from PIL import Image

from builder.towers.pixels import Patches, Picture, Squash

from .. import pictures as made
from ..pictures import CORNERS, PICTURES, jpeg, jpeg_claiming, png_claiming, save, scene, webp_claiming
from .stock import SIZES

SQUARE = Squash(32, 2, fast=False)
TILES = Patches(8, 16, 2, fast=False)


def filled(preparation: Squash | Patches, body: Picture) -> tuple[Any, Any]:
    """(pixels, grid) of a picture; the row was used before."""
    row, grid = np.full(preparation.shape, 77, np.uint8), np.full(2, 7, np.int32)
    assert preparation.fill(body, row, grid)
    return row, grid


def refused(body: bytes) -> bool:
    row = np.full(SQUARE.shape, 77, np.uint8)
    answer = SQUARE.fill(body, row, np.zeros(2, np.int32))
    assert answer or not row.any()
    return not answer


def stock(name: str, body: bytes, **options: Any) -> Any:
    import transformers

    processor = getattr(transformers, name)(do_rescale=False, do_normalize=False, **options)
    return processor([Image.open(io.BytesIO(body))], return_tensors="np")


@pytest.mark.parametrize("resample", [2, 3])
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exact_squares_are_those_of_transformers(size: tuple[int, int], kind: str, resample: int) -> None:
    body = save(scene(size, noise=90), kind, lossless=True)
    expected = stock("SiglipImageProcessorPil", body, size={"height": 32, "width": 32}, resample=resample)
    found, _ = filled(Squash(32, resample, fast=False), body)
    assert np.array_equal(found, expected["pixel_values"][0].transpose(1, 2, 0))


@pytest.mark.parametrize("patches", [16, 256])
@pytest.mark.parametrize("size", SIZES, ids=str)
def test_exact_patches_are_those_of_transformers(size: tuple[int, int], patches: int) -> None:
    body = save(scene(size, noise=90), "PNG")
    expected = stock("Siglip2ImageProcessorPil", body, patch_size=8, max_num_patches=patches)
    found, grid = filled(Patches(8, patches, 2, fast=False), body)
    assert grid.tolist() == list(expected["spatial_shapes"][0])
    assert np.array_equal(found, expected["pixel_values"][0])


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 30}], ids=str)
def test_a_jpeg_is_decoded_as_pillow_does(subsampling: int, options: dict[str, Any]) -> None:
    body = jpeg((61, 47), noise=90, subsampling=subsampling, **options)
    found, _ = filled(SQUARE, body)
    assert np.array_equal(found, np.asarray(Image.open(io.BytesIO(body)).resize((32, 32), 2)))


def test_fast_and_exact_differ_only_where_a_smaller_scale_covers_the_square() -> None:
    fast = Squash(32, 2, fast=True)
    assert np.array_equal(
        filled(fast, jpeg((35, 48), noise=90))[0], filled(SQUARE, jpeg((35, 48), noise=90))[0]
    )
    big = jpeg((400, 300), noise=40)
    difference = np.abs(filled(fast, big)[0].astype(int) - filled(SQUARE, big)[0])
    assert 0 < difference.mean() < 2
    assert not np.array_equal(filled(fast, big)[0], filled(SQUARE, big)[0])


def test_fast_keeps_the_grid_of_the_whole_picture() -> None:
    for size in ((1000, 701), (333, 1250), (4000, 40)):
        fast, exact = (filled(Patches(8, 16, 2, fast=fast), jpeg(size))[1] for fast in (True, False))
        assert fast.tolist() == exact.tolist()


def corners(preparation: Squash | Patches, body: bytes) -> list[Any]:
    rows, _ = filled(preparation, body)
    return [rows[y, x].astype(int) for y in (4, 27) for x in (4, 27)]


WHITE = (255, 255, 255)


def wanted(name: str) -> list[Any]:
    """The corners of one of PICTURES, as a browser shows them."""
    shown = [np.array(one) for one in CORNERS]
    if any(word in name for word in ("gray", "-la", "1-bit")):
        shown = [np.full(3, one @ (0.299, 0.587, 0.114)) for one in shown]
    if name in ("png-rgba", "png-la", "webp-alpha"):
        shown[0] = np.array(WHITE)
    if name.endswith("transparent"):  # the first colour of the palette, which is that of the last corner
        shown[3] = np.array(WHITE)
    return shown


@pytest.mark.parametrize("name", sorted(PICTURES.keys() - {"png-1-bit"}))  # a dither has no corners
@pytest.mark.parametrize("fast", [False, True])
def test_every_kind_of_picture_looks_as_in_a_browser(name: str, fast: bool) -> None:
    for found, shown in zip(corners(Squash(32, 2, fast=fast), PICTURES[name]()), wanted(name), strict=True):
        assert np.abs(found - shown).max() < 40


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize(
    "lead", [b"", b"\xff\xff\xff", b"\xff\xfe\x00\x0aExif\0\0\xff\xda"], ids=["", "fill", "comment"]
)
def test_jpegs_are_turned_upright(orientation: int, lead: bytes) -> None:
    plain = made.rotated(orientation)
    body = plain[:2] + (lead[:-1] + plain[2:] if lead.endswith(b"\xff\xff") else lead + plain[2:])
    # Behind the picture there is nothing to be found, wherever a wrong length leads.
    for found, shown in zip(corners(SQUARE, body + bytes(70_000)), CORNERS, strict=True):
        assert np.abs(found - shown).max() < 40


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_other_pictures_are_turned_upright(kind: str) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    body = save(scene().transpose(Image.Transpose.ROTATE_90), kind, exif=exif)
    for found, shown in zip(corners(SQUARE, body), CORNERS, strict=True):
        assert np.abs(found - shown).max() < 40


def test_transparent_is_white_and_translucent_is_paler() -> None:
    clear = Image.new("RGBA", (32, 32), (0, 0, 0, 0))
    clear.paste((255, 0, 0, 128), (16, 0, 32, 32))
    found, _ = filled(SQUARE, save(clear, "PNG"))
    assert found[5, 5].tolist() == [255, 255, 255]
    assert np.abs(found[5, 25].astype(int) - (255, 127, 127)).max() < 3


def test_sixteen_bits_keep_their_greys() -> None:
    grey = Image.fromarray(np.full((32, 32), 0x8000, np.uint16))
    assert filled(SQUARE, save(grey, "PNG"))[0][3, 3].tolist() == [128] * 3


BROKEN: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "a marker": lambda: b"\xff\xd8",
    "text": lambda: made.HTML,
    "half a JPEG": lambda: jpeg()[: len(jpeg()) // 2],
    "half a PNG": lambda: save(scene(noise=90), "PNG")[:2000],
    "a JPEG bomb": lambda: jpeg_claiming(20_000, 20_000),
    "a PNG bomb": lambda: png_claiming(20_000, 20_000),
    "a WebP bomb": lambda: webp_claiming(16_000, 16_300),
    "a format nobody asked for": lambda: save(scene(), "PPM"),
    "floating point": lambda: save(scene().convert("F"), "TIFF"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_cannot_be_decoded_is_no_exception(name: str) -> None:
    assert refused(BROKEN[name]())


def test_no_warning_comes_before_the_limit() -> None:
    """Pillow warns from a third of it on, and refuses from two thirds."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        large, _ = filled(SQUARE, made.png_bomb(10_000, 9_000))
    assert large.shape == SQUARE.shape


def test_random_damage_never_raises() -> None:
    rng = np.random.default_rng(0)
    for body in (jpeg(), save(scene(), "PNG"), save(scene(), "WEBP"), save(scene(), "GIF")):
        for _ in range(60):
            torn = bytearray(body)
            for at in rng.integers(2, len(body), 4):
                torn[at] = rng.integers(256)
            refused(bytes(torn))


def test_threads_decode_side_by_side() -> None:
    """The same pixels from eight threads that take turns as often as Python lets them."""
    body = jpeg((300, 200), noise=90)
    expected, _ = filled(SQUARE, body)
    found: list[Any] = []
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    threads = [threading.Thread(target=lambda: found.append(filled(SQUARE, body)[0])) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    sys.setswitchinterval(interval)
    assert len(found) == 8
    assert all(np.array_equal(one, expected) for one in found)


def test_names_say_what_was_done() -> None:
    assert Squash(256, 2, fast=True).name == "pil-fast-bilinear-256"
    assert Squash(384, 3, fast=False).name == "pil-exact-bicubic-384"
    assert Patches(16, 256, 2, fast=True).name == "naflex-fast-bilinear-16x256"


@pytest.mark.parametrize("preparation", [SQUARE, TILES], ids=["square", "patches"])
def test_pixels_of_the_size_wanted_are_taken_as_they_are(preparation: Squash | Patches) -> None:
    body = save(scene((32, 32), noise=90), "PNG")
    row, grid = filled(preparation, body)
    again, same = filled(preparation, np.asarray(Image.open(io.BytesIO(body)).convert("RGB")))
    assert np.array_equal(row, again)
    assert grid.tolist() == same.tolist()
