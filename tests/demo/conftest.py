"""One small web and one host for all tests of the demo."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from builder.demo.host import Host
from builder.demo.truth import Truth
from builder.demo.web import WebRow, routes_of, write

PAIRS = 160


@dataclass(frozen=True)
class Site:
    folder: Path
    host: Host
    rows: list[WebRow]
    truth: Truth


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("demo")
    with Host(rate=1000) as host:
        rows = write(folder, PAIRS, 0, host)
        host.routes = routes_of(rows)
        yield Site(folder, host, rows, Truth.read(folder / "truth.parquet"))
