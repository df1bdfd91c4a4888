"""The header of a picture, by its bytes alone: format, size and whether it is whole, without decoding a pixel.

bytes -> Header, or Dropped. Neither the Content-Type nor the URL is asked. A picture is whole when its structure
reaches its end marker: a file cut short is refused here, for a fraction of the cost of decoding it. Bytes after the
end are allowed, as phones append films and depth maps. This module also guards the reading of finished shards, so
it needs no OpenCV, and Pillow only for TIFF, AVIF and JPEG 2000.
"""

from __future__ import annotations

from collections.abc import Callable

from ..reasons import Dropped, Reason
from .container import CODESTREAM, JP2_MAGIC, TIFF_MAGIC, is_avif, read_avif, read_jp2, read_tiff
from .jpeg import read_jpeg
from .structure import DIB_SIZES, Header, read_bmp, read_gif, read_png, read_webp

_MAGIC: tuple[tuple[tuple[bytes, ...], Callable[[bytes], Header]], ...] = (
    ((b"\xff\xd8\xff",), read_jpeg),
    ((b"\x89PNG\r\n\x1a\n",), read_png),
    ((b"GIF87a", b"GIF89a"), read_gif),
    (TIFF_MAGIC, read_tiff),
    ((JP2_MAGIC, CODESTREAM), read_jp2),
)


def check(body: bytes) -> Header:
    """The header of a whole picture.

    Raises Dropped: EMPTY without bytes; NOT_IMAGE for HTML, JSON, SVG, PDF, icons, junk and formats that are not
    read (HEIC, PSD ...); TRUNCATED where the structure ends early; CORRUPT where it contradicts itself.
    """
    if not body:
        raise Dropped(Reason.EMPTY)
    try:
        header = _reader(body)(body)
    except (IndexError, ValueError):  # a field past the end
        raise Dropped(Reason.TRUNCATED) from None
    if header.width < 1 or header.height < 1:
        raise Dropped(Reason.CORRUPT)
    return header


def _reader(body: bytes) -> Callable[[bytes], Header]:
    """The reader for the magic number of `body`. Raises Dropped(NOT_IMAGE)."""
    for magic, reader in _MAGIC:
        if body.startswith(magic):
            return reader
    if body[:4] == b"RIFF" and body[8:12] == b"WEBP":
        return read_webp
    if body[:2] == b"BM" and body[14:18] in DIB_SIZES:
        return read_bmp
    if is_avif(body):
        return read_avif
    raise Dropped(Reason.NOT_IMAGE)
