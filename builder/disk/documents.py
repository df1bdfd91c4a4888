"""JSON documents of ours as they are read again: anybody may have edited them, so nothing in them is believed.

    bytes ─▶ parse ─▶ an object ─▶ check: every value is what the type says ─▶ the object, or ValueError that names it

A type is a dataclass or a TypedDict. A dataclass has the fields it has; a TypedDict may have others beside its own.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import math
import re
import types
from collections.abc import Mapping
from enum import Enum
from typing import Any, NoReturn, NotRequired, TypeVar, get_args, get_origin, get_type_hints, is_typeddict

LIMIT = 64 << 20  # bytes; a release of 100,000 files, as many as the Hub takes, says it in 20 MB
LONGEST = 1024  # characters of a path, as many as an object store takes
SHOWN = 80  # characters of a wrong value
STEM = re.compile(r"\w{1,64}-\d{5,}-of-\d{5,}")

T = TypeVar("T")
Document = dict[str, Any]  # an object of JSON or YAML, before it is known what it holds


def parse(data: bytes, limit: int = LIMIT, finite: bool = True) -> Document:
    """The object that `data` holds; ValueError, in one line, where it holds none or more than `limit` bytes.

    finite: whether NaN and Infinity, which are no JSON, are refused; the columns of a pair in a tar may hold them.
    """
    if len(data) > limit:
        raise ValueError(f"more than {limit:,} bytes")
    try:
        document = json.loads(data, parse_constant=_no_number if finite else None)
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(document, dict):
        raise ValueError("no object of JSON")
    return document


def check(document: Mapping[str, Any], kind: type) -> None:
    """ValueError, naming the field, where `document` is not what `kind` says."""
    wanted, needed, closed = _described(kind)
    if lacking := needed - document.keys():
        raise ValueError(f"without {', '.join(sorted(lacking))[:SHOWN]}")
    if closed and (unknown := document.keys() - wanted.keys()):
        raise ValueError(f"with an unknown {', '.join(sorted(unknown))[:SHOWN]}")
    for name, one in wanted.items():
        if name in document and not _fits(document[name], one):
            raise ValueError(f"{name}: {str(document[name])[:SHOWN]!r} is no {_word(one)}")


def build(kind: type[T], document: Any) -> T:
    """The dataclass of a checked object; ValueError as of check."""
    if not isinstance(document, dict):
        raise ValueError(f"{str(document)[:SHOWN]!r} is no {kind.__name__}")
    check(document, kind)
    return kind(**document)


def is_inside(path: str) -> bool:
    """Whether a path stays in the folder that it is of, names nothing hidden, and can be shown in a terminal."""
    parts = path.split("/")
    return len(path) <= LONGEST and all(
        part != "" and not part.startswith(".") and part.isprintable() and not {"\\", ":"} & {*part}
        for part in parts
    )


@functools.cache
def _described(kind: type) -> tuple[Mapping[str, Any], frozenset[str], bool]:
    """The type of each field, the fields that must be there, and whether there may be no others."""
    hints = get_type_hints(kind, include_extras=True)
    if is_typeddict(kind):
        needed = [name for name, one in hints.items() if get_origin(one) is not NotRequired]
        return hints, frozenset(needed), False
    fields = [one for one in dataclasses.fields(kind) if one.init]
    needed = [
        one.name
        for one in fields
        if one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING
    ]
    return {one.name: hints[one.name] for one in fields}, frozenset(needed), True


def is_count(value: Any) -> bool:
    """Whether a value of JSON is a whole number from 0 on, below 2^63."""
    return type(value) is int and 0 <= value < 1 << 63


def _fits(value: Any, kind: Any) -> bool:
    """Whether a value of JSON is of a type."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is types.UnionType:
        return any(_fits(value, one) for one in inner)
    if origin is NotRequired:
        return _fits(value, inner[0])
    if origin in (dict, Mapping):
        return isinstance(value, dict) and all(_fits(one, inner[1]) for one in value.values())
    if origin is list:
        return isinstance(value, list) and all(_fits(one, inner[0]) for one in value)
    return kind is Any or _is_of(value, kind)


def _is_of(value: Any, kind: type) -> bool:
    """Whether a value is of a class: whole numbers are counts, others are finite, and a word is one of an enum's."""
    if kind is int:
        return is_count(value)
    if kind is float:
        return type(value) in (int, float) and math.isfinite(value)
    if issubclass(kind, Enum):
        return value in {*kind}
    if dataclasses.is_dataclass(kind) or is_typeddict(kind):
        try:
            check(value, kind)
        except (ValueError, AttributeError, TypeError):
            return False
        return True
    return isinstance(value, kind)


def _word(kind: Any) -> str:
    return (
        kind.__name__ if isinstance(kind, type) and not get_args(kind) else str(kind).replace("typing.", "")
    )


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"{text} is no number of JSON")
