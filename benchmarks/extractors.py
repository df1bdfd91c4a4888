"""Readers of WAT files at work, each in a process of its own and in the virtual environment where it lives.

    PYTHON extractors.py read NAME WARM FILE      # one file; CPU, wall and rows as JSON
    PYTHON extractors.py links NAME OUT FILE ...  # files ─▶ Parquet of uid, url, alt, cc_filename, page_url

read: cc2dataset, daft, fastwarc (no more than inflating), none and cld2 (`danqing crawl` with that gate); a small file
is read before, so that imports and what is made at first use are apart. links: cc2dataset, which is its Spark, or
danqing; each uid once. Only what a contender needs is imported, as the others' packages are not in its environment.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

WORKERS = 2
COLUMNS = ["uid", "url", "alt", "cc_filename", "page_url"]
_LAZY = b'"IMG@/data-uri"'
HTTP = ("http://", "https://")
PLAIN = re.compile(
    r"(?:/[A-Za-z0-9_~%-][A-Za-z0-9_.~%-]*)+"
)  # urljoin only puts the host before it, and takes 7 µs
Read = Callable[[str], int]


def cc2dataset() -> Read:
    """Its function for one file."""
    from cc2dataset.main import process_wat
    from loguru import logger

    logger.remove()
    return lambda path: sum(1 for _ in process_wat(path, "image"))


def fastwarc() -> Read:
    """Records inflated, and their contents read."""
    from fastwarc.warc import ArchiveIterator

    def read(path: str) -> int:
        with Path(path).open("rb") as file:
            return sum(bool(record.reader.read()) for record in ArchiveIterator(file, parse_http=False))

    return read


def daft() -> Read:
    """Its reader, and a function over batches of contents, as a user would write it."""
    import daft
    import orjson

    kind = daft.DataType
    pair = kind.struct({"url": kind.string(), "alt": kind.string(), "page": kind.string()})

    @daft.func.batch(return_dtype=kind.list(pair))
    def pictures(contents: Any) -> Any:
        return [_pairs(orjson.loads, content) for content in contents.to_pylist()]

    def read(path: str) -> int:
        told = daft.read_warc(path).select(pictures(daft.col("warc_content")).alias("pair"))
        rows = told.explode("pair").where(daft.col("pair").not_null())
        return int(rows.collect().count_rows())

    return read


def _pairs(loads: Callable[[bytes], Any], content: bytes) -> list[dict[str, str]]:
    """The pictures with an alt of what one record holds."""
    try:
        envelope = loads(content)["Envelope"]
        page = envelope["WARC-Header-Metadata"]["WARC-Target-URI"]
        html = envelope["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]
    except (ValueError, KeyError):
        return []
    base = urljoin(page, html.get("Head", {}).get("Base", ""))
    return [
        {"url": urljoin(base, link["url"]), "alt": link["alt"], "page": page}
        for link in html.get("Links", [])
        if link.get("path") == "IMG@/src" and link.get("alt")
    ]


def danqing(gate: str) -> Read:
    """The first pass of `danqing crawl`, whole: candidates and hosts on disk, and the marker."""
    from builder.crawl.config import CrawlConfig
    from builder.crawl.hosts import DeniedHosts
    from builder.crawl.read import FileReader
    from builder.crawl.source import CrawlFile
    from builder.crawl.spool import CrawlSetup

    def read(path: str) -> int:
        with tempfile.TemporaryDirectory(prefix="danqing-bench-") as folder:
            config = CrawlConfig(source=path, output=f"{folder}/out", gate=gate)
            setup = CrawlSetup(config.output, Path(folder) / "work", "0" * 16, "", config, 1)
            file = CrawlFile(Path(path).name, path, "CC-MAIN-2025-30", None, "wat")
            return FileReader(setup, DeniedHosts(()), file, 0).read(Path(path), lambda: None).kept

    return read


READERS: dict[str, Callable[[], Read]] = {
    "cc2dataset": cc2dataset,
    "fastwarc": fastwarc,
    "daft": daft,
    "none": lambda: danqing("none"),
    "cld2": lambda: danqing("cld2"),
}


def spark(out: Path, paths: list[str]) -> None:
    """cc2dataset's own steps on local files; the function that calls them has the crawl's hosts written into it."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from cc2dataset.main import deduplicate_repartition_count, process_wat
    from cc2dataset.spark_session_builder import build_spark_session

    def extract(part: Iterator[str]) -> Iterator[Any]:
        for path in part:
            yield from process_wat(path, "image")

    session = build_spark_session("local", WORKERS, 4)
    rows = session.sparkContext.parallelize(paths, len(paths)).mapPartitions(extract).toDF(COLUMNS)
    deduplicate_repartition_count(rows, str(out), len(paths), session)
    session.stop()


def links(out: Path, paths: list[str]) -> None:
    """The same rows by our reader."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.parquet as pq

    out.mkdir(parents=True)
    spools = [str(out / f"{number}.arrow") for number in range(len(paths))]
    with ProcessPoolExecutor(WORKERS) as pool:
        list(pool.map(_spool, paths, spools))
    rows = pa.concat_tables([pa.ipc.open_file(pa.memory_map(path)).read_all() for path in spools])
    keys = np.concatenate([np.frombuffer(chunk.buffers()[1], "S16") for chunk in rows["uid"].chunks])
    _, first = np.unique(keys, return_index=True)
    first.sort()
    for number, places in enumerate(np.array_split(first, 8)):
        part = rows.take(pa.array(places))
        uids = pa.array([uid.hex() for uid in part["uid"].to_pylist()])
        pq.write_table(part.set_column(0, "uid", uids), out / f"{number}.parquet", compression="snappy")
    for path in spools:
        Path(path).unlink()


def _spool(path: str, spool: str) -> None:
    """The rows of one file as an Arrow file, uid as 16 bytes."""
    import pyarrow as pa

    rows = list(_links(path))
    columns = zip(*rows, strict=True)
    kinds = [pa.binary(16), *[pa.string()] * 4]
    table = pa.table([pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)], COLUMNS)
    with pa.ipc.new_file(spool, table.schema) as file:
        file.write_table(table)


def _links(path: str) -> Iterator[tuple[bytes, str, str, str, str]]:
    """cc2dataset's rules over our pages: IMG@/src with an alt, joined by urljoin, http alone."""
    from fastwarc.warc import WarcHeader

    from builder.crawl.records import records
    from builder.crawl.wat import WatPage

    damage: Counter[str] = Counter()
    warc = ""
    for record in records(path, damage):
        if b'"IMG@/src"' not in record.content:
            continue
        page = WatPage(record.headers.get(WarcHeader.WARC_TARGET_URI), "", record.content, damage)
        warc = warc or page.warc[0]  # one WARC a file
        base = urljoin(page.url, page.facts().base or "") if b'"Base":' in record.content else page.url
        origin = urljoin(base, "/")[:-1]
        images = page.images() if _LAZY not in record.content else _as_they_stand(record.content)
        for entry in images:
            if alt := entry.alt:
                raw = entry.url or ""
                url = (
                    raw
                    if raw.startswith(HTTP)
                    else origin + raw
                    if PLAIN.fullmatch(raw)
                    else urljoin(base, raw)
                )
                if url.startswith(HTTP):
                    yield hashlib.md5((alt + url).encode()).digest(), url, alt, warc, page.url


def _as_they_stand(content: bytes) -> list[Any]:
    """The pictures of a page without what danqing does for lazy ones, and the peer does not: their data-uri."""
    import orjson

    from builder.crawl.page import ImageEntry

    html = orjson.loads(content)["Envelope"]["Payload-Metadata"]["HTTP-Response-Metadata"]["HTML-Metadata"]
    found = (link for link in html["Links"] if link["path"] == "IMG@/src")
    return [ImageEntry(link["url"], link.get("alt")) for link in found]


def main() -> int:
    """One contender."""
    job, name, first, *paths = sys.argv[1:]
    if job == "links":
        (spark if name == "cc2dataset" else links)(Path(first), paths)
        return 0
    read = READERS[name]()
    read(first)
    cpu, wall = time.process_time(), time.perf_counter()
    rows = read(*paths)
    told = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "rows": rows}
    print("took", json.dumps(told))
    return 0


if __name__ == "__main__":
    sys.exit(main())
