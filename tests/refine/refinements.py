"""A small manifest of the tests' own, and the command that refines it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.cli import main
from builder.console import Console
from builder.refine.config import RefineConfig
from builder.refine.plan import RefinePlan
from builder.refine.runner import Refine
from builder.stage.engine import Pass
from builder.stage.run import Result, run

# What becomes of each is said in `test_runner.py`.
TEXTS = ("秋日的山间小路", "红烧牛肉面的做法", "上海外滩夜景图片", "小猫在窗台上睡觉", "雨后的古镇石板路")
PLACES = ("北京", "上海", "广州", "成都", "杭州", "西安", "武汉", "南京", "苏州", "厦门", "青岛", "大连")
THINGS = [
    "茶杯",
    "雨伞",
    "书桌",
    "台灯",
    "花瓶",
    "沙发",
    "地毯",
    "窗帘",
    "菜刀",
    "背包",
    "手表",
    "耳环",
    "帐篷",
    "头盔",
    "轮胎",
    "水泵",
    "阀门",
    "键盘",
    "音箱",
    "冰箱",
    "风扇",
    "积木",
    "小提琴",
    "风筝",
]


def rows(count: int = 120) -> list[dict[str, Any]]:
    """Pairs of which every fifth is in traditional script, every seventh bears a star, every tenth is English."""
    made = []
    for number in range(count):
        thing = THINGS[number * number % 89 % len(THINGS)]
        text = f"{PLACES[number % len(PLACES)]}{TEXTS[number % len(TEXTS)]}{thing}第{number}张"
        text = text.replace("张", "張").replace("红", "紅") if number % 5 == 0 else text
        text = f"★{text}★" if number % 7 == 0 else text
        text = f"a picture of number {number}" if number % 10 == 9 else text
        made.append({"url": f"http://h{number % 9}.example/{number}.jpg", "alt_text": text, "number": number})
    return made


def write(path: Path, pairs: Sequence[dict[str, Any]], schema: pa.Schema | None = None) -> Path:
    """A manifest of these pairs."""
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist([*pairs], schema=schema), path)
    return path


class InProcess(Refine):
    """A refinement whose passes run in this process, where a test can end it before any file appears."""

    def passes(self, plan: RefinePlan, work: Path) -> Iterator[Pass]:
        """The passes, each without processes of its own."""
        for one in super().passes(plan, work):
            yield dataclasses.replace(one, processes=0)


def here(source: Path | str, output: Path | str, **options: Any) -> Result:
    """Run it in this process."""
    config = RefineConfig(str(source), str(output), **({"quiet": True, "shard_size": 400} | options))
    config.check()
    return run(InProcess(config, Console(quiet=True)))


def refine(source: Path | str, output: Path | str, *flags: str) -> int:
    """Run the command; its exit code."""
    return main(["refine", str(source), str(output), "--quiet", *flags])


def pairs(output: Path, split: str = "train") -> list[dict[str, Any]]:
    """The refined pairs of a split, shard by shard."""
    files = sorted((output / "data").glob(f"{split}-*.parquet"))
    return [row for path in files for row in pq.read_table(path).to_pylist()]


def made(output: Path) -> dict[str, bytes]:
    """What a run makes but for clocks and counts of them: the data, the funnel, the thresholds."""
    files = [*output.glob("data/*"), output / "funnel.json", output / "ledger/refine/thresholds.json"]
    return {str(path.relative_to(output)): path.read_bytes() for path in files if path.exists()}
