"""The files of the demo's web are of the kinds that they claim, and hold the traps that they should."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image, ImageOps, ImageSequence

from builder.demo.pictures import AGAIN, BLURRED, COPY, FLAT, FLAWS, KINDS, WRONG, File, file, file_of, flawed
from builder.demo.scene import attributes, scene, unlike
from builder.demo.truth import TOLERANCE, distance
from builder.demo.web import thumbnail
from builder.picture.measure import measure


def opened(made: File) -> Image.Image:
    return Image.open(io.BytesIO(made.data))


FORMATS = {"jpg": "JPEG", "jpeg": "JPEG", "tif": "TIFF"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_file_shows_what_is_seen(kind: str) -> None:
    for index in (1, 8):
        made = file_of(kind, index)
        image = opened(made)
        assert image.format == FORMATS.get(made.extension, made.extension.upper())
        upright = ImageOps.exif_transpose(image).convert("RGBA")
        page = Image.new("RGBA", upright.size, "white")
        page.alpha_composite(upright)
        assert page.size == made.seen.size
        assert distance(thumbnail(page), thumbnail(made.seen)) <= TOLERANCE


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        ("jpeg-cmyk", "CMYK"),
        ("jpeg-grey", "L"),
        ("png-alpha", "RGBA"),
        ("png-palette", "P"),
        ("gif", "P"),
        ("jpeg", "RGB"),
    ],
)
def test_the_mode_of_a_kind(kind: str, mode: str) -> None:
    assert opened(file_of(kind, 2)).mode == mode


def test_progressive_and_baseline() -> None:
    assert opened(file_of("jpeg-progressive", 0)).info.get("progressive")
    assert not opened(file_of("jpeg", 0)).info.get("progressive")


def test_sixteen_bits_hold_noise_in_the_low_byte() -> None:
    data = file_of("png-16-bit", 3).data
    assert data[24] == 16
    assert data[25] == 2


def test_under_transparent_pixels_lies_magenta() -> None:
    image = opened(file_of("png-alpha", 4))
    pixels = np.asarray(image)
    assert (pixels[pixels[..., 3] == 0][:, :3] == (255, 0, 255)).all()
    assert 0 < (pixels[..., 3] == 0).mean() < 1


@pytest.mark.parametrize("kind", ["webp-animated", "gif-animated"])
def test_later_frames_show_something_else(kind: str) -> None:
    frames = [thumbnail(frame) for frame in ImageSequence.Iterator(opened(file_of(kind, 5)))]
    assert len(frames) == 3
    assert distance(frames[0], frames[1]) > 60


def test_every_orientation_comes_up_and_the_stored_picture_is_not_upright() -> None:
    images = [opened(file_of("jpeg-turned", index)) for index in range(7)]
    assert {image.getexif()[0x0112] for image in images} == {2, 3, 4, 5, 6, 7, 8}
    assert any(image.size != ImageOps.exif_transpose(image).size for image in images)


def test_files_follow_from_index_and_seed_and_every_kind_comes_up() -> None:
    assert file(7, 1).data == file(7, 1).data
    assert {file(index).kind for index in range(160)} >= set(KINDS) - {"avif", "bmp", "tiff"}


def test_a_flawed_file_shows_what_a_curation_is_to_see() -> None:
    made, other = file_of("png", 3), scene(4).image
    flaws = {how: flawed(made, how, lambda: other) for how in FLAWS}
    assert flaws[COPY] is made
    assert flaws[AGAIN].data != made.data
    assert flaws[AGAIN].seen is made.seen
    sharp = {how: measure(np.asarray(one.seen)).sharpness for how, one in flaws.items()}
    assert sharp[FLAT] == 0
    assert sharp[BLURRED] < sharp[COPY] / 20
    assert flaws[WRONG].seen is other
    assert all(Image.open(io.BytesIO(one.data)).size == one.seen.size for one in flaws.values())
    assert all(one.scene is made.scene for one in flaws.values())


def test_a_scene_unlike_another_differs_in_all_that_is_told() -> None:
    shown, chosen = attributes(0), unlike(0, 10, 0, attributes(0))
    other = attributes(chosen)
    told = ("colour", "shape", "count", "place", "ground")
    assert chosen % 10 == 0
    assert all(getattr(shown, name) != getattr(other, name) for name in told)
