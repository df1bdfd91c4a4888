"""What a reader looks at: which pairs, harmless words, pictures of any kind."""

from __future__ import annotations

import base64
import io
import random

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from builder.report.samples import LONG, SHORT, SIDE, Smallest, as_bytes, text, thumbnail
from tests import pictures


def table(keys: list[str], first: int = 0) -> pa.Table:
    return as_bytes(pa.table({"key": keys, "row": range(first, first + len(keys))}))


def test_the_smallest_keys_whatever_the_layout() -> None:
    keys = [f"{number:032x}" for number in range(100)]
    random.Random(0).shuffle(keys)
    for size in (100, 7, 1):
        smallest = Smallest(5)
        for start in range(0, 100, size):
            smallest.offer("drifted", table(keys[start : start + size]), f"shard-{start:03d}")
        assert [int(row["key"], 16) for row in smallest.groups["drifted"]] == [0, 1, 2, 3, 4]


def test_of_one_key_twice_the_first_comes_first() -> None:
    smallest = Smallest(3)
    smallest.offer("same", table(["b", "a", "a"]), "x")
    smallest.offer("same", table(["a", "a"]), "y")
    assert [(row["shard"], row["row"]) for row in smallest.groups["same"]] == [("x", 1), ("x", 2), ("y", 0)]


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        (b"\xed\xa0\x80", "\ufffd\ufffd\ufffd"),  # half a surrogate pair
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"a\r\n\tb", "a  b"),
        ("\u202eabc\u2069".encode(), "⟨202E⟩abc⟨2069⟩"),
        ("a\u200d\U000e0041".encode(), "a⟨200D⟩⟨E0041⟩"),
        (b"", ""),
    ],
)
def test_text_of_any_kind(raw: bytes, shown: str) -> None:
    made = text(raw)
    assert made is not None
    assert (made.short, made.more) == (shown, "")


def test_no_text_is_none() -> None:
    assert text(None) is None


def test_a_long_text_is_cut_twice() -> None:
    made = text(("字" * 10_000).encode())
    assert made is not None
    assert (len(made.short), len(made.more), made.length, made.cut) == (SHORT, LONG - SHORT, 10_000, True)
    whole = text(("字" * SHORT).encode())
    assert whole is not None
    assert (whole.short, whole.more, whole.cut) == ("字" * SHORT, "", False)


def opened(data: bytes) -> Image.Image:
    uri = thumbnail(data)
    assert uri is not None
    head, _, body = uri.partition(",")
    assert head == "data:image/jpeg;base64"
    return Image.open(io.BytesIO(base64.b64decode(body)))


@pytest.mark.parametrize("kind", sorted(pictures.PICTURES))
def test_pictures_of_every_kind(kind: str) -> None:
    image = opened(pictures.PICTURES[kind]())
    assert (image.format, image.mode) == ("JPEG", "RGB")
    assert max(image.size) <= SIDE


@pytest.mark.parametrize("orientation", range(1, 9))
def test_turned_pictures_stand_upright(orientation: int) -> None:
    upright = np.asarray(pictures.scene(), np.int16)
    shown = np.asarray(opened(pictures.rotated(orientation)), np.int16)
    assert np.abs(upright - shown).mean() < 20


def test_a_large_picture_is_small_and_keeps_its_shape() -> None:
    assert opened(pictures.jpeg((3000, 1000))).size == (SIDE, SIDE // 3)


def test_nothing_but_the_picture_is_kept() -> None:
    exif = Image.Exif()
    exif[0x010E] = "secret"
    data = pictures.save(pictures.scene(), "JPEG", exif=exif, comment=b"secret")
    assert b"secret" in data
    assert not {"exif", "comment", "icc_profile"} & set(opened(data).info)


@pytest.mark.parametrize(
    "data",
    [
        None,
        b"",
        b"\xff\xd8\xff",
        pictures.HTML,
        pictures.SVG,
        pictures.png_claiming(60_000, 60_000),
        pictures.jpeg()[:300],
    ],
)
def test_what_is_no_picture(data: bytes | None) -> None:
    assert thumbnail(data) is None


def test_a_bomb_is_not_decoded() -> None:
    assert thumbnail(pictures.png_bomb()) is None
