"""`check`: the bytes decide what a body is, and whether it is whole."""

from __future__ import annotations

import random
import subprocess
import sys

import pytest

from builder.picture.header import check
from builder.reasons import Dropped, Reason

from ..pictures import HTML, JSON, PDF, PICTURES, SIZE, SVG, ico, jpeg, png_file, save, scene
from .photos import after_start, segment, turned

LAST_BYTE = ("jpeg", "jpeg-progressive", "png", "gif", "gif-animated", "webp", "webp-animated", "bmp", "avif")


def reason_of(body: bytes) -> Reason:
    with pytest.raises(Dropped) as caught:
        check(body)
    return caught.value.reason


@pytest.mark.parametrize("kind", PICTURES)
def test_knows_format_and_size_of_whole_files(kind: str) -> None:
    header = check(PICTURES[kind]())
    assert header.format == ("jp2" if kind == "jpeg-2000" else kind.split("-")[0])
    assert header.upright == SIZE


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_refuses_files_cut_short(kind: str, share: float) -> None:
    body = PICTURES[kind]()
    assert reason_of(body[: int(len(body) * share)]) in (Reason.TRUNCATED, Reason.CORRUPT)


def test_refuses_an_avif_without_data_and_a_tiff_of_half_a_directory() -> None:
    avif, tiff = PICTURES["avif"](), save(scene().convert("1"), "TIFF")
    large = save(scene(), "TIFF", big_tiff=True)
    cut = [avif[: avif.index(b"mdat") - 4], tiff[:85], tiff[:97], large[:170], large[:196]]
    assert [reason_of(body) for body in cut] == [Reason.TRUNCATED] * 5


@pytest.mark.parametrize(
    "kind", [kind for kind in PICTURES if kind.startswith(("jpeg", "png", "gif", "webp", "bmp", "avif"))]
)
def test_says_truncated_of_missing_last_bytes(kind: str) -> None:
    last = 2 if kind.startswith("gif") else 1  # the last of a GIF is its trailer
    assert reason_of(PICTURES[kind]()[:-last]) is Reason.TRUNCATED


@pytest.mark.parametrize("kind", ["gif", "gif-animated", "gif-transparent"])
@pytest.mark.parametrize("behind", [b"", bytes(3)], ids=["nothing", "zeros"])
def test_keeps_a_gif_of_whole_frames_without_its_trailer(kind: str, behind: bytes) -> None:
    body = PICTURES[kind]()
    assert check(body[:-1] + behind) == check(body)
    frame = body.rindex(b"\x21\xf9") if kind == "gif-animated" else None
    if frame is not None:
        assert check(body[:frame]).upright == SIZE
        assert reason_of(body[: frame + 40]) is Reason.TRUNCATED


@pytest.mark.parametrize(
    "body",
    [
        HTML,
        JSON,
        SVG,
        PDF,
        ico(),
        b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic",
        b"BM a text that begins like a bitmap",
        b"RIFF\x24\x00\x00\x00WAVEfmt ",
        b"\xff",
        bytes(100),
        random.Random(0).randbytes(4096),
    ],
    ids=["html", "json", "svg", "pdf", "ico", "heic", "text", "wav", "one-byte", "zeros", "junk"],
)
def test_refuses_what_is_no_image(body: bytes) -> None:
    assert reason_of(body) is Reason.NOT_IMAGE


def test_refuses_no_bytes() -> None:
    assert reason_of(b"") is Reason.EMPTY


@pytest.mark.parametrize("kind", ["jpeg", "jpeg-progressive", "png", "gif", "webp", "bmp"])
def test_allows_bytes_after_the_end(kind: str) -> None:
    body = PICTURES[kind]() + b"\x00\x00\x00\x18ftypmp42 a film that a phone appended \xff\xd8\xff"
    assert check(body).upright == SIZE


def test_end_marker_of_the_thumbnail_is_not_the_end() -> None:
    thumbnail = segment(0xE1, b"Exif\x00\x00" + jpeg((40, 30)))
    body = after_start(PICTURES["jpeg"](), thumbnail)
    assert check(body).upright == SIZE
    assert reason_of(body[: len(body) // 2]) is Reason.TRUNCATED


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_reads_the_orientation(kind: str, orientation: int) -> None:
    header = check(save(scene(), kind, exif=turned(orientation)))
    assert header.orientation == orientation
    assert header.upright == (SIZE[::-1] if orientation == 6 else SIZE)


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"II*\x00",
        b"MM\x00*\xff\xff\xff\xff",
        b"II*\x00\x08\x00\x00\x00\xff\xff\x12\x01",
        turned(6)[:-9],
        b"junk" * 9,
    ],
)
def test_broken_exif_is_upright(block: bytes) -> None:
    body = after_start(PICTURES["jpeg"](), segment(0xE1, b"Exif\x00\x00" + block))
    assert check(body).orientation == 1


@pytest.mark.parametrize("at", [60, -60], ids=["palette", "data"])
def test_refuses_a_png_with_a_wrong_checksum(at: int) -> None:
    body = bytearray(save(scene(noise=60).quantize(64), "PNG"))
    body[at] ^= 0x10
    assert reason_of(bytes(body)) is Reason.CORRUPT


def test_refuses_a_jpeg_of_thousands_of_scans() -> None:
    body = PICTURES["jpeg-progressive"]()
    scan = body[body.rindex(b"\xff\xda") : -2]
    assert reason_of(body[:-2] + scan * 5000 + b"\xff\xd9") is Reason.CORRUPT


@pytest.mark.parametrize("size", [(0, 10), (10, 0)])
def test_refuses_pictures_without_area(size: tuple[int, int]) -> None:
    assert reason_of(png_file(size, bytes((8, 0, 0, 0, 0)), b"")) is Reason.CORRUPT


def test_gif_frame_beyond_its_canvas_counts() -> None:
    body = bytearray(PICTURES["gif"]())
    body[6:10] = b"\x01\x00\x01\x00"
    assert check(bytes(body))[1:3] == SIZE


def test_needs_no_opencv() -> None:
    code = "import sys, builder.picture.header; sys.exit('cv2' in sys.modules or 'simplejpeg' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
