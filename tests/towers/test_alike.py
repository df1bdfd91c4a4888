"""One photograph in two files, however it was cut, scaled or recoloured; two photographs of one thing."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from PIL import Image, ImageEnhance, ImageFilter

from builder.towers.alike import alike, see

from ..leaves import again, leaves
from ..pictures import save


def jpeg(image: Image.Image, quality: int = 90) -> bytes:
    return save(image.convert("RGB"), "JPEG", quality=quality)


def cut(image: Image.Image, left: float, top: float, right: float, bottom: float) -> Image.Image:
    """The part between these shares of the sides."""
    wide, high = image.size
    return image.crop((round(left * wide), round(top * high), round(right * wide), round(bottom * high)))


FILES: dict[str, Callable[[Image.Image], bytes]] = {
    "the same": jpeg,
    "stored again, badly": lambda image: jpeg(image, 20),
    "another format": lambda image: save(image, "WEBP", quality=50),
    "half the size": lambda image: jpeg(image.resize((160, 120))),
    "enlarged": lambda image: jpeg(image.resize((640, 480))),
    "squashed": lambda image: jpeg(image.resize((224, 224))),
    "cut by a tenth a side": lambda image: jpeg(cut(image, 0.1, 0.1, 0.9, 0.9)),
    "cut in one corner": lambda image: jpeg(cut(image, 0.4, 0.3, 1, 1)),
    "the middle, scaled": lambda image: jpeg(cut(image, 0.125, 0, 0.875, 1).resize((224, 224))),
    "grey": lambda image: jpeg(image.convert("L")),
    "brighter": lambda image: jpeg(ImageEnhance.Brightness(image).enhance(1.2)),
    "of more contrast": lambda image: jpeg(ImageEnhance.Contrast(image).enhance(1.3)),
    "with a white border": lambda image: jpeg(bordered(image)),
}


def bordered(image: Image.Image) -> Image.Image:
    canvas = Image.new("RGB", (400, 400), "white")
    canvas.paste(image, (40, 80))
    return canvas


@pytest.mark.parametrize("how", FILES)
def test_files_of_one_photograph_are_alike_either_way_round(how: str) -> None:
    one, other = see(jpeg(leaves(1))), see(FILES[how](leaves(1)))
    assert alike(one, other)
    assert alike(other, one)


@pytest.mark.parametrize("how", FILES)
def test_another_photograph_is_not_however_it_is_stored(how: str) -> None:
    assert not alike(see(jpeg(leaves(1))), see(FILES[how](leaves(2))))


@pytest.mark.parametrize("seed", range(4))
def test_another_photograph_of_the_same_things_is_not(seed: int) -> None:
    """The same leaves, each moved by a few pixels: nearly all key points match, and yet it is another shot."""
    assert not alike(see(jpeg(leaves(seed))), see(jpeg(again(seed))))


def test_plain_pictures_say_nothing() -> None:
    """Two that are equal are found by their bytes; of two files nobody can tell."""
    plain, blurred = Image.new("RGB", (200, 150), "white"), leaves(3).filter(ImageFilter.GaussianBlur(60))
    assert not alike(see(jpeg(plain)), see(jpeg(plain, 80)))
    assert not alike(see(jpeg(blurred)), see(jpeg(plain)))


def test_broken_pictures_are_like_nothing() -> None:
    whole = jpeg(leaves(1))
    assert see(None) is None
    assert see(b"no picture") is None
    assert not alike(see(b"no picture"), see(b"no picture"))
    assert not alike(see(whole), None)
    assert not alike(None, see(whole))


@pytest.mark.parametrize("size", [(1, 1), (3, 200), (200, 3), (16, 16)])
def test_pictures_of_any_shape_can_be_looked_at(size: tuple[int, int]) -> None:
    small = see(save(leaves(1).resize(size), "PNG"))
    assert small is not None
    assert not alike(small, see(jpeg(leaves(2))))
    assert not alike(see(jpeg(leaves(2))), small)
