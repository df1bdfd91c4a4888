"""Whole pictures with odd parts are kept, with the pixels that they have without; damage behind an oddity shows."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from itertools import pairwise

import pytest

from builder.reasons import Dropped, Reason
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make

from ..picture.photos import after_start, segment
from ..pictures import save, scene, with_alpha
from .odd import CHUNKS, ENDS, GAMUT, HEADERS, JPEGS, MODES, SCAN, chunk, icc

AS_IS = RebuildConfig(resize="none", encode="png")
SERVED = [RebuildConfig(resize="none", encode="original", decode=mode) for mode in ("exact", "fast")]


def pixels(body: bytes) -> bytes:
    """A lossless file of what is shown."""
    return make(body, AS_IS).data


def reason_of(body: bytes, options: RebuildConfig = AS_IS) -> Reason:
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


@pytest.mark.parametrize("extra", CHUNKS)
@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("late", [False, True], ids=["before", "behind"])
def test_a_damaged_ancillary_chunk_leaves_a_png_whole(
    mode: str, extra: str, late: bool, capfd: pytest.CaptureFixture[str]
) -> None:
    clean = MODES[mode]()
    where = len(clean) - 12 if late else clean.index(b"IDAT") - 4
    assert pixels(clean[:where] + CHUNKS[extra] + clean[where:]) == pixels(clean)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("mode", MODES)
def test_a_damaged_critical_chunk_breaks_a_png(mode: str) -> None:
    clean = MODES[mode]()
    data, end = clean.index(b"IDAT") - 4, len(clean) - 12
    zipped = clean[data + 8 : end - 4]
    head, tail = chunk(b"IDAT", zipped[:20]), chunk(b"IDAT", zipped[20:])
    assert pixels(clean[:data] + head + chunk(b"IDAT", b"") + tail + clean[end:]) == pixels(clean)
    wrong = {
        "checksum": clean[: data + 9] + bytes([clean[data + 9] ^ 1]) + clean[data + 10 :],
        "header twice": clean[:33] + clean[8:33] + clean[33:],
        "no end": clean[:end],
        "half of the data": clean[:data] + chunk(b"IDAT", zipped[: len(zipped) // 2]) + clean[end:],
        "data in two places": clean[:data] + head + chunk(b"tEXt", b"a\0b") + tail + clean[end:],
    }
    if mode == "palette":
        colours = clean.index(b"PLTE") - 4
        wrong |= {
            "no palette": clean[:colours] + clean[data:],
            "palette behind": clean[:colours] + clean[data:end] + clean[colours:data] + clean[end:],
        }
    assert {
        name for name, body in wrong.items() if reason_of(body) not in (Reason.CORRUPT, Reason.TRUNCATED)
    } == set()
    for options in SERVED:
        assert reason_of(wrong["checksum"], options) is Reason.CORRUPT


def test_a_sound_transparency_and_profile_stay() -> None:
    clean = MODES["rgb"]()
    where = clean.index(b"IDAT") - 4
    colour = make(clean, AS_IS)
    clear = chunk(b"tRNS", b"".join(bytes([0, level]) for level in scene(noise=9).getpixel((0, 0))))
    profile = chunk(b"iCCP", b"p\0\0" + zlib.compress(GAMUT))
    for extra in (clear, profile):
        odd = clean[:where] + extra + CHUNKS["resolution-short"] + clean[where:]
        assert pixels(odd) == pixels(clean[:where] + extra + clean[where:]) != colour.data


@pytest.mark.parametrize("frames", [1, 2], ids=["still", "animated"])
@pytest.mark.parametrize("flags", [0x00, 0x08, 0x80])
def test_alpha_in_the_pixels_of_a_webp_needs_no_flag(frames: int, flags: int) -> None:
    opaque = [scene().convert("RGBA")] * (frames - 1)
    clean = save(with_alpha(), "WEBP", lossless=True, exif=b"-", save_all=frames > 1, append_images=opaque)
    assert clean[12:16] == b"VP8X"
    kept = clean[20] & 0x02
    assert pixels(clean[:20] + bytes([kept | flags]) + clean[21:]) == pixels(clean)
