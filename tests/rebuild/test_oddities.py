"""Whole pictures with odd parts are kept, with the pixels that they have without; damage behind an oddity shows."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise

import pytest

from builder.rebuild.outcome import Dropped
from builder.rebuild.picture import PictureOptions, make
from builder.schema import Reason

from .odd import ENDS, GAMUT, HEADERS, JPEGS, SCAN, icc
from .photos import after_start, segment

AS_IS = PictureOptions(resize="none", encode="png")


def pixels(body: bytes) -> bytes:
    """A lossless file of what is shown."""
    return make(body, AS_IS).data


def reason_of(body: bytes, options: PictureOptions = AS_IS) -> Reason:
    with pytest.raises(Dropped) as caught:
        make(body, options)
    return caught.value.reason


@pytest.mark.parametrize("odd", [*HEADERS, *ENDS])
@pytest.mark.parametrize("kind", JPEGS)
def test_an_odd_jpeg_has_the_pixels_of_a_clean_one(kind: str, odd: str) -> None:
    clean = JPEGS[kind]()
    assert pixels((HEADERS | ENDS)[odd](clean)) == pixels(clean)


@pytest.mark.parametrize("parameters", [(0, 0, 0), (0, 63, 1), (1, 63, 0), (5, 5, 0x21), (255, 255, 255)])
@pytest.mark.parametrize("kind", ["baseline", "restarts", "grey"])
def test_a_sequential_scan_needs_no_parameters(kind: str, parameters: tuple[int, int, int]) -> None:
    clean = JPEGS[kind]()
    scan = clean.index(SCAN)
    end = scan + 2 + int.from_bytes(clean[scan + 2 : scan + 4], "big")
    assert pixels(clean[: end - 3] + bytes(parameters) + clean[end:]) == pixels(clean)


@pytest.mark.parametrize(
    "pieces",
    [
        icc(1, 1, GAMUT) * 2,
        icc(0, 1, GAMUT),
        icc(1, 0, GAMUT),
        icc(2, 3, GAMUT),
        icc(2, 2, GAMUT[200:]) + icc(1, 2, GAMUT[:200]),
        icc(0, 2, GAMUT[:200]) + icc(1, 2, GAMUT[200:]),
        (icc(1, 2, GAMUT[:200]) + icc(2, 2, GAMUT[200:])) * 2,
    ],
    ids=["twice", "from-0", "of-0", "2-of-3", "reversed", "pieces-from-0", "pieces-twice"],
)
def test_a_repeated_or_misnumbered_profile_is_read_as_the_one_it_is(pieces: bytes) -> None:
    clean = after_start(JPEGS["baseline"](), icc(1, 1, GAMUT))
    assert pixels(clean) != pixels(JPEGS["baseline"]())
    assert pixels(after_start(JPEGS["baseline"](), pieces)) == pixels(clean)


DAMAGE: dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda body: body[: len(body) // 2] + b"\xff\xd9",
    "hole": lambda body: body[: len(body) // 2] + bytes(len(body) // 2 - 2) + b"\xff\xd9",
    "comment": lambda body: body[: len(body) // 2] + segment(0xFE, b"hi") + body[len(body) // 2 :],
    "bytes": lambda body: body[: len(body) // 2] + bytes(range(1, 250)) * 3 + body[len(body) // 2 :],
    "marker": lambda body: body[: len(body) // 2] + b"\xff\xd7" + body[len(body) // 2 :],
    "left-over": lambda body: body[:-2] + bytes(range(90, 251)) + body[-2:],
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("odd", ["", "two-bytes", "jfif-9", "profile-of-nothing", "zeros"])
@pytest.mark.parametrize("kind", JPEGS)
def test_an_oddity_hides_no_damage(kind: str, odd: str, damage: str) -> None:
    body = DAMAGE[damage](JPEGS[kind]())
    made_odd = (HEADERS | ENDS)[odd](body) if odd else body
    assert reason_of(made_odd) in (Reason.CORRUPT, Reason.TRUNCATED)


def test_a_progressive_file_short_of_a_scan_is_refused() -> None:
    body = JPEGS["progressive"]()
    starts = [i for i in range(len(body)) if body.startswith(SCAN, i)]
    dc, refined = next((a, b) for a, b in pairwise(starts) if body[a + 4] > 1)
    assert reason_of(body[:dc] + body[refined:]) is Reason.CORRUPT
