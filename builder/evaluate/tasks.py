"""Tasks: a benchmark as it was found on this disk, in whatever format its owners publish it.

folder of benchmarks ─▶ Task: pictures one after the other, and classes or captions
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from .recipe import Benchmark

Pictures = Callable[[], Iterator[bytes]]  # all of them, in the order of the rows; each call reads them anew


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark with n pictures. names: of the pictures (n,); identity: SHA-256 of texts, labels, names and sizes.

    said: what people should know of what was found, a line each.
    """

    benchmark: Benchmark
    names: list[str]
    pictures: Pictures
    identity: str
    said: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Labelled(Task):
    """Pictures of classes. classes: their Chinese names (c,); truth: which classes a picture is of (n, c)."""

    classes: list[str] = field(default_factory=list)
    truth: npt.NDArray[np.bool_] = field(default_factory=lambda: np.zeros((0, 0), np.bool_))


@dataclass(frozen=True, slots=True)
class Captioned(Task):
    """Pictures with captions. texts: (m,); pairs: rows (picture, text) of what belongs together (p, 2), unique."""

    texts: list[str] = field(default_factory=list)
    pairs: npt.NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), np.int64))
