"""Makes small releases for tests of what reads them: real Parquet, a real release.json, no card.

write_release(folder, "v1", {"manifest/train-00000-of-00001.parquet": table}) ─▶ Release, its files in folder
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.disk.release import NAME, Release
from builder.disk.removals import PATH, Removals, digest_of
from builder.disk.schema import pair_key


def write_release(
    folder: Path, version: str, shards: Mapping[str, pa.Table], removals: Removals | None = None
) -> Release:
    """A release of the shards, by path, and of a removal list."""
    for path, table in shards.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, folder / path, row_group_size=7)
    if removals is not None:
        removals.write(folder / PATH)
    rows = {path: table.num_rows for path, table in shards.items()}
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != NAME)
    names = [path.relative_to(folder).as_posix() for path in found]
    release = Release(
        what=next(iter(shards)).partition("/")[0],
        version=version,
        created_at="2026-11-26T00:00:00Z",
        validated=False,
        license="cc-by-nc-4.0",
        source="test/test",
        files={name: _described(folder / name, rows.get(name)) for name in names},
        counts={},
        funnel={},
        removed=len(removals or ()),
    )
    (folder / NAME).write_bytes(release.as_json())
    return release


def _described(path: Path, rows: int | None) -> dict[str, Any]:
    data = path.read_bytes()
    return {"rows": rows, "bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}


def pairs(urls: Sequence[str], **columns: Sequence[Any]) -> pa.Table:
    """Rows of a released manifest, with the captions that rebuild.runs.write_manifest gives these URLs."""
    texts = [f"第{i}张图片" for i in range(len(urls))]
    keys = [pair_key(url, text) for url, text in zip(urls, texts, strict=True)]
    recaptions = [f"描述 {i}" for i in range(len(urls))]
    return pa.table({"url": list(urls), "alt_text": texts, "recaption": recaptions, "key": keys, **columns})


def listed(*entries: tuple[str, str], since: str | None = None) -> Removals:
    """The removal list of (kind, text)."""
    return Removals.of((kind, digest_of(kind, text), since) for kind, text in entries)


def files_of(folder: Path) -> dict[str, bytes]:
    """The files of a folder, whole, by path."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
