"""Whatever is stored opens: in Pillow, in stock `datasets` and by the judge that `rebuild` and the loader share."""

from __future__ import annotations

import warnings

import datasets
import pytest

from builder.picture.intact import is_intact
from builder.reasons import Dropped, Reason
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make

from ..picture.photos import after_start, segment, turned
from ..pictures import PICTURES, save, scene
from ..web.odd import CHUNKS, ENDS, HEADERS, MODES


def decodes(body: bytes) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            datasets.Image().decode_example({"bytes": body, "path": None})
        except Exception:
            return False
    return True


def with_chunk(png: bytes, extra: bytes, *, late: bool) -> bytes:
    where = len(png) - 12 if late else png.index(b"IDAT") - 4
    return png[:where] + extra + png[where:]


WHOLE = {kind: file() for kind, file in PICTURES.items()}
JPEG = WHOLE["jpeg"]
JUNK = b"Exif\x00\x00" + turned(6)[6:20] + bytes(range(200, 240))
UNREADABLE = {  # by any decoder
    "jpeg-started-twice": after_start(JPEG, b"\xff\xd8"),
    "jpeg-reserved": after_start(JPEG, b"\xff\xf0\x00\x02"),
}
ODD = {
    **{f"jpeg-{name}": odd(JPEG) for name, odd in (HEADERS | ENDS).items()},
    "jpeg-density-exif-junk": after_start(
        save(scene(), "JPEG", dpi=(72, 72)), segment(0xE1, b"Exif\0\0junk")
    ),
    "jpeg-exif-half": after_start(JPEG, segment(0xE1, JUNK)),
    "jpeg-profile-short": after_start(JPEG, segment(0xE2, b"ICC_PROFILE\x00\x01")),
    "jpeg-thumbnail": after_start(JPEG, segment(0xE1, turned(1) + save(scene((16, 12)), "JPEG"))),
    "jpeg-jfxx": JPEG[:20] + segment(0xE0, b"JFXX\0\x10" + save(scene((16, 12)), "JPEG")) + JPEG[20:],
    "jpeg-tem": JPEG.replace(b"\xff\xdb", b"\xff\x01\xff\xdb", 1),
    **{f"png-{name}": with_chunk(MODES["rgb"](), extra, late=False) for name, extra in CHUNKS.items()},
    **{
        f"png-{name}-late": with_chunk(MODES["palette"](), extra, late=True) for name, extra in CHUNKS.items()
    },
    "gif-without-trailer": WHOLE["gif"][:-1],
    "webp-exif-junk": save(scene(), "WEBP", exif=JUNK),
    "avif-turned": save(scene(), "AVIF", exif=turned(6)),
    "tiff-turned": save(scene(), "TIFF", tiffinfo={274: 6}),
}


@pytest.mark.parametrize("name", [*ODD, *UNREADABLE])
def test_the_judge_says_of_odd_files_what_datasets_does(name: str) -> None:
    body = (ODD | UNREADABLE)[name]
    assert is_intact(body) == decodes(body)


@pytest.mark.parametrize("encode", ["jpeg", "png", "webp", "original"])
@pytest.mark.parametrize("mode", ["exact", "fast"])
def test_what_is_stored_opens(encode: str, mode: str) -> None:
    options = RebuildConfig(resize="none", encode=encode, decode=mode)
    stored, lost = {}, {}
    for name, body in (WHOLE | ODD | UNREADABLE).items():
        try:
            stored[name] = make(body, options).data
        except Dropped as dropped:
            lost[name] = dropped.reason
    assert [name for name, body in stored.items() if not decodes(body) or not is_intact(body)] == []
    unservable = {name for name, body in (ODD | UNREADABLE).items() if not decodes(body)}
    assert set(lost) == (unservable if encode == "original" else set(UNREADABLE))
    assert set(lost.values()) == {Reason.CORRUPT}


def test_a_jpeg_that_pillow_does_not_open_is_stored_encoded_anew() -> None:
    plain, odd = make(JPEG, RebuildConfig()), make(ODD["jpeg-jfif-of-5-bytes"], RebuildConfig())
    assert plain.decoder == "simplejpeg-exact-kept"
    assert odd.decoder == "simplejpeg-exact"
    assert plain.phash == odd.phash
