"""The fields of a stage's `Config` and the flags of its command line: one declaration for both.

    Config (a frozen dataclass whose fields are made by `option`) ─▶ argparse arguments ─▶ Config

The type of a flag is the annotation of its field; its metadata may hold `help`, `choices`, `positional` (an
argument without dashes; optional where it has a default; one or more words where that is a tuple), `shared` (a flag
that stages have in common: by keyword alone), `parse` (text to value, where the type alone does not say how) and
`shown` (the default as it is typed).
Importing this must stay cheap: `danqing --help` does.
"""

from __future__ import annotations

import argparse
import math
import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, field, fields
from typing import Any

from .console import in_words
from .errors import UsageError

# Flags that stages have in common, in the order in which all of them are told.
SHARED = (
    "dry_run", "limit", "overwrite", "rank", "world_size", "seed", "workers", "json", "quiet", "no_color", "debug",
)  # fmt: skip


CALIBRATE = "calibrate"  # of a threshold: as many pairs beyond it as in the paper


def option(default: Any, text: str, **metadata: Any) -> Any:
    """A dataclass field that the command line turns into a flag."""
    return field(default=default, kw_only=metadata.get("shared", False), metadata={"help": text, **metadata})


def flags(config: Any) -> list[Field[Any]]:
    """The fields of a Config, or of its class, as its help lists them: those that stages have in common last."""
    return sorted(
        fields(config),
        key=lambda one: SHARED.index(one.name) if one.metadata.get("shared") and one.name in SHARED else -1,
    )


def flag_of(name: str) -> str:
    """The flag of a field: `--dry-run` of dry_run, and `--from` of from_, which Python keeps for itself."""
    return f"--{name.rstrip('_').replace('_', '-')}"


def byte_size(text: str) -> int:
    """`32MB`, `32 MiB`, `1.5G` or plain bytes as a number of bytes; argparse's error for anything else."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(?:([kmgt])(i?))?b?", text.strip().lower())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is no size; write bytes, 32MB or 32MiB")
    base = 1024 if match[3] else 1000
    return int(float(match[1]) * base ** " kmgt".index(match[2] or " "))


def add_arguments(parser: argparse.ArgumentParser, config: type[Any]) -> None:
    """Give `parser` one argument for each field of the dataclass `config`."""
    shared = parser.add_argument_group("flags of every stage")
    hints = typing.get_type_hints(config)
    for one in flags(config):
        group: argparse._ActionsContainer = shared if one.metadata.get("shared") else parser
        names = (one.name,) if one.metadata.get("positional") else (flag_of(one.name),)
        group.add_argument(*names, **_keywords(one, _plain(hints[one.name])))


def check_values(config: Any, bounds: Mapping[str, tuple[float, float]]) -> None:
    """Raise UsageError where a value is none of its choices or outside its inclusive bounds, as NaN is."""
    for one in fields(config):
        value, flag = getattr(config, one.name), flag_of(one.name)
        choices = one.metadata.get("choices")
        if choices and value not in choices:
            raise UsageError(f"{flag} {value}: none of {', '.join(choices)}")
        low, high = bounds.get(one.name, (float("-inf"), float("inf")))
        if one.name in bounds and not low <= value <= high:
            wanted = f"at least {low}" if high == float("inf") else f"from {low} to {high}"
            raise UsageError(f"{flag} {value}: must be {wanted}")


def words_of(text: str) -> list[str]:
    """The words of a flag that takes several, as a,b; blanks around them and empty ones do not count."""
    return [word for part in text.split(",") if (word := part.strip())]


def steps_of(flag: str, text: str, steps: Sequence[str]) -> frozenset[str]:
    """The steps that a flag names, as a,b; UsageError for a word that names none."""
    words = {*words_of(text)}
    if unknown := sorted(words - {*steps}):
        raise UsageError(f"{flag} {', '.join(unknown)}: no such step; there are {', '.join(steps)}")
    return frozenset(words)


def threshold(flag: str, text: str, least: float, most: float) -> float | None:
    """The number that a flag says; None for `calibrate`, to be found from the data. UsageError for anything else."""
    if text == CALIBRATE:
        return None
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not least <= number <= most:
        raise UsageError(f"{flag} {text}: neither {CALIBRATE} nor a number from {least:g} to {most:g}")
    return number


def _plain(hint: Any) -> Callable[[str], Any]:
    """The type that reads the text of a flag: `str` of `str`, of `str | None` and of `tuple[str, ...]`."""
    if typing.get_origin(hint) is tuple:
        hint = hint.__args__[0]
    if isinstance(hint, types.UnionType):
        (hint,) = (part for part in hint.__args__ if part is not types.NoneType)
    return typing.cast("Callable[[str], Any]", hint)


def _keywords(one: Field[Any], kind: Callable[[str], Any]) -> dict[str, Any]:
    """What argparse's add_argument is told of a field."""
    text = one.metadata["help"].replace("%", "%%")
    named = {} if one.metadata.get("positional") else {"dest": one.name}
    if kind is bool:
        return {"action": "store_true", "help": text, **named}
    shown: Any = one.metadata.get("shown", one.default)
    if one.metadata.get("parse") is byte_size:
        shown = in_words(shown)
    if shown not in (None, "", ()):
        text += f" (default: {shown})".replace("%", "%%")
    keywords: dict[str, Any] = {
        **named,
        "help": text,
        "default": one.default,
        "type": one.metadata.get("parse", kind),
    }
    if one.metadata.get("positional"):
        keywords["metavar"] = one.name.upper()
        keywords["nargs"] = "+" if one.default == () else None if one.default == "" else "?"
    if one.metadata.get("choices"):
        keywords["choices"] = one.metadata["choices"]
    return keywords
