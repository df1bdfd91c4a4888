"""One planted root and its page, made once."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli import main

from . import planted

LOST = 9


@dataclass(frozen=True)
class Made:
    """A root, the page about it, and the rows of its scores."""

    root: Path
    page: Path
    scores: list[dict[str, Any]]

    @property
    def text(self) -> str:
        return self.page.read_text(encoding="utf-8")

    @property
    def manifest(self) -> int:
        return len(self.scores) + LOST


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    folder = tmp_path_factory.mktemp("report")
    scores = planted.plant(folder / "root", planted.pairs(60), planted.lost(LOST))
    assert main(["report", str(folder / "root"), str(folder / "page.html"), "--quiet"]) == 0
    return Made(folder / "root", folder / "page.html", scores)
