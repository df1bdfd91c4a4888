"""Values as people read them: numbers with commas and units, and words of anybody's that break no table.

Each takes a plain value and gives text; VerificationError where a number is missing, no number, or not finite.
"""

from __future__ import annotations

import math
import re
from numbers import Real

from ..errors import VerificationError

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def number(value: float) -> str:
    """1234567 as 1,234,567."""
    return f"{_sound(value):,}"


def counted(value: int, one: str, several: str) -> str:
    """1 host, 1,234 hosts."""
    return f"{number(value)} {one if value == 1 else several}"


def share(part: float, whole: float, gap: str = " ") -> str:
    """A part of a whole in per cent, never rounded to all or nothing: 81.7 %, <0.1 %, >99.9 %."""
    if not whole or part in (0, whole):
        return f"100{gap}%" if part and part == whole else f"0{gap}%"
    percents = 100 * _sound(part) / _sound(whole)
    return ("<0.1" if percents < 0.1 else ">99.9" if percents > 99.9 else f"{percents:.1f}") + f"{gap}%"


def percent(fraction: float, gap: str = " ") -> str:
    """A level or a bound, two digits: 0.01 as 1 %, 0.00734 as 0.73 %."""
    return f"{100 * _sound(fraction):.2g}{gap}%"


def decimal(value: float, digits: int = 3) -> str:
    """A mean or a cosine, with a true minus sign."""
    return f"{_sound(value):.{digits}f}".replace("-", "\N{MINUS SIGN}")


def tenths(value: float) -> str:
    """A mean of whole numbers: 21.3."""
    return decimal(value, 1)


def significant(value: float) -> str:
    """A p-value or a level as it was asked for."""
    return f"{_sound(value):.3g}"


def size(value: float) -> str:
    """Bytes in decimal units, three digits: 512 bytes, 1.23 GB."""
    many, unit = float(_sound(value)), 0
    while many >= 999.5 and unit < len(_UNITS) - 1:
        many, unit = many / 1000, unit + 1
    return f"{many:.3g} {_UNITS[unit]}" if unit else f"{value:,} bytes"


def day(moment: str) -> str:
    """The date of a moment in ISO 8601."""
    return moment[:10]


def cell(words: str) -> str:
    """Words in a table of Markdown, where a bar would end the cell."""
    return words.replace("|", "\\|")


def code(name: str) -> str:
    """A name in a table, set as code: in more backticks than it has itself."""
    fence = "`" * (max(map(len, re.findall("`+", name)), default=0) + 1)
    return cell(f"{fence} {name} {fence}" if len(fence) > 1 else f"`{name}`")


def _sound(value: float) -> float:
    if isinstance(value, bool) or not isinstance(value, Real) or not math.isfinite(value):
        raise VerificationError(f"{value!r} where the release should have a number")
    return value
