"""Two releases, one after the other, as folders that are ready to be published."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.release.publishing import SHARDS, make


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """The folder of a release v1, of four shards."""
    folder = tmp_path / "release"
    folder.mkdir()
    make(folder, "v1", SHARDS)
    return folder


@pytest.fixture
def second(tmp_path: Path) -> Path:
    """The folder of v2: one shard as it was, one of other content, two fewer, one more."""
    folder = tmp_path / "second"
    folder.mkdir()
    shards = list(SHARDS)
    make(folder, "v2", {shards[0]: 0, shards[1]: 9, "changes/v2.parquet": 5}, previous="v1")
    return folder
