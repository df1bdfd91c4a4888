"""Which removal list a rebuild honours: what was taken out of a release is not fetched from an older copy of it.

    manifest that is a release, --removals ─▶ the list ─▶ ledger/rebuild/removals.parquet, which every later run uses

Of a release on the Hub the list of its main branch counts, whatever revision is rebuilt: entries are added there.
Shards that were finished before an entry came stay as they are; `danqing release --remove` takes pairs out of them.
"""

from __future__ import annotations

import functools
import re

import numpy as np
import pyarrow as pa

from ..disk import release as document
from ..disk.files import join
from ..disk.location import address, repository_of
from ..disk.reading import WEB, reading
from ..disk.release import Release
from ..disk.removals import Removals, read
from ..errors import InputError
from ..manifest.source import kind_of
from ..options import words_of
from ..stage.preview import More
from .assemble import keys_of
from .config import RebuildConfig
from .units import STAGE


def snapshot(root: str) -> str:
    """Where a root has the list that its rebuild honours."""
    return join(root, "ledger", STAGE, "removals.parquet")


def told(known: Removals | None) -> More:
    """What --dry-run tells of the list."""
    if known is None:
        return More("removals", None)
    return More("removals", len(known), f"{len(known):,} entries: never asked for")


def look(config: RebuildConfig) -> Removals | None:
    """The list that a run is to honour; None where the manifest is of no release and none was named.

    Reads, and writes nothing. Raises InputError where --removals leads to no list.
    """
    known = None if config.overwrite else read(snapshot(config.output))
    lists = [of_manifest(config.input) if known is None else known, *named(config.removals)]
    return _union(lists)


def keep(config: RebuildConfig, removals: Removals | None) -> bool:
    """Write the list into the root, so that every shard and every later run goes by it; whether it has grown."""
    before = read(snapshot(config.output))
    if removals is None or removals == before:
        return False
    removals.write(snapshot(config.output))
    return len(removals) > len(before or ())


@functools.lru_cache(maxsize=8)
def of_file(file: str, removals: str) -> Removals | None:
    """The list that goes for one file of a manifest, together with those of --removals; read once in a process."""
    return _union([of_manifest(file), *named(removals)])


def rows_of(removals: Removals | None, table: pa.Table) -> frozenset[int]:
    """Which rows of a manifest are on the list."""
    if removals is None or not len(removals):
        return frozenset()
    keys = keys_of(table) if removals.by_key else None
    return frozenset(np.flatnonzero(removals.covers(keys, table["url"])).tolist())


def named(option: str) -> list[Removals]:
    """The lists that --removals names; InputError where one of them is none."""
    return [_named(source) for source in sources(option)]


def sources(option: str) -> list[str]:
    """What --removals names, one by one."""
    return words_of(option)


def _named(source: str) -> Removals:
    url = address(source)
    found = read(url)
    if found is None and _release(url) is None:
        raise InputError(f"--removals {source}: neither a release nor a file of keys, URLs or hosts")
    return found or Removals.of(())


def of_manifest(source: str) -> Removals | None:
    """The list of the release that a manifest, or a file of one, is of; None where it is of no release."""
    top = next((top for top in _tops(source) if _release(top) is not None), None)
    return None if top is None else read(top) or Removals.of(())


def _tops(source: str) -> list[str]:
    """Where the release may be that `source` is or lies in: of the Hub the main branch, else a folder."""
    if found := repository_of(source):
        return [found.at(None).url]
    if source.startswith(WEB):  # a server of plain HTTP lists no folders
        return []
    folders = [source] if kind_of(source) is None and not re.search(r"[*?\[]", source) else []
    head, manifest, _ = f"{source.rstrip('/')}/".rpartition("/manifest/")
    if manifest:
        folders.append(head or "/")
    elif source.startswith("manifest/") or source.rstrip("/") == "manifest":
        folders.append(".")
    return folders


def _release(url: str) -> Release | None:
    with reading(url):
        return document.read(url)


def _union(lists: list[Removals | None]) -> Removals | None:
    there = [one for one in lists if one is not None]
    return functools.reduce(Removals.union, there) if there else None
