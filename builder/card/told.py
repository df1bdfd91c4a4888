"""Cards with honest numbers: each is written by `Told`, and one that was not fails the build.

    value ─▶ Told.number, share, bytes ... ─▶ marked text ─▶ `fill` puts it into a template of cards/ ─▶ Markdown

A digit outside the marks is refused, in the template and in what comes out of it, and so is a field that is not
filled. A template may hold phrases that have digits in their names, as licences and SigLIP2 do: it lists them in a
comment at its head, {# said: CC-BY 4.0 | SigLIP2 #}, where a reviewer sees them.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from ..console import one_line
from ..errors import EnvironmentProblem, VerificationError

CARDS = "cards"  # the package of the templates
OPEN, CLOSE = "\ue000", "\ue001"  # of Unicode's private use: no file holds them but by accident
_MARKED = re.compile(f"{OPEN}[^{OPEN}{CLOSE}]*{CLOSE}")
_SAID = re.compile(r"\{#(?:(?!#\}).)*?\bsaid:(.*?)#\}", re.DOTALL)
_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def said(source: str) -> list[str]:
    """The phrases that a template lists at its head, the longest first."""
    found = _SAID.search(source)
    phrases = (phrase.strip() for phrase in found[1].split("|")) if found else ()
    return sorted(filter(None, phrases), key=len, reverse=True)


def typed(text: str, phrases: Iterable[str]) -> list[tuple[int, str]]:
    """The digits of a text outside marks and phrases, with what is around them: (line from 1, words)."""
    for phrase in phrases:
        text = re.sub(rf"(?<![\d.,]){re.escape(phrase)}(?!\d)", "", text)
    lines = _MARKED.sub("", text).split("\n")
    return [(number, line.strip()) for number, line in enumerate(lines, 1) if re.search(r"\d", line)]


def check_source(name: str, source: str) -> None:
    """VerificationError where a template has a digit that is in none of its phrases, also in a branch not taken."""
    body = _SAID.sub(lambda found: "\n" * found[0].count("\n"), source)
    if wrong := typed(body, said(source)):
        line, words = wrong[0]
        raise VerificationError(
            f"cards/{name}:{line}: a number typed by hand: {words!r}; fill it from the release, "
            "or list the name that bears it in the comment `said:`"
        )


def plain(name: str, rendered: str, phrases: Iterable[str]) -> str:
    """A rendered card without the marks; VerificationError where a number in it was not written by `Told`."""
    if wrong := typed(rendered, phrases):
        words = wrong[0][1].replace(OPEN, "").replace(CLOSE, "")
        raise VerificationError(f"cards/{name}: a number that was not counted: {words!r}; let Told write it")
    return rendered.replace(OPEN, "").replace(CLOSE, "")


@dataclass(frozen=True, slots=True)
class Told:
    """Writes values for one card. VerificationError where a value is missing or no number."""

    card: str

    def text(self, value: str | None) -> str:
        """Words of the release that may hold digits: a version, a name, a path."""
        if not value:
            raise VerificationError(f"cards/{self.card}: a field of the release is empty")
        return OPEN + one_line(value.replace(OPEN, "").replace(CLOSE, "")) + CLOSE

    def cell(self, value: str | None) -> str:
        """Words in a table, where a bar would end the cell."""
        return self.text((value or "").replace("|", "\\|"))

    def code(self, value: str) -> str:
        """A name in a table, set as code: in more backticks than it has itself."""
        fence = "`" * (max(map(len, re.findall("`+", value)), default=0) + 1)
        return self.cell(f"{fence} {value} {fence}" if len(fence) > 1 else f"`{value}`")

    def number(self, value: int) -> str:
        """1234567 as 1,234,567."""
        return self.text(f"{self._sound(value):,}")

    def share(self, part: float, whole: float) -> str:
        """A part of a whole in per cent, never rounded to all or nothing: 81.7 %, <0.1 %, >99.9 %."""
        if not whole or part in (0, whole):
            return self.text("100 %" if part and part == whole else "0 %")
        percent = 100 * self._sound(part) / self._sound(whole)
        return self.text("<0.1 %" if percent < 0.1 else ">99.9 %" if percent > 99.9 else f"{percent:.1f} %")

    def percent(self, fraction: float) -> str:
        """A level or a bound, two digits: 0.01 as 1 %, 0.00734 as 0.73 %."""
        return self.text(f"{100 * self._sound(fraction):.2g} %")

    def decimal(self, value: float, digits: int = 3) -> str:
        """A mean or a cosine, with a true minus sign."""
        return self.text(f"{self._sound(value):.{digits}f}".replace("-", "\N{MINUS SIGN}"))

    def significant(self, value: float) -> str:
        """A p-value or a level as it was asked for."""
        return self.text(f"{self._sound(value):.3g}")

    def bytes(self, value: int) -> str:
        """A size in decimal units, three digits: 512 bytes, 1.23 GB."""
        size, unit = float(self._sound(value)), 0
        while size >= 999.5 and unit < len(_UNITS) - 1:
            size, unit = size / 1000, unit + 1
        return self.text(f"{size:.3g} {_UNITS[unit]}" if unit else f"{value:,} bytes")

    def _sound(self, value: float) -> float:
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            raise VerificationError(f"cards/{self.card}: {value!r} where the release should have a number")
        return value


def fill(card: str, values: Mapping[str, Any]) -> str:
    """The template of that name with its fields filled; VerificationError where one is not, or a number was typed."""
    jinja2 = _jinja2()
    environment = jinja2.Environment(  # Markdown: nothing is escaped for HTML
        loader=jinja2.PackageLoader(CARDS, ""),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )
    phrases = []
    for name in _sources(environment, card):
        source = environment.loader.get_source(environment, name)[0]
        check_source(name, source)
        phrases += said(source)
    try:
        text = environment.get_template(card).render(values)
    except jinja2.UndefinedError as error:
        raise VerificationError(f"cards/{card}: a field was not filled: {error}") from error
    return _tidy(plain(card, text, phrases))


def model_card(front: Mapping[str, Any], values: Mapping[str, Any]) -> str:
    """The README.md of a checkpoint, from cards/checkpoint.md.

    front: its front matter; values: the fields of the template, their numbers written by Told. Raises
    VerificationError as `fill` does.
    """
    from huggingface_hub import ModelCardData

    data = ModelCardData(**front).to_yaml(line_break="\n")
    return f"---\n{data}\n---\n{fill('checkpoint.md', values)}"


def _sources(environment: Any, card: str) -> Iterable[str]:
    """The template and those it extends."""
    from jinja2 import meta

    source = environment.loader.get_source(environment, card)[0]
    return [card, *filter(None, meta.find_referenced_templates(environment.parse(source)))]


def _jinja2() -> Any:
    try:
        import jinja2
    except ImportError as error:
        raise EnvironmentProblem("a card needs jinja2: pip install 'danqing[release]'") from error
    return jinja2


def _tidy(text: str) -> str:
    """Markdown with one empty line where templates left more, and none at its ends."""
    lines: list[str] = []
    for line in map(str.rstrip, text.splitlines()):
        if line or (lines and lines[-1]):
            lines.append(line)
    return "\n".join(lines).strip("\n") + "\n"
