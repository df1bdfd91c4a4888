"""The first pass: a file of Common Crawl ─▶ its candidates, dealt to key buckets, and every image link counted.

A file is read once, from its beginning; memory holds one chunk of candidates, whatever the file.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import xxhash

from ..disk.buckets import Scatter, first_bytes
from ..disk.files import leave_if_orphaned
from ..disk.ledger import ShardLedger, Tally
from ..disk.schema import pair_key
from ..reasons import Reason
from ..stage.counts import HostCounts
from ..stage.spool import DROPPED
from ..web.hostname import host_of
from . import html, wat
from .buckets import SPOOLED
from .hosts import DeniedHosts, surt_of
from .page import ImageEntry, Page
from .select import Candidate, Selection, text_of
from .source import CrawlFile
from .spool import FILES, CrawlSetup, rows_of

CHUNK = 50_000  # candidates held, or dropped pairs; some 60 MB
CHARACTERS = (
    16 << 20
)  # that they hold at most, and one more pair: URLs have 8,192, and a page has ten thousands of pairs
LOOK = 1000  # pages between two looks at the clock and at whether the run is to stop


class FileReader:
    """The reading of one file. told: its counts so far; number: of the file in the crawl."""

    def __init__(self, setup: CrawlSetup, denied: DeniedHosts, file: CrawlFile, number: int) -> None:
        self._setup, self._file, self._number = setup, file, number
        self._whole = bool(setup.dropped)
        self._selection = Selection(setup.config, denied)
        self._rows: list[Candidate] = []
        self._orders: list[int] = []
        self._hosts = HostCounts()
        self._characters = 0
        self._dropped: list[tuple[str | None, str | None, str, str]] = []
        self._dropped_characters = 0
        self.told = Tally()
        self.damage: Counter[str] = Counter()

    def read(self, path: Path, look: Callable[[], None]) -> ShardLedger:
        """Read it, and write what it gives and then its marker. path: where it lies on this machine."""
        began, name = time.monotonic(), self._setup.file_stem(self._number)
        leave_if_orphaned()
        self._scatter = Scatter(self._setup.temporary(rows_of(name)), SPOOLED, self._setup.root)
        with self._setup.dropping(FILES, name) as self._tell:
            self._pages(path, look)
            self._flush()
            self._flush_dropped()
        self._scatter.close()
        return self._end(name, path, time.monotonic() - began)

    def _pages(self, path: Path, look: Callable[[], None]) -> None:
        """Read the pages, as many as are asked for."""
        pages = (wat if self._file.kind == "wat" else html).pages(path, self.damage)
        for number, page in enumerate(pages):
            if number % LOOK == 0:
                look()
            self._page(page)
            if 0 < self._setup.config.limit <= self.told.rows:
                break

    def _end(self, name: str, path: Path, seconds: float) -> ShardLedger:
        counters = self.told.counters
        counters["files"] = 1
        counters["bytes"] = path.stat().st_size
        for what, count in self.damage.items():
            counters[f"damage/{what}"] = count
        outputs = {rows_of(name): self._setup.publish(rows_of(name), self.told.kept)}
        outputs |= self._setup.write_hosts(name, self._hosts)
        return self._setup.mark(FILES, name, self.told, outputs, seconds)

    def _page(self, page: Page) -> None:
        """Count a page, and judge its links where it is not passed over."""
        counters = self.told.counters
        counters["pages"] = counters.get("pages", 0) + 1
        if page.languages is None:
            counters["pages_without_language"] = counters.get("pages_without_language", 0) + 1
        closed = self._selection.closed(page)
        if closed is None:
            self._judge(page)
        else:
            counters[f"pages/{closed}"] = counters.get(f"pages/{closed}", 0) + 1

    def _judge(self, page: Page) -> None:
        """Take the candidates of a page, and count its links, also by its host."""
        counts: Counter[Reason] = Counter()
        kept, first = 0, self.told.rows
        for number, one in enumerate(self._selection.of(page, page.crawl or self._file.crawl)):
            if one.candidate is not None:
                self._keep(one.candidate, first + number)
                kept += 1
            elif one.reason is not None:
                counts[one.reason] += 1
                if self._whole:
                    self._note(one.entry, page, one.reason)
        self.told.rows += kept
        self.told.kept += kept
        host = surt_of(host_of(page.url) or "")
        self._hosts.add({host: kept})
        for reason, count in counts.items():
            self.told.drop(reason.value, count)
            self._hosts.add({host: count}, reason.value, kept=False)

    def _note(self, entry: ImageEntry, page: Page, reason: Reason) -> None:
        one = (entry.url, text_of(entry)[1] or None, page.url, reason.value)
        self._dropped.append(one)
        self._dropped_characters += sum(len(text) for text in one if text)
        if len(self._dropped) >= CHUNK or self._dropped_characters >= CHARACTERS:
            self._flush_dropped()

    def _flush_dropped(self) -> None:
        """Write the dropped pairs that are held."""
        if self._dropped:
            columns = zip(*self._dropped, strict=True)
            arrays = [pa.array(values, field.type) for values, field in zip(columns, DROPPED, strict=True)]
            self._tell(pa.Table.from_arrays(arrays, schema=DROPPED))
        self._dropped, self._dropped_characters = [], 0

    def _keep(self, one: Candidate, number: int) -> None:
        """Take a candidate. number: of its link in the file."""
        self._rows.append(one)
        self._orders.append(self._number << 40 | number)
        self._characters += len(one.url) + len(one.alt_text) + len(one.page_url) + len(one.warc[0])
        if len(self._rows) >= CHUNK or self._characters >= CHARACTERS:
            self._flush()

    def _flush(self) -> None:
        """Write the candidates that are held."""
        if not self._rows:
            return
        keys = [bytes.fromhex(pair_key(row.url, row.alt_text)) for row in self._rows]
        columns: dict[str, Any] = dict(zip(Candidate._fields, zip(*self._rows, strict=True), strict=True))
        columns["warc"] = [{"file": file, "offset": offset} for file, offset in columns["warc"]]
        texts, urls = (
            np.array([xxhash.xxh3_64_intdigest(one.encode()) for one in columns[name]], np.uint64)
            for name in ("alt_text", "url")
        )
        own: dict[str, Any] = {
            "key": keys,
            "order": np.array(self._orders, np.uint64),
            "text": texts,
            "picture": urls,
        }
        values = {**own, **columns}
        arrays = [pa.array(values[field.name], field.type) for field in SPOOLED]
        first = first_bytes(np.array(keys, "S16"))
        self._scatter.write(pa.Table.from_arrays(arrays, schema=SPOOLED), first)
        self._rows, self._orders, self._characters = [], [], 0
