"""`make`: the pixels that are stored, whatever the file was; limits by the header; sizes; formats."""

from __future__ import annotations

import io
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from builder.picture.limits import ROOM
from builder.reasons import Dropped, Reason
from builder.rebuild.config import RebuildConfig
from builder.rebuild.outcome import Picture
from builder.rebuild.picture import make

from ..picture.photos import photo_jpeg
from ..pictures import CORNERS, PICTURES, SIZE, png_bomb, save

AS_IS = RebuildConfig(resize="none", encode="png")
ORIGINAL = RebuildConfig(resize="none", encode="original")
WHITE_CORNER = ("png-rgba", "png-la", "webp-alpha")
GREY = ("jpeg-gray", "png-gray", "png-la", "png-16-bit-gray")


def pixels(picture: Picture) -> np.ndarray:
    with Image.open(io.BytesIO(picture.data)) as image:
        assert image.mode == "RGB"
        assert image.size == (picture.width, picture.height)
        return np.asarray(image).astype(int)


def corners(picture: Picture) -> list[np.ndarray]:
    """The mean colours of the middles of the four quadrants."""
    rgb = pixels(picture)
    height, width = rgb.shape[:2]
    return [
        rgb[y : y + height // 4, x : x + width // 4].mean((0, 1))
        for y in (height // 8, height * 5 // 8)
        for x in (width // 8, width * 5 // 8)
    ]


def wanted(kind: str) -> list[tuple[int, int, int]]:
    """The colours of the scene, as far as `kind` can hold them."""
    colours = list(CORNERS)
    if kind in GREY:
        colours = [(round(0.299 * r + 0.587 * g + 0.114 * b),) * 3 for r, g, b in colours]
    if kind in WHITE_CORNER:
        colours[0] = (255, 255, 255)
    return colours


# Transparent palettes lose one unknown colour, one bit is dithered, and wide-gamut profiles move colours:
# each has a test of its own.
SCENES = [kind for kind in PICTURES if not kind.endswith(("transparent", "1-bit", "adobe-rgb", "p3"))]


@pytest.mark.parametrize("kind", SCENES)
def test_every_kind_shows_the_scene(kind: str) -> None:
    picture = make(PICTURES[kind](), AS_IS)
    assert (picture.original_width, picture.original_height) == SIZE
    for found, colour in zip(corners(picture), wanted(kind), strict=True):
        assert np.abs(found - colour).max() < 12


@pytest.mark.parametrize("kind", SCENES)
def test_every_kind_shows_the_scene_when_shrunk(kind: str) -> None:
    picture = make(PICTURES[kind](), RebuildConfig(image_size=24, decode="fast"))
    assert (picture.width, picture.height) == (32, 24)
    for found, colour in zip(corners(picture), wanted(kind), strict=True):
        assert np.abs(found - colour).max() < 20


@pytest.mark.parametrize("kind", ["png-palette-transparent", "gif-transparent"])
def test_a_transparent_palette_colour_is_white(kind: str) -> None:
    found = corners(make(PICTURES[kind](), AS_IS))
    kept = [np.abs(f - c).max() < 12 for f, c in zip(found, CORNERS, strict=True)]
    white = [f.min() == 255 for f in found]
    assert sum(white) == 1
    assert [not w for w in white] == kept


def test_one_bit_becomes_black_and_white() -> None:
    assert set(np.unique(pixels(make(PICTURES["png-1-bit"](), AS_IS)))) == {0, 255}


@pytest.mark.parametrize(
    ("kind", "decoder"),
    [
        ("jpeg", "simplejpeg-exact"),
        ("jpeg-cmyk", "simplejpeg-exact"),
        ("webp", "opencv"),
        ("png", "opencv"),
        ("gif", "pillow"),
    ],
)
def test_names_its_decoder(kind: str, decoder: str) -> None:
    assert make(PICTURES[kind](), AS_IS).decoder == decoder


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("size", [(400, 300), (301, 443), (257, 999)])
def test_exact_equals_opencv_from_end_to_end(size: tuple[int, int], progressive: bool) -> None:
    body = photo_jpeg(1, *size, progressive)
    scale = 256 / min(size)
    full = cv2.imdecode(np.frombuffer(body, np.uint8), cv2.IMREAD_COLOR)
    small = cv2.resize(full, (round(size[0] * scale), round(size[1] * scale)), interpolation=cv2.INTER_AREA)
    _, theirs = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 95])
    assert make(body, RebuildConfig()).data == theirs.tobytes()


def test_fast_is_close_to_exact() -> None:
    body = photo_jpeg(2, 1300, 1000)
    exact, fast = make(body, RebuildConfig()), make(body, RebuildConfig(decode="fast"))
    assert fast.decoder == "simplejpeg-fast"
    assert exact.data != fast.data
    assert np.sqrt(((pixels(exact) - pixels(fast)) ** 2).mean()) < 4


@pytest.mark.parametrize(
    ("resize", "size", "stored"),
    [
        ("keep-ratio", (400, 300), (133, 100)),
        ("keep-ratio-largest", (400, 300), (100, 75)),
        ("center-crop", (400, 300), (100, 100)),
        ("border", (400, 300), (100, 100)),
        ("squash", (400, 300), (100, 100)),
        ("none", (400, 300), (400, 300)),
        ("keep-ratio", (60, 45), (60, 45)),
        ("keep-ratio-largest", (60, 45), (60, 45)),
        ("center-crop", (300, 45), (100, 45)),
        ("border", (60, 45), (100, 100)),
        ("squash", (300, 45), (100, 45)),
    ],
)
def test_sizes_when_only_shrinking(resize: str, size: tuple[int, int], stored: tuple[int, int]) -> None:
    picture = make(photo_jpeg(0, *size), RebuildConfig(image_size=100, resize=resize))
    assert (picture.width, picture.height) == stored
    assert pixels(picture).shape[1::-1] == stored
    assert (picture.original_width, picture.original_height) == size


@pytest.mark.parametrize(
    ("resize", "stored"),
    [
        ("keep-ratio", (133, 100)),
        ("keep-ratio-largest", (100, 75)),
        ("squash", (100, 100)),
        ("none", (60, 45)),
    ],
)
def test_sizes_when_enlarging(resize: str, stored: tuple[int, int]) -> None:
    picture = make(photo_jpeg(0, 60, 45), RebuildConfig(image_size=100, resize=resize, upscale=True))
    assert (picture.width, picture.height) == stored


def test_border_is_white_around_the_picture() -> None:
    rgb = pixels(make(photo_jpeg(0, 400, 200), replace(AS_IS, resize="border", image_size=100)))
    assert (rgb[:25] == 255).all()
    assert (rgb[75:] == 255).all()
    assert rgb[30:70].mean() < 250


def test_center_crop_takes_the_middle() -> None:
    image = Image.new("RGB", (300, 100), "black")
    image.paste("white", (100, 0, 200, 100))
    rgb = pixels(make(save(image, "PNG"), replace(AS_IS, resize="center-crop", image_size=100)))
    assert (rgb == 255).all()


@pytest.mark.parametrize(
    ("options", "size", "reason"),
    [
        (RebuildConfig(max_pixels=119_999), (400, 300), Reason.TOO_MANY_PIXELS),
        (RebuildConfig(min_side=301), (400, 300), Reason.TOO_SMALL),
        (RebuildConfig(max_aspect=1.3), (400, 300), Reason.ASPECT),
        (RebuildConfig(max_aspect=1.3), (300, 400), Reason.ASPECT),
        (RebuildConfig(upscale=True, max_pixels=1 << 20), (2, 400), Reason.TOO_MANY_PIXELS),
        (RebuildConfig(encode="webp", resize="none"), (16_384, 2), Reason.ASPECT),
    ],
)
def test_limits_are_held_by_the_header(options: RebuildConfig, size: tuple[int, int], reason: Reason) -> None:
    with pytest.raises(Dropped) as caught:
        make(photo_jpeg(0, *size), options)
    assert caught.value.reason is reason


def test_limits_hold_what_they_name() -> None:
    options = RebuildConfig(max_pixels=120_000, min_side=300, max_aspect=400 / 300)
    assert make(photo_jpeg(), options).width == 341


MEASURE = """
import sys
from builder.reasons import Dropped
from builder.rebuild.config import RebuildConfig
from builder.rebuild.picture import make
for path in sys.argv[1:]:
    try:
        make(open(path, "rb").read(), RebuildConfig())
        said = "kept"
    except Dropped as dropped:
        said = dropped.reason.value
    print(said, open("/proc/self/status").read().split("VmHWM:")[1].split()[0])
"""


def measured(folder: Path, bodies: dict[str, bytes]) -> dict[str, tuple[str, int]]:
    """What becomes of each, made in turn in one process, and its peak of memory then, beyond that of a small one.

    It is that of the process, not what `getrusage` says: that begins at the peak of the process that forked it.
    """
    paths = [folder / name for name in ("small", *bodies)]
    for path, body in zip(paths, [PICTURES["png"](), *bodies.values()], strict=True):
        path.write_bytes(body)
    command = [sys.executable, "-c", MEASURE, *map(str, paths)]
    done = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    peaks = [int(peak) << 10 for peak in done[1::2]]
    grown = zip(done[2::2], (peak - peaks[0] for peak in peaks[1:]), strict=True)
    return dict(zip(bodies, grown, strict=True))


def test_a_bomb_of_400_megapixels_takes_no_memory(tmp_path: Path) -> None:
    reason, grown = measured(tmp_path, {"bomb": png_bomb()})["bomb"]
    assert reason == "too_many_pixels"
    assert grown <= 100 << 20


def large_pictures() -> dict[str, bytes]:
    """Pictures of 2100 x 2100 pixels in the forms that took most memory: 17 to 26 bytes a pixel."""
    flat = np.full((2100, 2100, 4), 200, np.uint8)
    image = Image.fromarray(flat)
    return {
        "rgba-16-bit.png": cv2.imencode(".png", flat.astype(np.uint16) * 257)[1].tobytes(),
        "palette.png": save(Image.new("P", image.size), "PNG", transparency=0, compress_level=1),
        "alpha.webp": save(image, "WEBP", method=0),
        "animated.webp": save(image, "WEBP", method=0, save_all=True, append_images=[image]),
        "lzw.tiff": save(image, "TIFF", compression="tiff_lzw"),
    }


def test_large_pictures_take_twelve_bytes_a_pixel_at_most(tmp_path: Path) -> None:
    found = measured(tmp_path, large_pictures())
    assert {said for said, _ in found.values()} == {"kept"}
    assert max(grown for _, grown in found.values()) <= 12 * 2100**2 + (4 << 20), found


def test_large_pictures_wait_for_each_other_and_small_ones_for_none() -> None:
    large, small = save(Image.new("RGB", (3000, 3000)), "PNG"), PICTURES["png"]()
    with ThreadPoolExecutor(2) as pool:
        with ROOM.share(ROOM.pixels):
            waiting = pool.submit(make, large, RebuildConfig())
            assert pool.submit(make, small, RebuildConfig()).result(60).width == SIZE[0]
            assert not waiting.done()
        assert waiting.result(60).width == 256


@pytest.mark.parametrize(("encode", "kind"), [("jpeg", "JPEG"), ("webp", "WEBP"), ("png", "PNG")])
def test_encodes(encode: str, kind: str) -> None:
    picture = make(PICTURES["png"](), RebuildConfig(encode=encode, image_size=24))
    assert Image.open(io.BytesIO(picture.data)).format == kind
    assert picture.extension == ("jpg" if encode == "jpeg" else encode)
    assert picture.format == "png"


@pytest.mark.parametrize("encode", ["jpeg", "webp"])
def test_quality_counts(encode: str) -> None:
    sizes = [len(make(photo_jpeg(), RebuildConfig(encode=encode, quality=q)).data) for q in (30, 95)]
    assert sizes[0] < sizes[1] / 2


@pytest.mark.parametrize("kind", PICTURES)
@pytest.mark.parametrize("decode", ["exact", "fast"])
def test_original_keeps_the_bytes(kind: str, decode: str) -> None:
    body = PICTURES[kind]()
    picture = make(body, replace(ORIGINAL, decode=decode))
    assert picture.data is body
    assert (picture.width, picture.height) == (picture.original_width, picture.original_height) == SIZE
    assert (picture.phash is None) == (picture.decoder == "none") == (decode == "fast")


def test_small_clean_jpeg_stays_as_it_is() -> None:
    body = photo_jpeg(0, 120, 90)
    picture = make(body, RebuildConfig())
    assert picture.data == body
    assert picture.decoder == "simplejpeg-exact-kept"
    assert picture.phash is not None


@pytest.mark.parametrize(
    "kind", ["jpeg-progressive", "jpeg-gray", "jpeg-cmyk", "jpeg-adobe-rgb", "jpeg-orientation-3", "png"]
)
def test_what_is_not_a_clean_jpeg_is_encoded_anew(kind: str) -> None:
    body = PICTURES[kind]()
    picture = make(body, RebuildConfig())
    assert picture.data != body
    assert not picture.decoder.endswith("kept")


def test_many_threads_make_the_same_picture() -> None:
    bodies = [PICTURES[kind]() for kind in PICTURES] + [photo_jpeg(seed) for seed in range(4)]
    alone = [make(body, RebuildConfig(image_size=24)).data for body in bodies]
    with ThreadPoolExecutor(4) as pool:
        for _ in range(3):
            together = pool.map(lambda body: make(body, RebuildConfig(image_size=24)).data, bodies)
            assert list(together) == alone


def turns_of_others(body: bytes) -> float:
    """CPU seconds that a busy thread gets for each one of a decode beside it."""
    decoded: list[float] = []

    def decode() -> None:
        began = time.thread_time()
        make(body, RebuildConfig())
        decoded.append(time.thread_time() - began)

    thread, began = threading.Thread(target=decode), time.thread_time()
    thread.start()
    while not decoded:
        pass
    thread.join()
    return (time.thread_time() - began) / decoded[0]


def test_other_threads_run_while_it_decodes() -> None:
    body = photo_jpeg(0, 3000, 2000, progressive=True)
    assert max(turns_of_others(body) for _ in range(3)) > 0.5
