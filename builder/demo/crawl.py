"""The first part of `danqing demo`: a small Common Crawl, and the candidates in it.

    folder/crawl/*                        WAT files, and the WARC of the last
    folder/candidates, candidates-warc    what a crawl of each makes; folder/dropped: what it dropped

Every link of every page is held against what was planted, and what was crawled is what the demo goes on with.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from . import archive
from .drive import Demo
from .pages import FILES, Mention, PlantedLink, WebPage, pages
from .truth import Fate, as_planted, differences, read_rows

WATS, WARCS = "candidates", "candidates-warc"  # folders of candidates
NEEDED = ("fastwarc", "orjson", "pycld2", "selectolax")


def write(demo: Demo) -> None:
    """Write a small Common Crawl: pages that name the pictures of the web, and pages of what must be dropped."""
    demo.pages = pages(demo.web)
    folder = demo.folder / "crawl"
    folder.mkdir()
    for number, each in enumerate(demo.pages):
        (folder / archive.name_of(number, ".wat")).write_bytes(archive.wat(each, number))
    (folder / archive.name_of(number)).write_bytes(archive.warc(each, number))
    links = [len(page.links) for each in demo.pages for page in each]
    size = sum(path.stat().st_size for path in folder.iterdir())
    demo.show(
        f"{len(links):,} pages with {sum(links):,} links to pictures, {size / 1e3:,.0f} kB: {FILES} WAT files, and the "
        "WARC of the last"
    )


def words(demo: Demo, output: str, *options: str) -> list[str]:
    """The words of the command that reads the crawl. output: the name of the folder of candidates."""
    shard = max(50, -(-demo.config.pairs // 4))
    more = ("--shard-size", str(shard), "--dropped", str(demo.folder / "dropped" / output), *options)
    return ["crawl", str(demo.folder / "crawl"), str(demo.folder / output), *more]


def crawl(demo: Demo) -> None:
    """Crawl the WAT files, kill that with kill -9, give the same command again, and compare every link."""
    command, ledger = words(demo, WATS), demo.folder / WATS / "ledger" / "crawl" / "1-files"
    demo.kill(command, lambda: any(ledger.glob("*.json")))
    demo.show(f"killed when {len([*ledger.glob('*.json')])} of {FILES} files were read")
    demo.run(command, shown=2)
    links = [
        (page.url, link.by_wat()) for each in demo.pages for page in looked_at(each) for link in page.links
    ]
    compare(demo, WATS, links, told=True)


def crawl_whole_pages(demo: Demo) -> None:
    """Crawl the WARC file: its WAT tells nothing of pictures that scripts load, nor of texts that figures hold."""
    demo.run(words(demo, WARCS, "--from", "warc"), shown=2)
    compare(demo, WARCS, [(page.url, link) for page in looked_at(demo.pages[-1]) for link in page.links])


def looked_at(pages: Sequence[WebPage]) -> list[WebPage]:
    """The pages that pass the gate: the others are passed over whole, and none of their links is told of."""
    return [page for page in pages if page.language == "zho"]


def compare(demo: Demo, output: str, links: Sequence[tuple[str, PlantedLink]], *, told: bool = False) -> None:
    """Compare what became of every link with what was planted.

    links: with the URLs of their pages; told: whether as a table.
    """
    found = came_out(demo.folder, output)
    fates = {mention: reason for mention, _, reason in found}
    names, right = {}, list[tuple[str, str, bool]]()
    planted = list[Fate[Mention]]()
    for page_url, link in links:
        mention, wanted = link.told(page_url), link.reason or link.source
        names[mention] = link.planted
        planted.append((mention, "dropped" if link.reason else "kept", wanted))
        right.append((link.planted, wanted, fates.get(mention) == wanted))
    if told:
        demo.show(*as_planted(right))
    wrong = differences(planted, found, lambda one: f"{one[1]} on {one[0]} ({names.get(one, 'no link')})")
    demo.differ(wrong, f"all {len(planted):,} links as planted")


def came_out(folder: Path, output: str) -> list[Fate[Mention]]:
    """What became of every link: of those kept, where their text comes from; of the others, the reason."""
    tables = [pq.read_table(path) for path in (folder / "dropped" / output).rglob("*.parquet")]
    dropped = pa.concat_tables(tables).to_pylist()
    kept = read_rows(folder / output, "data", "page_url", "url", "alt_text", "text_source")
    return [
        *(((row["page_url"], row["url"], row["alt_text"]), "kept", row["text_source"]) for row in kept),
        *(
            ((row["page_url"], row["url"] or None, row["alt_text"]), "dropped", row["reason"])
            for row in dropped
        ),
    ]


STEPS: tuple[tuple[str, Callable[[Demo], None]], ...] = (
    ("Write a small Common Crawl of pages that name them", write),
    ("Crawl it for candidates, through a kill -9", crawl),
    ("Crawl whole pages, for what their WAT does not tell", crawl_whole_pages),
)
