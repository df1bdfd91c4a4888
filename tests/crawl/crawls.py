"""A small crawl of the tests' own, and the command that reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from builder.cli import main
from builder.console import Console
from builder.crawl.config import CrawlConfig
from builder.crawl.plan import CrawlPlan
from builder.crawl.runner import Crawl
from builder.stage.engine import Pass
from builder.stage.run import Result, run
from tests.crawl.made import envelope, image, languages, members, page, record, wat

CRAWL = "CC-MAIN-2025-05"
# Texts of twelve pictures: what becomes of each is said in `test_runner.py`.
TEXTS = ("秋日的山间小路", "红烧牛肉面的做法", "上海外滩夜景图片", "小猫在窗台上睡觉", "雨后的古镇石板路")


def file(number: int, pages: Sequence[bytes]) -> bytes:
    """A WAT of these records, behind the one that names the crawl."""
    info = envelope("warcinfo", f"{number}.warc.gz", "WARC-Info-Metadata", {"isPartOf": CRAWL})
    return members(record("warcinfo", b"ip: 127.0.0.1\r\n"), wat(info), *pages)


def chinese(number: int, links: Sequence[dict[str, str]], **told: Any) -> list[bytes]:
    """A page that the crawl found Chinese, and the record that says so."""
    url = f"http://site{number % 5}.example/{number}.html"
    return [wat(page(links, url, **told), url), wat(languages("zho", url=url), url)]


def write(folder: Path, files: int = 3, pages: int = 20) -> Path:
    """A crawl in a folder: every page has a picture of its own, one that all have, and one without a text."""
    folder.mkdir(parents=True)
    for number in range(files):
        records: list[bytes] = []
        for at in range(number * pages, (number + 1) * pages):
            own = image(f"/p/{at}.jpg", f"{TEXTS[at % len(TEXTS)]}，第{at}张")
            shared = image(f"http://cdn.example/{at % 7}.jpg", TEXTS[at % len(TEXTS)])
            records += chinese(at, [own, shared, image(f"/bare/{at}.jpg"), image("", "没有地址的图片")])
            url = f"http://other.example/{at}"
            records += [wat(page([image("/a.jpg", "a picture of a cat")], url), url)]
            records += [wat(languages("eng", url=url), url)]
        (folder / f"{number:05d}.warc.wat.gz").write_bytes(file(number, records))
    return folder


class InProcess(Crawl):
    """A crawl whose passes run in this process, where a test can end it before any file appears."""

    def passes(self, plan: CrawlPlan, work: Path) -> Iterator[Pass]:
        """The passes, each without processes of its own."""
        for one in super().passes(plan, work):
            yield dataclasses.replace(one, processes=0)


def here(source: Path | str, output: Path | str, **options: Any) -> Result:
    """Run it in this process."""
    config = CrawlConfig(str(source), str(output), **({"quiet": True, "shard_size": 20} | options))
    config.check()
    return run(InProcess(config, Console(quiet=True)))


def crawl(source: Path | str, output: Path | str, *flags: str) -> int:
    """Run the command; its exit code."""
    return main(["crawl", str(source), str(output), "--quiet", *flags])


def pairs(output: Path) -> list[dict[str, Any]]:
    """The candidates, shard by shard."""
    return [
        row for path in sorted((output / "data").glob("*.parquet")) for row in pq.read_table(path).to_pylist()
    ]


def made(output: Path) -> dict[str, bytes]:
    """What a run makes, but for the times in its markers."""
    return {
        (name := path.relative_to(output).as_posix()): b""
        if "-0" in name and name.endswith(".json")
        else path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file()
    }
