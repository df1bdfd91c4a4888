"""The header and the structure of PNG, GIF, WebP and BMP files, and which way up EXIF says a picture is.

bytes -> Header, or Dropped: a picture is whole when the walk over its parts reaches its end marker.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Literal, NamedTuple

from ..reasons import Dropped, Reason

ORIENTATION, _SHORT = 0x0112, 3  # the tag of EXIF, and the type that its values have
# The sizes of the headers that follow BITMAPFILEHEADER.
DIB_SIZES = {size.to_bytes(4, "little") for size in (12, 40, 52, 56, 64, 108, 124)}


class Header(NamedTuple):
    """The facts in the header of a picture.

    format: jpeg, png, gif, webp, bmp, tiff, avif or jp2. width, height: in pixels, as stored. orientation: the
    EXIF value, 1 to 8. channels: of a JPEG, 1, 3 or 4. profile: the ICC profile of a JPEG or WebP. plain: of a JPEG,
    baseline without metadata, profile or trailing bytes; of a WebP, still and opaque; of a PNG, 8-bit RGB without
    profile.
    """

    format: str
    width: int
    height: int
    orientation: int = 1
    channels: int = 3
    profile: bytes | None = None
    plain: bool = False

    @property
    def upright(self) -> tuple[int, int]:
        """Width and height after the orientation is applied."""
        return (self.height, self.width) if self.orientation >= 5 else (self.width, self.height)


def orientation(block: bytes) -> int:
    """The orientation of a TIFF-structured EXIF block, with or without its `Exif` prefix: 1 to 8, 1 when there is none.

    Pillow's reader takes 40 us and warns about every odd tag; this one looks at the first directory only and never
    fails, because a browser shows a picture with broken EXIF upright too.
    """
    block = block.removeprefix(b"Exif\x00\x00")
    if block[:4] == b"II*\x00":
        order: Literal["little", "big"] = "little"
    elif block[:4] == b"MM\x00*":
        order = "big"
    else:
        return 1

    def number(at: int, size: int) -> int:
        return int.from_bytes(block[at : at + size], order)

    start = number(4, 4)
    for at in range(start + 2, min(start + 2 + 12 * number(start, 2), len(block) - 11), 12):
        if number(at, 2) == ORIENTATION and number(at + 2, 2) == _SHORT:
            value = number(at + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1


# Chunks that change how pixels are read: transparency, a profile, further frames.
_PNG_EXTRAS = frozenset({b"tRNS", b"iCCP", b"acTL"})


def _little(body: bytes, at: int, size: int) -> int:
    if at + size > len(body):
        raise Dropped(Reason.TRUNCATED)
    return int.from_bytes(body[at : at + size], "little")


def chunks(body: bytes) -> Iterator[tuple[bytes, int, int]]:
    """The chunks of a PNG to IEND: kind, start and end. Raises Dropped(TRUNCATED) where the body ends first."""
    kind, at = b"", 8
    while kind != b"IEND":
        start, kind = at, body[at + 4 : at + 8]
        at += 12 + int.from_bytes(body[at : at + 4], "big")
        if at > len(body):
            raise Dropped(Reason.TRUNCATED)
        yield kind, start, at


def _checksum(body: bytes, start: int, end: int) -> bool:
    """Whether the chunk is what its checksum says."""
    stored = int.from_bytes(body[end - 4 : end], "big")
    return zlib.crc32(memoryview(body)[start + 4 : end - 4]) == stored


def read_png(body: bytes) -> Header:
    """PNG: every chunk to IEND; the checksums and the order of those that carry the picture, and only those."""
    turned, before = 1, b""
    plain, once = body[24:26] == b"\x08\x02", set[bytes]()
    if body[12:16] != b"IHDR":
        raise Dropped(Reason.CORRUPT if len(body) >= 16 else Reason.TRUNCATED)
    for kind, start, end in chunks(body):
        critical = not kind[0] & 0x20
        sound = _checksum(body, start, end) if critical or kind == b"eXIf" else False
        if critical:
            # Data may come in pieces, one behind the other.
            again = kind in once and not kind == before == b"IDAT"
            if again or not sound or (kind == b"IDAT" and body[25] == 3 and b"PLTE" not in once):
                raise Dropped(Reason.CORRUPT)
            once.add(kind)
        elif sound:
            turned = orientation(body[start + 8 : end - 4])
        plain = plain and kind not in _PNG_EXTRAS
        before = kind
    if b"IDAT" not in once or body[8:12] != b"\x00\x00\x00\x0d":
        raise Dropped(Reason.CORRUPT)
    width, height = int.from_bytes(body[16:20], "big"), int.from_bytes(body[20:24], "big")
    return Header("png", width, height, turned, plain=plain)


def essential(body: bytes) -> bytes:
    """A checked PNG of the chunks that make its pixels: the critical ones, transparency and profile where sound.

    Decoders differ in what else they stumble over (texts, resolutions, a wrong checksum of either); a damaged tRNS
    or iCCP is ignored, as libpng and the browsers do.
    """
    view, data = memoryview(body), False
    parts = [view[:8]]
    for kind, start, end in chunks(body):
        data = data or kind == b"IDAT"
        readable = _READABLE.get(kind)
        if kind in _CRITICAL or (
            readable and not data and _checksum(body, start, end) and readable(body, start + 8, end - 4)
        ):
            parts.append(view[start:end])
    return b"".join(parts)


def _transparency(body: bytes, start: int, end: int) -> bool:
    """Whether tRNS is as long as the colour type asks: a grey level, an RGB colour, or the alphas of a palette."""
    return {0: end - start == 2, 2: end - start == 6, 3: end - start <= 256}.get(body[25], False)


def _profile(body: bytes, start: int, end: int) -> bool:
    """Whether iCCP holds a profile of no more than a megabyte."""
    packed = body[start:end].partition(b"\x00")[2]
    unpack = zlib.decompressobj()
    try:
        return packed[:1] == b"\x00" and bool(unpack.decompress(packed[1:], 1 << 20)) and unpack.eof
    except zlib.error:
        return False


_CRITICAL = frozenset({b"IHDR", b"PLTE", b"IDAT", b"IEND"})
_READABLE = {b"tRNS": _transparency, b"iCCP": _profile}


def read_gif(body: bytes) -> Header:
    """GIF: every block to the trailer, or to the end behind a whole frame, as some writers leave the trailer out.

    The size covers the first frame also where it exceeds the canvas.
    """
    width, height = _little(body, 6, 2), _little(body, 8, 2)
    at, frames, whole = 13 + _colours(body[10]), 0, False
    while not (whole and at == len(body)) and (kind := body[at]) != 0x3B:
        if kind == 0x21:
            at = _sub_blocks(body, at + 2)
        elif kind == 0x2C:
            if not frames:
                width = max(width, _little(body, at + 1, 2) + _little(body, at + 5, 2))
                height = max(height, _little(body, at + 3, 2) + _little(body, at + 7, 2))
            frames += 1
            at = _sub_blocks(body, at + 11 + _colours(body[at + 9]))
        elif kind == 0:  # padding that some writers leave between blocks
            at += 1
        else:
            raise Dropped(Reason.CORRUPT)
        whole = kind == 0x2C or (whole and kind == 0)
    if not frames:
        raise Dropped(Reason.CORRUPT)
    return Header("gif", width, height)


def _colours(flags: int) -> int:
    """Bytes of the colour table that `flags` announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _sub_blocks(body: bytes, at: int) -> int:
    """Where the chain of GIF sub-blocks from `at` ends; IndexError when the body ends first."""
    while length := body[at]:
        at += length + 1
    return at + 1


def read_webp(body: bytes) -> Header:
    """WebP: the RIFF length, and every chunk in it."""
    end = 8 + _little(body, 4, 4)
    if end > len(body):
        raise Dropped(Reason.TRUNCATED)
    size: tuple[int, int] | None = None
    plain, turned, profile, pixels, at = True, 1, None, False, 12
    while at + 8 <= end:
        kind, length, start = body[at : at + 4], _little(body, at + 4, 4), at + 8
        if start + length > end:
            raise Dropped(Reason.CORRUPT)
        if kind == b"VP8X":
            size = _little(body, start + 4, 3) + 1, _little(body, start + 7, 3) + 1
            plain = not body[start] & 0x12  # alpha or animation
        elif kind in (b"VP8 ", b"VP8L"):
            pixels = True
            stored = _vp8(body, start) if kind == b"VP8 " else _vp8l(body, start)
            plain = plain and not (kind == b"VP8L" and body[start + 4] & 0x10)
            size = size or stored
        elif kind == b"EXIF":
            turned = orientation(body[start : start + length])
        elif kind == b"ICCP":
            profile = body[start : start + length]
        pixels = pixels or kind == b"ANMF"
        at = start + length + (length & 1)
    if size is None or not pixels:
        raise Dropped(Reason.CORRUPT)
    return Header("webp", *size, turned, profile=profile, plain=plain)


def first_frame(body: bytes) -> bytes | None:
    """The first frame of an animated WebP as a picture of its own; None where it does not fill the canvas."""
    at = 12
    while at + 8 <= len(body):
        length, start = _little(body, at + 4, 4), at + 8
        if body[at : at + 4] == b"ANMF":
            if body[start : start + 12] != bytes(6) + body[24:30]:
                return None
            canvas = body[12:20] + b"\x10" + body[21:30]  # of its flags, alpha alone
            file = b"WEBP" + canvas + body[start + 16 : start + length]
            return b"RIFF" + len(file).to_bytes(4, "little") + file
        at = start + length + (length & 1)
    return None


def _vp8(body: bytes, at: int) -> tuple[int, int]:
    if body[at + 3 : at + 6] != b"\x9d\x01\x2a":
        raise Dropped(Reason.CORRUPT)
    return _little(body, at + 6, 2) & 0x3FFF, _little(body, at + 8, 2) & 0x3FFF


def _vp8l(body: bytes, at: int) -> tuple[int, int]:
    if body[at] != 0x2F:
        raise Dropped(Reason.CORRUPT)
    bits = _little(body, at + 1, 4)
    return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1


def read_bmp(body: bytes) -> Header:
    """BMP: the rows that the header announces, where they are not compressed."""
    small = _little(body, 14, 4) == 12
    field = 2 if small else 4
    width, height = _little(body, 18, field), _little(body, 18 + field, field)
    if not small and height >> 31:  # negative: stored from the top down
        height = (1 << 32) - height
    depth = _little(body, 24 if small else 28, 2)
    compressed = not small and _little(body, 30, 4) not in (0, 3, 6)
    rows = 0 if compressed else (width * depth + 31) // 32 * 4 * height
    if _little(body, 10, 4) + rows > len(body):
        raise Dropped(Reason.TRUNCATED)
    return Header("bmp", width, height)
