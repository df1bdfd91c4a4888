"""Makes a root curated, for tests of what reads curated/: `curated/` and `ledger/curate/` beside its images.

A root of roots.py in, scored or not, its rows of curated/ out:

    make_root(root)
    rows = make_curated(root)       # the rows of curated/, in the order of the pairs

Pair number i has the reason MIX[i % len(MIX)], unless scores/ drops it. No model is run.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from builder.disk import files, ledger
from builder.disk.parquet import writer
from builder.disk.schema import CURATED, saying
from builder.reasons import Reason
from builder.stage.recipe import PaperDocument, RecipeDocument, step

STAGE = "curate"
DECISION = "c" * 16
EMBEDDER: ledger.CheckpointRecord = {
    "model": "OFA-Sys/chinese-clip-vit-large-patch14",
    "name": "chinese-clip-vit-large-patch14",
    "revision": "1" * 40,
    "fingerprint": "b" * 32,
}
DUPLICATES = (Reason.COPY, Reason.NEAR_DUPLICATE, Reason.CROSS_BATCH)
MIX = (
    *(None, Reason.NEAR_DUPLICATE, None, Reason.BLURRED, None, None, Reason.WEAK_MATCH),
    *(None, Reason.COPY, None, Reason.TEXT_PICTURE, None, None),
)
RECIPE = RecipeDocument(
    steps=[
        step("verdict", None, Reason.VERDICT),
        step("texture", 13, Reason.FLAT),
        step("blur", 14, Reason.BLURRED),
        step("alignment", 18, Reason.WEAK_MATCH, Reason.TEXT_PICTURE),
        step("duplicates", 16, Reason.COPY, Reason.NEAR_DUPLICATE),
        step("union", 19, Reason.CROSS_BATCH),
    ],
    paper=[
        PaperDocument(row=13, name="low-texture images", pairs=352_204_550, share=0.0013),
        PaperDocument(row=14, name="blur", pairs=333_255_945, share=0.0538),
        PaperDocument(row=16, name="redundancy within a batch", pairs=186_019_602, share=0.4120),
        PaperDocument(row=18, name="cross-modal alignment", pairs=154_293_590, share=0.1361),
        PaperDocument(row=19, name="redundancy over all batches", pairs=99_892_381, share=0.3526),
    ],
)


@dataclass(frozen=True, slots=True)
class Curating:
    """How a root is curated. mix: reasons, dealt in turn; row_group: of curated/."""

    mix: Sequence[Reason | None] = MIX
    decision: str = DECISION
    row_group: int = 7


def make_curated(root: Path, curating: Curating | None = None) -> list[dict[str, Any]]:
    """Curate the root that roots.make_root made there; the rows of curated/ of all shards, in order."""
    curating = curating or Curating()
    scored = ledger.read_decision(str(root), "revalidate")
    shards = sorted((root / "images").glob("*.parquet"))
    reasons: list[Reason | None] = []
    keys: list[list[Any]] = [pq.read_table(shard, columns=["key"])["key"].to_pylist() for shard in shards]
    for shard, those in zip(shards, keys, strict=True):
        table = pq.read_table(root / "scores" / shard.name, columns=["kept"]) if scored else None
        kept = [True] * len(those) if table is None else table["kept"].to_pylist()
        dealt = [
            curating.mix[number % len(curating.mix)]
            for number in range(len(reasons), len(reasons) + len(those))
        ]
        reasons += [one if good else Reason.VERDICT for one, good in zip(dealt, kept, strict=True)]
    rows = curated([key for those in keys for key in those], reasons)
    start = 0
    for shard, those in zip(shards, keys, strict=True):
        part = rows[start : start + len(those)]
        write_curated(root / "curated" / shard.name, part, curating)
        _marker(root, shard, part)
        start += len(those)
    document = _decision(rows, curating, scored and scored["decision"])
    files.write_atomic(f"{root}/ledger/{STAGE}/plan.json", json.dumps(_plan(shards, keys)).encode())
    files.write_atomic(f"{root}/ledger/{STAGE}/decision.json", json.dumps(document).encode())
    return rows


def curated(keys: Sequence[str], reasons: Sequence[Reason | None]) -> list[dict[str, Any]]:
    """Rows of curated/; a duplicate is one of the last pair before it that is kept, or of none where there is none."""
    rows: list[dict[str, Any]] = []
    sets: dict[str, list[int]] = {}
    kept = None
    for number, (key, reason) in enumerate(zip(keys, reasons, strict=True)):
        kept = key if reason is None else kept
        stands = kept if reason is None or reason in DUPLICATES else None
        if stands:
            sets.setdefault(stands, []).append(number)
        rows.append(
            {
                "key": key,
                "cos": 0.3 + number % 10 / 100,
                "nearest": stands if reason in DUPLICATES else None,
                "dup_count": None,
                "dup_cluster": None,
                "reason": reason,
            }
        )
    for numbers in sets.values():
        least = min(keys[number] for number in numbers)
        for number in numbers:
            rows[number] |= {"dup_count": len(numbers), "dup_cluster": least if len(numbers) > 1 else None}
    return rows


def write_curated(path: Path, rows: list[dict[str, Any]], curating: Curating) -> None:
    """One file of curated/."""
    path.parent.mkdir(exist_ok=True)
    schema = saying(CURATED, {"decision": curating.decision})
    with writer(path, schema) as file:
        for start in range(0, len(rows), curating.row_group):
            file.write_table(pa.Table.from_pylist(rows[start : start + curating.row_group], schema))


def _plan(shards: Sequence[Path], keys: Sequence[Sequence[str]]) -> dict[str, Any]:
    rows: Counter[str] = Counter()
    for shard, those in zip(shards, keys, strict=True):
        rows[shard.name.split("-")[0]] += len(those)
    counts = Counter(shard.name.split("-")[0] for shard in shards)
    return {
        "stage": STAGE,
        "rows": rows,
        "shards": counts,
        "config": {},
        "config_hash": "c" * 16,
        "recipe": RECIPE,
    }


def _decision(rows: list[dict[str, Any]], curating: Curating, scores: str | None) -> ledger.CurationDocument:
    reasons = Counter(str(row["reason"]) for row in rows if row["reason"])
    return {
        "decision": curating.decision,
        "scores": scores,
        "rows": len(rows),
        "kept": len(rows) - reasons.total(),
        "reasons": dict(reasons),
        "thresholds": {"spread": 2.0, "dedup_cosine": 0.9},
        "embedder": EMBEDDER,
        "recall": {"0.90": [100, 100]},
        "sets": {},
        "measured": {"original": 0, "stored": 0},
        "recipe": {**RECIPE},
    }


def _marker(root: Path, shard: Path, rows: list[dict[str, Any]]) -> None:
    tally = ledger.Tally()
    for row in rows:
        tally.add(row["reason"], {})
    file = root / "curated" / shard.name
    ledger.ShardLedger.of(
        f"{STAGE}/7-shards",
        shard.stem,
        tally,
        inputs={f"images/{shard.name}": {"rows": len(rows), "xxh3_128": files.file_digest(shard)}},
        outputs={f"curated/{shard.name}": ledger.entry(file, len(rows))},
        config="c" * 16,
        seconds=1.0,
    ).write(str(root))
