"""The types of JSON Lines, from all of their rows: what each column and nested key was seen to hold.

    rows of a block, as Arrow inferred them or as Python read them ─▶ Shape of the object ─▶ Arrow schema

Integers and fractions meet in double where it holds every integer exactly; texts and anything else meet in text,
where the others stand as JSON. What never held a value is null. The order of the rows does not matter.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as types

from ..errors import InputError

EXACT = 1 << 53  # up to here a double holds every integer
MOST_KEYS = 1000  # of one object: beyond them they are no columns but values
DEEPEST = 32  # objects and lists inside each other; what lies deeper is kept as its JSON
LEAVES: dict[str, pa.DataType] = {
    str(kind): kind for kind in (pa.null(), pa.bool_(), pa.int64(), pa.uint64(), pa.float64(), pa.string())
}
KINDS = {bool: "bool", int: "int", float: "float", str: "text", list: "list", dict: "object"}


@dataclass(slots=True)
class Shape:
    """What one column or key was seen to hold. large: the first integer that a double does not hold, and its row."""

    kinds: set[str] = field(default_factory=set)
    low: int = 0
    high: int = 0
    large: tuple[int, int] | None = None
    fields: dict[str, Shape] = field(default_factory=dict)
    depth: int = 0

    def add(self, value: Any, row: int) -> None:
        """Take a value of row `row`, counted from 1."""
        if value is None:
            return
        kind = "text" if self.depth > DEEPEST else KINDS[type(value)]
        self.kinds.add(kind)
        if kind == "int":
            self.low, self.high = min(self.low, value), max(self.high, value)
            if abs(value) > EXACT and self.large is None:
                self.large = row, value
        elif kind == "list":
            for item in value:
                self.key("").add(item, row)
        elif kind == "object":
            for name, item in value.items():
                self.key(name).add(item, row)

    def take(self, array: Any) -> bool:
        """Take values as Arrow inferred them; False, with nothing certain, where it may have rounded integers."""
        kind: pa.DataType = array.type
        if types.is_null(kind) or array.null_count == len(array):
            return True
        if self.depth > DEEPEST:
            self.kinds.add("text")
        elif types.is_boolean(kind):
            self.kinds.add("bool")
        elif types.is_integer(kind):
            ends = pc.min_max(array)
            low, high = ends["min"].as_py(), ends["max"].as_py()
            if self.large is None and max(-low, high) > EXACT:
                return False
            self.kinds.add("int")
            self.low, self.high = min(self.low, low), max(self.high, high)
        elif types.is_floating(kind):
            if pc.any(pc.greater_equal(pc.abs(array), pa.scalar(float(EXACT)))).as_py():
                return False
            self.kinds.add("float")
        elif types.is_list(kind):
            self.kinds.add("list")
            return self.key("").take(array.flatten())
        elif types.is_struct(kind):
            self.kinds.add("object")
            return all(self.key(one.name).take(part) for one, part in zip(kind, array.flatten(), strict=True))
        else:  # a string, or one that looked like a date
            self.kinds.add("text")
        return True

    def key(self, name: str) -> Shape:
        """The shape of a key of an object; of the items of a list, whose key is the empty one."""
        if name not in self.fields:
            if len(self.fields) == MOST_KEYS:
                self.kinds.add("many")
                return Shape(depth=DEEPEST)
            self.fields[name] = Shape(depth=self.depth + 1)
        return self.fields[name]

    def type(self, where: str) -> pa.DataType:
        """The type that holds all that was seen; `where` names the column. InputError where there is none."""
        if not self.kinds:
            return pa.null()
        if self.kinds == {"int", "float"}:
            if self.large is not None:
                row, value = self.large
                raise InputError(
                    f"{where} holds {value} in row {row:,} and fractions elsewhere: a double would round it; "
                    "write its numbers as strings"
                )
            return pa.float64()
        if len(self.kinds) > 1:
            return pa.string()
        (kind,) = self.kinds
        if kind == "list":
            return pa.list_(self.key("").type(where))
        if kind == "object":
            inside = [(name, one.type(f"{where}.{name}")) for name, one in self.fields.items()]
            return pa.struct(inside) if inside else pa.null()
        leaves: dict[str, pa.DataType] = {"bool": pa.bool_(), "float": pa.float64(), "int": self._integer()}
        return leaves.get(kind, pa.string())

    def _integer(self) -> pa.DataType:
        if self.low >= -(1 << 63) and self.high < 1 << 63:
            return pa.int64()
        return pa.uint64() if self.low >= 0 and self.high < 1 << 64 else pa.string()

    def notes(self, name: str) -> list[str]:
        """What becomes of a column `name`, and of the keys in it, where they are not carried as they are."""
        inside = [line for key, one in self.fields.items() for line in one.notes(f"{name}.{key}".rstrip("."))]
        if self.kinds == {"object"} and not self.fields:
            return [f"{name} holds empty objects alone: null"]
        if "many" in self.kinds:
            return [f"{name} has more than {MOST_KEYS:,} keys: kept as JSON text"]
        if len(self.kinds) > 1 and self.kinds != {"int", "float"}:
            return [
                f"{name} holds {' and '.join(sorted(self.kinds))}: kept as text, what is none as its JSON"
            ]
        if self.kinds == {"int"} and types.is_string(self._integer()):
            return [f"{name} holds integers of more than 64 bits: kept as text"]
        return inside


def fitted(value: Any, kind: Any) -> Any:
    """A JSON value as `pa.array` takes it for `kind`, which a Shape gave; TypeError for one that it never saw."""
    if value is None or types.is_null(kind):
        return None
    if types.is_string(kind):
        return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if not isinstance(value, _python(kind)):
        raise TypeError(f"{value!r} is no {kind}")
    if isinstance(value, list):
        return [fitted(item, kind.value_type) for item in value]
    if isinstance(value, dict):
        return {one.name: fitted(value.get(one.name), one.type) for one in kind}
    return value


def _python(kind: Any) -> type | tuple[type, ...]:
    if types.is_nested(kind):
        return list if types.is_list(kind) else dict
    return (int, float) if types.is_floating(kind) else int


def as_json(kind: Any) -> Any:
    """A type as plan.json spells it: a name, {"list": type} or [[name, type], ...] of an object."""
    if types.is_list(kind):
        return {"list": as_json(kind.value_type)}
    if types.is_struct(kind):
        return [[one.name, as_json(one.type)] for one in kind]
    return str(kind)


def fields_from(spelt: Any) -> list[pa.Field[Any]]:
    """The fields of an object that `as_json` spelt; KeyError, TypeError or ValueError for anything else."""
    return [pa.field(str(name), _from_json(one)) for name, one in spelt]


def _from_json(spelt: Any) -> pa.DataType:
    if isinstance(spelt, dict):
        return pa.list_(_from_json(spelt["list"]))
    if isinstance(spelt, list):
        return pa.struct(fields_from(spelt))
    return LEAVES[spelt]
