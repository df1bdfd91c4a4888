"""The structure of a JPEG: from marker to marker, through every scan, to the end-of-image marker.

bytes -> Header, or Dropped. One regular expression walks the entropy-coded data (a 150 KB file takes some 50 us), so
the marker found is the picture's own, not that of its EXIF thumbnail. `bare` and `unpadded` make the copy in which a
strict decoder has nothing left to complain of but damage: libjpeg reports one warning a picture, and a harmless one
would hide another behind it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from ..reasons import Dropped, Reason
from .structure import Header, orientation

# A marker that ends entropy-coded data: neither a stuffed byte, a restart marker nor a fill byte.
MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
END, _START, SCAN, _TEM = 0xD9, 0xD8, 0xDA, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE, _SEQUENTIAL = 0xC0, frozenset({0xC0, 0xC1, 0xC9})
_JFIF, EXIF, _ADOBE, _COMMENT = 0xE0, 0xE1, 0xEE, 0xFE
# Comments and application segments: a decoder skips them whatever is in them.
_METADATA = frozenset({_COMMENT, *range(0xE0, 0xF0)})
# Beyond this many bytes left over, padding has to look like it. Of 140 scans that lost their way by a flipped bit
# none left fewer than 5, and none left bytes that look like padding.
_FEW = 4
# libjpeg has up to so many bytes in hand that it does not report.
_IN_HAND = 8
# Scans cost their decoder a pass over every coefficient; real files have some ten, a bomb has thousands
# (libjpeg-turbo, "Two Issues with the JPEG Standard").
_MAXSCANS = 200


class _Walk:
    """Facts that the segments gave so far."""

    def __init__(self) -> None:
        self.frame: bytes | None = None
        self.baseline = self.extras = False
        self.turned = 1
        self.scans = 0
        self.pieces: dict[int, bytes] = {}
        self.count = 0

    def segment(self, code: int, payload: bytes) -> None:
        """Take in one segment."""
        if code in _FRAMES and self.frame is None:
            if len(payload) < 6:
                raise Dropped(Reason.CORRUPT)
            self.frame, self.baseline = payload, code == _BASELINE
        elif code == SCAN:
            self.scans += 1
            if self.scans > _MAXSCANS or self.frame is None:
                raise Dropped(Reason.CORRUPT)
        elif code == EXIF and payload.startswith(b"Exif\x00\x00") and self.turned == 1:
            self.turned = orientation(payload)
        elif code == 0xE2 and payload.startswith(b"ICC_PROFILE\x00") and len(payload) > 14:
            self.count = payload[13]
            self.pieces.setdefault(payload[12], payload[14:])
        self.extras = self.extras or code == 0xFE or 0xE1 <= code <= 0xED or code == 0xEF

    def profile(self) -> bytes | None:
        """The ICC profile, when every piece of it is there: as many as each says, or as long as it says itself."""
        joined = b"".join(piece for _, piece in sorted(self.pieces.items()))
        whole = len(self.pieces) == self.count or len(joined) == int.from_bytes(joined[:4], "big")
        return joined if joined and whole else None


def segments(body: bytes) -> Iterator[tuple[int, int, int]]:
    """Every marker from the second to the end of the image: its code, its start, and the end of its segment.

    What lies between the end of one and the start of the next is entropy-coded data or stray bytes. Raises Dropped:
    TRUNCATED where the body ends first, CORRUPT for a length that no decoder takes.
    """
    at, size = 2, len(body)
    while True:
        found = MARKER.search(body, at)
        if found is None:
            raise Dropped(Reason.TRUNCATED)
        start, at = found.span()
        code = body[at - 1]
        if code not in (_START, _TEM, END):
            length = int.from_bytes(body[at : at + 2], "big")
            at += max(length, 2)
            if at > size:
                raise Dropped(Reason.TRUNCATED)
            if length < 2 and code not in _METADATA:
                raise Dropped(Reason.CORRUPT)
        yield code, start, at
        if code == END:
            return


def read_jpeg(body: bytes) -> Header:
    """JPEG: every segment and scan to the end-of-image marker."""
    walk, at = _Walk(), 0
    for code, start, at in segments(body):
        walk.segment(code, body[start + 4 : at])
    frame = walk.frame
    if frame is None or not walk.scans:
        raise Dropped(Reason.CORRUPT)
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    plain = walk.baseline and not walk.extras and at == len(body)
    return Header("jpeg", width, height, walk.turned, frame[5], walk.profile(), plain)


def bare(body: bytes, channels: int) -> bytes:
    """A checked JPEG without what leaves its pixels as they are: before its scans metadata and stray bytes, and a tail.

    All else stays byte for byte, also between scans, but for parameters that a sequential scan has no use for. Of the
    metadata stays what tells the colours, in a form that libjpeg knows: what it would take the odd one for.
    """
    parts, last, scans, sequential = [body[:2]], 2, False, False
    for code, start, end in segments(body):
        if scans:
            parts.append(body[last:start])
        part = body[start:end]
        if code in _METADATA and not scans:
            part = _colours(part, channels)
        elif code == SCAN and sequential:
            part = part[:-3] + b"\x00\x3f\x00"
        parts.append(part)
        last, scans, sequential = end, scans or code == SCAN, sequential or code in _SEQUENTIAL
    return b"".join(parts)


def _colours(segment: bytes, channels: int) -> bytes:
    """A JFIF or Adobe segment as libjpeg understands it; nothing of any other, nor of one too short for libjpeg."""
    if segment[1] == _JFIF and segment[4:9] == b"JFIF\x00" and len(segment) >= 18:
        return segment[:9] + b"\x01" + segment[10:]
    if segment[1] == _ADOBE and segment[4:9] == b"Adobe" and len(segment) >= 16:
        ycc = 2 if channels == 4 else 1
        return segment[:15] + bytes([ycc if segment[15] else 0]) + segment[16:]
    return b""


def unpadded(lone: bytes, count: int) -> bytes:
    """A bare JPEG without the `count` bytes that its last scan left over.

    Raises Dropped(CORRUPT) unless they are padding: few; or ASCII or of hardly any values, and not what the scan
    itself was reading just before (a hole in it). A scan that lost its way leaves bytes too, but random ones.
    """
    data, scan = lone[:-2].rstrip(b"\xff"), lone.rfind(b"\xff\xda")
    tail, before = data[-count:], data[-count - 3 * _IN_HAND : -count - _IN_HAND]
    evident = tail.isascii() or 4 * len(set(tail)) <= count
    if MARKER.search(data, scan + 2) or (count > _FEW and (not evident or set(before) <= set(tail))):
        raise Dropped(Reason.CORRUPT)
    return data[:-count] + lone[-2:]
