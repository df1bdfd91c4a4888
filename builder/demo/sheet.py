"""A contact sheet of a few pairs: pictures in a grid, with their captions where a Chinese font is installed."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont, ImageOps

CELL, GAP, COLUMNS, LINE = 176, 12, 6, 18  # pixels; columns
FONTS = (
    "NotoSansCJK-Regular.ttc", "NotoSansSC-Regular.otf", "SourceHanSansSC-Regular.otf", "wqy-microhei.ttc",
    "wqy-zenhei.ttc", "DroidSansFallbackFull.ttf", "DroidSansFallback.ttf", "PingFang.ttc", "STHeiti Light.ttc",
)  # fmt: skip


def chinese_font() -> ImageFont.FreeTypeFont | None:
    """A font with Chinese characters, if the machine has one of the usual where its fonts lie."""
    for name in FONTS:
        with contextlib.suppress(OSError):
            return ImageFont.truetype(name, 13)
    return None


def draw(pairs: Sequence[tuple[str, Image.Image]], path: Path) -> bool:
    """Write the sheet of (caption, picture) as a PNG; False when no font was there for the captions."""
    font = chinese_font()
    across, down = CELL + GAP, CELL + GAP + (2 * LINE if font else 0)
    rows = -(-len(pairs) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * across + GAP, rows * down + GAP), "white")
    brush = ImageDraw.Draw(sheet)
    for number, (caption, image) in enumerate(pairs):
        x, y = GAP + number % COLUMNS * across, GAP + number // COLUMNS * down
        sheet.paste(ImageOps.pad(image.convert("RGB"), (CELL, CELL), color="white"), (x, y))
        if font:
            brush.text((x, y + CELL), f"{caption[:13]}\n{caption[13:26]}", "black", font)
    sheet.save(path)
    return font is not None
