"""Pictures of more than a strip have the pixels that converting them whole gives; modes without a range have none."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import cache

import numpy as np
import pytest
from PIL import Image, ImageCms

from builder.picture.colour import flattened, to_srgb

from ..pictures import icc_profile

SIZE = (2500, 1700)  # 17 strips, of which the last is shorter


@cache
def picture(mode: str) -> Image.Image:
    """Every value of 8 bits in each channel, nowhere the same in two rows."""
    bands = Image.frombytes(
        "RGBA", SIZE, (np.arange(SIZE[0] * SIZE[1]) * 2_654_435_761 % 2**32).astype("<u4").tobytes()
    )
    if mode in ("RGBA", "CMYK"):
        return Image.frombytes(mode, SIZE, bands.tobytes())
    red, _, _, alpha = bands.split()
    if mode == "LA":
        return Image.merge("LA", (red, alpha))
    if mode == "I;16":
        return Image.fromarray(np.asarray(red).astype(np.uint16) * 256 + np.asarray(alpha))
    return bands.convert("RGB").convert(mode)


def on_white(image: Image.Image) -> np.ndarray:
    layer = image.convert("RGBA")
    page = Image.new("RGB", layer.size, "white")
    page.paste(layer, mask=layer)
    return np.asarray(page)


def see_through(image: Image.Image, clear: int | bytes) -> Image.Image:
    shown = image.copy()
    shown.info["transparency"] = clear
    return shown


@pytest.mark.parametrize(
    ("image", "wanted"),
    [
        (lambda: picture("RGBA"), on_white),
        (lambda: picture("LA"), on_white),
        (lambda: see_through(picture("P"), bytes(range(256))), on_white),
        (lambda: see_through(picture("L"), 7), on_white),
        (
            lambda: see_through(picture("I;16"), 771),
            lambda i: np.where(np.asarray(i) == 771, 255, np.asarray(i) >> 8),
        ),
        (lambda: picture("P"), lambda i: np.asarray(i.convert("RGB"))),
        (lambda: picture("YCbCr"), lambda i: np.asarray(i.convert("RGB"))),
        (lambda: picture("1"), lambda i: np.asarray(i.convert("L"))),
        (lambda: picture("CMYK"), np.asarray),
    ],
    ids=["RGBA", "LA", "P with alpha", "L with a clear level", "I;16 with one", "P", "YCbCr", "1", "CMYK"],
)
def test_strips_are_the_whole(
    image: Callable[[], Image.Image], wanted: Callable[[Image.Image], np.ndarray]
) -> None:
    assert np.array_equal(flattened(image()), wanted(image()))


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("gamut", ["display-p3", None])
def test_colours_of_strips_are_those_of_the_whole(mode: str, gamut: str | None) -> None:
    image = picture(mode)
    wanted = image.convert("RGB")
    if gamut and mode == "RGB":
        profile = ImageCms.ImageCmsProfile(io.BytesIO(icc_profile(gamut)))
        flags = ImageCms.Flags.BLACKPOINTCOMPENSATION
        srgb = ImageCms.createProfile("sRGB")
        wanted = ImageCms.profileToProfile(
            image, profile, srgb, ImageCms.Intent.RELATIVE_COLORIMETRIC, flags=flags
        )
    assert np.array_equal(to_srgb(np.asarray(image), gamut and icc_profile(gamut)), np.asarray(wanted))
