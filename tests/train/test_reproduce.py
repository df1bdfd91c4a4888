"""What docs/train.md and docs/reproduce.md say of the recipe and compute of its cost is so."""

from __future__ import annotations

import io
import re
import sys
import tarfile
from dataclasses import asdict, fields
from pathlib import Path
from typing import NamedTuple

import pytest

from builder.disk.tars import read_pairs
from builder.options import flag_of
from builder.train.config import TrainConfig
from builder.train.recipe import RECIPE

DOCS = Path(__file__).parents[2] / "docs"
A800, H100, REACHED = 312e12, 790e12, 0.4  # FLOP/s in bfloat16, and the share of them
TOKENS, SIDE = 64, 256


class Tower(NamedTuple):
    width: int
    layers: int
    hidden: int

    def flops(self, places: int) -> float:
        """Of so many places through the layers, two for a product and a sum."""
        linear = 4 * self.width**2 + 2 * self.width * self.hidden
        return self.layers * (2 * places * linear + 4 * places**2 * self.width)


BASE, LARGE = Tower(768, 12, 3072), Tower(1024, 24, 4096)
SO = Tower(1152, 27, 4304)
SHAPES = {
    "B/32-256": (BASE, 32, BASE), "B/16-256": (BASE, 16, BASE), "L/16-256": (LARGE, 16, LARGE),
    "So400m/16-256": (SO, 16, SO), "g-opt/16-256": (Tower(1536, 40, 6144), 16, SO),
}  # fmt: skip


def flops(name: str) -> float:
    """Of the forward of a pair: both towers, the patches, and the heads."""
    image, patch, text = SHAPES[name]
    places, width = (SIDE // patch) ** 2, image.width
    patches = 2 * places * 3 * patch**2 * width
    probe = 4 * width**2 + 4 * places * width**2 + 4 * places * width + 4 * width * image.hidden
    return image.flops(places) + patches + probe + text.flops(TOKENS) + 2 * text.width**2


def rows(page: str, mark: str) -> list[list[str]]:
    """The cells of the first table behind a mark."""
    behind = (DOCS / page).read_text(encoding="utf-8").partition(mark)[2]
    table = behind[behind.index("\n|") :].partition("\n\n")[0].strip().splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def number(cell: str) -> float:
    found = re.match(r"[\d,.]+", cell)
    assert found is not None
    return float(found[0].replace(",", ""))


@pytest.mark.parametrize("row", rows("reproduce.md", "<!-- cost -->"), ids=lambda row: row[0])
def test_what_a_run_costs_is_computed_so(row: list[str]) -> None:
    name, pair, pairs, exa, *hours, speed = row[0], *map(number, row[1:])
    training = 3 * flops(name)
    all_of_it = training * pairs * 1e6
    assert pair == pytest.approx(flops(name) / 1e9, rel=0.003)
    assert exa == pytest.approx(all_of_it / 1e18, rel=0.006)
    on_a800, on_h100 = (all_of_it / (REACHED * rate) / 3600 for rate in (A800, H100))
    assert hours == pytest.approx([on_a800, on_a800 / 16, on_h100, on_h100 / 8], rel=0.03)
    assert speed == pytest.approx(REACHED * H100 / training, rel=0.01)


def test_the_sums_are_those_of_the_table() -> None:
    text = (DOCS / "reproduce.md").read_text(encoding="utf-8")
    cost = {
        row[0]: 3 * flops(row[0]) * 1e6 / (REACHED * A800) / 3600
        for row in rows("reproduce.md", "<!-- cost -->")
    }
    twelve = 4 * 200 * (cost["B/32-256"] + cost["B/16-256"] + cost["L/16-256"])
    large = [cost[name] for name in ("B/16-256", "L/16-256", "So400m/16-256", "g-opt/16-256")]
    scaling = 2 * (2 * (10 + 30 + 60) * cost["B/32-256"] + 60 * sum(large))
    told = re.search(r"twelve runs are ([\d,]+) hours .*? the scaling runs another ([\d,]+)", text, re.DOTALL)
    assert told is not None
    assert [number(told[1]), number(told[2])] == pytest.approx([twelve, scaling], rel=0.005)


def test_the_page_has_the_recipe() -> None:
    told = {row[0].strip("`"): row[1] for row in rows("train.md", "## The recipe")}
    for name, value in asdict(RECIPE).items():
        shown = told.pop(flag_of(name))
        assert (shown if isinstance(value, str) else float(shown.replace(",", ""))) == value
    assert told == {}
    assert {one.name for one in fields(RECIPE)} <= {one.name for one in fields(TrainConfig)}


def test_taisu_becomes_tars_of_pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "taisu.txt").write_text(
        "7*****网上的图*****一只猫\n8*****没有图*****无\n9*****坏行\n", "utf-8"
    )
    with tarfile.open(tmp_path / "images-01.tar", "w") as tar:
        for name in ("part/7.jpg", "part/5.jpg"):
            head = tarfile.TarInfo(name)
            head.size = 3
            tar.addfile(head, io.BytesIO(b"jpg"))
        tar.addfile(tarfile.TarInfo("part"))
    (tmp_path / "taisu").mkdir()
    monkeypatch.setattr(
        sys, "argv", ["", *(str(tmp_path / one) for one in ("taisu.txt", "taisu", "images-01.tar"))]
    )
    (block,) = re.findall(r"^```python\n(.*?)^```", (DOCS / "reproduce.md").read_text("utf-8"), re.M | re.S)
    exec(compile(block, "reproduce.md", "exec"), {})
    assert [*read_pairs(tmp_path / "taisu" / "images-01.tar")] == [
        ({"alt_text": "网上的图", "recaption": "一只猫"}, "7.jpg", b"jpg")
    ]
