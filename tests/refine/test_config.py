"""What options of a refinement are refused, and what they come to."""

from __future__ import annotations

import pytest

from builder.errors import UsageError
from builder.refine.config import RefineConfig


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"skip": "nouns,verbs"}, "--skip verbs: no such step; there are cleaning, length"),
        ({"stop_words": "1.1"}, "--stop-words 1.1: neither calibrate nor a number from 0 to 1$"),
        ({"stop_words": "much"}, "--stop-words much: neither calibrate"),
        ({"entropy": "-1"}, r"--entropy -1: neither calibrate nor a number from 0 to 1e\+06"),
        ({"entropy": "nan"}, "--entropy nan: neither"),
        ({"entropy": "inf"}, "--entropy inf: neither"),
        ({"min_length": 9, "max_length": 8}, "--min-length 9: more than --max-length 8"),
        ({"max_unknown": -1}, "--max-unknown -1: must be at least 0"),
        ({"shard_size": 0}, "--shard-size 0: must be at least 1"),
        ({"overwrite": True, "world_size": 2}, "ranks would remove each other's shards"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, object], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        RefineConfig("in", "out", **options).check()  # type: ignore[arg-type]


def test_what_thresholds_and_steps_come_to() -> None:
    config = RefineConfig("in", "out", skip=" nouns, pii,", stop_words="0.7", entropy="6e-4")
    config.check()
    assert (config.skipped, config.stop_share, config.least_entropy) == ({"nouns", "pii"}, 0.7, 6e-4)
    assert (RefineConfig().stop_share, RefineConfig().least_entropy, RefineConfig().skipped) == (
        None,
        None,
        set(),
    )
