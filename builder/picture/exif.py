"""Which way up a picture is: the Orientation tag out of an EXIF block, and nothing else of it.

bytes of the block -> 1 to 8. Pillow's reader takes 40 us and warns about every odd tag; this one looks at the first
directory only and never fails, because a browser shows a picture with broken EXIF upright too.
"""

from __future__ import annotations

from typing import Literal

_ORIENTATION = 0x0112
_SHORT = 3


def orientation(block: bytes) -> int:
    """The orientation of a TIFF-structured EXIF block, with or without its `Exif` prefix; 1 when there is none."""
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
        if number(at, 2) == _ORIENTATION and number(at + 2, 2) == _SHORT:
            value = number(at + 8, 2)
            return value if 1 <= value <= 8 else 1
    return 1
