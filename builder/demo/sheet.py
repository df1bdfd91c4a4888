"""A contact sheet of a few pairs: pictures in a grid, with their captions where a Chinese font is installed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

CELL, GAP, COLUMNS, LINE = 176, 12, 6, 18  # pixels; columns
FOLDERS = (
    "/usr/share/fonts",
    "/usr/local/share/fonts",
    "~/.fonts",
    "~/.local/share/fonts",
    "/System/Library/Fonts",
)
FONTS = (
    "NotoSansCJK*",
    "NotoSansSC*",
    "SourceHanSans*",
    "wqy-*",
    "DroidSansFallback*",
    "PingFang*",
    "STHeiti*",
)


def chinese_font() -> Path | None:
    """A font with Chinese characters, if the machine has one of the usual."""
    found = (path for folder in FOLDERS for name in FONTS for path in Path(folder).expanduser().rglob(name))
    return next((path for path in found if path.suffix.lower() in (".ttc", ".ttf", ".otf")), None)


def draw(pairs: Sequence[tuple[str, Image.Image]], path: Path) -> bool:
    """Write the sheet of (caption, picture) as a PNG; False when no font was there for the captions."""
    file = chinese_font()
    font = ImageFont.truetype(str(file), 13) if file else None
    across, down = CELL + GAP, CELL + GAP + (2 * LINE if font else 0)
    rows = -(-len(pairs) // COLUMNS)
    sheet = Image.new("RGB", (COLUMNS * across + GAP, rows * down + GAP), "white")
    brush = ImageDraw.Draw(sheet)
    for number, (caption, image) in enumerate(pairs):
        x, y = GAP + number % COLUMNS * across, GAP + number // COLUMNS * down
        small = image.convert("RGB")
        small.thumbnail((CELL, CELL))
        sheet.paste(small, (x + (CELL - small.width) // 2, y + (CELL - small.height) // 2))
        if font:
            brush.text((x, y + CELL), f"{caption[:13]}\n{caption[13:26]}", "black", font)
    sheet.save(path)
    return font is not None
