"""Real image files, made in memory: every kind that `rebuild` must read, and the ones built to hurt it.

`PICTURES` are whole pictures of 64 x 48 pixels (after their EXIF orientation) showing the same scene: four
quadrants, red and green above blue and yellow, so that a test can tell a turned or a miscoloured one by its
corners. The other functions make bombs and files that are not pictures.
"""

from __future__ import annotations

import io
import random
import struct
import zlib
from collections.abc import Callable, Iterator
from functools import cache, partial

from PIL import Image

SIZE = (64, 48)
CORNERS = (
    (200, 30, 30),
    (30, 160, 60),
    (40, 60, 190),
    (220, 200, 40),
)  # top left, top right, bottom left, right
ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
# ICC colorants adapted to D50: red, green, blue as XYZ.
GAMUTS = {
    "adobe-rgb": ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457)),
    "display-p3": ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407)),
}


def scene(size: tuple[int, int] = SIZE, noise: int = 0) -> Image.Image:
    """The four quadrants as RGB; `noise` is the deterministic grain, in levels of 255."""
    small = Image.new("RGB", (2, 2))
    small.putdata(CORNERS)
    image = small.resize(size, Image.Resampling.NEAREST)
    if noise:
        grain = Image.frombytes("RGB", size, random.Random(0).randbytes(size[0] * size[1] * 3))
        image = Image.blend(image, grain, noise / 255)
    return image


def save(image: Image.Image, kind: str, **options: object) -> bytes:
    """The image as a file of Pillow's format `kind`."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@cache
def jpeg(size: tuple[int, int] = SIZE, noise: int = 24, **options: object) -> bytes:
    """A JPEG of the scene; options are Pillow's (`progressive`, `quality` ...)."""
    return save(scene(size, noise), "JPEG", **options)


@cache
def _numbered(variant: int) -> bytes:
    return save(scene().point(lambda level: (level + variant * 7) % 256), "JPEG")


def numbered(number: int) -> bytes:
    """One of a web of distinct JPEG files: a comment makes the bytes differ, the pixels do for 64."""
    plain = _numbered(number % 64)
    text = f"picture {number}".encode()
    return plain[:2] + b"\xff\xfe" + struct.pack(">H", len(text) + 2) + text + plain[2:]


def rotated(orientation: int) -> bytes:
    """A JPEG stored turned or mirrored, with the EXIF orientation (1 to 8) that shows the scene upright."""
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}  # the Transpose that leads from upright to stored
    stored = scene()
    if orientation in undo:
        stored = stored.transpose(Image.Transpose(undo[orientation]))
    exif = Image.Exif()
    exif[0x0112] = orientation
    return save(stored, "JPEG", exif=exif, quality=95)


def icc_profile(gamut: str) -> bytes:
    """An ICC v2 display profile with matrix and gamma 2.2 for one of GAMUTS."""

    def xyz(values: tuple[float, float, float]) -> bytes:
        return b"XYZ \0\0\0\0" + struct.pack(">3i", *(round(v * 65536) for v in values))

    curve = b"curv\0\0\0\0" + struct.pack(">IHH", 1, 0x0233, 0)
    name = gamut.encode() + b"\0"
    described = b"desc\0\0\0\0" + struct.pack(">I", len(name)) + name + bytes(78)
    red, green, blue = (xyz(c) for c in GAMUTS[gamut])
    values = {
        b"desc": described,
        b"cprt": b"text\0\0\0\0none\0",
        b"wtpt": xyz((0.9642, 1.0, 0.8249)),
        b"rXYZ": red,
    }
    values |= {b"gXYZ": green, b"bXYZ": blue, b"rTRC": curve, b"gTRC": curve, b"bTRC": curve}
    table, data, offset = b"", b"", 128 + 4 + 12 * len(values)
    for tag, value in values.items():
        table += tag + struct.pack(">II", offset + len(data), len(value))
        data += value + bytes(-len(value) % 4)
    body = struct.pack(">I", len(values)) + table + data
    head = struct.pack(
        ">I4sI4s4s4s12s4s",
        128 + len(body),
        b"none",
        0x02100000,
        b"mntr",
        b"RGB ",
        b"XYZ ",
        bytes(12),
        b"acsp",
    )
    return head.ljust(68, b"\0") + struct.pack(">3i", 63190, 65536, 54061) + bytes(48) + body


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_file(size: tuple[int, int], header: bytes, packed: bytes, *extra: bytes) -> bytes:
    """A PNG by hand: `header` is depth, colour type, 0, 0, interlace; `packed` a zlib stream; `extra` chunks."""
    start = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">II", *size) + header)
    return start + b"".join(extra) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")


def png16(kind: int) -> bytes:
    """A PNG of 16 bits a channel, of colour type 2 (RGB) or 6 (RGBA, opaque)."""
    data, width = scene().tobytes(), SIZE[0]
    pixels = (data[i : i + 3] for i in range(0, len(data), 3))
    wide = [b"".join(bytes((v, 0x40)) for v in p) + (b"\xff\xff" if kind == 6 else b"") for p in pixels]
    rows = (b"\0" + b"".join(wide[i : i + width]) for i in range(0, len(wide), width))
    return png_file(SIZE, bytes((16, kind, 0, 0, 0)), zlib.compress(b"".join(rows)))


def png_interlaced() -> bytes:
    """An Adam7 PNG."""
    rgb = scene().tobytes()

    def rows() -> Iterator[bytes]:
        for x0, y0, dx, dy in ADAM7:
            for y in range(y0, SIZE[1], dy):
                yield b"\0" + b"".join(
                    bytes(rgb[3 * (x + y * SIZE[0]) :][:3]) for x in range(x0, SIZE[0], dx)
                )

    return png_file(SIZE, bytes((8, 2, 0, 0, 1)), zlib.compress(b"".join(rows())))


def png_palette() -> bytes:
    """A palette PNG whose first colour is transparent."""
    return save(scene().quantize(8), "PNG", transparency=0)


def with_alpha(mode: str = "RGBA") -> Image.Image:
    """The scene, of which the top left quadrant is transparent."""
    image = scene().convert(mode)
    image.putalpha(Image.composite(Image.new("L", SIZE, 0), Image.new("L", SIZE, 255), _corner()))
    return image


def _corner() -> Image.Image:
    mask = Image.new("1", SIZE, 0)
    mask.paste(1, (0, 0, SIZE[0] // 2, SIZE[1] // 2))
    return mask


def animated(kind: str) -> bytes:
    """Three frames, of which the first is the scene."""
    others = [Image.new("RGB", SIZE, colour) for colour in ("black", "white")]
    return save(scene(), kind, save_all=True, append_images=others, duration=40, loop=0)


def gif_transparent() -> bytes:
    """A GIF whose background colour is transparent."""
    return save(scene().quantize(8), "GIF", transparency=0)


def _rgb(kind: str, **options: object) -> bytes:
    return save(scene(), kind, **options)


PICTURES: dict[str, Callable[[], bytes]] = {
    "jpeg": jpeg,
    "jpeg-progressive": partial(jpeg, progressive=True),
    "jpeg-444": partial(jpeg, subsampling=0),
    "jpeg-gray": lambda: save(scene().convert("L"), "JPEG"),
    "jpeg-cmyk": lambda: save(scene().convert("CMYK"), "JPEG", quality=95),
    "jpeg-restarts": partial(jpeg, restart_marker_rows=1),
    "jpeg-adobe-rgb": lambda: _rgb("JPEG", icc_profile=icc_profile("adobe-rgb")),
    "jpeg-display-p3": lambda: _rgb("JPEG", icc_profile=icc_profile("display-p3")),
    **{f"jpeg-orientation-{n}": partial(rotated, n) for n in range(1, 9)},
    "jpeg-2000": partial(_rgb, "JPEG2000"),
    "png": partial(_rgb, "PNG"),
    "png-rgba": lambda: save(with_alpha(), "PNG"),
    "png-la": lambda: save(with_alpha("LA"), "PNG"),
    "png-palette-transparent": png_palette,
    "png-gray": lambda: save(scene().convert("L"), "PNG"),
    "png-1-bit": lambda: save(scene().convert("1"), "PNG"),
    "png-16-bit-gray": lambda: save(
        scene().convert("L").convert("I").point(lambda v: v * 257).convert("I;16"), "PNG"
    ),
    "png-16-bit-rgb": partial(png16, 2),
    "png-16-bit-rgba": partial(png16, 6),
    "png-interlaced": png_interlaced,
    "png-animated": partial(animated, "PNG"),
    "png-adobe-rgb": lambda: _rgb("PNG", icc_profile=icc_profile("adobe-rgb")),
    "webp": partial(_rgb, "WEBP"),
    "webp-lossless": partial(_rgb, "WEBP", lossless=True),
    "webp-alpha": lambda: save(with_alpha(), "WEBP", lossless=True),
    "webp-animated": partial(animated, "WEBP"),
    "gif": lambda: save(scene().quantize(8), "GIF"),
    "gif-animated": partial(animated, "GIF"),
    "gif-transparent": gif_transparent,
    "bmp": partial(_rgb, "BMP"),
    "tiff": partial(_rgb, "TIFF"),
    "tiff-lzw": partial(_rgb, "TIFF", compression="tiff_lzw"),
    "avif": partial(_rgb, "AVIF"),
}


def zeros(size: int, window: int) -> bytes:
    """`size` zero bytes deflated without the work: one block, flushed, is a unit that can be repeated."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -window)
    unit = packer.compress(bytes(1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)
    last = zlib.compressobj(9, zlib.DEFLATED, -window)
    return unit * (size >> 20) + last.compress(bytes(size & 0xFFFFF)) + last.flush()


@cache
def png_bomb(width: int = 20_000, height: int = 20_000) -> bytes:
    """A valid black RGB PNG of width x height pixels; 400 megapixels fit in 1.2 MB."""
    size = height * (1 + 3 * width)
    checksum = struct.pack(">I", (size % 65521) << 16 | 1)  # Adler-32 of zeros
    return png_file((width, height), bytes((8, 2, 0, 0, 0)), b"\x78\xda" + zeros(size, 15) + checksum)


@cache
def gzip_bomb(size: int = 64 << 20) -> bytes:
    """`size` zero bytes behind the magic of a JPEG, as gzip: a thousandth of them on the wire."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    start = packer.compress(b"\xff\xd8\xff\xe0") + packer.flush(zlib.Z_FULL_FLUSH)
    checksum = zlib.crc32(b"\xff\xd8\xff\xe0")
    for _ in range(size >> 20):
        checksum = zlib.crc32(bytes(1 << 20), checksum)
    checksum = zlib.crc32(bytes(size & 0xFFFFF), checksum)
    return (
        b"\x1f\x8b\x08\0\0\0\0\0\x02\xff" + start + zeros(size, 15) + struct.pack("<II", checksum, size + 4)
    )


def png_text_bomb() -> bytes:
    """A good PNG with 64 MB of compressed text in it."""
    size = 64 << 20
    text = b"\x78\xda" + zeros(size, 15) + struct.pack(">I", (size % 65521) << 16 | 1)
    made = save(scene(), "PNG")
    return made[:33] + chunk(b"zTXt", b"note\0\0" + text) + made[33:]


def png_claiming(width: int, height: int) -> bytes:
    """A PNG whose header claims dimensions that its data does not have."""
    return png_file((width, height), bytes((8, 2, 0, 0, 0)), zlib.compress(bytes(1000)))


def jpeg_claiming(width: int, height: int) -> bytes:
    """A JPEG whose header claims other dimensions than its data has."""
    made = bytearray(jpeg())
    at = made.index(b"\xff\xc0") + 5
    made[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(made)


def gif_claiming(width: int, height: int) -> bytes:
    """A GIF whose screen and first frame claim other dimensions than its data has."""
    made = bytearray(save(scene().quantize(8), "GIF"))
    at = made.index(b"\x2c\0\0\0\0")
    made[6:10] = made[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(made)


def webp_claiming(width: int, height: int) -> bytes:
    """A lossy WebP whose frame header claims other dimensions than its data has."""
    made = bytearray(save(scene(), "WEBP"))
    at = made.index(b"\x9d\x01\x2a") + 3
    made[at : at + 4] = struct.pack("<HH", width, height)
    return bytes(made)


def ico() -> bytes:
    """A site's icon."""
    return save(scene((32, 32)), "ICO")


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg" width="64" height="48"><circle r="9"/></svg>'
HTML = "<!DOCTYPE html><html><title>找不到页面</title><body>您访问的图片不存在</body></html>".encode()
JSON = b'{"code": 404, "message": "image not found"}'
PDF = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj\ntrailer<</Root 1 0 R>>\n%%EOF\n"
