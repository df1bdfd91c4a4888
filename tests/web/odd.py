"""Odd parts that leave a picture whole: what phones, scanners and web services really write into JPEG and PNG files."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from functools import cache

from ..picture.photos import after_start, photo, segment
from ..pictures import icc_profile, save, scene, with_alpha

GAMUT = icc_profile("display-p3")
JFIF = b"JFIF\x00\x01\x01\x00\x00\x01\x00\x01\x00\x00"
ADOBE = b"Adobe\x00\x64\x00\x00\x00\x00"


def at(marker: bytes, stray: bytes) -> Callable[[bytes], bytes]:
    """Bytes before the first of these markers."""
    return lambda body: body[: body.index(marker)] + stray + body[body.index(marker) :]


def first(*segments: bytes) -> Callable[[bytes], bytes]:
    return lambda body: after_start(body, *segments)


def jfif(payload: bytes) -> Callable[[bytes], bytes]:
    """Another JFIF segment in place of the first, which is the file's own."""
    return lambda body: body[:2] + segment(0xE0, payload) + body[20:]


def before_end(stray: bytes) -> Callable[[bytes], bytes]:
    return lambda body: body[:-2] + stray + body[-2:]


def icc(number: int, count: int, piece: bytes) -> bytes:
    return segment(0xE2, b"ICC_PROFILE\x00" + bytes([number, count]) + piece)


TABLES, SCAN = b"\xff\xdb", b"\xff\xda"
HEADERS = {
    "two-bytes": at(TABLES, bytes(2)),
    "many-bytes": at(SCAN, bytes(range(255)) * 20),
    "stuffed-bytes": at(TABLES, b"\xff\x00\x07"),
    "fill": at(TABLES, b"\xff" * 9),
    "restart": at(TABLES, b"\xff\xd3"),
    "empty-comment": at(TABLES, b"\xff\xfe\x00\x02"),
    "comment-of-no-length": at(TABLES, b"\xff\xfe\x00\x00"),
    "jfif-of-5-bytes": jfif(JFIF[:5]),
    "jfif-of-13-bytes": jfif(JFIF[:13]),
    "jfif-of-20-bytes": jfif(JFIF + bytes(6)),
    "jfif-9": jfif(JFIF[:5] + b"\x09" + JFIF[6:]),
    "adobe-cut": first(segment(0xEE, ADOBE[:7])),
    "adobe-77": lambda body: body[:2] + segment(0xEE, ADOBE + b"\x4d") + body[20:],
    "exif-cut": first(segment(0xE1, b"Exif\x00\x00II*\x00")),
    "exif-junk": first(segment(0xE1, b"Exif\x00\x00hello")),
    "photoshop-cut": first(segment(0xED, b"Photoshop 3.0\x008BIM\x03\xed")),
    "pictures-cut": first(segment(0xE2, b"MPF\x00junk")),
    "profile-cut": first(icc(1, 2, GAMUT[:99])),
    "profile-of-nothing": first(icc(1, 1, b"")),
}
ENDS = {
    "zeros": before_end(bytes(16)),
    "more-zeros": before_end(bytes(5000)),
    "text": before_end(b"made by a camera\r\n"),
    "pattern": before_end(b"\xaa\x55" * 20),
    "fill": before_end(b"\xff" * 9),
    "comment": before_end(segment(0xFE, b"bye")),
    "tail": lambda body: body + bytes(65536),
    "another": lambda body: body + body,
}
SMALL = photo(0, 128, 96)
JPEGS = {
    "baseline": cache(lambda: save(SMALL, "JPEG", quality=85)),
    "progressive": cache(lambda: save(SMALL, "JPEG", quality=85, progressive=True)),
    "restarts": cache(lambda: save(SMALL, "JPEG", quality=85, restart_marker_blocks=4)),
    "grey": cache(lambda: save(SMALL.convert("L"), "JPEG", quality=85)),
}


def chunk(kind: bytes, data: bytes, checksum: int | None = None) -> bytes:
    right = zlib.crc32(kind + data) if checksum is None else checksum
    return len(data).to_bytes(4, "big") + kind + data + right.to_bytes(4, "big")


MUCH = zlib.compress(bytes(3 << 20))
CHUNKS = {
    "profile-checksum": chunk(b"iCCP", b"p\0\0" + zlib.compress(GAMUT), 1),
    "profile-too-large": chunk(b"iCCP", b"p\0\0" + MUCH),
    "profile-short": chunk(b"iCCP", b"p"),
    "profile-method": chunk(b"iCCP", b"p\0\5x"),
    "resolution-short": chunk(b"pHYs", bytes(5)),
    "gamma-short": chunk(b"gAMA", b"1"),
    "intent-empty": chunk(b"sRGB", b""),
    "text-checksum": chunk(b"tEXt", b"a\0b", 7),
    "text-too-large": chunk(b"zTXt", b"a\0\0" + MUCH),
    "text-method": chunk(b"zTXt", b"a\0\7x"),
    "exif-checksum": chunk(b"eXIf", b"II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0", 3),
    "exif-in-text": chunk(b"tEXt", b"Raw profile type exif\0zz\nzz\nzz\nzz\n"),
    "frames-short": chunk(b"acTL", b"1"),
    "frame-wrong": chunk(b"fcTL", b"\0\0\0\5" + bytes(22)),
    "transparency-checksum": chunk(b"tRNS", bytes(6), 1),
    "transparency-empty": chunk(b"tRNS", b""),
    "no-letter": chunk(b"\xe1bcD", b"1"),
}
MODES = {
    "rgb": lambda: save(scene(noise=9), "PNG"),
    "rgba": lambda: save(with_alpha(), "PNG"),
    "palette": lambda: save(scene().quantize(16), "PNG"),
    "grey": lambda: save(scene().convert("L"), "PNG"),
}
