"""The structure of a JPEG: from marker to marker, through every scan, to the end-of-image marker.

bytes -> Header, or Dropped. One regular expression walks the entropy-coded data (a 150 KB file takes some 50 us), so
the marker found is the picture's own, not that of its EXIF thumbnail.
"""

from __future__ import annotations

import re

from ..schema import Reason
from .exif import orientation
from .outcome import Dropped
from .structure import Header

# A marker that ends entropy-coded data: neither a stuffed byte, a restart marker nor a fill byte.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_END, _START, _SCAN, _TEM = 0xD9, 0xD8, 0xDA, 0x01
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BASELINE = 0xC0
# Scans cost their decoder a pass over every coefficient; real files have some ten, a bomb has thousands
# (libjpeg-turbo, "Two Issues with the JPEG Standard").
_MAX_SCANS = 200


class _Walk:
    """What the segments said so far."""

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
        elif code == _SCAN:
            self.scans += 1
            if self.scans > _MAX_SCANS or self.frame is None:
                raise Dropped(Reason.CORRUPT)
        elif code == 0xE1 and payload.startswith(b"Exif\x00\x00") and self.turned == 1:
            self.turned = orientation(payload)
        elif code == 0xE2 and payload.startswith(b"ICC_PROFILE\x00") and len(payload) > 14:
            self.pieces[payload[12]], self.count = payload[14:], payload[13]
        self.extras = self.extras or code == 0xFE or 0xE1 <= code <= 0xED or code == 0xEF

    def profile(self) -> bytes | None:
        """The ICC profile, when every piece of it is there."""
        if not self.pieces or set(self.pieces) != set(range(1, self.count + 1)):
            return None
        return b"".join(piece for _, piece in sorted(self.pieces.items()))


def read_jpeg(body: bytes) -> Header:
    """JPEG: every segment and scan to the end-of-image marker."""
    walk = _Walk()
    at, size = 2, len(body)
    while True:
        found = _MARKER.search(body, at)
        if found is None:
            raise Dropped(Reason.TRUNCATED)
        at = found.end()
        code = body[at - 1]
        if code == _END:
            break
        if code in (_START, _TEM):
            continue
        length = int.from_bytes(body[at : at + 2], "big")
        if at + max(length, 2) > size:
            raise Dropped(Reason.TRUNCATED)
        if length < 2:
            raise Dropped(Reason.CORRUPT)
        walk.segment(code, body[at + 2 : at + length])
        at += length
    frame = walk.frame
    if frame is None or not walk.scans:
        raise Dropped(Reason.CORRUPT)
    height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
    plain = walk.baseline and not walk.extras and at == size
    return Header("jpeg", width, height, walk.turned, frame[5], walk.profile(), plain)
