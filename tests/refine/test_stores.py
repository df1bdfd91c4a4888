"""A refinement from a store into a store: the same bytes as on a disk."""

from __future__ import annotations

from pathlib import Path

import fsspec

from tests.refine.refinements import here, made, rows, write
from tests.s3 import Bucket


def test_a_root_on_s3_has_the_same_bytes(s3: Bucket, tmp_path: Path) -> None:
    path = write(tmp_path / "m.parquet", rows(1500))
    s3.put("in/m.parquet", path.read_bytes())
    here(path, tmp_path / "out")
    here(s3.url("in"), s3.url("out"))
    store = fsspec.filesystem("s3")
    there = {path.partition("/out/")[2]: store.cat_file(path) for path in store.find(s3.url("out"))}
    wanted = made(tmp_path / "out")
    assert {name: there[name] for name in wanted} == wanted
    assert not [name for name in there if "spool" in name]
