"""The reading of a file holds one chunk of pairs, whatever its pages are like."""

from __future__ import annotations

from pathlib import Path

import pyarrow.ipc as ipc
import pyarrow.parquet as pq

from builder.crawl.config import CrawlConfig
from builder.crawl.hosts import DeniedHosts
from builder.crawl.read import FileReader
from builder.crawl.source import CrawlFile
from builder.crawl.spool import CrawlSetup
from tests.crawl.crawls import CRAWL, file
from tests.crawl.made import image, languages, page, wat

FAR = "http://example.com/" + "p" * 7900 + "/"


def test_a_page_of_long_addresses_is_written_by_their_characters(tmp_path: Path) -> None:
    kept = [image(f"{number}.jpg", f"山间小路的风景{number}") for number in range(1200)]
    short = [image(f"/{number}.jpg", "山水") for number in range(2400)]
    records = [wat(page([*kept, *short], FAR), FAR), wat(languages("zho", url=FAR), FAR)]
    path, out, dropped = tmp_path / "a.warc.wat.gz", tmp_path / "out", tmp_path / "dropped"
    path.write_bytes(file(0, records))
    setup = CrawlSetup(str(out), tmp_path / "work", "hash", str(dropped), CrawlConfig(str(path), str(out)), 1)
    reader = FileReader(setup, DeniedHosts(()), CrawlFile(path.name, str(path), CRAWL, None, "wat"), 0)
    told = reader.read(path, lambda: None)
    assert (told.kept, told.rows, told.reasons) == (1200, 3600, {"short_text": 2400})
    with ipc.open_file(str(out / "ledger/crawl/spool/rows/file-00000-of-00001.arrow")) as spool:
        assert spool.num_record_batches == 2  # of 19 million characters
        assert spool.read_all().num_rows == 1200
    (listed,) = dropped.rglob("*.parquet")
    groups = pq.ParquetFile(listed).metadata
    assert (groups.num_row_groups, groups.num_rows) == (2, 2400)
