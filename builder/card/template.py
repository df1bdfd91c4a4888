"""A card is a template of cards/, filled with what was counted: no number in it is typed by hand.

    facts of a release ─▶ fill("manifest.md", facts) ─▶ Markdown

A digit in a template is refused, but in the names that it lists in a comment at its head, as licences and SigLIP2 have
them: {# said: CC-BY 4.0 | SigLIP2 #}, where a reviewer sees them. A number is printed by a filter of values.py, a word
of anybody's on one line; a field that is missing, empty, or a number that no filter wrote fails the build.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import TYPE_CHECKING

from ..console import one_line
from ..errors import EnvironmentProblem, VerificationError
from . import values

if TYPE_CHECKING:
    import jinja2

CARDS = "cards"  # the package of the templates
FILTERS = (
    *(values.number, values.counted, values.share, values.percent, values.decimal, values.tenths),
    *(values.significant, values.size, values.day, values.cell, values.code),
)
_SAID = re.compile(r"\{#(?:(?!#\}).)*?\bsaid:(.*?)#\}", re.DOTALL)


def check_source(name: str, source: str) -> None:
    """VerificationError where a template has a digit that is in none of its phrases, also in a branch not taken."""
    said = _SAID.search(source)
    body = _SAID.sub(lambda found: "\n" * found[0].count("\n"), source)
    phrases = filter(None, (phrase.strip() for phrase in said[1].split("|"))) if said else ()
    for phrase in sorted(phrases, key=len, reverse=True):
        body = re.sub(rf"(?<![\d.,]){re.escape(phrase)}(?!\d)", "", body)
    for line, words in enumerate(body.split("\n"), 1):
        if re.search(r"\d", words):
            raise VerificationError(
                f"cards/{name}:{line}: a number typed by hand: {words.strip()!r}; fill it from the release, "
                "or list the name that bears it in the comment `said:`"
            )


def fill(card: str, facts: Mapping[str, object], package: str = CARDS) -> str:
    """The template of that name with its fields filled.

    Raises VerificationError where a field is not filled or a number was typed, EnvironmentProblem without jinja2.
    """
    try:
        import jinja2
    except ImportError as error:
        raise EnvironmentProblem("a card needs jinja2: pip install 'danqing[release]'") from error
    template = _checked(card, package)
    try:
        return _tidy(template.render(facts))
    except jinja2.UndefinedError as error:
        raise VerificationError(f"cards/{card}: a field was not filled: {error}") from error
    except VerificationError as error:
        raise VerificationError(f"cards/{card}: {error}") from error


@cache
def _checked(card: str, package: str) -> jinja2.Template:
    """The template of that name, once it and those that it includes were looked through for typed numbers."""
    import jinja2
    from jinja2 import meta

    loader = jinja2.PackageLoader(package, "")
    environment = jinja2.Environment(
        loader=loader,
        undefined=jinja2.StrictUndefined,
        finalize=_printed,
        autoescape=False,  # noqa: S701  Markdown: nothing is escaped for HTML
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {one.__name__: one for one in FILTERS}
    source = loader.get_source(environment, card)[0]
    for name in (card, *filter(None, meta.find_referenced_templates(environment.parse(source)))):
        check_source(name, loader.get_source(environment, name)[0])
    return environment.get_template(card)


def _printed(value: object) -> str:
    """The text of a field, on one line."""
    text = str(value)  # of an undefined one: jinja2 raises
    if value is None or text == "":
        raise VerificationError("a field of the release is empty")
    if not isinstance(value, str):
        raise VerificationError(f"{text!r} was written by no filter of values.py")
    return one_line(text)


def _tidy(text: str) -> str:
    """Markdown with one empty line where templates left more, and none at its ends."""
    lines = "\n".join(map(str.rstrip, text.splitlines()))
    return re.sub(r"\n{3,}", "\n\n", lines).strip("\n") + "\n"
