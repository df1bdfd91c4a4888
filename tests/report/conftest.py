"""One planted root and its page, made once."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from builder.cli import main

from . import planted
from .measured import Measuring, make_measured

LOST = 9


@dataclass(frozen=True)
class Made:
    """A root, the page about it, and the rows of its scores, or of curated/ where it has been curated."""

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


def plant_curated(
    root: Path, measuring: Measuring | None = None, *, scored: bool = False
) -> list[dict[str, Any]]:
    """A curated root of two shards, of 60 pairs; its rows of curated/."""
    planted.plant(root, planted.pairs(60), planted.lost(LOST))
    if not scored:
        shutil.rmtree(root / "scores")
        shutil.rmtree(root / "ledger" / "revalidate")
    return make_measured(root, measuring)


@pytest.fixture(scope="session")
def curated(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """A root that is curated and was never scored."""
    folder = tmp_path_factory.mktemp("curated")
    rows = plant_curated(folder / "root")
    assert main(["report", str(folder / "root"), str(folder / "page.html"), "--quiet"]) == 0
    return Made(folder / "root", folder / "page.html", rows)
