"""Pillow's readers of the formats that are read at all, and the structure of those whose bytes it reads for us.

bytes -> Header, or Dropped: TIFF, AVIF and JPEG 2000 are rare on the web, and their directories are long to parse.
Pillow's classes are called by name: `Image.open` would try others too, and warn about sizes that limits decide on.
"""

from __future__ import annotations

import io
import logging
import warnings
from typing import Literal

from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    ImageFile,
    Jpeg2KImagePlugin,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from ..reasons import Dropped, Reason
from .structure import ORIENTATION, Header

# What is read of the formats there are: by their names in Header, Pillow's classes.
KINDS: dict[str, type[ImageFile.ImageFile]] = {
    "jpeg": JpegImagePlugin.JpegImageFile,
    "png": PngImagePlugin.PngImageFile,
    "gif": GifImagePlugin.GifImageFile,
    "webp": WebPImagePlugin.WebPImageFile,
    "bmp": BmpImagePlugin.BmpImageFile,
    "tiff": TiffImagePlugin.TiffImageFile,
    "avif": AvifImagePlugin.AvifImageFile,
    "jp2": Jpeg2KImagePlugin.Jpeg2KImageFile,
}
TIFF_MAGIC = (b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
# Where the data of strips and tiles is, and how long it is.
_TIFF_DATA = ((273, 279), (324, 325))
JP2_MAGIC = b"\x00\x00\x00\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"


def is_avif(body: bytes) -> bool:
    """Whether a body says that it is AVIF."""
    end = min(int.from_bytes(body[:4], "big"), 256)
    brands = (body[at : at + 4] for at in (8, *range(16, end, 4)))
    return body[4:8] == b"ftyp" and any(brand in (b"avif", b"avis") for brand in brands)


def quiet() -> None:
    """Silence Pillow's warnings about odd files, which would go to the terminal of whoever rebuilds.

    Asked before every use, as a caller may have reset the filters; `catch_warnings` is not safe among threads.
    """
    if _QUIET not in warnings.filters:
        warnings.filterwarnings("ignore", module=r"PIL\.")


warnings.filterwarnings("ignore", module=r"PIL\.")
_QUIET = warnings.filters[0]
# Without a handler of its own, what Pillow logs about odd files would go to the terminal as well.
logging.getLogger("PIL").addHandler(logging.NullHandler())
# One picture, one core: the decode threads are the parallelism.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1


def opened(kind: type[ImageFile.ImageFile], body: bytes) -> ImageFile.ImageFile:
    """`body` opened by one of Pillow's classes, without pixels. Raises Dropped(CORRUPT)."""
    quiet()
    try:
        return kind(io.BytesIO(body))
    except Exception:  # parsers of hostile bytes raise nearly every class there is
        raise Dropped(Reason.CORRUPT) from None


def recognised(body: bytes) -> Image.Image:
    """A picture of one of the formats above as Pillow opens it, without pixels.

    Raises Dropped(NOT_IMAGE), and whatever Pillow raises of a broken header.
    """
    quiet()
    for kind in KINDS.values():
        factory, accept = Image.OPEN[str(kind.format)]
        if accept is None or accept(body[:16]) is True:
            return factory(io.BytesIO(body), "")
    raise Dropped(Reason.NOT_IMAGE)


def read_tiff(body: bytes) -> Header:
    """TIFF: the strips or tiles that the first directory points at. Pillow turns the picture upright itself."""
    image = opened(TiffImagePlugin.TiffImageFile, body)
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    order: Literal["little", "big"] = "little" if body[:1] == b"I" else "big"
    field, count, entry = (8, 8, 20) if b"+" in body[2:4] else (4, 2, 12)
    start = int.from_bytes(body[field : 2 * field], order)
    if start + count + entry * int.from_bytes(body[start : start + count], order) > len(body):
        raise Dropped(Reason.TRUNCATED)
    try:
        for starts, counts in _TIFF_DATA:
            pairs = zip(image.tag_v2.get(starts, ()), image.tag_v2.get(counts, ()), strict=False)
            if any(start + count > len(body) for start, count in pairs):
                raise Dropped(Reason.TRUNCATED)
    except TypeError:
        raise Dropped(Reason.CORRUPT) from None
    return Header("tiff", *image.size)


def read_avif(body: bytes) -> Header:
    """AVIF: the boxes, then the size and turn of the primary picture."""
    _boxes(body)
    if b"mdat" not in body and b"idat" not in body:  # cut between boxes
        raise Dropped(Reason.TRUNCATED)
    try:
        image = opened(AvifImagePlugin.AvifImageFile, body)
    except Dropped:
        image = opened(AvifImagePlugin.AvifImageFile, _without_alpha(body))
    try:
        turned = image.getexif().get(ORIENTATION, 1)
    except Exception:  # broken EXIF does not make the picture worse
        turned = 1
    turned = turned if turned in range(1, 9) else 1
    return Header("avif", *image.size, turned, profile=image.info.get("icc_profile"))


def _without_alpha(body: bytes) -> bytes:
    """The same AVIF, whose alpha plane is a picture to ignore: Pillow refuses one whose size is not said again."""
    size, alpha = body.find(b"ispe"), body.find(b"auxC")
    if min(size, alpha) < 0:
        raise Dropped(Reason.CORRUPT)
    return body[:alpha] + body[size : size + 16] + body[alpha + 16 :]


def read_jp2(body: bytes) -> Header:
    """JPEG 2000: the boxes, and the end of the codestream."""
    if body.startswith(JP2_MAGIC):
        _boxes(body)
    if body.rfind(b"\xff\xd9", len(body) - 64 if len(body) > 64 else 0) < 0:
        raise Dropped(Reason.TRUNCATED)
    return Header("jp2", *opened(Jpeg2KImagePlugin.Jpeg2KImageFile, body).size)


def _boxes(body: bytes) -> None:
    """Walk the boxes of the top level. Raises Dropped(TRUNCATED) where one passes the end."""
    at = 0
    while at + 8 <= len(body):
        length = int.from_bytes(body[at : at + 4], "big")
        if length == 1:
            length = int.from_bytes(body[at + 8 : at + 16], "big")
        if length == 0:  # to the end of the file
            return
        if length < 8:
            raise Dropped(Reason.CORRUPT)
        if at + length > len(body):
            raise Dropped(Reason.TRUNCATED)
        at += length
