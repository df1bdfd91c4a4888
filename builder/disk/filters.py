"""The filters of a caller of the loader: lists of terms or an expression ─▶ an expression over the columns of a shard.

Hashes and dates may be spelled as the loader serves them, 16 hex characters and milliseconds, or as they lie on disk.
A filter on a column that is not there is refused where it is given, before anything is read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from .schema import SCORES, TIMESTAMP

_NUMBER = " number"  # no name that a column would have
_HOW = 'give a list such as [("width", ">=", 200)], or an expression of pyarrow'
_UNKNOWN = re.compile(r"No match for FieldRef\.Name\((.*?)\) in ")


def check_filters(given: Any, schema: pa.Schema, place: str) -> None:
    """Raise ValueError, in one line, where filters name a column that is not in the schema, or cannot be applied."""
    try:
        whole = expression(_spelled(given, schema))
        if whole is not None:
            schema.empty_table().filter(whole)
    except (pa.ArrowException, ValueError, TypeError) as error:
        if unknown := _UNKNOWN.search(str(error)):
            there = ", ".join(schema.names)
            raise ValueError(f"filters: no column {unknown[1]} in {place}: there are {there}") from error
        raise ValueError(f"filters={given!r}: {(str(error).splitlines() or [''])[0]}") from error


def expression(given: Any) -> Any:
    """Filters as an expression, None where there are none; ValueError where they are of no kind that is one."""
    if given is None:
        return None
    if isinstance(given, list):
        return pq.filters_to_expression(given) if given else None
    if isinstance(given, pc.Expression):
        return given
    raise ValueError(_HOW)


def _spelled(given: Any, schema: pa.Schema) -> Any:
    """Lists of terms with hashes and dates as they lie in columns of this schema; what is no list as it is."""
    if not isinstance(given, list) or not given:
        return given
    if _are_terms(given):
        return [_term(term, schema) for term in given]
    if not all(map(_are_terms, given)):
        raise ValueError(_HOW)
    return [[_term(term, schema) for term in terms] for terms in given]


def _are_terms(given: Any) -> bool:
    """Whether this is a list of terms such as ("width", ">=", 200)."""
    return (
        isinstance(given, (list, tuple))
        and len(given) > 0
        and all(isinstance(t, (list, tuple)) and len(t) == 3 and isinstance(t[0], str) for t in given)
    )


def _term(term: Sequence[Any], schema: pa.Schema) -> tuple[Any, ...]:
    name, operator, value = term
    kind = schema.field(name).type if name in schema.names else None
    several = isinstance(value, (list, tuple, set, frozenset))
    values = [*value] if several else [value]
    if kind == pa.uint64() and name in SCORES.names:
        values = [int(one, 16) if isinstance(one, str) else one for one in values]
    if kind not in (pa.uint64(), TIMESTAMP) or any(type(one) is not int or one < 0 for one in values):
        return (name, operator, value)
    return (name, operator, pa.array(values, kind) if several else pa.scalar(values[0], kind))


class Filters:
    """The filters of a reading, and what they imply of some of the columns alone.

    whole: as an expression, or None; named: the columns that it is about.
    """

    def __init__(self, given: Any, schema: pa.Schema) -> None:
        given = _spelled(given, schema)
        self.whole = expression(given)
        self.named: set[str] = set()
        # Any of these must hold: lists of terms, each of them about one column.
        self._choices: list[list[tuple[Any, ...]]] = []
        if isinstance(given, list) and given:
            self._choices = [given] if isinstance(given[0][0], str) else given
            self.named = {term[0] for terms in self._choices for term in terms}
        elif self.whole is not None:
            said = [name for name in schema.names if name in str(given)]
            self.named = {name for name in said if _needs(given, schema, name)}

    def beyond(self, names: Collection[str]) -> Any:
        """The whole, or None where it is about `names` alone; one that names no column known is for Arrow to refuse."""
        return None if self.named and self.named <= {*names} else self.whole

    def implied(self, names: Collection[str]) -> Any:
        """An expression over `names` alone that holds wherever the whole does, or None where nothing follows."""
        if self.beyond(names) is None:
            return self.whole
        about = [[term for term in terms if term[0] in names] for terms in self._choices]
        return pq.filters_to_expression(about) if about and all(about) else None  # type: ignore[arg-type]


def passing(table: pa.Table, expression: Any) -> set[int]:
    """Which rows of a table pass."""
    numbers = pa.array(range(table.num_rows), pa.int64())
    return set(table.append_column(_NUMBER, numbers).filter(expression)[_NUMBER].to_numpy())


def _needs(expression: Any, schema: pa.Schema, name: str) -> bool:
    """Whether an expression is about a column; pyarrow does not tell, but refuses a table that lacks it."""
    try:
        schema.remove(schema.get_field_index(name)).empty_table().filter(expression)
    except pa.ArrowInvalid:
        return True
    return False
