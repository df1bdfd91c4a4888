"""The log of a run: a JSON line a step in RUN/log.jsonl, and the same numbers for the trackers of accelerate.

A run that goes on from a checkpoint takes back what the log says of later steps: they are done again, to the same
numbers.
"""

from __future__ import annotations

import importlib.util
import json
import math
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from statistics import fmean, pstdev
from typing import Any, Self

from ..disk.files import write_atomic
from ..errors import EnvironmentProblem
from ..stage.trained import LOG

TRACKERS = ("tensorboard", "trackio")
RECENT = 100  # losses that the next is held against
LEAST = 20  # ... before anything is called a spike
SPIKE = 6.0  # standard deviations above their mean; of steady losses also a tenth of the mean


def trackers(asked: str) -> list[str]:
    """The names of those that --track means; auto: all that are installed.

    Raises EnvironmentProblem where one that was named is not.
    """
    if asked == "auto":
        return [name for name in TRACKERS if importlib.util.find_spec(name) is not None]
    if asked != "none" and importlib.util.find_spec(asked) is None:
        raise EnvironmentProblem(
            f"--track {asked}: it is not installed: pip install {asked}, or --track none"
        )
    return [] if asked == "none" else [asked]


class RunLog:
    """The log of one run, for the rank that writes it. step: that the run goes on after, 0: it begins."""

    def __init__(self, run: Path, step: int, accelerator: Any) -> None:
        self._accelerator = accelerator
        path = run / LOG
        before = path.read_bytes().splitlines(keepends=True) if step and path.exists() else []
        write_atomic(str(path), b"".join(line for line in before if _step(line) <= step))
        self._file = path.open("ab")

    def write(self, line: Mapping[str, Any]) -> None:
        """Add what is known of a step: numbers, and numbers by name. A number that is not finite stands as text."""
        text = json.dumps(_finite(line), ensure_ascii=False)
        self._file.write(text.encode() + b"\n")
        self._file.flush()
        flat = {
            f"{name}/{inner}" if inner else name: number
            for name, value in line.items()
            for inner, number in (value.items() if isinstance(value, Mapping) else [("", value)])
        }
        self._accelerator.log({name: one for name, one in flat.items() if name != "step"}, step=line["step"])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()


def _step(line: bytes) -> float:
    """The step that a line is of; infinity for one that was torn by a kill."""
    try:
        return int(json.loads(line)["step"])
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return math.inf


def _finite(value: Any) -> Any:
    """The value as JSON knows it: JSON has no NaN."""
    if isinstance(value, Mapping):
        return {name: _finite(one) for name, one in value.items()}
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


class Spikes:
    """Losses that stand out from those before them."""

    def __init__(self) -> None:
        self._recent: deque[float] = deque(maxlen=RECENT)

    def is_one(self, loss: float) -> bool:
        """Whether a loss lies far above the recent ones, which it then joins."""
        known = [*self._recent]
        self._recent.append(loss)
        if len(known) < LEAST:
            return False
        mean = fmean(known)
        return loss > mean + max(SPIKE * pstdev(known), 0.1 * abs(mean))
