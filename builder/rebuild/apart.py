"""Is a root apart from its manifest? What a rebuild writes must not be found as the manifest by the next run.

A root may lie in the folder of its manifest, as its files are passed over there, and the manifest in the root, as
long as it is in no folder of the root's own.
"""

from __future__ import annotations

import re

from fsspec.utils import glob_translate

from ..disk.files import filesystem, is_within, resolved
from ..disk.reading import WEB, reading, type_of
from ..disk.root import CARD, REBUILD
from ..errors import UsageError

# Files as a rebuild writes them, which no pattern of the manifest may match.
_WRITTEN = (
    "images/train-00000-of-00001.parquet", "images/train-00000-of-00001.tar", "outcomes/train-00000-of-00001.parquet",
    "ledger/rebuild/plan.json", "ledger/rebuild/train-00000.json", CARD,
)  # fmt: skip


def check_apart(source: str, output: str) -> None:
    """Raise UsageError where manifest and root are in each other's way."""
    if source.startswith(WEB):
        return
    fs, path = filesystem(source)
    manifest, root = resolved(source), resolved(output)
    with reading(source):
        kind = type_of(fs, path)
    if any(is_within(manifest, f"{root}/{name}") for name in REBUILD.names):
        why = "the manifest lies among the files of the root"
    elif kind == "directory" and manifest == root:
        why = "the root is the folder of the manifest"
    elif kind is None and any(re.match(glob_translate(manifest), f"{root}/{name}") for name in _WRITTEN):
        why = "the files of the root would be taken for the manifest"
    else:
        return
    raise UsageError(f"{output}: {why}, {source}; name another folder for the root")
