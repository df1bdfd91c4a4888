"""A Parquet file opened where it lies: mapped on a local disk, read by ranges in a store.

URL ─▶ pyarrow.parquet.ParquetFile, with errors of one line
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO

import pyarrow.parquet as pq

from .files import filesystem, is_local, local_path
from .manifest.probe import refuse_encrypted
from .manifest.source import reading


@contextmanager
def parquet(url: str) -> Iterator[pq.ParquetFile]:
    """The Parquet file at `url`, open; whatever is wrong with it while it is read is one line that names it.

    Raises InputError for a missing, damaged or truncated file, EnvironmentProblem for one that cannot be read.
    """
    with reading(url):
        if is_local(url):
            with local_path(url).open("rb") as raw, pq.ParquetFile(local_path(url), memory_map=True) as file:
                yield checked(file, raw, url)
            return
        fs, path = filesystem(url)
        with fs.open(path, "rb", cache_type="none") as raw, pq.ParquetFile(raw, pre_buffer=True) as file:
            yield checked(file, raw, url)


def checked(file: pq.ParquetFile, raw: IO[bytes], url: str) -> pq.ParquetFile:
    """The open file, where none of its columns is encrypted; InputError elsewhere. raw: its bytes."""
    raw.seek(-min(8, raw.seek(0, os.SEEK_END)), os.SEEK_END)
    refuse_encrypted(file, raw.read(8), url)
    return file
