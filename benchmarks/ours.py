"""Our own side: the command line of `danqing rebuild`, run from a source tree, and what it stored.

In: a manifest and a root. Out: a command, then the counts and pictures of the root.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq

EXACT = [
    "--image-size",
    "256",
    "--resize",
    "keep-ratio",
    "--encode",
    "jpeg",
    "--quality",
    "95",
    "--decode",
    "exact",
]
FAST = [*EXACT[:-1], "fast"]
ORIGINALS = ["--resize", "none", "--encode", "original", "--decode", "fast"]


def command(manifest: Path, out: Path, flags: list[str], retries: int = 0) -> list[str]:
    """The command line that rebuilds `manifest` into `out`; loopback has to be allowed, the rest is as it comes."""
    return [
        sys.executable, "-m", "builder.cli", "rebuild", str(manifest), str(out), "--allow-private", "--workers", "2",
        "--shard-size", "1000", "--timeout", "10", "--retries", str(retries), "--quiet", *flags,
    ]  # fmt: skip


def environment(tree: Path) -> dict[str, str]:
    """Ours, with the source tree that is measured in front."""
    return {**os.environ, "PYTHONPATH": str(tree)}


def kept(out: Path) -> int:
    """Pairs whose outcome is `kept`."""
    files = out.glob("outcomes/*.parquet")
    return sum(
        pc.sum(pc.equal(pq.read_table(f, columns=["outcome"])["outcome"], "kept")).as_py() or 0 for f in files
    )


def images(out: Path) -> Iterator[tuple[str, bytes]]:
    """(URL, stored bytes) of what was kept."""
    for path in sorted(out.glob("images/*.parquet")):
        for row in pq.read_table(path, columns=["url", "image"]).to_pylist():
            yield row["url"], row["image"]["bytes"]
