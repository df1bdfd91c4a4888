"""Which caption a pair is trained on in an epoch: keys and captions in, one caption a pair out, or none.

Dealt by a hash of seed, epoch and key, so neither order nor threads have a say, and every epoch deals anew. A pair that
lacks the caption it was dealt, or has a blank one, gets another that has a share.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk.digests import halves_of, keys_of
from .order import mixed

pc: Any = compute  # its stubs know no mix of column and constant
_DEALT = 3  # apart from what `order` hashes
LONGEST = 4096  # characters of a caption: a tower reads 64 tokens, and a megabyte would hold up all threads


def deal(table: pa.Table, mix: Mapping[str, float], seed: int, epoch: int) -> Any:
    """The caption of each row of a table with the columns `key` and those of the mix; null where none will do.

    mix: the share of each caption, adding up to 1; one whose share is 0 is never taken.
    """
    names = [name for name, share in mix.items() if share > 0]
    captions = [_written(table[name]) for name in names]
    if len(names) == 1:
        return captions[0]
    drawn = mixed(_DEALT, seed, epoch, halves_of(keys_of(table["key"])[0])) / 2**64
    dealt = np.searchsorted(np.cumsum([mix[name] for name in names])[:-1], drawn, "right")
    found = pc.choose(pa.array(dealt), *captions)
    return pc.coalesce(found, *captions)


def _written(column: Any) -> Any:
    """A column of texts, cut to LONGEST, with null for those that are blank."""
    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    column = pc.utf8_slice_codeunits(pc.utf8_ltrim_whitespace(column), 0, LONGEST)
    return pc.if_else(pc.equal(pc.utf8_trim_whitespace(column), ""), None, column)
