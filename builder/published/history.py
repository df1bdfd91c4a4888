"""Pairs that a release says are out: the removal list, and the pairs of the release before that it has not.

removals/removals.parquet, changes/<version>.parquet ─▶ keys and digests that no row may bear, and differences
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as compute

from ..disk import removals
from ..disk.digests import KEY, Digests, keys_of
from ..disk.files import join
from ..disk.release import Release
from ..errors import InputError
from ..hub.store import Store
from .differences import Differences
from .shards import batches, damage, opened

pc: Any = compute
COLUMNS = ("key", "reason", "since")


def read_removals(store: Store, release: Release, differences: Differences) -> removals.Removals | None:
    """The removal list, None where there is none."""
    found = None
    if removals.PATH in store.entries:
        try:
            with damage(removals.PATH, differences):
                found = removals.read(join(store.url, removals.PATH))
        except InputError as error:
            differences.add("damaged", str(error))
        if found is None:
            return None
    count = 0 if found is None else len(found)
    differences.unequal("removals", f"{removals.PATH}: entries", release.removed, count)
    return found


def read_changes(store: Store, release: Release, differences: Differences) -> Digests:
    """The keys of the pairs that were dropped since the release before, sorted; none of a first release."""
    path = f"changes/{release.version}.parquet"
    nothing = np.empty(0, KEY)
    if path not in store.entries:
        if release.dropped and path not in release.files:
            total = sum(release.dropped.values())
            differences.add(
                "changes", f"{path}: should hold {total:,} pairs by release.json, it is not there"
            )
        return nothing
    with damage(path, differences), opened(store, path) as file:
        lacking = [name for name in COLUMNS if name not in file.schema_arrow.names]
        if lacking:
            differences.add("changes", f"{path}: column {lacking[0]} should be there")
            return nothing
        return _changes(path, batches(store, path, COLUMNS), release, differences)
    return nothing


def _changes(path: str, tables: Iterable[pa.Table], release: Release, differences: Differences) -> Digests:
    found: Counter[str] = Counter()
    versions: set[str] = set()
    parts = [np.empty(0, KEY)]
    for table in tables:
        found.update(map(str, table["reason"].to_pylist()))
        versions.update(map(str, pc.unique(table["since"]).to_pylist()))
        keys, valid = keys_of(table["key"])
        parts.append(keys[valid])
    keys = np.concatenate(parts)
    if (rows := release.files.get(path, {}).get("rows")) is not None:
        differences.unequal("rows", f"{path}: rows", rows, found.total())
    for reason in sorted({*found, *release.dropped}):
        wanted = release.dropped.get(reason, 0)
        differences.unequal("changes", f"{path}: rows of reason {reason}", wanted, found[reason])
    for version in sorted(versions):
        differences.unequal("changes", f"{path}: since", release.version, version)
    differences.unequal("changes", f"{path}: keys of 32 hex characters", found.total(), keys.size)
    ordered = np.sort(keys)
    if (ordered != keys).any() or (ordered[1:] == ordered[:-1]).any():
        differences.add("changes", f"{path}: keys should be sorted, and each once")
    return ordered
