"""Checkpoints that are made once for all tests of this folder, and a console whose words can be read."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from builder.console import Console
from builder.towers import DualEncoder, Options, find

from ..checkpoints import make_chinese, make_fixed, make_naflex

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


@pytest.fixture(scope="session")
def fixed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_fixed(tmp_path_factory.mktemp("checkpoints") / "tiny-fixed")


@pytest.fixture(scope="session")
def naflex(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_naflex(tmp_path_factory.mktemp("checkpoints") / "tiny-naflex")


@pytest.fixture(scope="session")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_chinese(tmp_path_factory.mktemp("checkpoints") / "tiny-chinese")


@pytest.fixture
def said() -> io.StringIO:
    return io.StringIO()


@pytest.fixture
def load(said: io.StringIO) -> Callable[..., DualEncoder]:
    """A checkpoint on the CPU, options as of Options; what it says is in `said`."""

    def loaded(folder: Path, **options: Any) -> DualEncoder:
        chosen = Options(**({"device": "cpu", "decode": "exact", "workers": 2} | options))
        return DualEncoder.load(find(str(folder)), chosen, Console(stream=said))

    return loaded
