"""What cannot be decoded faithfully is refused, and nothing but Dropped ever comes out."""

from __future__ import annotations

import io
import random
import re
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from PIL import Image

from builder.reasons import Dropped, Reason
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make

from ..pictures import (
    PICTURES,
    SIZE,
    gif_claiming,
    icc_profile,
    jpeg_claiming,
    png_claiming,
    save,
    scene,
    webp_claiming,
)
from .photos import photo_jpeg

AS_IS = RebuildConfig(resize="none", encode="png")


def reason_of(body: bytes, options: RebuildConfig = AS_IS) -> Reason:
    with pytest.raises(Dropped) as caught:
        make(body, options)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["exact", "fast", "original"])
@pytest.mark.parametrize("progressive", [False, True])
def test_refuses_a_jpeg_cut_short_behind_an_end_marker(progressive: bool, mode: str) -> None:
    options = (
        RebuildConfig(decode=mode) if mode != "original" else RebuildConfig(resize="none", encode="original")
    )
    body = photo_jpeg(progressive=progressive)
    assert reason_of(body[: len(body) // 2] + b"\xff\xd9", options) is Reason.CORRUPT


@pytest.mark.parametrize("filling", [b"\x00", b"\x55", b"\xff\x00"])
def test_refuses_a_jpeg_with_a_hole(filling: bytes) -> None:
    body = photo_jpeg()
    half = len(body) // 2
    hole = (filling * half)[: half - 2]
    assert reason_of(body[:half] + hole + body[half + len(hole) :]) is Reason.CORRUPT


def test_keeps_a_jpeg_padded_before_its_end() -> None:
    body = photo_jpeg()
    padded = body[:-2] + bytes(4) + body[-2:]
    assert make(padded, AS_IS).data == make(body, AS_IS).data


def test_an_unknown_jfif_version_hides_no_damage() -> None:
    body = bytearray(photo_jpeg())
    body[body.index(b"JFIF\x00") + 5] = 9
    assert make(bytes(body), AS_IS).data == make(photo_jpeg(), AS_IS).data
    assert reason_of(bytes(body[: len(body) // 2]) + b"\xff\xd9") is Reason.CORRUPT


@pytest.mark.parametrize(
    ("sampling", "luma", "units", "decoder"),
    [(0x31, 3, 48, "pillow"), (0x14, 4, 36, "simplejpeg-exact")],
)
def test_reads_rare_chroma_samplings(sampling: int, luma: int, units: int, decoder: str) -> None:
    body = bytearray(save(Image.new("RGB", (96, 96), (128, 128, 128)), "JPEG", subsampling=0))
    body[body.index(b"\xff\xc0") + 11] = sampling
    start = body.index(b"\xff\xda") + 14
    bits = ("001010" * luma + "0000" * 2) * units  # no change and end of block, by the standard tables
    data = int(bits, 2).to_bytes(len(bits) // 8, "big")
    picture = make(bytes(body[:start]) + data + b"\xff\xd9", AS_IS)
    assert picture.decoder == decoder
    assert set(np.asarray(Image.open(io.BytesIO(picture.data))).ravel()) == {128}


@pytest.mark.parametrize("claim", [jpeg_claiming, png_claiming, gif_claiming, webp_claiming])
def test_refuses_sizes_that_the_data_does_not_have(claim: Callable[[int, int], bytes]) -> None:
    assert reason_of(claim(500, 400)) in (Reason.CORRUPT, Reason.TRUNCATED)


def test_refuses_numbers_without_a_range() -> None:
    assert reason_of(save(Image.new("F", (9, 9), 0.5), "TIFF")) is Reason.CORRUPT


@pytest.mark.parametrize("order", ["I;16", "I;16B"])
def test_sixteen_bit_tiff_is_scaled(order: str) -> None:
    image = Image.frombytes(order, (16, 16), struct.pack("<H" if order == "I;16" else ">H", 0x8040) * 256)
    picture = make(save(image, "TIFF"), AS_IS)
    assert set(np.asarray(Image.open(io.BytesIO(picture.data))).ravel()) == {0x80}


def bitmap(depth: int, masks: tuple[int, ...], header: int, top_down: bool, packing: int = 3) -> bytes:
    """A BMP of the scene whose samples lie under `masks`: red, green, blue and alpha (128 of 255)."""
    (width, height), rows = SIZE, []
    for row in np.asarray(with_half_alpha()).tolist():
        values = (
            sum(sample * (m // (m & -m)) // 255 * (m & -m) for sample, m in zip(p, masks, strict=False) if m)
            for p in row
        )
        rows.append(b"".join(value.to_bytes(depth // 8, "little") for value in values))
    said = struct.pack("<IiiHHI20x", header, width, -height if top_down else height, 1, depth, packing)
    said += struct.pack(f"<{len(masks)}I", *masks)
    said = said.ljust(header, b"\0")
    data = b"".join(rows if top_down else rows[::-1])
    return b"BM" + struct.pack("<IHHI", 14 + len(said) + len(data), 0, 0, 14 + len(said)) + said + data


def with_half_alpha() -> Image.Image:
    image = scene().convert("RGBA")
    image.putalpha(128)
    return image


RGB, RBG, DEEP = (255, 255 << 8, 255 << 16), (255 << 24, 255 << 8, 255 << 16), (1023 << 20, 1023 << 10, 1023)


@pytest.mark.parametrize("top_down", [False, True])
@pytest.mark.parametrize(
    ("depth", "masks", "header", "packing"),
    [
        (32, RGB, 40, 3),
        (32, RGB, 52, 3),
        (32, (*RGB, 0), 56, 3),
        (32, RBG, 40, 3),
        (32, DEEP, 40, 3),
        (32, (*DEEP[::-1], 3 << 30), 124, 3),
        (32, (*RBG[:2], RBG[2], 255), 108, 3),
        (32, (*RGB, 255 << 24), 40, 6),
        (16, (15 << 8, 15 << 4, 15), 40, 3),
        (16, (15 << 8, 15 << 4, 15, 15 << 12), 124, 3),
        (16, (31, 63 << 5, 31 << 11), 40, 3),
    ],
)
def test_reads_a_bmp_by_its_masks(
    depth: int, masks: tuple[int, ...], header: int, packing: int, top_down: bool
) -> None:
    found = make(bitmap(depth, masks, header, top_down, packing), AS_IS)
    wanted = np.asarray(scene()).astype(int)
    if len(masks) == 4 and masks[3]:
        steps = masks[3] // (masks[3] & -masks[3])
        wanted = 255 - (255 - wanted) * (128 * steps // 255) // steps
    error = np.abs(np.asarray(Image.open(io.BytesIO(found.data))).astype(int) - wanted)
    assert error.max() <= 255 / min(mask // (mask & -mask) for mask in masks[:3]) + 1


@pytest.mark.parametrize("masks", [(0, 255, 255 << 8), (255, 0, 0)])
def test_refuses_a_bmp_without_a_mask(masks: tuple[int, int, int]) -> None:
    body = bytearray(bitmap(32, RGB, 40, False))
    body[54:66] = struct.pack("<3I", *masks)
    assert reason_of(bytes(body)) is Reason.CORRUPT


def without_alpha_size(body: bytes) -> bytes:
    """An AVIF whose second item, alpha, does not say its size (property 1): it says another one twice instead."""
    at = body.index(b"ipma")
    said, count = re.subn(rb"(\x00\x02[\x04-\x08])\x01(.)", rb"\1\2\2", body[at : at + 40], flags=re.DOTALL)
    assert count == 1
    return body[:at] + said + body[at + 40 :]


@pytest.mark.parametrize("turned", [1, 3, 6, 7])
def test_reads_an_avif_whose_alpha_has_no_size(turned: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = turned
    how = {"quality": 90, "exif": exif} if turned > 1 else {"quality": 90}
    body = save(with_half_alpha(), "AVIF", icc_profile=icc_profile("display-p3"), **how)
    ours, pillows = make(without_alpha_size(body), AS_IS), make(body, AS_IS)
    assert (ours.decoder, pillows.decoder) == ("opencv", "pillow")
    assert (ours.original_width, ours.original_height) == SIZE[:: -1 if turned > 4 else 1]
    assert ours.data == pillows.data


def test_an_avif_that_opencv_reads_keeps_the_limits() -> None:
    body = without_alpha_size(save(with_half_alpha(), "AVIF"))
    assert reason_of(body, replace(AS_IS, max_pixels=SIZE[0] * SIZE[1] - 1)) is Reason.TOO_MANY_PIXELS


@pytest.mark.parametrize("decode", ["exact", "fast"])
@pytest.mark.parametrize("kind", ["avif", "bmp"])
def test_what_pillow_does_not_open_is_not_stored_as_served(kind: str, decode: str) -> None:
    avif = without_alpha_size(save(with_half_alpha(), "AVIF"))
    body = avif if kind == "avif" else bitmap(32, RBG, 40, top_down=False)
    assert reason_of(body, RebuildConfig(resize="none", encode="original", decode=decode)) is Reason.CORRUPT


def test_a_deep_avif_that_opencv_reads_is_scaled() -> None:
    deep = (np.asarray(with_half_alpha()).astype(np.uint16) << 2)[:, :, [2, 1, 0, 3]]
    how = [cv2.IMWRITE_AVIF_DEPTH, 10, cv2.IMWRITE_AVIF_QUALITY, 100]
    body = cv2.imencode(".avif", deep, how)[1].tobytes()
    ours, pillows = (make(one, AS_IS) for one in (without_alpha_size(body), body))
    assert (ours.decoder, pillows.decoder) == ("opencv", "pillow")
    pixels = [np.asarray(Image.open(io.BytesIO(one.data))).astype(int) for one in (ours, pillows)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 2


def test_tiff_orientation_is_applied_once() -> None:
    picture = make(save(scene().transpose(Image.Transpose.ROTATE_90), "TIFF", tiffinfo={274: 6}), AS_IS)
    assert (picture.width, picture.height) == SIZE
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.data))), np.asarray(scene()))


def test_odd_metadata_neither_warns_nor_drops() -> None:
    body = bytearray(save(scene(), "TIFF", tiffinfo={270: "x" * 100}))
    entry = body.index(struct.pack("<HHI", 270, 2, 101))
    body[entry + 4 : entry + 8] = struct.pack("<I", 1 << 20)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert make(bytes(body), AS_IS).width == SIZE[0]
    assert caught == []


def damaged(body: bytes, rng: random.Random) -> bytes:
    """`body` with a flip, a cut, a splice, a hole or a doubling."""
    at, size = rng.randrange(len(body)), rng.randrange(1, 64)
    choice = rng.randrange(6)
    if choice == 0:
        return body[:at]
    if choice == 1:
        return body[:at] + body[at + size :]
    if choice == 2:
        return body[:at] + rng.randbytes(size) + body[at:]
    if choice == 3:
        return body[:at] + bytes(size) + body[at + size :]
    spoilt = bytearray(body)
    for _ in range(rng.randrange(1, 5)):
        spoilt[rng.randrange(len(body) if choice == 4 else min(len(body), 200))] ^= 1 << rng.randrange(8)
    return bytes(spoilt)


@pytest.mark.parametrize("kind", [kind for kind in PICTURES if "orientation" not in kind])
def test_damage_ends_in_a_reason_or_a_picture(kind: str, capfd: pytest.CaptureFixture[str]) -> None:
    rng, body, refused = random.Random(kind), PICTURES[kind](), 0
    for number in range(150):
        options = RebuildConfig(image_size=24, decode="fast" if number % 2 else "exact")
        try:
            assert make(damaged(body, rng), replace(options, max_pixels=1 << 20)).width > 0
        except Dropped:
            refused += 1
    assert refused > 10
    if not kind.startswith("tiff"):  # libtiff itself writes a line about broken compressed data
        assert capfd.readouterr() == ("", "")
