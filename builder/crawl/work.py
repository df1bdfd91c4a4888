"""The work of a crawl, pass by pass: files of Common Crawl ─▶ key buckets ─▶ the layout of shards ─▶ shards.

files     each file read, its pages judged, its candidates dealt to key buckets
buckets   a bucket of all files: copies dropped, the rest by key
layout    texts and URLs that come too often, over all buckets; how many pairs are left, and so the shards
shards    ranges of the keys: data/train-00000-of-00042.parquet
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from operator import attrgetter

from ..hub.origin import Patience
from ..hub.transfer import Transfers
from ..stage.engine import Done, Tell, Units
from ..stage.spool import stem
from ..towers.classifier import Classifier
from .buckets import write_bucket
from .hosts import DeniedHosts
from .plan import FileUnit, ShardUnit
from .read import FileReader
from .shards import lay_out, write_shard
from .spool import CrawlSetup


def files(setup: CrawlSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Read the files that come; the next is fetched meanwhile."""
    denied = DeniedHosts.read(setup.config.hosts)
    patience = Patience(stopping=lambda: units.stopping)
    with Transfers(setup.work, patience) as transfers:
        for unit, path in transfers.ahead(units, attrgetter("file")):
            assert isinstance(unit, FileUnit)
            reader, name = FileReader(setup, denied, unit.file, unit.number), setup.file_stem(unit.number)
            yield Done(unit.number, name, [reader.read(path, partial(tell, {name: reader.told}))])


def buckets(setup: CrawlSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the buckets that come."""
    classifier = Classifier(setup.config.text_classifier) if setup.config.text_classifier else None
    for unit in units:
        yield Done(
            unit.number, setup.bucket_stem(unit.number), [write_bucket(setup, unit.number, classifier)]
        )


def layout(setup: CrawlSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Lay the shards out, once."""
    for unit in units:
        lay_out(setup)
        yield Done(unit.number, "layout", [])


def shards(setup: CrawlSetup, units: Units, tell: Tell) -> Iterator[Done]:
    """Write the shards that come."""
    for unit in units:
        assert isinstance(unit, ShardUnit)
        name = stem("train", unit.number, unit.layout["shards"])
        yield Done(unit.number, name, [write_shard(setup, unit.number, unit.layout)])
