"""What passes the check is decoded by stock `datasets`; what it refuses would have ended an epoch."""

from __future__ import annotations

import io
import random
import warnings

import datasets
import numpy as np
import pytest
from PIL import Image

from builder.picture.intact import is_intact

KINDS = {
    "jpeg": ("JPEG", {"quality": 95}),
    "progressive": ("JPEG", {"quality": 90, "progressive": True}),
    "restarts": ("JPEG", {"quality": 80, "restart_marker_rows": 1, "optimize": True}),
    "grey": ("JPEG", {"quality": 80}),
    "cmyk": ("JPEG", {}),
    "png": ("PNG", {}),
    "webp": ("WEBP", {}),
    "gif": ("GIF", {}),
    "bmp": ("BMP", {}),
}
MODES = {"grey": "L", "cmyk": "CMYK"}


def picture(kind: str) -> bytes:
    noise = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype="u1")
    image = Image.fromarray(noise).resize((96, 96), Image.Resampling.BICUBIC).convert(MODES.get(kind, "RGB"))
    file = io.BytesIO()
    name, options = KINDS[kind]
    image.save(file, name, **options)
    return file.getvalue()


def decodes(data: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            datasets.Image().decode_example({"bytes": data, "path": None})
        except Exception:
            return False
    return True


@pytest.mark.parametrize("kind", KINDS)
def test_whole_pictures_pass(kind):
    assert is_intact(picture(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_cut_is_found(kind):
    data = picture(kind)
    assert [size for size in range(0, len(data) - 2, 7) if is_intact(data[:size])] == []


@pytest.mark.parametrize("kind", ["jpeg", "progressive", "restarts", "grey", "png"])
def test_flipped_bits_that_would_raise_are_found(kind):
    data, chance = picture(kind), random.Random(kind)
    missed = refused = 0
    for _ in range(1500):
        flipped = bytearray(data)
        flipped[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        if not decodes(bytes(flipped)):
            refused += 1
            missed += is_intact(bytes(flipped))
    assert refused > 20
    assert missed <= refused * 0.05


@pytest.mark.parametrize(
    "odd",
    [
        lambda data: data + b"\0" * 500,  # what phones append
        lambda data: data[:2] + b"\xff" + data[2:],  # a fill byte
        lambda data: data[:2] + b"\xff\xfe\x00\x04hi" + data[2:],  # a comment
    ],
)
def test_oddities_that_decode_pass(odd):
    data = odd(picture("jpeg"))
    assert decodes(data)
    assert is_intact(data)


@pytest.mark.parametrize(
    "junk", [b"", b"\xff", b"\xff\xd8\xff", b"\xff\xd8\xff\xd9", b"<html></html>", b"\x89PNG\r\n\x1a\n"]
)
def test_junk_is_refused(junk):
    assert not is_intact(junk)
