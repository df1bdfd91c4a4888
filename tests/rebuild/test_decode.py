"""What cannot be decoded faithfully is refused, and nothing but Dropped ever comes out."""

from __future__ import annotations

import io
import random
import struct
import warnings
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from builder.rebuild.outcome import Dropped
from builder.rebuild.picture import PictureOptions, make
from builder.schema import Reason

from ..pictures import PICTURES, SIZE, gif_claiming, jpeg_claiming, png_claiming, save, scene, webp_claiming
from .photos import photo_jpeg

AS_IS = PictureOptions(resize="none", encode="png")


def reason_of(body: bytes, options: PictureOptions = AS_IS) -> Reason:
    with pytest.raises(Dropped) as caught:
        make(body, options)
    return caught.value.reason


@pytest.mark.parametrize("mode", ["exact", "fast", "original"])
@pytest.mark.parametrize("progressive", [False, True])
def test_refuses_a_jpeg_cut_short_behind_an_end_marker(progressive: bool, mode: str) -> None:
    options = (
        PictureOptions(decode=mode)
        if mode != "original"
        else PictureOptions(resize="none", encode="original")
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
        options = PictureOptions(image_size=24, decode="fast" if number % 2 else "exact")
        try:
            assert make(damaged(body, rng), replace(options, max_pixels=1 << 20)).width > 0
        except Dropped:
            refused += 1
    assert refused > 10
    if not kind.startswith("tiff"):  # libtiff itself writes a line about broken compressed data
        assert capfd.readouterr() == ("", "")
