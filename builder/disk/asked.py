"""What a caller of the loader asked for, looked at before anything is read: one line each where it makes no sense."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from types import NoneType
from typing import Any

import pyarrow as pa
from datasets import Features, Image, Value

from ..reasons import Verdict
from .batches import Verdicts, chosen, with_judged, words_of
from .filters import check_filters
from .schema import OUTCOMES, SCORING

CAPTIONS = ("alt_text", "recaption", "random")
CAPTIONED = ("pairs", "manifest", "live")
JUDGED = ("pairs", "manifest")  # the configs with pairs to choose from by verdict
_REQUIRED = {
    "pairs": "image",
    "outcomes": "outcome",
    "scores": "p_caption",
    "curated": "dup_count",
    "manifest": "url",
}


def check(options: Any) -> None:
    """Raise ValueError where the value of an option of danqing.DanqingConfig is none that it can have."""
    if options.caption not in (None, *CAPTIONS):
        raise ValueError(f"caption={options.caption!r} is not one of {', '.join(CAPTIONS)}")
    if options.caption and options.name not in CAPTIONED:
        raise ValueError(f"caption= chooses among the captions of pairs, and {options.name} has none")
    if options.rebuild is not None and options.name != "live":
        raise ValueError(f"rebuild= is about what live fetches, and {options.name} fetches nothing")
    if not isinstance(options.rebuild, (dict, NoneType)):
        raise ValueError(f"rebuild={options.rebuild!r} is no dict of options of danqing rebuild by name")
    if not (isinstance(options.validation, Real) and 0 <= float(options.validation) < 1):
        raise ValueError(f"validation={options.validation!r} is not a share: 0 <= validation < 1")
    if options.batch_size is not None and not (
        isinstance(options.batch_size, Integral) and int(options.batch_size) >= 0
    ):
        raise ValueError(f"batch_size={options.batch_size!r} is not a number of rows")
    _check_columns(options.columns)
    _check_verdicts(options.verdicts, options.name)


def check_shard(options: Any, names: Sequence[str], place: str) -> None:
    """Raise ValueError where a shard lacks a column that the config goes by, or is of another table of a root.

    The outcomes have a url and no picture's verdict: as a manifest they would bring back what was dropped.
    """
    required = [_REQUIRED[options.name], *(["alt_text"] if options.caption else [])]
    if missing := [name for name in required if name not in names]:
        raise ValueError(f"no column {missing[0]} in {place}: there are {', '.join(names)}")
    if options.name == "manifest" and {*OUTCOMES.names} <= {*names}:
        raise ValueError(f"{place} is no manifest, but outcomes of a rebuild: name the files in images/")


def check_schema(options: Any, schema: pa.Schema, place: str) -> None:
    """Raise ValueError as check_shard, and where verdicts or filters are asked for that a shard cannot have."""
    check_shard(options, schema.names, place)
    judges = options.sidecars.judges
    chosen(schema, options.verdicts, mixed=SCORING in judges)
    check_filters(options.filters, with_judged(schema, judges), place)


def _check_columns(columns: Any) -> None:
    listed = isinstance(columns, (list, tuple)) and columns and all(isinstance(one, str) for one in columns)
    if columns is not None and not listed:
        example = [columns] if isinstance(columns, str) else ["key", "alt_text"]
        raise ValueError(f"columns={columns!r}: columns takes a list, as {example!r}")


def features(options: Any, there: Features, promised: Mapping[str, Features], place: str) -> Features:
    """What the options leave of the columns in a shard, in order, with the types that danqing.FEATURES promises.

    Raises ValueError for a column that is asked for and not there. place: of the shard.
    """
    found = Features({name: promised[options.name].get(name, kind) for name, kind in there.items()})
    # A manifest promises no such column.
    if found.get("fetched_at") == Value("timestamp[ms, tz=UTC]"):
        found["fetched_at"] = Value("int64")
    if "image" in found and not options.decode:
        found["image"] = Image(decode=False)
    names = [*found]
    for judge in options.sidecars.judges:
        found.update({name: promised[judge.folder][name] for name in judge.beside(found)})
        names += judge.appended
    added = {"caption": Value("string")} if options.caption else {}
    found.update(added)
    names = [*dict.fromkeys([*(names if options.columns is None else options.columns), *added])]
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"no column {', '.join(missing)} in {place}: there are {', '.join(found)}")
    return Features({name: found[name] for name in names})


def _check_verdicts(verdicts: Verdicts, config: str) -> None:
    if verdicts is None:
        return
    words = words_of(verdicts) if isinstance(verdicts, (str, list, tuple, set, frozenset)) else []
    if config not in JUDGED and not (config == "live" and words == ["all"]):
        raise ValueError(
            f"verdicts= chooses among pairs: give it to the configs pairs or manifest, not to {config}"
        )
    if words != ["all"] and (not words or {*words} - {*Verdict}):
        raise ValueError(f"verdicts={verdicts!r}: give some of {', '.join(Verdict)}, or all")
