"""Roots to release, the command in this process, and what it left.

root = scored_root(tmp_path, rows=300)                    4 shards of train, one of validation, with scores
assert release(root, out, "--what", "images") == 0
read(out)["kept"]
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.cli import main
from builder.disk.files import file_digest
from builder.disk.ledger import ShardLedger, Tally, WrittenFile
from builder.disk.release import Release
from builder.disk.release import read as read_release
from builder.disk.removals import Removals
from builder.reasons import Cause
from builder.release.columns import columns_of
from builder.release.config import ReleaseConfig
from builder.release.plan import ReleasePlan, make
from builder.release.source import Root, open_root
from builder.release.staging import Staging
from tests.roots import make_root, pair, write_shard
from tests.scored import DECISION, Scoring, make_scored

FROM = ("--source", "DeepGlint-AI/DanQing100M")
NONE = Removals.of(())
SOME = (
    Cause.HASH,
    Cause.CODE,
    Cause.HASH,
    Cause.CAPTION,
    Cause.HASH,
    Cause.UNRELATED,
    Cause.HASH,
    Cause.CODE,
)


def scored_root(
    tmp: Path, rows: int = 60, mix: Sequence[Cause] = SOME, decision: str = DECISION, validation: int = 20
) -> Path:
    """A root `root` in tmp: two shards of train and one of validation, scored with the causes of `mix` in turn."""
    root = tmp / "root"
    if not root.exists():
        make_root(root, shards=2, rows=rows, row_group=16)
        numbers = range(10_000, 10_000 + validation)
        write_shard(root / "images" / "validation-00000-of-00001.parquet", [pair(n) for n in numbers], 16)
    make_scored(root, Scoring(mix=mix, decision=decision))
    return root


def with_ledger(root: Path, done: int | None = None) -> None:
    """The ledger of rebuild of a root, of which the first `done` shards are finished."""
    shards = sorted((root / "images").glob("*.parquet"))
    rows: dict[str, int] = {}
    count: dict[str, int] = {}
    for number, shard in enumerate(shards):
        split, size = shard.stem.partition("-")[0], pq.read_metadata(shard).num_rows
        rows[split], count[split] = rows.get(split, 0) + size, count.get(split, 0) + 1
        entry: WrittenFile = {"rows": size, "bytes": shard.stat().st_size, "xxh3_128": file_digest(shard)}
        if done is None or number < done:
            ShardLedger.of(
                "rebuild", shard.stem, Tally(rows=size, kept=size), outputs={f"images/{shard.name}": entry},
                config="", seconds=0,
            ).write(str(root))  # fmt: skip
    (root / "ledger" / "rebuild").mkdir(parents=True, exist_ok=True)
    plan = {"rows": rows, "shards": count, "config": {}, "stage": "rebuild"}
    (root / "ledger" / "rebuild" / "plan.json").write_text(json.dumps(plan))


def release(root: Path, out: Path, *flags: str) -> int:
    """The exit code of danqing release, of a root of DanQing unless the flags say otherwise."""
    return main(["release", str(root), str(out), *FROM, "--quiet", *flags])


def released(out: Path) -> Release:
    """The release in a folder."""
    found = read_release(str(out))
    assert found is not None
    return found


def read(out: Path, what: str = "images") -> pa.Table:
    """The pairs of a release in a folder, in the order of its shards."""
    return pa.concat_tables([pq.read_table(shard) for shard in sorted((out / what).iterdir())])


def tree(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def opened(root: Path, **options: Any) -> tuple[ReleaseConfig, Root]:
    """A configuration and the root it names."""
    return ReleaseConfig(str(root), "out", source=FROM[1], **options), open_root(str(root))


def planned(root: Path, removals: Removals = NONE, **options: Any) -> tuple[Root, ReleasePlan]:
    """A root and the plan of its first release."""
    config, found = opened(root, **options)
    return found, make(config, found, removals, None)


def staging_of(root: Path, work: Path, target: Any = None, **options: Any) -> Staging:
    """The staging of a first release."""
    found, plan = planned(root, **options)
    work.mkdir(parents=True, exist_ok=True)
    return Staging(work, plan, found, columns_of(found, options.get("what", "manifest")), target)
