"""The score that a pair was tested by, out of those of its captions: scoring, report and release mean the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc


def tested(scores: pa.Table, captions: Sequence[str]) -> npt.NDArray[np.float32]:
    """Of the columns score_<caption> of `scores` the mean of those that are there, (n,); NaN where none is."""
    first, *others = (floats(scores[f"score_{caption}"]) for caption in captions)
    for other in others:
        first = np.where(np.isnan(first), other, np.where(np.isnan(other), first, (first + other) / 2))
    return first


def floats(column: Any) -> npt.NDArray[np.float32]:
    """Numbers as float32 (n,), NaN for null and for what is not finite."""
    numbers = np.asarray(pc.fill_null(column.cast(pa.float32()), float("nan")).to_numpy(), np.float32)
    return np.where(np.isfinite(numbers), numbers, np.float32("nan"))


def published(checkpoint: Mapping[str, Any]) -> dict[str, Any]:
    """What scores say of their checkpoint, for others to read: of a folder, which has no revision, the name alone."""
    named = {} if checkpoint.get("revision") else {"model": checkpoint.get("name")}
    return {**checkpoint, **named}
