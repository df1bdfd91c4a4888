"""The options of `danqing crawl`: one frozen dataclass, from which the command line is derived."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..options import option
from ..stage.shared import Sharded

BOUNDS: dict[str, tuple[float, float]] = {"limit_files": (0, math.inf), "shard_size": (1, math.inf)}


@dataclass(frozen=True, slots=True)
class CrawlConfig(Sharded):
    """What `danqing crawl` was asked to do."""

    REMOVED = ("files", "data/ and ledger/crawl/")

    source: str = option(
        "",
        "a crawl such as CC-MAIN-2025-30, a paths.gz list, or WAT or WARC files: a path, glob, https://, s3:// or hf://",
        positional=True,
    )
    output: str = option("", "folder of the candidates, or an fsspec URL", positional=True)

    limit_files: int = option(0, "files of the source to take, the first by name; 0: all", content=True)
    from_: str = option(
        "wat",
        "of a crawl, the files to read; wat: links and alt texts; warc: whole pages, for lazy pictures and captions",
        content=True,
        choices=("wat", "warc"),
    )
    mirror: str = option(
        "https",
        "where a crawl is fetched from: data.commoncrawl.org, s3://commoncrawl with your AWS account, or the bucket of "
        "the Hugging Face Hub, which holds the crawls of 2026 on",
        choices=("https", "s3", "hf"),
    )
    gate: str = option(
        "cld2",
        "pages to look at; cld2: those that the crawl found Chinese; html-lang: those that say so; none: all",
        content=True,
        choices=("cld2", "html-lang", "none"),
    )
    consent: str = option(
        "drop",
        "what becomes of pairs whose page says noai, noimageai, train-ai=n or tdm-reservation=1; flag: recorded alone",
        content=True,
        choices=("drop", "flag", "ignore"),
    )
    hosts: str = option("", "Parquet table of hosts to leave out: host, and reason if you like", content=True)
    text_classifier: str = option(
        "",
        "transformers text classifier, a name on the Hub or a folder; pairs it finds unsafe are dropped",
        content=True,
    )
    dropped: str = option("", "folder for tables of the pairs that were dropped, with the reason of each")
    shard_size: int = option(200_000, "pairs of one shard, at most", content=True)

    limit: int = option(
        0,
        "picture links to read of each file, to the end of a page; 0: all",
        shared=True,
        content=True,
    )

    def check(self) -> None:
        """Raise UsageError where a value is out of its range."""
        self.check_shared(BOUNDS)
