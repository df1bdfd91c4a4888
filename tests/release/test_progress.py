"""The bar of an upload, which moves by what the client has read of its open files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from builder.console import Console
from builder.hub.remote import _parts
from builder.release.progress import Sent, positions, sending, watching


def test_a_bar_never_goes_back() -> None:
    stream = io.StringIO()
    with sending(Console(stream=stream, interval=0, clock=iter(range(100)).__next__), 30_000_000) as sent:
        sent.show(20_000_000)
        sent.show(10_000_000)
        sent.finish(25_000_000)
        sent.show(5_000_000)
    assert [line.split(" ")[0] for line in stream.getvalue().splitlines()] == ["20/30"] * 2 + ["25/30"] + [
        "30/30"
    ] * 2


def test_the_position_of_open_files_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "shard"
    path.write_bytes(bytes(1000))
    assert positions({str(path): 1000}) == {}
    with path.open("rb", buffering=0) as file:
        file.read(300)
        assert positions({str(path): 1000}) == {str(path): 300}


class _Bar:
    def __init__(self) -> None:
        self.moved: list[int] = []

    def update(self, count: int, **facts: Any) -> None:
        self.moved.append(count)


def test_a_bar_moves_while_a_part_is_sent(tmp_path: Path) -> None:
    path, bar = tmp_path / "shard", _Bar()
    path.write_bytes(bytes(1000))
    with path.open("rb", buffering=0) as file:
        file.read(300)
        with watching(Sent(bar, 1), {str(path): 1000}, every=0.001):
            while not bar.moved:
                pass
    assert bar.moved[0] == 300


SIZES = {"a": 5, "b": 5, "c": 20, "d": 1}
PARTS = {"one each": (4, ["a", "b", "c", "d"]), "two": (10, ["ab", "c", "d"]), "all": (99, ["abcd"])}


@pytest.mark.parametrize("name", PARTS)
def test_parts(name: str) -> None:
    limit, wanted = PARTS[name]
    assert ["".join(part) for part in _parts(list(SIZES), SIZES, limit)] == wanted
