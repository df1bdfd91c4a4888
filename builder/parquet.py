"""A Parquet file opened where it lies: mapped on a local disk, read by ranges in a store.

URL ─▶ pyarrow.parquet.ParquetFile, with errors of one line
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow.parquet as pq

from .files import filesystem, is_local, local_path
from .manifest.source import reading


@contextmanager
def parquet(url: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file at `url`, open; whatever is wrong with it while it is read is one line that names it.

    Raises InputError for a missing, damaged or truncated file, EnvironmentProblem for one that cannot be read.
    """
    with reading(url):
        if is_local(url):
            with pq.ParquetFile(local_path(url), memory_map=True) as file:
                yield file
            return
        fs, path = filesystem(url)
        with fs.open(path, "rb", cache_type="none") as raw, pq.ParquetFile(raw, pre_buffer=True) as file:
            yield file
