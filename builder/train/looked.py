"""What a shard holds before a picture of it is read, and what its pairs are read as: of a root and of tars alike.

Apart from both, so that a process which looks through tars loads neither `datasets` nor torch.
"""

from __future__ import annotations

import os
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from ..disk.digests import Digests
from .config import CAPTIONS

_TEXT: pa.DataType = pa.string()
PAIRS = pa.schema([("key", _TEXT), ("image", pa.binary()), *((name, _TEXT) for name in CAPTIONS)])


@dataclass(frozen=True, slots=True)
class Looked:
    """What a file holds. starts: the first pair of each group, and behind them the number of all (groups + 1,).

    rows: of the pairs that are served, ascending (n,); keys: theirs (n,).
    """

    starts: npt.NDArray[np.int64]
    rows: npt.NDArray[np.int64]
    keys: Digests


def cores() -> int:
    """The cores that this process may use: where ranks share a machine, its part of them."""
    ranks = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))  # torchrun says so
    return max(1, len(os.sched_getaffinity(0)) // ranks)
