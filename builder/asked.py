"""What a caller of the loader asked for, looked at before anything is read: one line each where it makes no sense."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from datasets import Features, Image, Value

from .batches import Verdicts, words_of
from .schema import SERVED, Verdict

CAPTIONS = ("alt_text", "recaption", "random")
JUDGED = ("pairs", "manifest")  # the configs with pairs to choose from by verdict


def check(options: Any) -> None:
    """Raise ValueError where the value of an option of danqing.DanqingConfig is none that it can have."""
    if options.caption not in (None, *CAPTIONS):
        raise ValueError(f"caption={options.caption!r} is not one of {', '.join(CAPTIONS)}")
    if not 0 <= options.validation < 1:
        raise ValueError(f"validation={options.validation} is not a share: 0 <= validation < 1")
    if isinstance(options.columns, str):
        raise ValueError(f"columns={options.columns!r}: columns takes a list, as [{options.columns!r}]")
    _check_verdicts(options.verdicts, options.name)


def features(options: Any, there: Features, promised: Mapping[str, Features], place: str) -> Features:
    """What the options leave of the columns in a shard, in order, with the types that danqing.FEATURES promises.

    Raises ValueError for a column that is asked for and not there. place: of the shard.
    """
    found = Features({name: promised[options.name].get(name, kind) for name, kind in there.items()})
    if found.get("fetched_at") == Value(
        "timestamp[ms, tz=UTC]"
    ):  # of a manifest, which promises no such column
        found["fetched_at"] = Value("int64")
    if "image" in found and not options.decode:
        found["image"] = Image(decode=False)
    if options.scores:
        found.update({name: promised["scores"][name] for name in SERVED})
    added = {"caption": Value("string")} if options.caption else {}
    found.update(added)
    names = [*dict.fromkeys([*(found if options.columns is None else options.columns), *added])]
    if missing := [name for name in names if name not in found]:
        raise ValueError(f"no column {', '.join(missing)} in {place}: there are {', '.join(found)}")
    return Features({name: found[name] for name in names})


def _check_verdicts(verdicts: Verdicts, config: str) -> None:
    if verdicts is None:
        return
    words = words_of(verdicts)
    if config not in JUDGED and not (config == "live" and words == ["all"]):
        raise ValueError(
            f"verdicts= chooses among pairs: give it to the configs pairs or manifest, not to {config}"
        )
    if words != ["all"] and (not words or {*words} - {*Verdict}):
        raise ValueError(f"verdicts={verdicts!r}: give some of {', '.join(Verdict)}, or all")
