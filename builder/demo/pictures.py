"""A scene as the files that the web serves: JPEG baseline, progressive, CMYK and turned, PNG with alpha ...

    (index, seed) -> File(data, kind, extension, seen, scene)

Each kind is made so that a careless decoder shows: what lies under transparent pixels is magenta, frames
after the first are negatives, 16-bit samples carry noise in their low byte, a turned file is upright only by
its EXIF.
`seen` is the picture as it must come out.

`flawed` makes of a file one that a curation is to drop.
"""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image, ImageFilter, ImageOps, features

from .scene import GROUNDS, Scene, attributes, scene

SMALL = 480  # pixels of the long side, for kinds that are slow to write
# What makes the stored picture of the upright one, for the orientations of EXIF from 2 on.
_T = Image.Transpose
_TURNS = (
    _T.FLIP_LEFT_RIGHT, _T.ROTATE_180, _T.FLIP_TOP_BOTTOM, _T.TRANSPOSE, _T.ROTATE_90, _T.TRANSVERSE, _T.ROTATE_270,
)  # fmt: skip
_ORIENTATION = 0x0112
# What a curation is to drop: a file that another row has, its picture in another file, one that is blurred, one of
# a single colour, and a picture that has nothing to do with its caption.
COPY, AGAIN, BLURRED, FLAT, WRONG = FLAWS = ("copy", "stored again", "blurred", "flat", "wrong caption")


@dataclass(frozen=True, slots=True)
class File:
    """A picture file; `seen` (RGB) is the picture in it as a viewer on a white page shows it."""

    data: bytes
    kind: str
    extension: str
    seen: Image.Image
    scene: Scene


@dataclass(frozen=True, slots=True)
class Kind:
    """How one kind of file is written, and how frequent it is; neutral, plain: what scene it needs."""

    weight: int
    extension: str
    write: Callable[[Image.Image, int], bytes]
    neutral: bool = False
    plain: bool = False
    small: bool = False


def save(image: Image.Image, form: str, **options: object) -> bytes:
    """The image as a file of Pillow's format `form`."""
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def png(width: int, height: int, depth: int, colour: int, rows: bytes) -> bytes:
    """A PNG put together by hand, for what Pillow does not write; `rows` are the filtered scan lines."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    parts = chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows, 1)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _deep_png(image: Image.Image, index: int) -> bytes:
    """16 bits a sample; the low bytes are noise, so that taking the wrong byte shows."""
    high = np.asarray(image, np.uint16) << 8
    deep = high | np.random.default_rng(index).integers(0, 256, high.shape, np.uint16)
    lines = deep.astype(">u2").view(np.uint8).reshape(image.height, -1)
    return png(image.width, image.height, 16, 2, np.insert(lines, 0, 0, axis=1).tobytes())


def _alpha_png(image: Image.Image, index: int) -> bytes:
    stored = Image.new("RGB", image.size, (255, 0, 255))
    mask = _opaque(image)
    stored.paste(image, mask=mask)
    stored.putalpha(mask)
    return save(stored, "PNG", compress_level=1)


def _opaque(image: Image.Image) -> Image.Image:
    """255 where a plain scene has a shape: each colour but white is dark in at least one channel."""
    return Image.fromarray(np.where(np.asarray(image).min(axis=2) < 170, 255, 0).astype(np.uint8))


def _turned_jpeg(image: Image.Image, index: int) -> bytes:
    exif = Image.Exif()
    exif[_ORIENTATION] = 2 + index % 7
    return save(image.transpose(_TURNS[index % 7]), "JPEG", quality=85, exif=exif)


def _frames(form: str, **options: object) -> Callable[[Image.Image, int], bytes]:
    def write(image: Image.Image, index: int) -> bytes:
        later = [ImageOps.invert(image), ImageOps.posterize(image, 1)]
        return save(image, form, save_all=True, append_images=later, duration=80, loop=0, **options)

    return write


def _as(form: str, mode: str = "RGB", **options: object) -> Callable[[Image.Image, int], bytes]:
    return lambda image, index: save(image.convert(mode), form, **options)


def _palette(form: str) -> Callable[[Image.Image, int], bytes]:
    return lambda image, index: save(image.quantize(128), form)


KINDS: dict[str, Kind] = {
    "jpeg": Kind(36, "jpg", _as("JPEG", quality=85)),
    "jpeg-progressive": Kind(16, "jpg", _as("JPEG", quality=88, progressive=True)),
    "jpeg-turned": Kind(7, "jpeg", _turned_jpeg),
    "jpeg-cmyk": Kind(3, "jpg", _as("JPEG", "CMYK", quality=88)),
    "jpeg-grey": Kind(3, "jpg", _as("JPEG", "L", quality=88), neutral=True),
    "png": Kind(5, "png", _as("PNG", compress_level=1)),
    "png-alpha": Kind(4, "png", _alpha_png, plain=True),
    "png-palette": Kind(3, "png", _palette("PNG"), small=True),
    "png-16-bit": Kind(3, "png", _deep_png, small=True),
    "webp": Kind(8, "webp", _as("WEBP", quality=82, method=0)),
    "webp-lossless": Kind(2, "webp", _as("WEBP", lossless=True, method=0), small=True),
    "webp-animated": Kind(2, "webp", _frames("WEBP", quality=82, method=0), small=True),
    "gif": Kind(3, "gif", _palette("GIF"), small=True),
    "gif-animated": Kind(2, "gif", _frames("GIF"), small=True),
    "bmp": Kind(1, "bmp", _as("BMP"), small=True),
    "tiff": Kind(1, "tif", _as("TIFF"), small=True),
    "avif": Kind(1, "avif", _as("AVIF", quality=75, speed=10), small=True),
}


def file(index: int, seed: int = 0) -> File:
    """File `index` of `seed`: a scene in one of the kinds, by their weights."""
    kinds = {name: kind for name, kind in KINDS.items() if name != "avif" or features.check("avif")}
    weights = np.array([kind.weight for kind in kinds.values()])
    name = str(np.random.default_rng((seed, index, 11)).choice(list(kinds), p=weights / weights.sum()))
    return file_of(name, index, seed)


def file_of(name: str, index: int, seed: int = 0) -> File:
    """Scene `index` of `seed` as a file of the kind `name`."""
    kind = KINDS[name]
    width, height = attributes(index, seed, neutral=kind.neutral).size
    shrink = min(1.0, SMALL / max(width, height)) if kind.small else 1.0
    size = round(width * shrink), round(height * shrink)
    shown = scene(index, seed, size=size, neutral=kind.neutral, plain=kind.plain)
    seen = shown.image
    if name == "png-alpha":
        seen = Image.composite(seen, Image.new("RGB", seen.size, "white"), _opaque(seen))
    if name == "jpeg-grey":
        seen = seen.convert("L").convert("RGB")
    return File(kind.write(shown.image, index), name, kind.extension, seen, shown)


def flawed(made: File, how: str, other: Callable[[], Image.Image]) -> File:
    """The file as one that a curation is to drop, one of the five above. other: draws what its caption cannot mean."""
    if how == COPY:
        return made
    seen, quality = made.seen, 88
    if how == AGAIN:
        quality = 60
    elif how == BLURRED:
        seen = seen.filter(ImageFilter.GaussianBlur(min(seen.size) / 40))
    elif how == FLAT:
        seen = Image.new("RGB", seen.size, GROUNDS[made.scene.attributes.ground])
    else:
        seen = other()
    return replace(made, data=save(seen, "JPEG", quality=quality), kind="jpeg", extension="jpg", seen=seen)
